"""Blocks of disks on their way to workers: one fetch however many machines, in however many workers, wait for a block.

What came is kept on disk with the images' blobs, under the same limit, and verified again whenever it is taken from
there. A block that cannot be had after some tries becomes an I/O error in the guest. Places to fetch in go round by
party, and no party has blocks faster than it may cause them, nor more of them waiting than its machines could want.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple, Protocol

from edge import log
from edge.allowance import BLOCKS, Allowance, Rotation
from edge.counters import Counters
from edge.images import Ref, Store, Trip
from edge.vmm import frames
from vmimage.disk import BlockRef, unpack_block
from vmimage.errors import FormatError, OriginError

FETCHES_AT_ONCE: Final = 16
WANTS_MAX: Final = 4096  # blocks that one party may have waiting: four machines with all the reads that they may have
TRIES: Final = 3
PAUSE_S: Final = 0.2  # after the first failure; twice that after the second

_logger: Final = log.logger("blocks")


class Receiver(Protocol):
    """A worker."""

    def send(self, frame: bytes) -> None: ...


class _Want(NamedTuple):
    disk: int
    block_no: int
    ref: BlockRef


class Blocks:
    """All blocks that workers want."""

    def __init__(
        self,
        store: Store,
        threads: Executor,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        is_held: Callable[[int], bool],
        counters: Counters,
    ) -> None:
        """:param is_held: whether a disk, by number, is still here: what nobody has any more is not fetched."""
        self._store, self._threads, self._counters = store, threads, counters
        self._spawn, self._is_held = spawn, is_held
        self.rate = Allowance(BLOCKS, time.monotonic)
        self.fetches = 0  # under way
        self.early: Counter[str] = Counter()  # wanted sooner than a party may have them
        self._waiting: dict[tuple[int, int], list[Receiver]] = {}  # for a block, by disk and number
        self._wants: Rotation[_Want] = Rotation()  # that nobody fetches yet
        self._closed = False

    def want(self, worker: Receiver, party: str, disk: int, block_no: int, ref: BlockRef) -> None:
        """Send a worker a block, when it is the party's turn and the block is here."""
        self._counters.blocks_wanted += 1
        waiting = self._waiting.get((disk, block_no))
        if waiting is not None:
            self._counters.blocks_collapsed += 1
            waiting.append(worker)
            return
        if self._wants.waiting(party) + self.early[party] >= WANTS_MAX:
            self._counters.block_errors += 1
            send_block([worker], disk, block_no, None)
            return
        self._waiting[disk, block_no] = [worker]
        want = _Want(disk, block_no, ref)
        if (wait_s := self.rate.owe(party, 1)) > 0:
            self.early[party] += 1
            asyncio.get_running_loop().call_later(wait_s, self._in_time, party, want)
            return
        self._wants.put(party, want)
        self._fetch_next()

    def _in_time(self, party: str, want: _Want) -> None:
        self.early[party] -= 1
        if not self.early[party]:
            del self.early[party]
        self._wants.put(party, want)
        self._fetch_next()

    def _fetch_next(self) -> None:
        while self.fetches < FETCHES_AT_ONCE and not self._closed and (want := self._wants.pop()) is not None:
            self.fetches += 1
            self._spawn(self._fetch(want))

    async def _fetch(self, want: _Want) -> None:
        block: bytes | None = None
        try:
            if self._is_held(want.disk):
                block = await self._block(want.ref)
        except OriginError as error:
            self._counters.block_errors += 1
            _logger.error(log.line("block_refused", disk=want.disk, block=want.block_no, reason=error))
        finally:
            self.fetches -= 1
            send_block(self._waiting.pop((want.disk, want.block_no)), want.disk, want.block_no, block)
            self._fetch_next()

    async def _block(self, ref: BlockRef) -> bytes:
        if not ref.wire_bytes:
            return b""
        loop = asyncio.get_running_loop()
        for attempt in range(TRIES):
            try:
                wire = await self._store.get(Ref("blobs", ref.digest, ref.wire_bytes), Trip())
                block = await loop.run_in_executor(self._threads, unpack_block, wire, ref)
                self._counters.block_wire_bytes += ref.wire_bytes
                return block
            except FormatError:
                raise  # the bytes are what was promised, and no block: asking again brings the same
            except OriginError:
                if attempt == TRIES - 1:
                    raise
            await asyncio.sleep(PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Begin with no more."""
        self._closed = True


def send_block(workers: Sequence[Receiver], disk: int, block_no: int, block: bytes | None) -> None:
    """Answer those who wait for a block; None: it cannot be had."""
    flags = frames.FLAG_FAILED if block is None else 0
    for worker in dict.fromkeys(workers):
        worker.send(frames.pack(frames.BLOCK, flags, disk, block_no, block or b""))
