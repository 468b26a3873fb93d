"""The worker processes of an edge: started, chosen from, and started again when one is lost."""

import asyncio
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from edge import flow, log
from edge.streams import wake
from edge.workers import Owner, Worker
from vmimage.errors import OperatorError, Unavailable

WAIT_S: Final = 5.0  # a request waits so long for a worker to come back

_logger: Final = log.logger("fleet")


class Fleet:
    """Workers by index; `in` and iteration see those that take work."""

    def __init__(self, count: int, owner: Owner, command: Sequence[str]) -> None:
        self._count, self._owner, self._command = count, owner, command
        self._workers: dict[int, Worker] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._restarts: set[asyncio.Task[None]] = set()
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

    async def pick(self) -> Worker:
        """The one with the fewest machines.

        :raises Unavailable: there is none, and none came back in time.
        """
        while not self._workers:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            done, _ = await asyncio.wait([waiter], timeout=WAIT_S)
            if not done:
                self._waiters.remove(waiter)
                raise Unavailable("no worker")
        return min(self._workers.values(), key=lambda worker: len(worker.machines))

    def lost(self, worker: Worker) -> None:
        """A worker ended unasked; another takes its place, at once unless it had just been started."""
        del self._workers[worker.index]
        self._begin_restart(worker, self._loop.time() - worker.started)

    def _begin_restart(self, worker: Worker, lived_s: float) -> None:
        task = self._loop.create_task(self._restart(worker, lived_s))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

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
        for task in self._restarts:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in self), return_exceptions=True)
        self._workers.clear()
