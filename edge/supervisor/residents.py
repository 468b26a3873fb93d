"""The machines in workers: entered, parked, closed, forgotten, and who waits for room for one more.

Who has to make room is `budget`'s choice; what a machine's end means for its service and requests is `life`'s. Pure, as
those: what is to be done is left in `out`.
"""

from collections import deque
from collections.abc import Callable

from edge.content.image import Image
from edge.model.services import Link, Machine, Service
from edge.model.sockets import INTERNAL_ERROR, SERVICE_RESTART
from edge.supervisor import commands as do
from edge.supervisor.budget import Budget, Room


class Residents:
    """All machines in workers, by number; those being parked, too."""

    def __init__(self, budget: Budget, may_write: Callable[[Machine], bool], out: deque[do.Command]) -> None:
        """:param may_write: whether a machine has a disk on which its writes shall last."""
        self.budget, self._may_write, self._out = budget, may_write, out
        self.machines: dict[int, Machine] = {}
        self.closing: dict[Service, Machine] = {}  # that are parked for what they wrote, not for their record
        self._parking: set[int] = set()  # whose record has been asked for
        self.rooms: deque[Room] = deque()  # those who wait for a machine to become idle
        self._number = 0

    def enter(self, service: Service, image: Image, worker: Link, cost_bytes: int, now: float) -> Machine:
        """One more machine of a service, in a worker that is about to be told of it."""
        self._number = self._number % 0xFFFFFFFF + 1  # never 0, which is nobody
        machine = Machine(self._number, service, image, worker, now)
        self.machines[machine.number] = machine
        self.budget.tier.put(machine.number, machine, cost_bytes)
        return machine

    def forget(self, machine: Machine) -> None:
        """A machine is no longer in its worker."""
        if self.machines.pop(machine.number, None) is None:
            return
        self.budget.tier.pop(machine.number)
        self._parking.discard(machine.number)
        if self.closing.get(machine.service) is machine:
            del self.closing[machine.service]
        self._out.append(do.Leave(machine))
        self.idle()

    # Parking.

    def parking(self, machine: Machine) -> bool:
        """Whether its record has been asked for."""
        return machine.number in self._parking

    def may_park(self, machine: Machine) -> bool:
        """Whether it is idle, and the one that is parked: others of a pool go by themselves."""
        service = machine.service
        first = service.machine is machine and service.state == "resident" and not service.others
        return first and not machine.streams and not machine.retiring

    def park(self, service: Service) -> bool:
        """Ask for the record of a service's machine; whether there is one that may be parked."""
        machine = service.machine
        if machine is None or not self.may_park(machine):
            return False
        service.step("park")
        self._ask_to_park(machine)
        return True

    def _ask_to_park(self, machine: Machine) -> None:
        self.budget.tier.pop(machine.number)  # a worker lets few wait for that, and frees memory before it takes more
        self._parking.add(machine.number)
        self._out.append(do.Park(machine))

    def close(self, machine: Machine) -> None:
        """End a machine that retires. What it wrote to copy-on-write disks is kept, flushed or not; nothing else is."""
        service = machine.service
        if not self._may_write(machine):
            self.drop(machine)
            return
        machine.retiring = True
        self.closing[service] = machine
        self._ask_to_park(machine)

    def close_now(self, machine: Machine) -> None:
        """One that is being closed has not said for too long what it wrote; a no-op for one that has."""
        if self.closing.get(machine.service) is machine:
            self.drop(machine)

    def drop(self, machine: Machine) -> None:
        """End a machine, with all that it knows."""
        self._out.append(do.Close(machine))
        self.forget(machine)

    def end_lineage(self, service: Service, *, crashed: bool = False) -> None:
        """The next machine of a service starts from its image, whatever there is of this one."""
        self._out.append(do.ForgetRecord(service.key))
        self.end_sockets(service, INTERNAL_ERROR if crashed else SERVICE_RESTART)

    def end_sockets(self, service: Service, code: int) -> None:
        """The next machine of a service does not go on from the one that knows its sockets."""
        if service.sockets:
            service.lineage += 1
            self._out.append(do.EndSockets(tuple(service.sockets.values()), code))
            service.sockets = {}

    # Room.

    def make_room(self, room: Room) -> bool:
        """Park the coldest idle machines until one more fits; whether it does. If not, one who waits looks again."""
        if room in self.rooms:
            self.rooms.remove(room)
        if not self.park_coldest(room.cost_bytes):
            self.rooms.append(room)
            return False
        return True

    def park_coldest(self, cost_bytes: int) -> bool:
        """Park the coldest idle machines until one more of so many bytes fits; whether it does."""
        tier = self.budget.tier
        while tier.over(cost_bytes) and len(tier):
            coldest = self.budget.coldest(self.may_park)
            if coldest is None:
                return False
            self.park(coldest.service)
        return True

    def relieve(self) -> None:
        """Park idle machines until the budget holds, or all are busy."""
        while (machine := self.budget.to_relieve(self.may_park)) is not None:
            self.park(machine.service)

    def idle(self) -> None:
        """A machine has no requests any more, or is gone: one who waits for room may look again."""
        if self.rooms:
            self._out.append(do.LookAgain(self.rooms.popleft()))

    # The end.

    def left_in(self, worker: Link) -> list[Machine]:
        """Machines of a worker that nobody has asked for their records."""
        return [m for m in self.machines.values() if m.worker is worker and m.number in self.budget.tier]

    def last_batches(self, machines: list[Machine]) -> list[list[Machine]]:
        """Those of them that may be parked, in the order in which they are, for good.

        Others of pools are closed when they are idle.
        """
        for machine in machines:
            others = machine.service.others
            for other in [other for other in others if not other.streams]:
                others.remove(other)
                self.close(other)
        return list(self.budget.batches(machine for machine in machines if self.may_park(machine)))
