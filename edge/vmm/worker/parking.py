"""Machines that are to be parked: they make room for others, whose requests need not wait for that."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from edge.vmm.devices.drives import Drives
from edge.vmm.machine.resident import Resident
from edge.vmm.shells.shell import of_thread
from edge.vmm.wire.machines import Parked
from edge.vmm.worker.outbox import Outbox
from vmimage import snapshot

PARKS_WAITING: Final = 2  # each with a shell that another machine could have
PARK_WAITS_NS: Final = 2_000_000  # for as long as others have work


class Parking:
    """Those of one worker, in the order in which they were asked for."""

    def __init__(
        self,
        residents: Mapping[int, Resident],
        outbox: Outbox,
        drives: Drives,
        for_machine: Callable[..., None],
        forget: Callable[[Resident], None],
        wake: Callable[[int, int], None],
    ) -> None:
        """:param for_machine: see `guard`. :param forget: called with what is parked.
        :param wake: called with the number of one that is to be looked at again, and when."""
        self._residents, self._outbox, self._drives = residents, outbox, drives
        self._for_machine, self._forget, self._wake = for_machine, forget, wake
        self._waiting: deque[Resident] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, resident: Resident) -> None:
        """Park it as soon as it is idle: when nobody has work, or soon."""
        resident.parking, resident.park_by_ns = True, time.monotonic_ns() + PARK_WAITS_NS
        self._waiting.append(resident)
        if len(self._waiting) > PARKS_WAITING:
            self.next()

    def is_due(self) -> bool:
        """Whether the first has waited for long enough."""
        return time.monotonic_ns() >= self._waiting[0].park_by_ns

    def next(self) -> None:
        """Park the first."""
        resident = self._waiting.popleft()
        if self._residents.get(resident.number) is resident:  # else it ended meanwhile
            self._for_machine(resident.number, self.if_idle, resident)

    def if_idle(self, resident: Resident) -> None:
        """Park one that has nothing left to do: a RESET may still be on its way into the guest.

        :raises GuestError: it left ring positions that cannot be, and has not run since; or changed too much.
        """
        machine = resident.machine
        if machine.busy or machine.used:  # used: it is reset first, what served one request is never kept
            return
        if (owes_until_ns := machine.owes_until_ns()) > time.monotonic_ns():
            self._wake(resident.number, owes_until_ns)
            return
        state = machine.capture(bytes_max=resident.record_bytes)
        machine.guest_log.end()
        self._outbox.emit(resident)
        record = snapshot.encode(state, level=1, zstd=of_thread.zstd)
        self._outbox.send(Parked(resident.number, record, self._drives.park(resident.number)))
        self._forget(resident)
