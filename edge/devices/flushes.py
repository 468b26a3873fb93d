"""Flushes of copy-on-write disks: what machines wrote is written to their overlays, in bounded amounts, and paid for.

A flush that finds too much of its tenant's waiting is refused with EAGAIN and holds nothing here; one that is written
is answered when its tenant may have caused so much. So a guest that flushes without end waits for itself, and nobody
else does. Whose disk it is was decided before.
"""

import asyncio
import errno
import time
from collections.abc import Awaitable
from typing import Final, NamedTuple

from edge.common import log
from edge.common.allowance import FLUSH_BYTES, Allowance
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.common.turns import Turns
from edge.devices.overlays import Overlays
from edge.model.services import Machine
from edge.vmm.wire.disks import DiskDone
from vmimage.disk import decode_pages, page_numbers
from vmimage.drives import WRITTEN_MAX
from vmimage.errors import FormatError

FLUSHES_EACH: Final = WRITTEN_MAX  # bytes of a tenant's flushes that are not answered: all that one machine can have
FLUSHES_MAX: Final = 4 * FLUSHES_EACH  # of all tenants; one that has none waiting may always have one
FLUSH_MIN: Final = 64 << 10  # bytes that the smallest flush counts for: it is a task and a transaction

_logger: Final = log.logger("flushes")


class Place(NamedTuple):
    """A disk of a machine: the machine's number, and the disk's place among its disks."""

    machine: int
    disk: int


class Flushes:
    """Those of all machines."""

    def __init__(self, overlays: Overlays, tasks: Tasks, counters: Counters) -> None:
        self.waiting = Turns(FLUSHES_MAX, FLUSHES_EACH)
        self.allowed = Allowance(FLUSH_BYTES, time.monotonic)
        self.unwritten: dict[Place, set[int]] = {}  # pages whose flush was refused
        self._overlays, self._tasks, self._counters = overlays, tasks, counters

    def refused(self, machine: int) -> bool:
        """Whether pages of a machine were refused, and not flushed again since."""
        return any(place.machine == machine for place in self.unwritten)

    def forget(self, machine: int) -> None:
        """The machine is gone."""
        for place in [place for place in self.unwritten if place.machine == machine]:
            del self.unwritten[place]

    def take(self, machine: Machine, token: int, place: Place, key: int, pages: bytes, disk_bytes: int) -> None:
        """Write a page set to the overlay `key`, and answer.

        :raises ValueError: no page set of such a disk.
        """
        try:
            numbers = page_numbers(pages, disk_bytes)
        except FormatError as error:
            raise ValueError(str(error)) from None
        tenant, size = machine.service.tenant, max(len(pages), FLUSH_MIN)
        if self.waiting.held_by(tenant):
            if not self.waiting.take_now(tenant, size):
                self._counters.flushes_refused += 1
                self.unwritten.setdefault(place, set()).update(numbers)
                answer(machine, token, -errno.EAGAIN)  # at once: until then the worker holds the pages
                return
        else:
            self.waiting.take_anyway(tenant, size)
        if place in self.unwritten:
            self.unwritten[place].difference_update(numbers)
            if not self.unwritten[place]:
                del self.unwritten[place]
        self._counters.pages_kept += len(numbers)
        written = self._overlays.put(key, decode_pages(pages, disk_bytes))
        self._tasks.spawn("flush", self._settle(machine, token, written, key, size))

    async def _settle(self, machine: Machine, token: int, work: Awaitable[int], key: int, size: int) -> None:
        """Answer a flush of so many bytes when it is written and paid for; until then it counts as waiting."""
        tenant = machine.service.tenant
        paid_s = time.monotonic() + self.allowed.owe(tenant, size)
        try:
            status = await outcome(machine, work)
            if status:
                self._overlays.spoil(key)
            if (wait_s := paid_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
        finally:
            self.waiting.give_back(tenant, size)
        answer(machine, token, status)


async def outcome(machine: Machine, work: Awaitable[int]) -> int:
    """What became of a write: 0 or a negative errno."""
    try:
        return await work
    except OSError as error:
        _logger.error(log.line("disk_write_failed", service=machine.service.name, error=error))
        return -errno.ENOSPC if error.errno == errno.ENOSPC else -errno.EIO


def answer(machine: Machine, token: int, status: int) -> None:
    """Tell a machine what became of its KEEP or APPEND."""
    machine.worker.send(DiskDone(machine.number, token, status).to_bytes())
