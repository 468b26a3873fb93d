"""A machine in a worker, and what has been measured of it there."""

import contextlib
from typing import Final

from edge.vmm.machine.machine import Machine
from edge.vmm.turns.scheduler import Entity
from edge.vmm.wire import frames
from vmimage import abi
from vmimage.errors import GuestError

# Pages beyond the limit of growth that are compared with the image's: one that wrote more has grown, whatever it wrote.
LOOK_PAGES: Final = 4096


class Resident:
    """A machine that the supervisor opened, and what has been measured of it."""

    def __init__(self, number: int, image: int, machine: Machine, entity: Entity) -> None:
        self.number = number
        self.image = image
        self.machine = machine
        self.entity = entity
        self.tenant = ""
        self.restore_us = 0
        self.reported_ns = 0  # virtual time up to the last response
        self.has_run = False  # since it came
        self.ran = True  # since it was last measured, or looked at for growth
        self.parking = False  # goes as soon as it is idle
        self.park_by_ns = 0  # time.monotonic_ns() until which others' work goes before
        self.growth_bytes = 0  # memory beyond its image's from which it is to start anew; 0: never
        self.record_bytes = frames.RECORD_BYTES_MAX  # changed memory with which it may be parked
        self.told_bytes = 0  # size that the supervisor knows
        self._size = 0
        self._grew = False

    def measure(self) -> int:
        """Host memory it takes, in bytes; looked at only when it has run."""
        if self.ran:
            self.ran = False
            self._size = self.machine.resident_bytes()
            self._grew = self._has_grown()
        return self._size

    def has_grown(self) -> bool:
        """Whether it wrote so much that it is to start anew."""
        self.measure()
        return self._grew

    def _has_grown(self) -> bool:
        limit = self.growth_bytes
        with contextlib.suppress(GuestError):  # its rings are spoilt: it ends for that when it next runs
            dirty_bytes = len(self.machine.shell.memory.dirty_pages()) * abi.PAGE_SIZE
            if not 0 < limit < dirty_bytes:
                return False
            return dirty_bytes > limit + LOOK_PAGES * abi.PAGE_SIZE or self.machine.has_grown(limit)
        return False
