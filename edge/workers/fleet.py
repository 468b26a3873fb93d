"""The worker processes of an edge: started, chosen from, and started again when one is lost.

Three kinds of them: those for all, as many as configured, always there; those of a tenant who is isolated; and those in
quarantine, each for one service (or tenant) that the end of a worker was blamed on. The last two come when a machine
needs one and leave when they have had none for a while; nobody else's machine is ever in them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from edge.common import backoff, log
from edge.common.single_flight import SingleFlight
from edge.common.slices import Slices
from edge.common.tasks import Tasks
from edge.model.flow import QUARANTINE_RETRY_S, SHARED, BackingOff, Place, QuarantineFull
from edge.model.services import Service
from edge.model.streams import wake
from edge.workers.process import HELLO_S, Owner, Worker
from vmimage.errors import OperatorError, Unavailable

UNUSED_S: Final = 30.0  # a worker that is not for all, without a machine for so long, leaves
WAIT_S: Final = HELLO_S  # a request waits so long for a worker: by then it has said HELLO, or never does
# Each holds the memory of an interpreter (some 40 MiB), and who aborts workers should have few of them.
QUARANTINE_WORKERS: Final = 2
# Between two starts of such workers, whoever they are for: however many services there are to blame, their workers'
# starts (1 s of CPU time each) take no more than a quarter of one processor, at low priority.
QUARANTINE_GAP_S: Final = 4.0

_logger: Final = log.logger("fleet")


class _Failures(NamedTuple):
    """Ends in a row that nobody was blamed for, and the loop time before which there is no other start."""

    in_row: int
    pause_until: float


class Fleet:
    """Workers by index; iteration sees those that take work."""

    def __init__(
        self,
        count: int,
        owner: Owner,
        command: Sequence[str],
        place_of: Callable[[Service], Place],
        tasks: Tasks,
        slices: Slices,
    ) -> None:
        """:param place_of: which workers a service's machines may be in. :param slices: in which all are heard."""
        self._count, self._owner, self._command, self.place_of = count, owner, command, place_of
        self._tasks, self._slices = tasks, slices
        self._starts: SingleFlight[Place, None] = SingleFlight(tasks, "worker_start")
        self._failures: dict[Place, _Failures] = {}
        self._next_index = count
        self._next_quarantine = 0.0  # loop time
        self._workers: dict[int, Worker] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._leaving = False
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers.values()))

    async def start(self) -> None:
        """Bring all up.

        :raises OperatorError: none came up.
        """
        workers = [Worker(index, self._owner, self._command, slices=self._slices) for index in range(self._count)]
        results = await asyncio.gather(*(worker.start() for worker in workers), return_exceptions=True)
        for worker, result in zip(workers, results, strict=True):
            if result is None and worker.alive:
                self._workers[worker.index] = worker
            else:
                self._tasks.spawn("worker_restart", self._restart(worker.index, 0, 0.0))
        if not self._workers:
            raise OperatorError(
                f"workers: none came up: {results[0]}: run `nunatak doctor`, which says what a worker lacks"
            )

    async def pick(self, service: Service, *, beside: bool = False) -> Worker:
        """The one with the fewest machines, of those that a service's machines may be in.

        :param beside: one without a machine of the service is better.
        :raises Unavailable: there is none, and none came in time.
        """
        while (worker := self.at_hand(service, beside=beside)) is None:
            if self._leaving:
                raise Unavailable("the edge is about to end")
            if (place := self.place_of(service)) != SHARED:
                await self._start_own(place)
                continue
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            done, _ = await asyncio.wait([waiter], timeout=WAIT_S)
            if not done:
                self._waiters.remove(waiter)
                raise Unavailable("no worker")
        return worker

    def at_hand(self, service: Service, *, beside: bool = False) -> Worker | None:
        """The one that `pick` gives, where nothing has to be waited for."""
        candidates = self._candidates(self.place_of(service))
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        mine = (service.machine, *service.others) if beside else ()
        taken = {machine.worker for machine in mine if machine}
        return min(candidates, key=lambda worker: (worker in taken, len(worker.machines)))

    def _candidates(self, place: Place) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.place == place and worker.alive]

    # Workers that are not for all.

    async def _start_own(self, place: Place) -> None:
        if place not in self._starts:
            now = self._loop.time()
            failures = self._failures.get(place)
            if failures is not None and now < failures.pause_until:
                raise BackingOff(failures.pause_until - now)
            if place.kind == "quarantine":
                self._make_place(now)
        await self._starts.do(place, lambda: self._add_own(place))

    def _make_place(self, now: float) -> None:
        """Let another worker in quarantine begin.

        :raises QuarantineFull: not now.
        """
        if now < self._next_quarantine:
            raise QuarantineFull(self._next_quarantine - now)
        here = [worker for worker in self._workers.values() if worker.place.kind == "quarantine"]
        coming = sum(place.kind == "quarantine" for place in self._starts)
        if len(here) + coming >= QUARANTINE_WORKERS:
            unused = (worker for worker in here if not worker.machines)
            idle = next((worker for worker in unused if now - worker.unused_since > QUARANTINE_GAP_S), None)
            if idle is None:
                raise QuarantineFull(QUARANTINE_RETRY_S)
            self._dismiss(idle)
        self._next_quarantine = now + QUARANTINE_GAP_S

    async def _add_own(self, place: Place) -> None:
        self._next_index += 1
        worker = Worker(self._next_index - 1, self._owner, self._command, place, self._slices)
        try:
            await worker.start()
        except OperatorError as error:
            self._note_failure(place, 0.0)
            raise Unavailable(f"no worker for {place.kind} {place.name}: {error}") from error
        worker.unused_since = self._loop.time()
        self._workers[worker.index] = worker

    def _note_failure(self, place: Place, lived_s: float) -> None:
        before = self._failures.get(place)
        in_row, pause_s = backoff.after_crash(before.in_row if before else 0, lived_s)
        self._failures[place] = _Failures(in_row, self._loop.time() + pause_s)

    def _dismiss(self, worker: Worker) -> None:
        del self._workers[worker.index]
        worker.leaving = True
        self._tasks.spawn("worker_stop", worker.stop())

    def let_go(self) -> None:
        """Called every second or so: workers that are not for all, and have had nothing for a while, leave."""
        now = self._loop.time()
        for worker in list(self._workers.values()):
            if worker.place == SHARED or worker.machines:
                worker.unused_since = now
            elif now - worker.unused_since > UNUSED_S:
                self._dismiss(worker)
        for place, failures in list(self._failures.items()):
            if now - failures.pause_until > backoff.HEALTHY_S and place not in self._starts:
                del self._failures[place]

    # The end of workers.

    def lost(self, worker: Worker, *, blamed: bool) -> None:
        """A worker ended unasked; another takes its place: at once, unless that has happened again and again.

        :param blamed: the end is blamed on a service, which is what will not be in the next one.
        """
        if self._workers.pop(worker.index, None) is None:
            return  # it had not taken work yet: `start` sees to it
        lived_s = self._loop.time() - worker.started
        if worker.place != SHARED:  # another comes when a machine needs it
            if not blamed:
                self._note_failure(worker.place, lived_s)
        elif not self._leaving:
            failures, pause_s = (0, 0.0) if blamed else backoff.after_crash(worker.failures, lived_s)
            self._tasks.spawn("worker_restart", self._restart(worker.index, failures, pause_s))

    async def _restart(self, index: int, failures: int, pause_s: float) -> None:
        while True:
            await asyncio.sleep(pause_s)
            worker = Worker(index, self._owner, self._command, slices=self._slices)
            worker.failures = failures
            try:
                await worker.start()
            except OperatorError as error:
                _logger.error(log.line("worker_not_started", worker=index, error=error))
                failures, pause_s = backoff.after_crash(failures, 0.0)
                continue
            self._workers[worker.index] = worker
            while self._waiters:
                wake(self._waiters.popleft())
            return

    def leave(self) -> None:
        """The edge is about to end: what is lost from now on is not replaced."""
        self._leaving = True
        while self._waiters:
            wake(self._waiters.popleft())

    async def stop(self) -> None:
        """Ask all to leave, and see that they do."""
        self.leave()
        await asyncio.gather(*(worker.stop() for worker in self), return_exceptions=True)
        self._workers.clear()

    @property
    def wanted(self) -> int:
        """Workers for all that there are to be."""
        return self._count

    @property
    def working(self) -> int:
        """Of them, those that take work now."""
        return len(self._candidates(SHARED))
