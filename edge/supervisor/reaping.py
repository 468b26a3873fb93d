"""A worker has ended: the evidence is weighed, `losses` decides, the process is reaped, and the publisher is told."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.model import flow
from edge.model.flow import NOBODY, WorkerLost
from edge.model.services import Machine
from edge.supervisor.driver import Driver
from edge.supervisor.losses import Losses
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.reports import Reports, Requests
from edge.workers.fleet import Fleet
from edge.workers.process import Worker

_logger: Final = log.logger("losses")


class Reaping:
    """What is done when a worker ends unasked."""

    def __init__(
        self,
        losses: Losses,
        driver: Driver,
        quarantine: Quarantine,
        fleet: Fleet,
        reports: Reports,
        counters: Counters,
        tasks: Tasks,
    ) -> None:
        self._losses, self._driver, self._quarantine = losses, driver, quarantine
        self._fleet, self._reports, self._counters, self._tasks = fleet, reports, counters, tasks
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
        had: Requests = ()
        if blamed is not None:
            here.remove(blamed)
            counters.add(counters.worker_ends, worker.cause)
            had = tuple(blamed.streams.values())
            self._guarded(self._losses.blamed, blamed, error)
        self._losses.states(here)
        self._driver.carry_out()
        for machine in here:
            self._guarded(self._losses.lost, machine, error)
        self._tasks.spawn("worker_end", self._see_off(worker, blamed, had))

    def _guarded(
        self, handle: Callable[[Machine, WorkerLost, float], None], machine: Machine, error: WorkerLost
    ) -> None:
        try:
            handle(machine, error, self._loop.time())
        except Exception as defect:
            self._tasks.note("machine_lost", defect)
        self._driver.carry_out()

    async def _see_off(self, worker: Worker, blamed: Machine | None, had: Requests) -> None:
        """Wait for the process, and tell the publisher of a service that was blamed, which had these requests."""
        status = await worker.reap()
        how = f"signal {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        if status == -signal.SIGSYS:  # no part of a worker makes such a call: see docs/sandbox.md
            _logger.critical(log.line("worker_intruded", worker=worker.index, pid=worker.pid, signal="SIGSYS"))
        if blamed is None:
            return
        service, blame = blamed.service, self._quarantine.of(blamed.service.slot)
        pause_s = max(0.0, blame.pause_until - blame.at) if blame is not None else 0.0
        message = f"its worker ended ({worker.fault or worker.cause}, {how}) while the machine ran"
        error = WorkerLost(f"{message}: quarantined, next start in {pause_s:g} s in a worker of its own")
        details = {"cause": worker.cause, "end": how, "quarantined": True, "pause_s": pause_s}
        if blame is not None:
            details |= {"standing": blame.standing, "times": blame.times, "in_row": blame.in_row}
        self._reports.add(service, blamed.image, error, details, had)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
