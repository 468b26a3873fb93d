"""The edge's one trusted party: it knows every service, machine, record and worker, and does what `flow` decides.

A request for a resident machine goes `submit`, `Machines.dispatch`, `on_frames`: one frame each way, nothing awaited.
What is slower is one task per service that is being opened. No HTTP here: `http` makes streams and reads answers.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from edge.catalogue.directory import Directory
from edge.common import log
from edge.common.allowance import LOG_LINES, Allowance
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.content.image import Image
from edge.content.images import Images
from edge.content.records import Records
from edge.devices.disks import Disks
from edge.devices.spool import first_lines
from edge.devices.upstreams import Upstreams
from edge.model import flow
from edge.model.services import Machine
from edge.model.streams import Stream
from edge.supervisor.losses import Losses
from edge.supervisor.machines import Machines
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.reports import Reports
from edge.supervisor.residents import Residents, worker_bytes
from edge.supervisor.waiting import Waiting, waiting_bytes
from edge.vmm.wire.disks import Append, BlockWant, Keep
from edge.vmm.wire.frames import RawFrame
from edge.vmm.wire.machines import Died, Log, Parked
from edge.vmm.wire.messages import from_worker, machine_of
from edge.vmm.wire.streams import Answer, Body, Credit, Reset, Subrequest
from edge.vmm.wire.vitals import Hello, Pong
from edge.workers.fleet import QUARANTINE_RETRY_S, Fleet
from edge.workers.process import COMMAND, Worker
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
        self.tasks = Tasks(counters)
        self.quarantine = Quarantine(config.isolates)
        limit = str(worker_bytes(config.resident_bytes))
        command = (*worker_command, "--engine", config.engine, "--kvm-ring0", config.kvm_ring0)
        command = (*command, "--memory-bytes", limit)
        self.workers = Fleet(config.worker_count, self, command, self.quarantine.place, self.tasks, disks.slices)
        self.upstreams = Upstreams(config.upstream_policy, config.origin_timeout, config.request_timeout, counters)
        self.residents = Residents(
            config.resident_bytes,
            config.parked_bytes,
            config.tenant_weights,
            images,
            self.upstreams,
            disks,
            counters,
        )
        self.reports = Reports(images)
        self.machines = Machines(
            counters,
            images,
            records,
            disks,
            self.reports,
            self.workers,
            self.residents,
            self.quarantine,
            Waiting(waiting_bytes(config.memory)),
            self.tasks,
        )
        self.losses = Losses(self.machines, self.quarantine, self.workers, self.tasks)
        self.draining = False
        self._loop = asyncio.get_running_loop()
        self._log_lines = Allowance(LOG_LINES, self._loop.time)
        self._handlers: Mapping[type, Callable[[Worker, Any], None]] = {
            Answer: self._on_answer,
            Body: self._on_body,
            Credit: self._on_credit,
            Reset: self._on_abort,
            Subrequest: _of_machine(self.upstreams.on_subrequest),
            Parked: _of_machine(self.machines.on_parked),
            Died: _of_machine(self.machines.on_died),
            Log: _of_machine(self._on_log),
            Keep: _of_machine(disks.on_keep),
            Append: _of_machine(disks.on_append),
            BlockWant: disks.on_want,
            Pong: self._on_pong,
            Hello: self._on_hello,
        }
        directory.on_change = self.machines.on_change
        images.on_drop = self._on_image_drop

    async def start(self) -> None:
        """Bring up the workers and look at the catalogue; an origin that is away is no obstacle.

        :raises OperatorError: no worker came up.
        """
        await self.workers.start()
        self.tasks.keep("catalogue", lambda: self.directory.watch(self.config.refresh))
        self.tasks.keep("tick", self._tick)
        self.tasks.keep("logs", self.disks.logs.ship)

    def health(self) -> list[str]:
        """What is not well, a line each; empty when all is."""
        expired = ["catalogue: past its date, new images are refused"] if self.directory.expired else []
        owners = (self, self.directory, self.images, self.disks, self.disks.logs, self.upstreams)
        return [*self.workers.health(), *(line for owner in owners for line in owner.tasks.health()), *expired]

    # Requests, from `http`.

    def submit(self, stream: Stream) -> None:
        """Give a request to its service's machine, or queue it until there is one. `stream.answer` is what to await.

        :raises Unavailable: the service is backing off, or too many wait for it, or too much for its tenant.
        :raises OverBudget: no machine of the service can be here.
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
        self.machines.waiting.add(stream)

    def abandon(self, stream: Stream, error: Exception | None = None) -> None:
        """Nobody wants the rest: the client left or is at fault, or what came of it is not fit to pass on.

        :param error: what the one who still waits for the answer gets.
        """
        machine = stream.machine
        if stream.state == "waiting":
            self.machines.waiting.remove(stream)
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

    def on_frames(self, worker: Worker, batch: Sequence[RawFrame]) -> None:
        """Frames from a worker; those for what is gone are dropped.

        :raises ValueError: what a worker cannot say.
        """
        handlers = self._handlers
        for frame in batch:
            try:
                message = from_worker(frame)
                handlers[type(message)](worker, message)
            except ValueError:
                worker.frame = machine_of(frame)
                raise

    def _on_answer(self, worker: Worker, message: Answer) -> None:
        machine = worker.machines.get(message.machine)
        stream = machine.streams.get(message.stream) if machine is not None else None
        if machine is not None and stream is not None:
            stream.on_answer(message, self._loop.time())
            if message.end:
                self.machines.detach(machine, stream)

    def _on_body(self, worker: Worker, message: Body) -> None:
        machine = worker.machines.get(message.machine)
        if machine is None:
            return
        if message.stream & abi.EXCHANGE_BIT:
            self.upstreams.on_message(machine, message)
        elif (stream := machine.streams.get(message.stream)) is not None:
            stream.on_body(message)
            if message.end:
                self.machines.detach(machine, stream)

    def _on_credit(self, worker: Worker, message: Credit) -> None:
        machine = worker.machines.get(message.machine)
        if machine is None:
            return
        if message.stream & abi.EXCHANGE_BIT:
            self.upstreams.on_message(machine, message)
        elif (stream := machine.streams.get(message.stream)) is not None:
            stream.on_credit(message, self._loop.time())

    def _on_abort(self, worker: Worker, message: Reset) -> None:
        machine = worker.machines.get(message.machine)
        if machine is None:
            return
        if message.stream & abi.EXCHANGE_BIT:
            self.upstreams.on_abort(machine, message)
        elif (stream := machine.streams.get(message.stream)) is not None:
            stream.on_abort()
            self.machines.detach(machine, stream)

    def _on_hello(self, worker: Worker, message: Hello) -> None:
        raise ValueError("HELLO: one for each worker expected")

    def _on_pong(self, worker: Worker, message: Pong) -> None:
        """What a worker says of its machines once a second."""
        worker.on_pong(message)
        for number, machine in worker.machines.items():
            machine.throttled = number in message.throttled
        for number in message.grown:
            if number in worker.machines:
                self.machines.replace_worn(worker.machines[number], "growth_bytes")
        for machine in self.residents.measure(worker, message.resident):
            self.machines.outgrown(machine)
        self.residents.relieve()

    def _on_log(self, machine: Machine, message: Log) -> None:
        service, payload = machine.service, message.text
        allowed = LOG_LINES_A_TICK - machine.log_lines
        if allowed > 0:
            allowed = self._log_lines.take(service.tenant, min(allowed, payload.count(b"\n") + 1))
        lines, count = first_lines(payload, allowed)
        machine.log_lines += len(lines)
        self.counters.log_lines_dropped += count - len(lines)
        texts = [line.decode("utf-8", "replace") for line in lines]
        with log.gathered():
            for text in texts:
                _guest_logger.info(log.line("guest_log", service=service.name, text=text), extra={"text": text})
        kept = [text.encode() for text in texts]
        self.disks.logs.append_all(service.name, "", kept, LOG_BYTES_WAITING, service.tenant)

    def on_defect(self, worker: Worker, error: Exception) -> None:
        """A frame of a worker met a mistake of ours: counted, and blamed on nobody."""
        self.tasks.note("worker_frames", error)

    def on_lost(self, worker: Worker) -> None:
        """A worker ended unasked."""
        self.losses.on_lost(worker)

    async def _tick(self) -> None:
        """Once a second: give up on what makes no progress, and see that busy workers are alive."""
        while True:
            await asyncio.sleep(TICK_S)
            self.records.save()
            for worker in self.workers:
                try:
                    self._look_after(worker)
                except Exception as error:  # one machine or worker must not cost the others their turn
                    self.tasks.note("tick", error)
            self.machines.pools.shrink()
            self.workers.let_go()
            self.losses.tick()
            overdue = self._loop.time() - self.config.request_timeout
            for service in self.machines.waiting:  # not all services: most are parked, and cost nothing here
                while service.queue and service.queue[0].since < overdue:
                    late = Unavailable(f"waited {self.config.request_timeout} s")
                    self.machines.waiting.next(service).fail(late)
            self.machines.waiting.sweep()

    def _look_after(self, worker: Worker) -> None:
        now = self._loop.time()
        overdue = now - self.config.request_timeout
        busy = False
        for machine in list(worker.machines.values()):
            machine.log_lines = 0
            busy |= machine.used > now - TICK_S or bool(machine.streams) or self.residents.parking(machine)
            for stream in [s for s in machine.streams.values() if s.since < overdue]:
                self.residents.reset(machine, stream)
                self._give_up(machine, stream)
            if worker.place.kind == "quarantine" and now - machine.used > QUARANTINE_RETRY_S and not machine.exchanges:
                self.residents.park(machine.service)  # others wait for such a worker
        if busy or worker.was_busy:  # once more after the last work: its statistics are then complete
            worker.ping(self.config.wedged)
        worker.was_busy = busy

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
        self.workers.leave()
        parks = self.counters.parks
        await self.residents.park_all(PARK_S)
        self.losses.tell(machine for worker in self.workers for machine in worker.machines.values())
        kept = await self.records.flush()
        await self.tasks.close()
        await self.workers.stop()
        await self.upstreams.close()
        await self.disks.close()
        self.images.close()
        self.directory.close()
        _logger.info(log.line("drained", parked=self.counters.parks - parks, records=kept))


def _of_machine(handle: Callable[[Machine, Any], None]) -> Callable[[Worker, Any], None]:
    """A handler of messages that name a machine; those for one that is gone are dropped."""

    def handle_if_here(worker: Worker, message: Any) -> None:
        machine = worker.machines.get(message.machine)
        if machine is not None:
            handle(machine, message)

    return handle_if_here
