"""Flushes of copy-on-write disks: what machines wrote is written to their overlays, in bounded amounts, and paid for.

A flush comes in parts, each asked for when the one before was taken, and is written when all of it is here: whole or
not at all. Its first part says how much it is. One that finds too much of its tenant's waiting is refused with EAGAIN
at that part and holds nothing here; one that is written is answered when its tenant may have caused so much. So a
guest that flushes without end waits for itself, and nobody else does. Whose disk it is was decided before.
"""

import asyncio
import errno
import struct
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge.common import log
from edge.common.allowance import FLUSH_BYTES, Allowance
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.common.turns import Turns
from edge.devices.overlays import Overlays
from edge.model.services import Machine
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from vmimage import abi
from vmimage.disk import page_set_head
from vmimage.drives import WRITTEN_MAX
from vmimage.errors import FormatError

FLUSHES_EACH: Final = WRITTEN_MAX  # bytes of a tenant's flushes that are not answered: all that one machine can have
FLUSHES_MAX: Final = 4 * FLUSHES_EACH  # of all tenants; one that has none waiting may always have one
FLUSH_MIN: Final = 64 << 10  # bytes that the smallest flush counts for: it is a task and a transaction
PAGES_MAX: Final = WRITTEN_MAX // abi.PAGE_SIZE  # of a flush: all that a machine may have written
_STATUS: Final = struct.Struct("<i")

_logger: Final = log.logger("flushes")


class Place(NamedTuple):
    """A disk of a machine: the machine's number, and the disk's place among its disks."""

    machine: int
    disk: int


@dataclass(eq=False, slots=True)
class _Coming:
    """A flush from its first part to its last."""

    token: int
    numbers: tuple[int, ...]  # of its pages, in increasing order
    tenant: str
    held_bytes: int  # that count as its tenant's waiting
    missing_bytes: int = 0  # of its pages
    refused: bool = False  # and answered: what comes of it all the same is dropped
    parts: list[memoryview] = field(default_factory=list)  # whole pages each

    def add(self, part: memoryview) -> None:
        """:raises ValueError: not some of the pages that are missing."""
        if len(part) % abi.PAGE_SIZE or len(part) > self.missing_bytes:
            raise ValueError(f"pages of a flush, at most {self.missing_bytes} bytes, expected, got {len(part)} bytes")
        self.missing_bytes -= len(part)
        if not self.refused:
            self.parts.append(part)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Its pages by their numbers, copied one by one: for the thread that writes them."""
        contents = (
            bytes(part[at : at + abi.PAGE_SIZE]) for part in self.parts for at in range(0, len(part), abi.PAGE_SIZE)
        )
        return zip(self.numbers, contents, strict=True)


class Flushes:
    """Those of all machines."""

    def __init__(self, overlays: Overlays, tasks: Tasks, counters: Counters) -> None:
        self.waiting = Turns(FLUSHES_MAX, FLUSHES_EACH)
        self.allowed = Allowance(FLUSH_BYTES, time.monotonic)
        self.unwritten: dict[Place, set[int]] = {}  # pages whose flush was refused
        self._coming: dict[Place, _Coming] = {}
        self._overlays, self._tasks, self._counters = overlays, tasks, counters

    def refused(self, machine: int) -> bool:
        """Whether pages of a machine were refused, and not flushed again since."""
        return any(place.machine == machine for place in self.unwritten)

    def is_coming(self, machine: int) -> bool:
        """Whether a flush of a machine was begun and not all of it is here."""
        return any(place.machine == machine and not flush.refused for place, flush in self._coming.items())

    def forget(self, machine: int) -> None:
        """The machine is gone, and of a flush that was not here yet nothing is written."""
        for place in [place for place in self._coming if place.machine == machine]:
            self._give_back(self._coming.pop(place))
        for place in [place for place in self.unwritten if place.machine == machine]:
            del self.unwritten[place]

    def take(self, machine: Machine, frame: Frame, place: Place, key: int, part: memoryview, disk_bytes: int) -> None:
        """Take a part of a page set, and answer; with the last, write all of it to the overlay `key`.

        :param key: 0: the machine may not write there, or not any more.
        :raises ValueError: no page set of such a disk, or not its next part.
        """
        flush = self._coming.get(place)
        if flush is not None and flush.token != frame.stream:
            if not flush.refused:
                raise ValueError(f"the rest of flush {flush.token} expected, got some of {frame.stream}")
            flush = None  # whoever sent it has given it up
        if flush is None:
            flush, start = self._begin(machine, frame.stream, place, key, part, disk_bytes)
            self._coming[place], part = flush, part[start:]
        flush.add(part)
        more = bool(frame.flags & frames.FLAG_MORE)
        if more != bool(flush.missing_bytes):
            raise ValueError(f"FLAG_MORE where pages are missing expected, got {more}: {flush.missing_bytes} bytes")
        if not more:
            del self._coming[place]
        if flush.refused:
            return
        if more:
            machine.worker.send(frames.pack(frames.DISK_MORE, 0, machine.number, flush.token))
        else:
            self._write(machine, place, key, flush)

    def _begin(
        self, machine: Machine, token: int, place: Place, key: int, part: memoryview, disk_bytes: int
    ) -> tuple[_Coming, int]:
        """The flush that a first part begins, accepted or refused, and where in the part its pages do.

        :raises ValueError: it is none, or of more than a machine may have written.
        """
        try:
            numbers, start = page_set_head(part, disk_bytes)
        except FormatError as error:
            raise ValueError(str(error)) from None
        if len(numbers) > PAGES_MAX:
            raise ValueError(f"a flush of at most {PAGES_MAX} pages expected, got {len(numbers)}")
        tenant, page_bytes = machine.service.tenant, len(numbers) * abi.PAGE_SIZE
        size = max(start + page_bytes, FLUSH_MIN)
        flush = _Coming(token, numbers, tenant, size, page_bytes)
        if not key:
            self._refuse(machine, flush, -errno.EIO)
        elif not self.waiting.held_by(tenant):
            self.waiting.take_anyway(tenant, size)
        elif not self.waiting.take_now(tenant, size):
            self._counters.flushes_refused += 1
            self.unwritten.setdefault(place, set()).update(numbers)
            self._refuse(machine, flush, -errno.EAGAIN)  # at once: until then the worker holds the pages
        return flush, start

    def _refuse(self, machine: Machine, flush: _Coming, status: int) -> None:
        flush.refused, flush.held_bytes = True, 0
        answer(machine, flush.token, status)

    def _give_back(self, flush: _Coming) -> None:
        if not flush.refused:
            self.waiting.give_back(flush.tenant, flush.held_bytes)

    def _write(self, machine: Machine, place: Place, key: int, flush: _Coming) -> None:
        if not key:
            self._give_back(flush)
            answer(machine, flush.token, -errno.EIO)
            return
        if place in self.unwritten:
            self.unwritten[place].difference_update(flush.numbers)
            if not self.unwritten[place]:
                del self.unwritten[place]
        self._counters.pages_kept += len(flush.numbers)
        written = self._overlays.put(key, flush.pages())
        self._tasks.spawn("flush", self._settle(machine, flush.token, written, key, flush.held_bytes))

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
    machine.worker.send(frames.pack(frames.DISK_DONE, 0, machine.number, token, _STATUS.pack(status)))
