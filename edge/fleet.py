"""The worker processes of an edge: started, chosen from, and started again when one is lost."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

from edge import flow, log
from edge.services import Service
from edge.streams import wake
from edge.workers import Owner, Worker
from vmimage.errors import OperatorError, Unavailable

UNUSED_S: Final = 30.0  # a tenant's own worker without a machine for so long leaves
WAIT_S: Final = 5.0  # a request waits so long for a worker to come back

_logger: Final = log.logger("fleet")


class Fleet:
    """Workers by index; iteration sees those that take work.

    The first `count` are for every tenant that is not isolated. An isolated one gets a worker of its own when it needs
    one, and nobody else's machine is ever in that.
    """

    def __init__(self, count: int, owner: Owner, command: Sequence[str], isolates: Callable[[str], bool]) -> None:
        """:param isolates: whether a tenant has workers of its own."""
        self._count, self._owner, self._command, self._isolates = count, owner, command, isolates
        self._starting: dict[str, asyncio.Task[None]] = {}  # by tenant
        self._next_index = count
        self._workers: dict[int, Worker] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers.values()))

    async def start(self) -> None:
        """Bring all up.

        :raises OperatorError: none came up.
        """
        workers = [Worker(index, self._owner, self._command) for index in range(self._count)]
        results = await asyncio.gather(*(worker.start() for worker in workers), return_exceptions=True)
        for worker, result in zip(workers, results, strict=True):
            if result is None:
                self._workers[worker.index] = worker
            else:
                self._begin_restart(worker, 0.0)
        if not self._workers:
            raise OperatorError(f"workers: none came up: {results[0]}")

    async def pick(self, tenant: str, beside: Service | None = None) -> Worker:
        """The one with the fewest machines, of those that a tenant's machines may be in.

        :param beside: a service for which one without a machine of it is better.
        :raises Unavailable: there is none, and none came back in time.
        """
        own = tenant if self._isolates(tenant) else ""
        while not (candidates := [worker for worker in self._workers.values() if worker.tenant == own]):
            if own:
                await self._start_own(own)
                continue
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            done, _ = await asyncio.wait([waiter], timeout=WAIT_S)
            if not done:
                self._waiters.remove(waiter)
                raise Unavailable("no worker")
        taken = {machine.worker for machine in (beside.machine, *beside.others) if machine} if beside else ()
        return min(candidates, key=lambda worker: (worker in taken, len(worker.machines)))

    async def _start_own(self, tenant: str) -> None:
        task = self._starting.get(tenant)
        if task is None:
            task = self._starting[tenant] = self._loop.create_task(self._add_own(tenant))
            task.add_done_callback(lambda _: self._starting.pop(tenant))
        await asyncio.shield(task)

    async def _add_own(self, tenant: str) -> None:
        self._next_index += 1
        worker = Worker(self._next_index - 1, self._owner, self._command)
        worker.tenant = tenant
        try:
            await worker.start()
        except OperatorError as error:
            raise Unavailable(f"no worker for tenant {tenant}: {error}") from error
        self._workers[worker.index] = worker

    def let_go(self) -> None:
        """Called every second or so: tenants' own workers that have had nothing for a while leave."""
        now = self._loop.time()
        for worker in list(self._workers.values()):
            if not worker.tenant or worker.machines:
                worker.unused_since = now
            elif now - worker.unused_since > UNUSED_S:
                del self._workers[worker.index]
                self._spawn(worker.stop())

    def lost(self, worker: Worker) -> None:
        """A worker ended unasked; another takes its place, at once unless it had just been started."""
        del self._workers[worker.index]
        if worker.tenant:  # another comes when its tenant asks for one
            self._spawn(worker.reap())
        else:
            self._begin_restart(worker, self._loop.time() - worker.started)

    def _begin_restart(self, worker: Worker, lived_s: float) -> None:
        self._spawn(self._restart(worker, lived_s))

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart(self, lost: Worker, lived_s: float) -> None:
        status = await lost.reap()
        if status == -signal.SIGSYS:  # no part of a worker makes such a call: see docs/sandbox.md
            _logger.critical(log.line("worker_intruded", worker=lost.index, pid=lost.pid, signal="SIGSYS"))
        failures, pause_s = flow.after_crash(lost.failures, lived_s)
        while True:
            await asyncio.sleep(pause_s)
            worker = Worker(lost.index, self._owner, self._command)
            worker.failures = failures
            try:
                await worker.start()
            except OperatorError as error:
                _logger.error(log.line("worker_not_started", worker=lost.index, error=error))
                failures, pause_s = flow.after_crash(failures, 0.0)
                continue
            self._workers[worker.index] = worker
            while self._waiters:
                wake(self._waiters.popleft())
            return

    async def stop(self) -> None:
        """Ask all to leave, and see that they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in self), return_exceptions=True)
        self._workers.clear()
