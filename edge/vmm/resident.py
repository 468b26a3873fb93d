"""A machine in a worker, and what has been measured of it there."""

import contextlib

from edge.vmm.machine import Machine
from edge.vmm.scheduler import Entity
from vmimage import abi
from vmimage.errors import GuestError


class Resident:
    """A machine that the supervisor opened, and what has been measured of it."""

    def __init__(self, number: int, image: int, machine: Machine, entity: Entity) -> None:
        self.number = number
        self.image = image
        self.machine = machine
        self.entity = entity
        self.restore_us = 0
        self.reported_ns = 0  # virtual time up to the last response
        self.has_run = False  # since it came
        self.parking = False  # goes as soon as it is idle
        self.park_by_ns = 0  # time.monotonic_ns() until which others' work goes before
        self.growth_bytes = 0  # memory beyond its image's from which it is to start anew; 0: never

    def has_grown(self) -> bool:
        """Whether it wrote so much that it is to start anew; not where its rings are spoilt since it last ran."""
        limit = self.growth_bytes
        with contextlib.suppress(GuestError):  # it ends for that when it next runs
            dirty_bytes = len(self.machine.shell.memory.dirty_pages()) * abi.PAGE_SIZE
            return 0 < limit < dirty_bytes and self.machine.has_grown(limit)
        return False
