"""The memory that a worker's machines really take, measured, and where it ends.

What the kernel counts as this process's own pages, beyond what it had before the first machine; pages that it shares
(bases, libraries) are not in it, nor is what has a budget of its own (blocks, images). Past the limit free shells go
first, then machines, the greediest before others: never the worker.

A look costs two system calls, so there is one in a millisecond of running at most; between two of them a guest can
write so much as the kernel gives out pages, and its turn is cut to that.
"""

import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from edge.vmm.resident import Resident
from edge.vmm.shell_pool import ShellPool
from vmimage.errors import MemoryPressure, NunatakError

STATM: Final = "/proc/self/statm"
LOOK_NS: Final = 1_000_000
FILL_BYTES_PER_NS: Final = 4  # a guest that touches one page after the other: 1.5 to 2.5 GB/s measured, doubled
SLICE_FLOOR_NS: Final = 500_000
TOLD_STEP: Final = 64 << 10  # bytes by which a machine's size changed, for the supervisor to be told
GREEDY_MIN: Final = 1 << 20  # a machine that takes less is not to blame, and its end would not help

_HOST_PAGE: Final = os.sysconf("SC_PAGESIZE")


def own_bytes(statm: int) -> int:
    """What this process alone has in memory.

    :param statm: /proc/self/statm, opened before the sandbox took files away.
    """
    os.lseek(statm, 0, os.SEEK_SET)
    _, resident, shared, *_ = os.read(statm, 200).split()
    return (int(resident) - int(shared)) * _HOST_PAGE


class MemoryLimit:
    """Of one worker."""

    def __init__(
        self, limit_bytes: int, measure: Callable[[], int], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """:param measure: bytes that the process alone has, what has another budget taken off."""
        self._limit_bytes, self._measure, self._clock = limit_bytes, measure, clock
        self._baseline = measure()
        self._room = limit_bytes  # at the last look
        self.look_at_ns = 0  # time.monotonic_ns() from which on another is due
        self.ended = 0  # machines

    def slice_ns(self, slice_ns: int) -> int:
        """How much of a slice a guest may have until memory is looked at again."""
        return min(slice_ns, max(self._room // FILL_BYTES_PER_NS, SLICE_FLOOR_NS))

    def taken(self) -> int:
        """Bytes taken now."""
        self.look_at_ns = self._clock() + LOOK_NS
        taken = self._measure() - self._baseline
        self._room = self._limit_bytes - taken
        return taken

    def make_room(self, shells: ShellPool) -> bool:
        """Look, and close free shells where there is too little; whether that was not enough."""
        while self.taken() > self._limit_bytes and shells.close_one():
            pass
        return self._room < 0

    def end_greedy(self, residents: Iterable[Resident], end: Callable[[Resident, NunatakError], None]) -> None:
        """End those that take the most until there is room. None that takes little: it is not to blame."""
        for resident in sorted(residents, key=lambda resident: -resident.measure()):
            size = resident.measure()
            if size < GREEDY_MIN or self._room >= 0:
                return
            self.ended += 1
            limit = f"at most {self._limit_bytes} bytes for all machines of a worker expected"
            end(resident, MemoryPressure(f"{limit}; this one took the most, {size} bytes"))
            self.taken()


def told(residents: Iterable[Resident], most: int) -> list[list[int]]:
    """[number, bytes] of machines whose size changed by TOLD_STEP or more since that was last told."""
    found: list[list[int]] = []
    for resident in residents:
        size = resident.measure()
        if abs(size - resident.told_bytes) >= TOLD_STEP:
            if len(found) == most:
                break
            resident.told_bytes = size
            found.append([resident.number, size])
    return found
