"""Blobs from sources in order: the first that gives bytes that verify. Others stand in for one that does not.

One fetch goes through steps, each of which asks sources until one begins to answer, and takes what comes from it:

- they are asked in order, those that are open (`health`) after all others;
- one that is silent for longer than nearly all were lately is hedged by the next (`hedging`): the first that answers is
  read, the others are cancelled;
- where an answer breaks off, nothing comes of it any more, or it takes more than half of the time that is left while
  others might give it, the next step goes on from there, elsewhere if possible;
- what does not verify is a failure of who gave it. Bytes of one source alone rule that source out for this blob; where
  several gave parts of it, all of it is fetched again, of one after the other: from then on what breaks off is not gone
  on with. A parent that was lied to breaks off before the end each time, and no true rest would make that right.

All of it has one deadline, and each source is asked at most a few times for one blob.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref
from edge.sources.early import Readiness
from edge.sources.hedging import Hedging
from edge.sources.outcomes import most_telling
from edge.sources.partial import Partial
from edge.sources.source import BlobSource, Opened
from edge.sources.standing import Standing
from vmimage.errors import OriginBusy, OriginError, OriginTimeout, OriginUnreachable, VerificationError

TRIES_EACH: Final = 3  # of one source for one blob: it broke off, was gone on with elsewhere, and is all there is again


class Sources:
    """A store of blobs (`edge.content.blobs.Store`) over sources in order."""

    def __init__(
        self, sources: Sequence[BlobSource], timeout_s: float, counters: Counters, standing: Standing | None = None
    ) -> None:
        """:param timeout_s: for one blob, of whatever sources, with all redirects and pauses."""
        self.ahead: Callable[[Ref], Sequence[BlobSource]] = lambda _: ()  # sources of one blob, asked before all others
        self.standing = standing or Standing([source.name for source in sources], counters)
        self.hedging, self.tasks, self.timeout_s = Hedging(), Tasks(counters), timeout_s
        self._sources, self._counters = tuple(sources), counters
        self._readiness = Readiness(self.tasks)

    async def get(self, ref: Ref, load: Load) -> bytes:
        """Fetch and verify; never reads more than the size that was promised.

        :raises OriginError: no source gives what verifies.
        """
        load.from_origin = True
        self._counters.origin_fetches += 1
        self.hedging.fetching()
        try:
            data = await _Fetch(self, ref, load).run()
        except OriginError as error:
            self._counters.add(self._counters.origin_errors, error.counter)
            raise
        self._counters.origin_bytes += len(data)
        return data

    def expect(self) -> None:
        """A name is looked up: something will be fetched soon, of whoever is asked first."""
        if self._sources:
            self._readiness.expect(self.standing.order(self._sources)[0])

    def order(self, ref: Ref) -> list[BlobSource]:
        """Whom to ask for this blob, the first one first."""
        return self.standing.order({source.name: source for source in (*self.ahead(ref), *self._sources)}.values())

    async def close(self) -> None:
        """Close all connections."""
        await self.tasks.close()
        for source in self._sources:
            await source.close()


class _Fetch:
    """One blob on its way."""

    def __init__(self, sources: Sources, ref: Ref, load: Load) -> None:
        self._ref, self._load, self._timeout_s = ref, load, sources.timeout_s
        self._standing, self._hedging, self._tasks = sources.standing, sources.hedging, sources.tasks
        self._loop = asyncio.get_running_loop()
        self._give_up_s = self._loop.time() + sources.timeout_s
        self._partial = Partial(ref)
        self._left = sources.order(ref)  # who may still be asked, the next one first
        self._tries: dict[str, int] = {}
        self._errors: list[OriginError] = []
        self._mixed = False  # parts of several have come to something false
        self._busy: list[tuple[BlobSource, float]] = []  # and at what time they want to be asked again

    async def run(self) -> bytes:
        """:raises OriginError: nobody gives it."""
        while True:
            source, opened = await self._opened()
            self._admit(source, opened)
            try:
                await self._read(source, opened)
                data = self._partial.checked()
            except OriginError as error:
                self._broken(source, error)
                continue
            except asyncio.CancelledError:
                self._standing.given_up(source)
                raise
            finally:
                opened.close()
            self._standing.succeeded(source)
            return data

    def _admit(self, source: BlobSource, opened: Opened) -> None:
        """:raises OriginError: there is no room for it here, which is nobody's failure."""
        try:
            self._load.admit(self._partial.begin(source.name, opened.first, opened.size))
        except OriginError:
            self._standing.given_up(source)
            opened.close()
            raise
        self._load.cache_status = opened.cache_status
        self._load.progress(self._partial)

    def _broken(self, source: BlobSource, error: OriginError) -> None:
        """An answer that began came to nothing, or to a part."""
        lied, alone = isinstance(error, VerificationError), len(self._partial.given_by) <= 1
        self._note(source, error)
        self._mixed |= lied and not alone
        if lied or self._mixed:
            self._partial.drop()  # of parts of several nobody knows whose is wrong: each is asked for all of it
            self._load.progress(self._partial)
        if not (lied and alone):
            self._left.append(source)

    # Asking.

    async def _opened(self) -> tuple[BlobSource, Opened]:
        """The first source that begins to answer.

        :raises OriginError: none does.
        """
        asking: dict[asyncio.Task[Opened], BlobSource] = {}
        hedge = True  # whether another one may be asked beside those that are silent
        try:
            while True:
                if not asking and not self._ask_next(asking):
                    await self._pause()
                    continue
                patience_s = self._hedging.patience_s if hedge and self._left else None  # else `_open` has a deadline
                done, _ = await asyncio.wait(asking, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    source = asking.pop(task)
                    if (opened := self._answer(source, task)) is not None:
                        return source, opened
                hedge = bool(done) or (self._may_hedge() and self._ask_next(asking))
        finally:
            for task, source in asking.items():
                task.cancel()
                task.add_done_callback(_close)
                self._standing.given_up(source)

    def _ask_next(self, asking: "dict[asyncio.Task[Opened], BlobSource]") -> bool:
        while self._left:
            source = self._left.pop(0)
            tries = self._tries[source.name] = self._tries.get(source.name, 0) + 1
            if tries > TRIES_EACH or self._loop.time() >= self._give_up_s:
                continue
            self._standing.begin(source)
            asking[self._tasks.spawn("source", self._open(source), awaited=True)] = source
            return True
        return False

    def _may_hedge(self) -> bool:
        """Not with one that is not well itself, and not beyond the budget."""
        return bool(self._left) and self._standing.in_turn(self._left[0]) and self._hedging.take()

    async def _open(self, source: BlobSource) -> Opened:
        began_s = self._loop.time()
        give_up_s = self._give_up_s
        if self._left:  # others get their time, too
            give_up_s = began_s + (give_up_s - began_s) / 2
        try:
            async with asyncio.timeout_at(give_up_s):
                opened = await source.open(self._ref, len(self._partial), give_up_s)
        except TimeoutError as error:
            raise self._too_late(source) from error
        self._hedging.began(self._loop.time() - began_s)
        return opened

    def _answer(self, source: BlobSource, task: "asyncio.Task[Opened]") -> Opened | None:
        try:
            return task.result()
        except OriginError as error:
            if isinstance(error, OriginBusy):
                self._busy.append((source, self._loop.time() + error.wait_s))
            self._note(source, error)
        return None

    async def _pause(self) -> None:
        """Nobody is left but who is busy: the first who will not be is asked again, if there is time.

        :raises OriginError: there is none, or nobody.
        """
        source, at_s = min(self._busy, key=lambda waiting: waiting[1], default=(None, 0.0))
        if source is None or at_s >= self._give_up_s:
            raise most_telling(self._errors) if self._errors else OriginUnreachable(f"{self._ref.digest}: no source")
        await asyncio.sleep(at_s - self._loop.time())
        self._busy.remove((source, at_s))
        self._tries[source.name] = 0
        self._errors = [error for error in self._errors if not isinstance(error, OriginBusy)]
        self._left.append(source)

    # Reading.

    async def _read(self, source: BlobSource, opened: Opened) -> None:
        """:raises OriginError: it broke off, or is not what was asked for."""
        chunks, began_s = aiter(opened.chunks), self._loop.time()
        share_s = began_s + (self._give_up_s - began_s) / 2  # until then: who gives a byte now and then is no stall
        while True:
            until_s = min(self._loop.time() + self._hedging.stall_s, share_s) if self._left else self._give_up_s
            try:
                async with asyncio.timeout_at(until_s):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise self._too_late(source) from error
            if chunk is None:
                return
            self._partial.add(chunk)
            self._standing.gave(source, len(chunk))
            self._load.progress(self._partial)

    def _note(self, source: BlobSource, error: OriginError) -> None:
        self._errors.append(error)
        self._standing.failed(source, error)

    def _too_late(self, source: BlobSource) -> OriginTimeout:
        return OriginTimeout(f"{source.name}: {self._ref.digest}: no complete answer in {self._timeout_s:g} s")


def _close(task: "asyncio.Task[Opened]") -> None:
    """An answer that nobody waits for any more, and that has come all the same."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
