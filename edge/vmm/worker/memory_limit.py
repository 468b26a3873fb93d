"""The memory that a worker's machines really take, measured, and where it ends.

Two limits. The pages that machines themselves have written, all together, are held to what the worker was given: past
that the largest machine of the tenant that has most ends. What the process takes besides (translated code, free shells,
heaps) grows with the number of machines, which the supervisor bounds, and not with what one guest does; so the process
as a whole is held to some multiple: past that free shells go first, then machines in the same order. Never the worker.

The process is what the kernel counts as its own pages, beyond what it had before the first machine; pages that it
shares (bases, libraries) are not in it, nor is what has a budget of its own (blocks, images).

A look costs two system calls, so there is one in a millisecond of running at most; between two of them a guest can
write so much as the kernel gives out pages, and its turn is cut to that.
"""

import contextlib
import ctypes
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from edge.vmm.machine.resident import Resident
from edge.vmm.shells.shell_pool import ShellPool
from vmimage.errors import NunatakError
from vmimage.limit_errors import worker_is_full

STATM: Final = "/proc/self/statm"
LOOK_NS: Final = 1_000_000
FILL_BYTES_PER_NS: Final = 4  # a guest that touches one page after the other: 1.5 to 2.5 GB/s measured, doubled
SLICE_FLOOR_NS: Final = 500_000
TOLD_STEP: Final = 64 << 10  # bytes by which a machine's size changed, for the supervisor to be told
# Of the process, by the limit for machines' pages: 24 small machines under 32 MiB took 1.2 times that.
PROCESS_FACTOR: Final = 2
PROCESS_MORE: Final = 16 << 20  # bytes: free shells, of which there are sixteen more than were ever in use at once
PATIENCE_NS: Final = 1_000_000_000  # before another machine is ended when the end of one freed less than half of it

log = logging.getLogger("nunatak.worker")

_libc: Final = ctypes.CDLL(None)
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
        """:param limit_bytes: for machines' own pages.
        :param measure: bytes that the process alone has, what has another budget taken off.
        """
        self._limit_bytes, self._measure, self._clock = limit_bytes, measure, clock
        self._process_bytes = limit_bytes * PROCESS_FACTOR + PROCESS_MORE
        self._baseline = measure()
        self._room = self._process_bytes  # at the last look
        self._machines_room = limit_bytes
        self.look_at_ns = 0  # time.monotonic_ns() from which on another is due
        self.ended = 0  # machines
        self._patient_until_ns = 0

    def slice_ns(self, slice_ns: int) -> int:
        """How much of a slice a guest may have until memory is looked at again."""
        return min(slice_ns, max(min(self._room, self._machines_room) // FILL_BYTES_PER_NS, SLICE_FLOOR_NS))

    def taken(self) -> int:
        """Bytes that the process has taken by now."""
        self.look_at_ns = self._clock() + LOOK_NS
        taken = self._measure() - self._baseline
        self._room = self._process_bytes - taken
        if taken <= self._limit_bytes:  # machines' pages cannot be more than that
            self._machines_room = self._limit_bytes - taken
        return taken

    def make_room(self, shells: ShellPool) -> bool:
        """Look, and close free shells where there is too little; whether machines have to be looked at."""
        while (taken := self.taken()) > self._process_bytes and shells.close_one():
            _trim()
        return taken > self._limit_bytes

    def end_greedy(self, residents: Iterable[Resident], end: Callable[[Resident, NunatakError], None]) -> None:
        """End machines until there is room; no more of them for a while where that gives none back.

        Each time the largest of the tenant that has most, who may have many small ones.
        """
        if self._clock() < self._patient_until_ns:
            return
        left, of_tenant = sorted(residents, key=lambda resident: resident.measure()), Counter[str]()
        for each in left:
            of_tenant[each.tenant] += each.measure()
        self._machines_room = self._limit_bytes - of_tenant.total()
        while left and (of_tenant.total() > self._limit_bytes or self._room < 0):
            before, resident = self._room, max(left, key=lambda each: (of_tenant[each.tenant], each.measure()))
            left.remove(resident)
            size = resident.measure()
            of_tenant[resident.tenant] -= size
            self._machines_room += size
            self.ended += 1
            end(resident, worker_is_full(size, self._limit_bytes))
            del resident
            _trim()
            self.taken()
            if self._room - before < size // 2:  # it is not machines that hold it
                self._patient_until_ns = self._clock() + PATIENCE_NS
                log.warning("event=memory_not_freed machine_bytes=%d room_bytes=%d", size, self._room)
                return


def _trim() -> None:
    """Have the C library give back what Unicorn has freed: it keeps some MiB of a machine that has run."""
    with contextlib.suppress(AttributeError):  # another C library
        _libc.malloc_trim(0)


def told(residents: Iterable[Resident], most: int) -> tuple[tuple[int, int], ...]:
    """(number, bytes) of machines whose size changed by TOLD_STEP or more since that was last told."""
    found: list[tuple[int, int]] = []
    for resident in residents:
        size = resident.measure()
        if abs(size - resident.told_bytes) >= TOLD_STEP:
            if len(found) == most:
                break
            resident.told_bytes = size
            found.append((resident.number, size))
    return tuple(found)
