"""The end of a worker: on whom it is blamed, and what becomes of the machines that were in it.

A machine that is blamed takes its service into quarantine and loses its record and its requests. All others go back to
their last record, their requests are asked once more where that is right, and they wait for nothing but a worker.
"""

import asyncio
import signal
from collections.abc import Callable, Iterable
from typing import Final

from edge.common import log
from edge.common.tasks import Tasks
from edge.model import flow
from edge.model.flow import NOBODY, WorkerLost
from edge.model.services import Machine, Service
from edge.supervisor.machines import Machines
from edge.supervisor.quarantine import Quarantine
from edge.workers.fleet import Fleet
from edge.workers.process import Worker

NAMES_MAX: Final = 20  # services in one log line

_logger: Final = log.logger("losses")


class Losses:
    """What an edge does when a worker ends unasked."""

    def __init__(self, machines: Machines, quarantine: Quarantine, fleet: Fleet, tasks: Tasks) -> None:
        self._machines, self._quarantine, self._fleet, self._tasks = machines, quarantine, fleet, tasks
        self._records, self._residents, self._pools = machines.records, machines.residents, machines.pools
        self._counters = machines.counters
        self._misplaced: set[Service] = set()  # with a machine in a worker where it must not, or need not, be
        self._loop = asyncio.get_running_loop()

    def on_lost(self, worker: Worker) -> None:
        """A worker has ended. A machine that cannot be dealt with hinders no other, nor the next worker."""
        counters = self._counters
        counters.workers_lost += 1
        counters.worker_faults += bool(worker.fault)
        here = list(worker.machines.values())
        number = flow.blame(worker.cause, page=worker.page, frame=worker.frame, machines=worker.machines)
        blamed = worker.machines[number] if number != NOBODY else None
        about = {"blamed": blamed.service.name if blamed is not None else "nobody", "machines": len(here)}
        _logger.error(log.line("worker_lost", worker=worker.index, pid=worker.pid, cause=worker.cause, **about))
        self._fleet.lost(worker, blamed=blamed is not None)
        error = WorkerLost(f"worker {worker.index} ended")
        if blamed is not None:  # first, so that its service has left when the others come back
            here.remove(blamed)
            counters.add(counters.worker_ends, worker.cause)
            self._guarded(self._blame, blamed, error)
        self.tell(here)
        for machine in here:
            self._guarded(self._lose, machine, error)
        self._tasks.spawn("worker_end", self._see_off(worker, blamed))

    def _guarded(self, handle: Callable[[Machine, WorkerLost], None], machine: Machine, error: WorkerLost) -> None:
        try:
            handle(machine, error)
        except Exception as defect:
            self._tasks.note("machine_lost", defect)

    def tell(self, machines: Iterable[Machine]) -> None:
        """Say which services go back to a state from before their last requests, since these machines are gone."""
        lost: dict[str, list[str]] = {}
        for machine in machines:
            fresh = machine.image.manifest.instance == "request"  # it keeps nothing from one request to the next
            if machine.service.machine is machine and machine.served > machine.kept and not fresh:
                to = "record" if self._records.tier_of(machine.service.key) else "image"
                lost.setdefault(to, []).append(machine.service.name)
        for to, names in lost.items():
            self._counters.add(self._counters.states_lost, to, len(names))
            few = " ".join(names[:NAMES_MAX])
            _logger.error(log.line("states_lost", to=to, services=len(names), names=few))

    def _lose(self, machine: Machine, error: WorkerLost) -> None:
        """Its requests are replayed or end, its service goes back to its record."""
        service = machine.service
        self._residents.forget(machine)
        self._pools.leave(machine)
        if service.machine is machine and not self._pools.promote(service):
            service.machine = None
            service.step("worker_lost")
        self._machines.end_streams(machine, error, seen=lambda _: True, guest_fault=False)

    def _blame(self, machine: Machine, error: WorkerLost) -> None:
        """Its worker ended on its behalf: none of its requests is repeated, and its service is on its own from now."""
        service, new = machine.service, self._quarantine.place(machine.service).kind != "quarantine"
        blame = self._quarantine.blame(service, self._loop.time())
        service.crashes += 1
        self._counters.add(self._counters.crashes, error.counter)
        self._residents.forget(machine)
        self._pools.leave(machine)
        if service.machine is machine:
            service.machine = None
            self._records.forget(service.key)  # the cause may be in it
            service.pause_until = blame.pause_until
            service.step("blamed")
        others = self._elsewhere(service) if new else []
        for other in others:
            self._pools.leave(other)
            if service.machine is other:
                self.tell([other])
                service.machine = None
                service.step("worker_lost")
            self._residents.close(other)
        for gone in (machine, *others):
            self._machines.end_streams(gone, error, seen=lambda _: True, guest_fault=False, blamed=gone is machine)
        if new:
            self._find_misplaced()

    def _elsewhere(self, service: Service) -> list[Machine]:
        """Machines of a service in other workers, that must not be there any more; one that can be parked is."""
        self._residents.park(service)
        all_machines = (machine for worker in self._fleet for machine in worker.machines.values())
        return [m for m in all_machines if m.service is service and not self._residents.parking(m)]

    async def _see_off(self, worker: Worker, blamed: Machine | None) -> None:
        """Wait for the process, and tell the publisher of a service that was blamed."""
        status = await worker.reap()
        how = f"signal {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        if status == -signal.SIGSYS:  # no part of a worker makes such a call: see docs/sandbox.md
            _logger.critical(log.line("worker_intruded", worker=worker.index, pid=worker.pid, signal="SIGSYS"))
        if blamed is None:
            return
        service, blame = blamed.service, self._quarantine.of(blamed.service.name)
        pause_s = max(0.0, blame.pause_until - blame.at) if blame is not None else 0.0
        message = f"its worker ended ({worker.fault or worker.cause}, {how}) while the machine ran"
        error = WorkerLost(f"{message}: quarantined, next start in {pause_s:g} s in a worker of its own")
        details = {"cause": worker.cause, "end": how, "quarantined": True, "pause_s": pause_s}
        if blame is not None:
            details |= {"standing": blame.standing, "times": blame.times, "in_row": blame.in_row}
        self._machines.reports.add(service.name, blamed.image, error, details)

    # Who is in quarantine has changed.

    def _find_misplaced(self) -> None:
        """Move what is in a wrong worker: now if it is idle, else when it is."""
        for worker in self._fleet:
            for machine in worker.machines.values():
                if self._quarantine.place(machine.service) != worker.place:
                    self._misplaced.add(machine.service)
        self._move()

    def _move(self) -> None:
        for service in list(self._misplaced):
            place, machine = self._quarantine.place(service), service.machine
            for other in [other for other in service.others if other.worker.place != place]:
                self._machines.retire(other)
            if machine is None or machine.worker.place == place:
                self._misplaced.discard(service)
            else:
                self._residents.park(service)  # it comes back where it may be

    def tick(self) -> None:
        """Called every second or so: let out of quarantine who has been healthy for long enough, and move machines."""
        if self._quarantine.sweep(self._loop.time()):
            self._find_misplaced()
        elif self._misplaced:
            self._move()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
