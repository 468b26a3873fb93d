"""The edge's one trusted party: it knows every service, machine, record and worker, and does what `flow` decides.

A request for a resident machine goes `submit`, `_dispatch`, `on_frames`: one frame each way, nothing awaited. What is
slower is one task per service that is being opened. No HTTP here: `http` makes streams and reads their answers.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from edge import flow, log
from edge.config import EdgeConfig
from edge.counters import Counters
from edge.directory import Directory
from edge.disks import Disks
from edge.fleet import Fleet
from edge.flow import BackingOff, WorkerLost
from edge.images import Image, Images, Trip
from edge.records import Records
from edge.reports import Reports
from edge.residents import Residents
from edge.services import Machine, Service
from edge.streams import Stream
from edge.upstreams import Upstreams
from edge.vmm import frames
from edge.vmm.frames import Frame
from edge.workers import COMMAND, Worker, json_object
from vmimage import abi
from vmimage.errors import GuestError, NunatakError, Unavailable, UnknownService
from vmimage.trust import ServiceRecord

TICK_S: Final = 1.0
LOG_LINES_A_TICK: Final = 100  # of one machine; the rest is counted and dropped

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
        self.workers = Fleet(config.worker_count, self, worker_command)
        self.upstreams = Upstreams(config.upstream_policy, config.origin_timeout, config.request_timeout, counters)
        self.residents = Residents(config.resident_bytes, images, self.upstreams, disks, counters)
        self.reports = Reports(images)
        self.waiting: set[Service] = set()  # services with requests queued, a tick ago or since
        self.draining = False
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        directory.on_change = self._on_change
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
        if service.state == "resident" and machine is not None and len(machine.streams) < machine.limit:
            self._dispatch(machine, stream)
            return
        if len(service.queue) >= self.config.max_queue:
            raise Unavailable(f"{service.name}: {self.config.max_queue} requests wait")
        self._want(service)
        self._queue(service, stream)

    def _queue(self, service: Service, stream: Stream) -> None:
        service.queue.append(stream)
        self.waiting.add(service)

    def _want(self, service: Service) -> None:
        """Start opening a machine if that is what the service needs."""
        if service.state == "backoff":
            if (pause_s := service.pause_until - self._loop.time()) > 0:
                raise BackingOff(pause_s)
            service.step("pause_over")
        if service.state in ("cold", "parked"):
            service.step("request")
            self._spawn(self._open(service))

    def _dispatch(self, machine: Machine, stream: Stream) -> None:
        stream.state = flow.REQUEST_FLOW[stream.state]["dispatch"]
        number = machine.add(stream)
        self.residents.touch(machine.number)
        machine.worker.send(
            frames.pack(frames.HEAD, frames.FLAG_END if stream.whole else 0, machine.number, number, stream.payload)
        )

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
            self._detach(machine, stream)

    # Machines.

    async def _open(self, service: Service) -> None:
        """Bring up a machine for the requests in the service's queue."""
        try:
            while not await self._try_open(service):
                pass
        except Exception as error:
            if not isinstance(error, NunatakError):
                _logger.exception(log.line("open_failed", service=service.name))
            service.step("failed")
            self._fail_queue(service, error)

    async def _try_open(self, service: Service) -> bool:
        """False when the worker ended, or the service became another version, meanwhile."""
        release = service.release
        if service.withdrawn:
            raise UnknownService(f"{service.name}: withdrawn")
        image, trip = await self.images.load(release.manifest_digest, release.manifest_size)
        image.pins += 1
        try:
            attached = await self.disks.prepare(service, image.manifest.disks)
            held = await self.records.get(service.key)
            worker = await self.workers.pick()
            await self.residents.make_room(image)
            with suppress(WorkerLost):
                await worker.give(image)
            same = not service.withdrawn and service.release.manifest_digest == release.manifest_digest
            if not (worker.alive and same and self.disks.current(attached)):
                return False
            record = self.disks.match(attached, held[0]) if held is not None else None
            tier = held[1] if held is not None and record is not None else _image_tier(trip)
            service.machine = self.residents.open(worker, service, image, record or b"", attached)
        finally:
            image.pins -= 1
        service.step("opened")
        for place, stream in enumerate(service.queue):
            stream.tier, stream.trip = tier, trip
            stream.collapsed = tier == "origin" and place > 0
            self.counters.collapsed += stream.collapsed
        self._pump(service.machine)
        return True

    def _pump(self, machine: Machine) -> None:
        queue = machine.service.queue
        while queue and len(machine.streams) < machine.limit:
            stream = queue.popleft()
            self._dispatch(machine, stream)
            stream.wake()

    def _fail_queue(self, service: Service, error: BaseException) -> None:
        while service.queue:
            service.queue.popleft().fail(error)

    def _detach(self, machine: Machine, stream: Stream) -> None:
        """A stream of a machine is over."""
        machine.streams.pop(stream.number, None)
        stream.wake()
        service = machine.service
        if service.queue and service.machine is machine and service.state == "resident":
            self._pump(machine)
        if not machine.streams:
            if machine.retiring:
                self.residents.close(machine)
            else:
                self.residents.idle()

    def _on_change(self, service: Service, release: ServiceRecord | None) -> None:
        """The catalogue names another version, or none: the old machine finishes what it has, its record goes."""
        _logger.info(
            log.line(
                "service_changed",
                service=service.name,
                old=service.release.manifest_digest,
                new=release.manifest_digest if release else "none",
            )
        )
        self.records.forget(service.key)
        machine, service.machine = service.machine, None
        service.crashes_in_row, service.pause_until = 0, 0.0
        service.step("replaced")
        if machine is not None:
            self.counters.replaced += 1
            machine.retiring = True
            if not machine.streams and not self.residents.parking(machine):
                self.residents.close(machine)
        service.withdrawn = release is None
        if service.withdrawn:
            self.disks.overlays.forget(service.name)
        if service.state == "cold":
            self._loop.call_soon(self._want_queued, service)  # those that waited for a PARKED

    def _want_queued(self, service: Service) -> None:
        """Bring up a machine for requests that are queued already, hand them over, or refuse them."""
        if not service.queue:
            return
        if service.state == "resident" and service.machine is not None:
            self._pump(service.machine)
            return
        try:
            self._want(service)
        except Unavailable as error:
            self._fail_queue(service, error)

    def _on_image_drop(self, image: Image) -> None:
        for worker in self.workers:
            worker.drop(image, for_good=True)

    # Workers.

    def on_frames(self, worker: Worker, batch: Sequence[Frame]) -> None:
        """Frames from a worker; those for what is gone are dropped.

        :raises ValueError: what a worker cannot say.
        """
        machines, now = worker.machines, self._loop.time()
        for frame in batch:
            type_, flags, number, stream_number, payload = frame
            if type_ == frames.PONG:
                worker.on_pong(payload)
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
                    self._detach(machine, stream)
            elif type_ == frames.PARKED:
                self._on_parked(machine, payload)
            elif type_ == frames.DIED:
                self._on_died(machine, json_object(payload))
            elif type_ == frames.LOG:
                self._on_log(machine, payload)
            else:
                raise ValueError(f"a frame type from a worker expected, got {type_} with flags {flags:#x}")

    def _on_parked(self, machine: Machine, record: bytes) -> None:
        if not self.residents.parking(machine):
            raise ValueError("PARKED without PARK")
        service, record = machine.service, self.disks.stamp(machine, record)
        self.residents.forget(machine)
        if machine.retiring:
            return
        self.counters.parks += 1
        service.machine = None
        service.step("parked")
        self.records.put(service.key, record)
        self._want_queued(service)

    def _on_died(self, machine: Machine, about: dict[str, Any]) -> None:
        service, now = machine.service, self._loop.time()
        error = flow.died_error(str(about.get("error")), str(about.get("message")))
        unseen = set(about.get("retry") or ())
        self.residents.forget(machine)
        self.counters.add(self.counters.crashes, error.counter)
        service.crashes += 1
        if service.machine is machine:
            service.machine = None
            service.crashes_in_row, pause_s = flow.after_crash(service.crashes_in_row, now - machine.opened)
            service.pause_until = now + pause_s
            service.step("crashed")
            self.records.forget(service.key)  # the cause may be in it; the next machine starts from the image
        self.reports.add(service.name, machine.image, error, about.get("report"))
        guest_fault = isinstance(error, GuestError)
        self._end_streams(
            machine, error, seen=lambda number: guest_fault and number not in unseen, guest_fault=guest_fault
        )

    def _end_streams(self, machine: Machine, error: NunatakError, *, seen: Any, guest_fault: bool) -> None:
        """All requests of a machine that is gone: again on a fresh one where that is right, else their end."""
        streams, machine.streams = machine.streams, {}
        service = machine.service
        for number, stream in sorted(streams.items(), reverse=True):
            if flow.may_replay(
                state=stream.state,
                method=stream.method,
                whole=stream.whole,
                replayed=stream.replayed,
                seen=seen(number),
                guest_fault=guest_fault,
            ):
                stream.step("replay")
                stream.replayed, stream.machine = True, None
                service.queue.appendleft(stream)
                self.waiting.add(service)
                self.counters.replays += 1
            else:
                stream.fail(error)
        self._want_queued(service)

    def _on_log(self, machine: Machine, payload: bytes) -> None:
        for text in payload.decode("utf-8", "replace").splitlines():
            machine.log_lines += 1
            if machine.log_lines <= LOG_LINES_A_TICK:
                _guest_logger.info(log.line("guest_log", service=machine.service.name, text=text), extra={"text": text})
                self.disks.logs.append(machine.service.name, "", text.encode(), LOG_BYTES_WAITING)

    def on_lost(self, worker: Worker) -> None:
        """A worker ended unasked: its requests are replayed or end, its services go back to their records."""
        self.counters.workers_lost += 1
        self.counters.worker_faults += bool(worker.fault)
        _logger.error(log.line("worker_lost", worker=worker.index, pid=worker.pid, machines=len(worker.machines)))
        for machine in list(worker.machines.values()):
            self.residents.forget(machine)
            service = machine.service
            if service.machine is machine:
                service.machine = None
                service.step("worker_lost")
            error = WorkerLost(f"worker {worker.index} ended")
            self._end_streams(machine, error, seen=lambda _: True, guest_fault=False)
        if not self.draining:
            self.workers.lost(worker)

    async def _tick(self) -> None:
        """Once a second: give up on what makes no progress, and see that busy workers are alive."""
        while True:
            await asyncio.sleep(TICK_S)
            self.records.save()
            overdue = self._loop.time() - self.config.request_timeout
            for worker in self.workers:
                busy = False
                for machine in list(worker.machines.values()):
                    machine.log_lines = 0
                    busy |= bool(machine.streams) or self.residents.parking(machine)
                    for stream in [s for s in machine.streams.values() if s.since < overdue]:
                        self.residents.reset(machine, stream)
                        stream.fail(flow.silence(stream.whole or stream.body_sent, self.config.request_timeout))
                        self._detach(machine, stream)
                if busy:
                    worker.ping(self.config.wedged)
            for service in list(self.waiting):  # not all services: most are parked, and cost nothing here
                while service.queue and service.queue[0].since < overdue:
                    service.queue.popleft().fail(Unavailable(f"waited {self.config.request_timeout} s"))
                if not service.queue:
                    self.waiting.discard(service)

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


def _image_tier(trip: Trip | None) -> flow.Tier:
    return "origin" if trip is not None and trip.from_origin else "blob"
