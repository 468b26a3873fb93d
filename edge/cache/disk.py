"""Kept answers on disk, below those in memory, seen from the loop: what goes there, what comes back, what is void.

What memory evicts and somebody has asked for again is written in the background; who asks for it then has it from a
thread, and the loop waits for nothing. Orders go to the thread in batches, in order, and a look goes behind all orders
about its URI, so it finds what they leave. What is void is decided in memory, by the numbers of `edge.cache.purges`,
when an answer comes back; the file has the purges for the edge that comes after (`edge.cache.answer_file`).

The memory that this takes is set aside at the start: half of it for an index of URIs, so that what is not there costs
no look, half for answers on their way. What finds no room there is not kept.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Final

from edge.cache import moments, recorded
from edge.cache.answer_file import AnswerFile
from edge.cache.asked import Asked
from edge.cache.batches import Batch, Done, Drop, DropUri, Found, Operation, Put
from edge.cache.places import Place, page_digest, uri_digest, variant_digest
from edge.cache.purges import Kind, Purge, Purges
from edge.cache.responses import Entry, Then
from edge.cache.storing import PARTIAL
from edge.common import log
from edge.common.bloom import BloomFilter
from edge.common.counters import Counters

WRITE_S: Final = 0.05  # after which what waits is written, however little it is
ORDERS_MAX: Final = 1 << 14  # that answers are void, on their way; a disk that is so slow had better forget them all
NOTES_MAX: Final = 1 << 12  # purges that wait for the thread; beyond it all that is remembered is written together
COMPACT_AT: Final = 1 << 14  # purges in the file from which on it is looked which of them are needed
CLOSE_S: Final = 5.0  # for all answers that memory has at the end

Scope = tuple[Kind, str, str, bool]  # what a purge names, and how: a later one of the same stands for both

_logger: Final = log.logger("answers")


class _Look:
    """A look that is under way."""

    __slots__ = ("asked", "place", "tenant", "then", "void")

    def __init__(self, asked: Asked, tenant: str, place: Place, then: Then) -> None:
        self.asked, self.tenant, self.place, self.then = asked, tenant, place, then
        self.void = False  # what it finds was made void meanwhile


class DiskAnswers:
    """Those of an edge."""

    def __init__(
        self, file: AnswerFile, purges: Purges, thread: Executor, memory_bytes: int, counters: Counters
    ) -> None:
        """Open the file, and take in the purges that are in it.

        :param thread: one thread. :param memory_bytes: for what this takes.
        """
        self.memory_bytes = memory_bytes
        self._file, self._purges, self._thread, self._counters = file, purges, thread, counters
        self._loop = asyncio.get_running_loop()
        self._index = BloomFilter(memory_bytes // 2)
        self._age = 0  # of the file, as far as is known
        self._waiting_max_bytes = memory_bytes // 2
        self._waiting_bytes = 0  # of answers on their way
        self._orders = 0  # on their way
        self._queue: list[Operation] = []
        self._queued_bytes = 0
        self._queued: set[bytes] = set()  # URIs that are in the queue
        self._notes: dict[Scope, tuple[int, bytes]] = {}
        self._compact_at = COMPACT_AT
        self._compacts = False  # with the next batch
        self._clears = False  # the file is being begun anew
        self._timer: asyncio.TimerHandle | None = None
        self._last: asyncio.Future[Done] | None = None
        self._looks: dict[bytes, set[_Look]] = {}  # by URI
        self._failing = ""
        self._shift_s = 0.0  # cache time less loop time
        self._open()

    def _open(self) -> None:
        begun, done = self._file.open()
        self._count(done)
        self._index.add_all(begun.uris)
        now, here = self._loop.time(), moments.now(0.0)
        before = begun.moment
        passed = moments.passed(before, here) if before is not None else moments.Passed(0.0, True)
        self._shift_s = (before.cache_s if before is not None else 0.0) + passed.seconds - now
        for number, what in begun.purges:
            purge, at_s = recorded.purge_from_bytes(what)
            self._purges.replay(number, purge, at_s - self._shift_s)
        self._purges.number = max(self._purges.number, begun.number + 1)  # also after a clock that went back
        if not passed.known:  # what is there may be older than it looks
            self._purges.add(Purge("all", soft=True), now)
            _logger.warning(log.line("clock_went_back", answers=self._file.answers, hint="all of them count as stale"))
        self._age = self._file.age
        self._count(self._file.apply(self._batch([], compacts=True)))

    # What there is.

    @property
    def answers(self) -> int:
        """How many answers the file has."""
        return self._file.answers

    @property
    def used_bytes(self) -> int:
        """What it takes on disk, with its log."""
        return self._file.used_bytes

    @property
    def limit_bytes(self) -> int:
        """What it may take."""
        return self._file.limit_bytes

    @property
    def purges(self) -> int:
        """How many purges the file has."""
        return self._file.purges

    @property
    def is_empty(self) -> bool:
        """Whether no look can find anything."""
        return not self._index

    def may_have(self, service: str, uri: str) -> bool:
        """Whether a look may find something."""
        return uri_digest(service, uri) in self._index

    # What goes there.

    def keep(self, entry: Entry) -> None:
        """Memory has evicted an answer: it is kept if somebody has asked for it again, and may do so with profit.

        A part is not: who asks for one looks here for its whole.
        """
        if not entry.wanted or entry.status == PARTIAL or len(entry.body) > self._file.entry_max_bytes:
            return
        if not entry.is_of_use(self._loop.time()):
            return
        if self._waiting_bytes and self._waiting_bytes + entry.size_bytes > self._waiting_max_bytes:
            self._say("dropped")
            return
        place = _place(entry)
        self._index.add(place.uri)
        self._waiting_bytes += entry.size_bytes
        vary, make = b",".join(entry.kept.vary), partial(recorded.to_bytes, entry, entry.came + self._shift_s)
        self._add(Put(place, vary, entry.tenant, entry.run, entry.size_bytes, entry.on_disk, make), place.uri)

    def forget(self, entry: Entry) -> None:
        """What is here for a variant of a page is not to be served again, nor what other fields tell apart."""
        uri = uri_digest(entry.key[0], entry.named.uri)
        self._void_looks(uri)
        if uri in self._index:
            self._order(Drop(_place(entry), b",".join(entry.kept.vary)), uri)

    def forget_uri(self, service: str, uri: str) -> None:
        """Nor anything of a URI."""
        digest = uri_digest(service, uri)
        self._void_looks(digest)
        if digest in self._index:
            self._order(DropUri(digest), digest)

    def note(self, number: int, purge: Purge, now: float) -> None:
        """What a purge names is void; `settled` says when that is for good."""
        scope = (purge.kind, purge.service, purge.selector, purge.soft)
        self._notes.pop(scope, None)
        self._notes[scope] = number, recorded.purge_to_bytes(purge, now + self._shift_s)
        if len(self._notes) > NOTES_MAX:
            self._compacts = True
            self._notes.clear()
        self._write_soon()

    async def settled(self) -> bool:
        """Wait until what was made void so far is so for whatever edge comes after; False: it could not be noted.

        Who comes while a batch is written is in the next one, with all others who do: so many wait for two at most.
        """
        if self._last is not None and not self._last.done():
            await asyncio.wait([self._last])
        self._write()
        return self._last is None or (await asyncio.shield(self._last)).durable

    def _void_looks(self, uri: bytes) -> None:
        for look in self._looks.get(uri, ()):
            look.void = True

    def _order(self, operation: Drop | DropUri, uri: bytes) -> None:
        if self._orders >= ORDERS_MAX:
            self._give_up()
        if not self._clears:
            self._orders += 1
            self._add(operation, uri)

    def _give_up(self) -> None:
        """Have the file begun anew: then nothing is left to be made void, and until then nothing new comes in."""
        if not self._clears:
            _logger.warning(log.line("kept_answers_dropped", why="the disk is too slow for what is made void"))
            self._clears = True
            self._submit(self._batch(self._take_queue())._replace(clear=True))

    def _add(self, operation: Operation, uri: bytes) -> None:
        self._queue.append(operation)
        self._queued.add(uri)
        self._queued_bytes += operation.size_bytes if isinstance(operation, Put) else 0
        if self._queued_bytes >= self._file.batch_bytes or len(self._queue) >= self._file.batch_max:
            self._write()
        else:
            self._write_soon()

    def _write_soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(WRITE_S, self._write)

    def _write(self) -> None:
        """Give the thread what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        compacts = self._compacts or self._file.purges >= self._compact_at
        if self._queue or self._notes or compacts:
            self._compacts = False
            self._submit(self._batch(self._take_queue(), compacts=compacts))
            if compacts:
                self._compact_at = COMPACT_AT + self._purges.remembered

    def _take_queue(self) -> list[Operation]:
        queue, self._queue = self._queue, []
        self._queued.clear()
        self._queued_bytes = 0
        return queue

    def _batch(self, operations: list[Operation], *, compacts: bool = False) -> Batch:
        notes, self._notes = [] if compacts else list(self._notes.values()), {}
        moment = moments.now(self._loop.time() + self._shift_s)
        remembered = None
        if compacts:
            remembered = [
                (number, recorded.purge_to_bytes(purge, at + self._shift_s)) for number, purge, at in self._purges.all()
            ]
        return Batch(operations, notes, self._purges.number, moment, self._age, remembered)

    def _submit(self, batch: Batch) -> None:
        self._last = self._loop.run_in_executor(self._thread, self._file.apply, batch)
        self._last.add_done_callback(partial(self._applied, batch))

    def _applied(self, batch: Batch, future: "asyncio.Future[Done]") -> None:
        puts = [each for each in batch.operations if isinstance(each, Put)]
        self._waiting_bytes -= sum(put.size_bytes for put in puts)
        self._orders -= len(batch.operations) - len(puts)
        if future.cancelled() or future.exception() is not None:
            if not future.cancelled():
                _logger.error(log.line("thread_failed", what="answers", error=repr(future.exception())))
            return
        done = future.result()
        self._clears = self._clears and not batch.clear
        if batch.age == self._age:
            for uri in done.removed:
                self._index.remove(uri)
        self._say("written", done.written)
        self._say("evicted", done.evicted)
        self._count(done)

    def _count(self, done: Done) -> None:
        """What the disk has said of itself."""
        if done.emptied:
            self._age, self._index = done.age, BloomFilter(self.memory_bytes // 2)
            for each in self._queue:
                if isinstance(each, Put):
                    self._index.add(each.place.uri)
        self._counters.caches_rebuilt += done.damaged
        if done.error:
            self._counters.add(self._counters.storage_errors, "responses")
            if done.error != self._failing:
                _logger.error(log.line("kept_answers_failed", error=done.error, emptied=done.emptied))
        self._failing = done.error

    def _say(self, result: str, amount: int = 1) -> None:
        if amount:
            self._counters.add(self._counters.cache_disk, result, amount)

    # What comes back.

    def look(self, asked: Asked, tenant: str, uri: str, then: Then) -> None:
        """Look for the answer to a request.

        :param tenant: whose the service is. :param uri: as purges name it.
        :param then: is called with the answer, good or stale, if there is one; and with the fields that answers of the
            page depend on, if there are any.
        """
        digest = uri_digest(asked.key[0], uri)
        if digest in self._queued:
            self._write()
        look = _Look(asked, tenant, Place(digest, page_digest(asked.key), b""), then)
        self._looks.setdefault(digest, set()).add(look)
        variant_of = partial(_variant_of, asked)
        found = self._loop.run_in_executor(self._thread, self._file.look, digest, look.place.page, variant_of)
        found.add_done_callback(partial(self._looked, look))

    def _looked(self, look: _Look, future: "asyncio.Future[Found]") -> None:
        same = self._looks[look.place.uri]
        same.discard(look)
        if not same:
            del self._looks[look.place.uri]
        if future.cancelled() or future.exception() is not None:
            if not future.cancelled():
                _logger.error(log.line("thread_failed", what="answers", error=repr(future.exception())))
            look.then(None, None)
            return
        found = future.result()
        self._count(found)
        entry, result = self._judged(look, found)
        self._say(result)
        look.then(entry, None if found.vary is None else _names(found.vary))

    def _judged(self, look: _Look, found: Found) -> tuple[Entry | None, str]:
        """The answer that was found, and what the look counts as."""
        if found.vary is None or (found.data is None and not found.refused):
            return None, "miss"
        entry = None
        if found.data is not None:
            try:
                entry = recorded.from_bytes(found.data, look.asked, look.tenant, self._purges, self._shift_s)
            except ValueError:
                found.refused = True
        if entry is None:
            vary = _names(found.vary)
            variant = variant_digest(vary, look.asked.variant(vary))
            self._order(Drop(look.place._replace(variant=variant), found.vary), look.place.uri)
            return None, "refused" if found.refused else "void"
        if look.void or not entry.is_of_use(self._loop.time()):
            self.forget(entry)
            return None, "void"
        return entry, "hit"

    # The end.

    async def close(self, entries: Iterable[Entry]) -> None:
        """Keep what memory has, as far as that is soon done, and close the file.

        :param entries: the most wanted first.
        """
        until = self._loop.time() + CLOSE_S
        for entry in entries:
            while self._waiting_bytes and self._waiting_bytes + entry.size_bytes > self._waiting_max_bytes:
                await self.settled()
                await asyncio.sleep(0)  # what was written is told in a callback
            if self._loop.time() > until:
                break
            self.keep(entry)
        self._compacts = True
        await self.settled()
        await self._loop.run_in_executor(self._thread, self._file.close)


def _place(entry: Entry) -> Place:
    uri = uri_digest(entry.key[0], entry.named.uri)
    return Place(uri, page_digest(entry.key), variant_digest(entry.kept.vary, entry.variant))


def _names(vary: bytes) -> tuple[bytes, ...]:
    return tuple(vary.split(b",")) if vary else ()


def _variant_of(asked: Asked, vary: bytes) -> bytes:
    names = _names(vary)
    return variant_digest(names, asked.variant(names))
