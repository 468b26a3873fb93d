"""What an origin tells its edges: events are signed, kept, announced, and their last number stamped.

An event is in the store before anybody hears of it, and who asked for it gets an answer after that. The timestamp says
its number within a second: signing one for each of many events would cost more than the events. An origin that ends in
between stamps it when it is back; edges that heard of the event are ahead of the stamp for so long, which is no fault.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from securesystemslib.signer import Signer

from edge.feed.relay import Relay
from origin.fleet.log import Log
from origin.registry.roles import Published
from origin.registry.server import Origin
from origin.storage.blobs import BlobStore
from vmimage.feed import HELD_MAX, Event, Kind, Mark, fields_of, mark_of, sign_event
from vmimage.holds import HOLDS_PATH

STAMP_S: Final = 1.0  # between two timestamps that events ask for
LOOK_S: Final = 1.0  # between two looks for events of other origins, in a store that they share

_LOG: Final = logging.getLogger(__name__)

Announced = Callable[[int, bytes], None]


class OriginFeed:
    """The feed of one origin."""

    def __init__(self, blobs: BlobStore, site: Origin, clock: Callable[[], float] = time.time) -> None:
        """Take up what the store has, and be told of what is published at `site` from now on.

        :raises OperatorError: the store's feed cannot be used.
        """
        self._shared, self._site, self._clock = blobs.shared, site, clock
        self.log = Log(blobs, lambda: site.root)
        self.relay = Relay(self._read)
        self.on_event: list[Announced] = []  # are called in the loop, with number and event
        self.on_close: list[Callable[[], None]] = []  # are called in a thread, at the end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake, self._stop = threading.Event(), threading.Event()
        self.log.last = max(0, self._stamped())  # those before may be gone
        self.log.look()
        self.relay.last = self.log.last
        site.on_published = self.published
        self.stamp()

    @property
    def signer(self) -> Signer:
        """Of what is said to edges: the snapshot key of the newest root."""
        return self._site.online.snapshot

    def add(self, kind: Kind, body: Mapping[str, Any]) -> int:
        """Sign an event, keep it, and send it to all; its number. Blocks until it is kept.

        :raises FormatError: no event.
        :raises OSError: the store does not take it: nobody was told.
        """

        def make(number: int) -> bytes:
            event = Event(self.log.origin, number, kind, body, int(self._clock() * 1e3))
            return sign_event(event, self.signer)

        events = self.log.append(make, self._stamped())
        self._announce(events)
        self._wake.set()
        return events[-1][0]

    def published(self, before: Published, after: Published) -> None:
        """The catalogue has changed, and the store has it: edges are told to look, and what is newly held at once."""
        try:
            for what in _in_parts(_newly_held(before, after)):
                self.add("hold", {"what": what})
            self.add("catalogue", {"snapshot": after.snapshot.version})
        except OSError as error:  # what was published counts; edges find it when they look
            _LOG.error("edges are not told at once: %s", error)

    # Its life, in the loop of the application.

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """As a `cleanup_ctx` of an application."""
        self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._keep, name="feed", daemon=True)
        thread.start()
        yield
        self._stop.set()
        self._wake.set()
        await asyncio.to_thread(thread.join)
        self._loop = None
        for close in self.on_close:
            await asyncio.to_thread(close)

    async def leave(self, _: web.Application) -> None:
        """As an `on_shutdown` of an application: who follows is sent away before connections are waited for."""
        self.relay.close()

    def _keep(self) -> None:
        """Stamp what was added, and look for what others have added, for as long as the application runs."""
        while not self._stop.is_set():
            self._wake.wait(LOOK_S if self._shared else None)
            self._wake.clear()
            try:
                self._announce(self.log.look(self._stamped()) if self._shared else [])
                self.stamp()
            except Exception:  # whatever it is, the next turn may succeed
                _LOG.exception("the feed's last number is not stamped")
                self._wake.set()
            self._stop.wait(STAMP_S)

    def _announce(self, events: Sequence[tuple[int, bytes]]) -> None:
        loop = self._loop
        for number, data in events if loop is not None else ():
            assert loop is not None
            loop.call_soon_threadsafe(self._tell, number, data)

    def _tell(self, number: int, data: bytes) -> None:
        self.relay.announce(number, data)
        for told in self.on_event:
            told(number, data)

    def _stamped(self) -> int:
        """The number that the timestamp says; -1: it says none of this feed."""
        mark = mark_of(self._site.timestamp)
        return mark.seq if mark is not None and mark.origin == self.log.origin else -1

    def stamp(self) -> None:
        """Let the timestamp say the last number. Blocks.

        Another origin may have stamped an event that is not known here yet: then it stays.
        """
        if self._stamped() < self.log.last:
            self._site.stamp(fields_of(Mark(self.log.origin, self.log.last)))
            if self._stamped() < self.log.last:  # another origin was first: it is tried again
                self._wake.set()

    async def _read(self, after: int) -> list[tuple[int, bytes]]:
        return await asyncio.to_thread(self.log.after, after)


def _newly_held(before: Published, after: Published) -> list[str]:
    role = after.trust.bin_of(HOLDS_PATH)
    if before.version_of(role) == after.version_of(role):
        return []
    return sorted(after.book().holds().since.keys() - before.book().holds().since.keys())


def _in_parts(what: Sequence[str]) -> list[list[str]]:
    return [list(what[first : first + HELD_MAX]) for first in range(0, len(what), HELD_MAX)]
