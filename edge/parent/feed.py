"""A feed of events on its way through a parent: followed once, at the first source that has one, and given on to all.

A parent has no keys and judges no event; edges verify each. What it goes by are numbers, of which a source that lies
may say any: one far below the last that is known makes that forgotten, so a false number is cured by the next true one.
What an edge has missed meanwhile, the signed timestamp tells it, and the log has.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from edge.common import log
from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.feed.backoff import pause_s
from edge.feed.relay import READ_MAX, Numbered, Relay
from edge.feed.sse import HttpLog, SseFeed
from vmimage.errors import OriginError
from vmimage.terms import COUNT_MAX

KEPT: Final = 256  # events, of at most 64 KiB each, for who comes again; others are in the sources' log
FAR: Final = 1000  # events below the last one: who has so low a number is another feed, or the last one was a lie
FLIGHTS_MAX: Final = 64  # looks into the sources' log at once

_logger: Final = log.logger("parent")


class ParentFeed:
    """The feed of a parent's sources."""

    def __init__(self, urls: Sequence[str], counters: Counters) -> None:
        """:param urls: of the sources that may have a feed, in order; at least one."""
        self._feed, self._log, self._tasks = SseFeed(urls), HttpLog(urls), Tasks(counters)
        self._looks: SingleFlight[int, Sequence[Numbered]] = SingleFlight(self._tasks, "feed_log")
        self._kept: deque[Numbered] = deque(maxlen=KEPT)
        self.relay = Relay(self._read)
        self._open = False

    def begin(self) -> None:
        """Follow from now on."""
        self._tasks.keep("feed", self._follow)

    async def close(self) -> None:
        """Send all away who follow, and follow no more."""
        self.relay.close()
        await self._tasks.close()
        await self._feed.close()
        await self._log.close()

    def take(self, data: bytes) -> None:
        """Give an event on."""
        number = number_of(data)
        if number is None or self.relay.last - FAR <= number <= self.relay.last:
            return  # no event, or one that is known
        if number < self.relay.last:
            self._kept.clear()
            self.relay.last = number - 1
        self._kept.append((number, data))
        self.relay.announce(number, data)

    @property
    def facts(self) -> dict[str, Any]:
        """How it is, for people and JSON."""
        return {"open": self._open, "last": self.relay.last, "followers": len(self.relay)}

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                async for data in self._feed.events(self.relay.last or -1):
                    self._open, failures = True, 0
                    if data is not None:
                        self.take(data)
            except OriginError as error:
                _logger.warning(log.line("feed_broken", error=error))
            self._open, failures = False, failures + 1
            await asyncio.sleep(pause_s(failures, random.random(), self._feed.spread_s))

    async def _read(self, after: int) -> Sequence[Numbered]:
        """As `Relay` has it: of what is kept here, else of the sources' log, once for all who ask for the same."""
        if self._kept and self._kept[0][0] <= after + 1:
            return [event for event in self._kept if event[0] > after][:READ_MAX]
        if after not in self._looks and len(self._looks) >= FLIGHTS_MAX:
            return []  # the signed timestamp tells an edge that it has missed something
        try:
            return await self._looks.do(after, lambda: self._look(after))
        except OriginError as error:
            _logger.warning(log.line("feed_log_failed", after=after, error=error))
            return []

    async def _look(self, after: int) -> Sequence[Numbered]:
        found = [(number, data) for data in await self._log.after(after) if (number := number_of(data)) is not None]
        return sorted(event for event in found if event[0] > after)[:READ_MAX]


def number_of(data: bytes) -> int | None:
    """What an event says of its number, unverified; None where it is none."""
    try:
        number = json.loads(data)["signed"]["seq"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return number if type(number) is int and 0 < number <= COUNT_MAX else None
