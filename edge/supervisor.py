"""The edge's one trusted party: it knows every service, machine, record and worker, and does what `flow` decides.

A request for a resident machine goes `submit`, `Machines.dispatch`, `on_frames`: one frame each way, nothing awaited.
What is slower is one task per service that is being opened. No HTTP here: `http` makes streams and reads answers.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

from edge import flow, log
from edge.allowance import LOG_LINES, Allowance
from edge.config import EdgeConfig
from edge.counters import Counters
from edge.directory import Directory
from edge.disks import Disks
from edge.fleet import Fleet
from edge.flow import WorkerLost
from edge.images import Image, Images
from edge.logs import first_lines
from edge.machines import Machines
from edge.records import Records
from edge.reports import Reports
from edge.residents import Residents
from edge.services import Machine
from edge.streams import Stream
from edge.upstreams import Upstreams
from edge.vmm import frames
from edge.vmm.frames import Frame
from edge.workers import COMMAND, Worker, json_object
from vmimage import abi
from vmimage.errors import NunatakError, Unavailable

TICK_S: Final = 1.0
LOG_LINES_A_TICK: Final = 100  # of one machine; the rest is counted and dropped; see also `allowance.LOG_LINES`

LOG_BYTES_WAITING: Final = 1 << 20  # of such lines of one service, for the origin
PARK_S: Final = 10.0  # at the end, for all machines together; one takes about a millisecond

_logger: Final = log.logger("supervisor")
_guest_logger: Final = log.logger("guest")


class Supervisor:
    """Owner of all state of an edge but its HTTP connections."""

    def __init__(
        self,
        config: EdgeConfig,
        counters: Counters,
        directory: Directory,
        images: Images,
        records: Records,
        disks: Disks,
        worker_command: Sequence[str] = COMMAND,
    ) -> None:
        self.config, self.counters = config, counters
        self.directory, self.images, self.records, self.disks = directory, images, records, disks
        command = (*worker_command, "--engine", config.engine)
        self.workers = Fleet(config.worker_count, self, command, config.isolates)
        self.upstreams = Upstreams(config.upstream_policy, config.origin_timeout, config.request_timeout, counters)
        self.residents = Residents(
            config.resident_bytes, config.tenant_weights, images, self.upstreams, disks, counters
        )
        self.reports = Reports(images)
        self.machines = Machines(
            counters, images, records, disks, self.reports, self.workers, self.residents, self._spawn
        )
        self.draining = False
        self._loop = asyncio.get_running_loop()
        self._log_lines = Allowance(LOG_LINES, self._loop.time)
        self._tasks: set[asyncio.Task[Any]] = set()
        directory.on_change = self.machines.on_change
        images.on_drop = self._on_image_drop

    async def start(self) -> None:
        """Bring up the workers and look at the catalogue; an origin that is away is no obstacle.

        :raises OperatorError: no worker came up.
        """
        await self.workers.start()
        self._spawn(self.directory.watch(self.config.refresh))
        self._spawn(self._tick())
        self._spawn(self.disks.logs.ship())

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Requests, from `http`.

    def submit(self, stream: Stream) -> None:
        """Give a request to its service's machine, or queue it until there is one. `stream.answer` is what to await.

        :raises Unavailable: the service is backing off, or too many wait for it.
        """
        service = stream.service
        service.requests += 1
        self.counters.requests += 1
        machine = service.machine
        if service.state == "resident" and machine is not None:
            if machine.pool > 1:
                machine = self.machines.pools.choose(service, machine)
            if len(machine.streams) < machine.limit:
                self.machines.dispatch(machine, stream)
                return
        if len(service.queue) >= self.config.max_queue:
            raise Unavailable(f"{service.name}: {self.config.max_queue} requests wait")
        self.machines.want(service)
        self.machines.queue(service, stream)

    def abandon(self, stream: Stream, error: Exception | None = None) -> None:
        """Nobody wants the rest: the client left or is at fault, or what came of it is not fit to pass on.

        :param error: what the one who still waits for the answer gets.
        """
        machine = stream.machine
        if stream.state == "waiting":
            stream.service.queue.remove(stream)
        elif stream.state in ("asked", "answering") and machine is not None:
            self.residents.reset(machine, stream)
        else:
            return
        if error is None:
            stream.step("client_gone")
        else:
            stream.fail(error)
        if machine is not None:
            self.machines.detach(machine, stream)

    # Workers.

    def _on_image_drop(self, image: Image) -> None:
        for worker in self.workers:
            worker.drop(image, for_good=True)

    def on_frames(self, worker: Worker, batch: Sequence[Frame]) -> None:
        """Frames from a worker; those for what is gone are dropped.

        :raises ValueError: what a worker cannot say.
        """
        machines, now = worker.machines, self._loop.time()
        for frame in batch:
            type_, flags, number, stream_number, payload = frame
            if type_ == frames.PONG:
                worker.on_pong(payload)
                self._on_statistics(worker)
                continue
            if type_ == frames.BLOCK_WANT:
                self.disks.on_want(worker, frame)
                continue
            machine = machines.get(number)
            if machine is None:
                continue
            if type_ == frames.KEEP or type_ == frames.APPEND:
                self.disks.on_write(machine, frame)
            elif stream_number & abi.EXCHANGE_BIT:
                self.upstreams.on_frame(machine, frame)
            elif type_ == frames.HEAD or type_ == frames.BODY or type_ == frames.CREDIT or type_ == frames.RESET:
                stream = machine.streams.get(stream_number)
                if stream is not None and stream.receive(frame, now):
                    self.machines.detach(machine, stream)
            elif type_ == frames.PARKED:
                self.machines.on_parked(machine, payload)
            elif type_ == frames.DIED:
                self.machines.on_died(machine, json_object(payload))
            elif type_ == frames.LOG:
                self._on_log(machine, payload)
            else:
                raise ValueError(f"a frame type from a worker expected, got {type_} with flags {flags:#x}")

    def _on_statistics(self, worker: Worker) -> None:
        """What a worker says of its machines once a second."""
        throttled = _numbers(worker.statistics.get("throttled"))
        for number, machine in worker.machines.items():
            machine.throttled = number in throttled
        for number in _numbers(worker.statistics.get("grown")):
            if number in worker.machines:
                self.machines.replace_worn(worker.machines[number], "growth_bytes")

    def _on_log(self, machine: Machine, payload: bytes) -> None:
        service = machine.service
        allowed = LOG_LINES_A_TICK - machine.log_lines
        if allowed > 0:
            allowed = self._log_lines.take(service.tenant, min(allowed, payload.count(b"\n") + 1))
        lines, count = first_lines(payload, allowed)
        machine.log_lines += len(lines)
        self.counters.log_lines_dropped += count - len(lines)
        for line in lines:
            text = line.decode("utf-8", "replace")
            _guest_logger.info(log.line("guest_log", service=service.name, text=text), extra={"text": text})
            self.disks.logs.append(service.name, "", text.encode(), LOG_BYTES_WAITING)

    def on_lost(self, worker: Worker) -> None:
        """A worker ended unasked: its requests are replayed or end, its services go back to their records."""
        self.counters.workers_lost += 1
        self.counters.worker_faults += bool(worker.fault)
        _logger.error(log.line("worker_lost", worker=worker.index, pid=worker.pid, machines=len(worker.machines)))
        for machine in list(worker.machines.values()):
            self.machines.lose(machine, WorkerLost(f"worker {worker.index} ended"))
        if not self.draining:
            self.workers.lost(worker)

    async def _tick(self) -> None:
        """Once a second: give up on what makes no progress, and see that busy workers are alive."""
        while True:
            await asyncio.sleep(TICK_S)
            self.records.save()
            now = self._loop.time()
            overdue = now - self.config.request_timeout
            for worker in self.workers:
                busy = False
                for machine in list(worker.machines.values()):
                    machine.log_lines = 0
                    busy |= machine.used > now - TICK_S or bool(machine.streams) or self.residents.parking(machine)
                    for stream in [s for s in machine.streams.values() if s.since < overdue]:
                        self.residents.reset(machine, stream)
                        self._give_up(machine, stream)
                if busy or worker.was_busy:  # once more after the last work: its statistics are then complete
                    worker.ping(self.config.wedged)
                worker.was_busy = busy
            self.machines.pools.shrink()
            self.workers.let_go()
            for service in list(self.machines.waiting):  # not all services: most are parked, and cost nothing here
                while service.queue and service.queue[0].since < overdue:
                    service.queue.popleft().fail(Unavailable(f"waited {self.config.request_timeout} s"))
                if not service.queue:
                    self.machines.waiting.discard(service)

    def _give_up(self, machine: Machine, stream: Stream) -> None:
        """A request has made no progress for too long."""
        patience_s = self.config.request_timeout
        error = flow.silence(stream.whole or stream.body_sent, patience_s, throttled=machine.throttled)
        if isinstance(error, NunatakError):
            self.machines.note_limit(machine, error)
        stream.fail(error)
        self.machines.detach(machine, stream)

    # The end.

    async def drain(self) -> None:
        """Park every machine, write every record, stop the workers. Requests in flight have ended before."""
        self.draining = True
        parks = self.counters.parks
        await self.residents.park_all(PARK_S)
        kept = await self.records.flush()
        for task in list(self._tasks):
            task.cancel()
        await self.workers.stop()
        await self.upstreams.close()
        await self.disks.close()
        self.images.close()
        self.directory.close()
        _logger.info(log.line("drained", parked=self.counters.parks - parks, records=kept))


def _numbers(value: object) -> Collection[int]:
    """Machine numbers in a worker's statistics.

    :raises ValueError: it says something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(number) is int for number in value):
        raise ValueError(f"machine numbers expected, got {str(value)[:100]}")
    return set(value)
