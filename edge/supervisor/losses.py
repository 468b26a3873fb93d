"""The end of a worker: what becomes of the machines that were in it, and of the one that is blamed. Pure, as `life`.

A machine that is blamed takes its service into quarantine and loses its record and its requests. All others go back to
their last record, their requests are asked once more where that is right, and they wait for nothing but a worker.
Whoever is in quarantine, or has left it, is moved to where it may be: now if it is idle, else when it is.
"""

from collections.abc import Iterable

from edge.model.flow import WorkerLost
from edge.model.services import Machine, Service
from edge.model.sockets import SERVICE_RESTART
from edge.supervisor import commands as do
from edge.supervisor.life import Life


class Losses:
    """What an edge does when a worker has ended unasked."""

    def __init__(self, life: Life) -> None:
        self._life, self._residents, self._pools = life, life.residents, life.pools
        self._quarantine, self._out = life.quarantine, life.out
        self._misplaced: set[Service] = set()  # with a machine in a worker where it must not, or need not, be

    def states(self, machines: Iterable[Machine]) -> None:
        """Say which services go back to a state from before their last requests, since these machines are gone."""
        lost = tuple(
            machine.service
            for machine in machines
            if machine.service.machine is machine
            and machine.served > machine.kept
            and machine.image.manifest.instance != "request"  # that keeps nothing from one request to the next
        )
        if lost:
            self._out.append(do.StatesLost(lost))

    def lost(self, machine: Machine, error: WorkerLost, now: float) -> None:
        """A machine was in the worker: its requests are replayed or end, its service goes back to its record."""
        service = machine.service
        self._residents.forget(machine)
        self._pools.leave(machine)
        if service.machine is machine and not self._pools.promote(service):
            service.machine = None
            self._residents.end_sockets(service, SERVICE_RESTART)
            service.step("worker_lost")
        self._life.end_streams(machine, error, now)

    def blamed(self, machine: Machine, error: WorkerLost, now: float) -> None:
        """The worker ended on its behalf: none of its requests is repeated, and its service is on its own from now.

        To be said before `lost` of the others, so that the service has left when they come back.
        """
        service, new = machine.service, self._quarantine.place(machine.service).kind != "quarantine"
        blame = self._quarantine.blame(service, now)
        service.crashes += 1
        self._out.append(do.Count("crashes", error.counter))
        self._residents.forget(machine)
        self._pools.leave(machine)
        if service.machine is machine:
            service.machine = None
            self._residents.end_lineage(service, crashed=True)  # the cause may be in it
            service.pause_until = blame.pause_until
            service.step("blamed")
        others = self._elsewhere(service.slot) if new else []
        for other in others:
            self._pools.leave(other)
            if other.service.machine is other:
                self.states([other])
                other.service.machine = None
                self._residents.end_sockets(other.service, SERVICE_RESTART)
                other.service.step("worker_lost")
            self._residents.close(other)
        for gone in (machine, *others):
            self._life.end_streams(gone, error, now, blamed=gone is machine)
        if new:
            self._find_misplaced()

    def _elsewhere(self, name: str) -> list[Machine]:
        """Machines in other workers that must not be there any more; one that can be parked is.

        By the name, as quarantine has it: a service that was withdrawn and published anew is another `Service`.
        """
        here = [machine for machine in self._here() if machine.service.slot == name]
        for service in {machine.service: None for machine in here}:
            self._residents.park(service)
        return [machine for machine in here if not self._residents.parking(machine)]

    def _here(self) -> list[Machine]:
        """Machines whose workers have not ended."""
        return [machine for machine in self._residents.machines.values() if machine.worker.alive]

    # Who is in quarantine has changed.

    def _find_misplaced(self) -> None:
        for machine in self._here():
            if self._quarantine.place(machine.service) != machine.worker.place:
                self._misplaced.add(machine.service)
        self._move()

    def _move(self) -> None:
        for service in list(self._misplaced):
            place, machine = self._quarantine.place(service), service.machine
            for other in [other for other in service.others if other.worker.place != place]:
                self._life.retire(other)
            if machine is None or machine.worker.place == place:
                self._misplaced.discard(service)
            else:
                self._residents.park(service)  # it comes back where it may be

    def tick(self, now: float) -> None:
        """Called every second or so: let out of quarantine who has been healthy for long enough, and move machines."""
        released = self._quarantine.sweep(now)
        for name in released:
            self._life.released(name, "healthy")
        if released:
            self._find_misplaced()
        elif self._misplaced:
            self._move()
