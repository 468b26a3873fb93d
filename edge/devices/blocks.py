"""Blocks of disks, fetched one by one when a machine reads them.

One fetch however many machines, in however many workers, wait for a block; what came is kept on disk with the images'
blobs, under the same limit, and verified again whenever it is taken from there. A block that cannot be had after some
tries becomes an I/O error in the guest. Places to fetch in go round by tenant, blocks come no faster than a tenant may
cause them, and no more of them than a slice in a turn of the event loop.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakSet

from edge.common import log
from edge.common.allowance import BLOCKS, Allowance, Rotation
from edge.common.counters import Counters
from edge.common.slices import Slices
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref, Store
from edge.model.services import Link
from edge.vmm.wire.disks import Block
from vmimage.disk import BlockList, BlockRef, DiskManifest, unpack_block
from vmimage.errors import FormatError, OriginError

FETCHES_AT_ONCE: Final = 16
# Between two that begin: a block that comes from an origin nearby takes the event loop and its threads some 1 ms, and
# sixteen that come in the same turn of it are a wait of sixteen for everybody else.
GAP_S: Final = 0.002
WANTS_MAX: Final = 4096  # blocks that one tenant may have waiting: four machines with all the reads that they may have
TRIES: Final = 3
PAUSE_S: Final = 0.2  # after the first failure; twice that after the second

_logger: Final = log.logger("disks")


@dataclass(eq=False, slots=True)
class Disk:
    """A verified disk: its blocks' names, not the blocks."""

    number: int  # on the wire to workers; never used twice
    manifest: DiskManifest
    blocks: BlockList = field(repr=False)
    users: int = 0  # machines
    dropped: bool = False  # nobody has it any more
    tenants: dict[str, int] = field(default_factory=dict)  # whose they are, and how many
    workers: WeakSet[Link] = field(default_factory=WeakSet, repr=False)  # that know it


class Blocks:
    """Those of all disks of this edge."""

    def __init__(self, store: Store, threads: Executor, tasks: Tasks, slices: Slices, counters: Counters) -> None:
        self.allowed = Allowance(BLOCKS, time.monotonic)
        self.fetches = 0  # under way
        self.early: Counter[str] = Counter()  # blocks that are wanted sooner than a party may have them
        self._store, self._threads, self._tasks = store, threads, tasks
        self._slices, self._counters = slices, counters
        self._fetching: dict[tuple[int, int], list[Link]] = {}
        self._wants: Rotation[tuple[Disk, int]] = Rotation()  # blocks that nobody fetches yet
        self._arrived: deque[tuple[Disk, int, bytes | None]] = deque()  # blocks; None: cannot be had
        self._next_at = 0.0  # loop time from which on another fetch may begin
        self._timer: asyncio.TimerHandle | None = None  # for that time, where a fetch waits for it
        self._closing = False

    def __len__(self) -> int:
        """Blocks that somebody waits for."""
        return len(self._fetching)

    def want(self, worker: Link, disk: Disk, block_no: int) -> None:
        """Bring a worker a block of a disk that it knows."""
        self._counters.blocks_wanted += 1
        key = (disk.number, block_no)
        waiting = self._fetching.get(key)
        if waiting is not None:
            self._counters.blocks_collapsed += 1
            if worker not in waiting:  # however often it asks
                waiting.append(worker)
            return
        party = next(iter(disk.tenants)) if len(disk.tenants) == 1 else f"disk {disk.number}"
        if self._wants.waiting(party) + self.early[party] >= WANTS_MAX:
            self._counters.block_errors += 1
            give([worker], disk.number, block_no, None)
            return
        self._fetching[key] = [worker]
        if (wait_s := self.allowed.owe(party, 1)) > 0:
            self.early[party] += 1
            asyncio.get_running_loop().call_later(wait_s, self._in_time, party, (disk, block_no))
            return
        self._wants.put(party, (disk, block_no))
        self._fetch_next()

    def _in_time(self, party: str, want: tuple[Disk, int]) -> None:
        self.early[party] -= 1
        if not self.early[party]:
            del self.early[party]
        self._wants.put(party, want)
        self._fetch_next()

    def _fetch_next(self) -> None:
        """Begin a fetch where one waits and there is a place for it, now or when the gap since the last is over."""
        if self._timer is not None or self._closing or self.fetches >= FETCHES_AT_ONCE or not self._wants:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._next_at:
            self._timer = loop.call_at(self._next_at, self._gap_is_over)
            return
        want = self._wants.pop()
        assert want is not None
        self._next_at = now + GAP_S
        self.fetches += 1
        self._tasks.spawn("disk", self._fetch(*want))
        self._fetch_next()

    def _gap_is_over(self) -> None:
        self._timer = None
        self._fetch_next()

    async def _fetch(self, disk: Disk, block_no: int) -> None:
        block: bytes | None = None
        try:
            if not disk.dropped:  # else nobody has it any more
                block = await self._block(disk.blocks[block_no])
        except OriginError as error:
            self._counters.block_errors += 1
            _logger.error(log.line("block_refused", disk=disk.manifest.name, block=block_no, reason=error))
        finally:
            self._arrived.append((disk, block_no, block))
            self._slices.run(self)

    async def _block(self, ref: BlockRef) -> bytes:
        if not ref.wire_bytes:
            return b""
        loop = asyncio.get_running_loop()
        for attempt in range(TRIES):
            try:
                wire = await self._store.get(Ref("blobs", ref.digest, ref.wire_bytes), Load())
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

    def step(self) -> bool:
        """Give a block that came to those who want it; see `slices.Source`."""
        if not self._arrived:
            return False
        disk, block_no, block = self._arrived.popleft()
        self.fetches -= 1
        give(self._fetching.pop((disk.number, block_no)), disk.number, block_no, block)
        self._fetch_next()
        return bool(self._arrived)

    def close(self) -> None:
        """Begin no more fetches."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()


def give(workers: Sequence[Link], disk: int, block_no: int, block: bytes | None) -> None:
    """Send a block, or None: it cannot be had."""
    frame = Block(disk, block_no, block).to_bytes()
    for worker in dict.fromkeys(workers):
        worker.send(frame)
