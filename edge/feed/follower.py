"""An edge follows the feed of its origin: events in, purges and holds done, and how far it is kept on disk.

What follows from what is decided in `progress`; here it is carried out, by one task, in order. An event counts as
applied when what it voids cannot come back, also after the end of this process: the number is written behind the
journal of purges, so what was cut off in between is done again, which does no harm.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import random
from typing import Final

from edge.cache.purges import Purge
from edge.cache.responses import Responses
from edge.catalogue.directory import Directory
from edge.catalogue.urgent import FedCatalogue
from edge.common import log
from edge.common.counters import Counters
from edge.common.private import write_private
from edge.feed.applying import purges_of
from edge.feed.backoff import pause_s
from edge.feed.feed import EventLog, Feed
from edge.feed.patience import REFUSED_MAX, Patience
from edge.feed.progress import Progress
from edge.model.heard import Heard
from vmimage.errors import OriginError, VerificationError
from vmimage.feed import Event, Mark, is_origin_id, parse_event
from vmimage.terms import COUNT_MAX

INBOX_MAX: Final = 1000  # events that wait; of more the oldest are found in the log again

_logger: Final = log.logger("feed")


class Follower:
    """One edge's."""

    def __init__(
        self,
        feed: Feed,
        events: EventLog,
        catalogue: FedCatalogue,
        directory: Directory,
        responses: Responses,
        heard: Heard,
        counters: Counters,
        path: Path,
    ) -> None:
        """:param path: where the number of the last event that was applied is kept."""
        self._feed, self._log, self._catalogue, self._directory = feed, events, catalogue, directory
        self._responses, self._heard, self._counters, self._path = responses, heard, counters, path
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[bytes] = deque(maxlen=INBOX_MAX)
        self._wake = asyncio.Event()
        self._patience = Patience(self._loop.time)
        self._said: Mark | None = None  # by the newest timestamp
        self._looked = False  # it has not been judged yet
        self._wanted = 0  # the highest number that was heard of
        self._unseen: deque[tuple[int, int]] = deque()  # events whose snapshots were not looked at yet, and these
        self.progress = Progress(self._read())
        self._kept = self.progress.mark
        self.on_release: Callable[[Event], None] = lambda _event: None  # an event of kind "release" is applied
        self.on_applied: Callable[[], None] = lambda: None  # `heard.applied` is another
        catalogue.on_mark = self._mark_came
        before = directory.on_look

        def looked() -> None:
            before()
            self._tell()

        directory.on_look = looked

    async def listen(self) -> None:
        """Take in what comes, for ever."""
        failures, failing = 0, ""
        while True:
            try:
                events = self._feed.events(self.progress.applied)
                async for data in events:
                    if self._patience.over:
                        await events.athrow(VerificationError(self._patience.over))
                    if self._patience.is_good:
                        failures, failing = 0, ""
                    self.hear(data)
                why = "it ended"
            except (OriginError, ValueError) as error:
                why = str(error)
            self._heard.connected = False
            self._patience.left()
            if why != failing:
                _logger.warning(log.line("feed_broke", why=why))
            failures, failing = failures + 1, why
            await asyncio.sleep(pause_s(failures, random(), self._feed.spread_s))

    async def work(self) -> None:
        """Apply what has come, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.step()

    async def step(self) -> None:
        """Apply what has come so far."""
        if self._looked:
            self._looked = False
            await self._judge(self._said)
        while self._inbox:
            await self._take(self._inbox.popleft())
            if self._patience.over:
                self._inbox.clear()  # it is of the same source
            await asyncio.sleep(0)  # a check of a signature each: others have their turn in between
        await self._settle()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._feed.close()
        await self._log.close()

    # What comes.

    def hear(self, data: bytes | None) -> None:
        """Take in an event; None: the stream is open, and what came before it may be missing."""
        if data is None:
            self._heard.connected = True
            self._directory.look_now()  # what came before it was open, the timestamp's number says
            return
        self._inbox.append(data)
        self._wake.set()

    def _mark_came(self, mark: Mark | None) -> None:
        """In the catalogue's thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_mark, mark)

    def _on_mark(self, mark: Mark | None) -> None:
        self._said, self._looked = mark, True
        self._wake.set()

    async def _judge(self, said: Mark | None) -> None:
        match self.progress.look(said, self._loop.time()):
            case "begin" if said is not None:
                self._wanted = said.seq
                self._begin(said, "another one than before, or its numbers went back")
            case "gap" if said is not None:
                self._wanted = max(self._wanted, said.seq)
                await self._catch_up()

    async def _take(self, data: bytes) -> None:
        root = self._catalogue.root
        if root is None:
            self._directory.look_now()
            return
        try:
            event = parse_event(data, root)
        except VerificationError as error:
            self._patience.refused()
            self._refuse(error)
            return
        match self.progress.hear(event):
            case "apply":
                self._patience.counted()
                await self._apply(event)
            case "gap":
                self._patience.counted()
                self._wanted = max(self._wanted, event.seq)
                await self._catch_up()
            case "old":
                self._patience.repeated()
                self._counters.add(self._counters.feed_events, "repeated")
            case "unknown":
                self._patience.repeated()
                self._directory.look_now()

    async def _catch_up(self) -> None:
        """Apply what the log has, up to what is known to be there; where it lacks some, drop what they may name."""
        while self.progress.applied < self._wanted:
            before = self.progress.applied
            try:
                found = await self._log.after(before)
                events = await self._verified(found)
            except OriginError as error:
                _logger.warning(log.line("feed_log_failed", error=error))
                found, events = [], []
            events = [event for event in events if event.seq > before]
            if not events:
                self._nothing_there()
                return
            if self.progress.is_cut(events[0].seq):
                self._lose(events[0].seq - 1)
            for event in events:
                if event.seq != self.progress.applied + 1:
                    self._lose(event.seq - 1)
                await self._apply(event)

    def _nothing_there(self) -> None:
        """The log does not have what was heard of. Only the timestamp says that it must be there."""
        said = self._said
        if said is None or said.seq <= self.progress.applied:
            self._wanted = self.progress.applied
        elif self.progress.is_cut(None):
            self._lose(said.seq)

    async def _verified(self, found: Sequence[bytes]) -> list[Event]:
        root, mark = self._catalogue.root, self.progress.mark
        if root is None or mark is None:
            return []
        events: list[Event] = []
        in_a_row = 0
        for data in found:
            await asyncio.sleep(0)  # a check of a signature each
            try:
                event = parse_event(data, root)
            except VerificationError as error:  # of an older key, or damaged: as one that is not there
                self._refuse(error)
                if (in_a_row := in_a_row + 1) >= REFUSED_MAX:
                    self._log.leave()
                    break
                continue
            in_a_row = 0
            if event.origin == mark.origin and (not events or event.seq > events[-1].seq):
                events.append(event)
        return events

    def _refuse(self, error: VerificationError) -> None:
        self._counters.add(self._counters.feed_events, "refused")
        if self._patience.line():
            _logger.warning(log.line("event_refused", error=error, refused=self._counters.feed_events["refused"]))

    # What follows.

    def _begin(self, mark: Mark, why: str) -> None:
        if self.progress.mark is None:  # at the first start
            _logger.info(log.line("feed_begun", seq=mark.seq))
        else:
            _logger.warning(log.line("kept_answers_dropped", why=f"feed: {why}", seq=mark.seq))
            self._counters.add(self._counters.feed_events, "lost")
        self._responses.purge(Purge("all"), self._loop.time())
        self.progress.begin(mark)

    def _lose(self, upto: int, why: str = "the log does not have all that came") -> None:
        assert self.progress.mark is not None
        self._begin(self.progress.mark._replace(seq=upto), why)

    async def _apply(self, event: Event) -> None:
        if not event.is_known:
            self._counters.add(self._counters.feed_events, "unknown")
            _logger.warning(log.line("event_unknown", kind=event.kind, seq=event.seq, vital=event.vital))
            if event.vital:
                self._lose(event.seq, f"an event of kind {event.kind} has to be understood, and is not")
            else:
                self.progress.apply(event)
            return
        match event.kind:
            case "purge":
                for purge in purges_of(event.purges):
                    self._responses.purge(purge, self._loop.time())
            case "hold":
                self._catalogue.hold_now(event.held, event.seq)
                await self._directory.review()
            case "catalogue":
                if event.body["snapshot"] > self._catalogue.snapshot_version:
                    self._unseen.append((event.seq, event.body["snapshot"]))
                    self._directory.look_now()
            case "release":
                self.on_release(event)
        self.progress.apply(event)
        self._counters.add(self._counters.feed_events, event.kind)
        self._heard.lag_s = max(0.0, time.time() - event.at_ms / 1e3)

    async def _settle(self) -> None:
        """Let what was applied outlive this process, then say so."""
        mark = self.progress.mark
        if mark is None or mark == self._kept:
            return
        if await self._responses.settled():
            try:
                await asyncio.to_thread(write_private, self._path, json.dumps(mark._asdict()).encode())
                self._kept = mark
            except OSError as error:
                self._counters.add(self._counters.storage_errors, "feed")
                _logger.error(log.line("feed_not_kept", error=error))
        self._tell()

    def _tell(self) -> None:
        """How far this edge is: a catalogue's event counts when what it spoke of was looked at."""
        while self._unseen and self._unseen[0][1] <= self._catalogue.snapshot_version:
            self._unseen.popleft()
        applied = self._unseen[0][0] - 1 if self._unseen else self.progress.applied
        if applied != self._heard.applied:
            self._heard.applied = applied
            self.on_applied()

    def _read(self) -> Mark | None:
        """What an earlier process has kept; None where that is not known."""
        try:
            said = json.loads(self._path.read_bytes())
            origin, seq = said["origin"], said["seq"]
            if not isinstance(origin, str) or not is_origin_id(origin) or type(seq) is not int:
                raise ValueError
            return Mark(origin, seq) if 0 <= seq <= COUNT_MAX else None
        except (OSError, ValueError, TypeError, LookupError):
            return None
