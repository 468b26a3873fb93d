"""The edge's one trusted party: it knows every service, machine, record and worker, and does what `flow` decides.

A request for a resident machine goes `submit`, `_dispatch`, `on_frames`: one frame each way, nothing awaited. What is
slower is one task per service that is being opened. No HTTP here: `http` makes streams and reads their answers.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from edge import flow, log
from edge.config import EdgeConfig
from edge.counters import Counters
from edge.directory import Directory
from edge.flow import BackingOff, GuestSilent, WorkerLost
from edge.images import Image, Images, Trip
from edge.records import Records
from edge.services import Machine, Service, Stream
from edge.tiers import Tier
from edge.vmm import frames
from edge.vmm.frames import Frame
from edge.workers import COMMAND, Worker, json_object, wake
from vmimage import abi
from vmimage.errors import GuestError, NunatakError, OperatorError, Unavailable
from vmimage.manifest import canonical_json
from vmimage.trust import ServiceRecord

# What a resident machine costs beside its own pages: an engine with an 8 MiB translation buffer that is hardly touched
# (2 MB measured on unicorn 2.1.4), page tables, and rings.
SHELL_BYTES: Final = 5 << 19
TICK_S: Final = 1.0
REPORTS_KEPT: Final = 100
LOG_LINES_A_TICK: Final = 100  # of one machine; the rest is counted and dropped
WORKER_WAIT_S: Final = 5.0  # a request waits so long for a worker to come back
SETTLE_S: Final = 0.25  # after a RESET a machine may have it in its queue still, and a worker parks only idle ones

_CREDIT: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<I")
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
        worker_command: Sequence[str] = COMMAND,
    ) -> None:
        self.config, self.counters = config, counters
        self.directory, self.images, self.records = directory, images, records
        self.workers: dict[int, Worker] = {}  # by index; those that take work
        self.residents: Tier[int, Machine] = Tier(config.resident_bytes)
        self.reports: deque[dict[str, Any]] = deque(maxlen=REPORTS_KEPT)
        self.draining = False
        self._loop = asyncio.get_running_loop()
        self._worker_command = worker_command
        self._next_machine = 0
        self._room_waiters: deque[asyncio.Future[None]] = deque()
        self._worker_waiters: deque[asyncio.Future[None]] = deque()
        self._parkings: dict[int, asyncio.Future[None]] = {}  # by machine
        self._tasks: set[asyncio.Task[Any]] = set()
        directory.on_change = self._on_change
        images.on_drop = self._on_image_drop

    async def start(self) -> None:
        """Bring up the workers and look at the catalogue; an origin that is away is no obstacle.

        :raises OperatorError: no worker came up.
        """
        workers = [Worker(index, self, self._worker_command) for index in range(self.config.worker_count)]
        results = await asyncio.gather(*(worker.start() for worker in workers), return_exceptions=True)
        for worker, result in zip(workers, results, strict=True):
            if result is None:
                self.workers[worker.index] = worker
        if not self.workers:
            raise OperatorError(f"workers: none came up: {results[0]}")
        self._spawn(self.directory.watch(self.config.refresh))
        self._spawn(self._tick())

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
        service.queue.append(stream)

    def _want(self, service: Service) -> None:
        """Start opening a machine if that is what the service needs."""
        if service.state == "backoff":
            if (pause_s := service.pause_until - self._loop.time()) > 0:
                raise BackingOff(pause_s)
            service.step("pause_over")
        if service.state in ("cold", "parked"):
            service.step("request")
            service.opening = self._spawn(self._open(service))

    def _dispatch(self, machine: Machine, stream: Stream) -> None:
        stream.state = flow.REQUEST_FLOW[stream.state]["dispatch"]
        number = machine.add(stream)
        self.residents.touch(machine.number)
        machine.worker.send(
            frames.pack(frames.HEAD, frames.FLAG_END if stream.whole else 0, machine.number, number, stream.payload)
        )

    async def send_body(self, stream: Stream, data: bytes, *, end: bool) -> None:
        """Pass on some of a request's body, as fast as the guest takes it; a no-op once the answer is complete."""
        position = 0
        while stream.state in ("waiting", "asked", "answering") and (position < len(data) or end):
            if stream.state == "waiting" or (stream.credit <= 0 and position < len(data)):
                stream.credit_waiter = self._loop.create_future()
                await stream.credit_waiter
                continue
            machine = stream.machine
            assert machine is not None
            piece = data[position : position + min(stream.credit, abi.RECORD_PAYLOAD_MAX)]
            position += len(piece)
            stream.credit -= len(piece)
            stream.since = self._loop.time()
            last = end and position == len(data)
            machine.worker.send(
                frames.pack(frames.BODY, frames.FLAG_END if last else 0, machine.number, stream.number, piece)
            )
            if last:
                return

    async def next_part(self, stream: Stream) -> bytes | None:
        """The next bytes of an answer's body; None after the last.

        :raises NunatakError: there will be no more, though it was not the last.
        """
        while not stream.parts:
            if stream.ended:
                return None
            if stream.state == "cut":
                raise GuestError("the answer broke off")
            stream.part_waiter = self._loop.create_future()
            await stream.part_waiter
        return stream.parts.popleft()

    def took(self, stream: Stream, size: int) -> None:
        """The client has so many bytes of the body; the guest may send as many more, told in halves of a window."""
        stream.since = self._loop.time()
        stream.to_credit += size
        if stream.to_credit >= abi.STREAM_WINDOW // 2 and stream.machine is not None and not stream.ended:
            stream.under_way -= stream.to_credit
            machine = stream.machine
            machine.worker.send(
                frames.pack(frames.CREDIT, 0, machine.number, stream.number, _CREDIT.pack(stream.to_credit))
            )
            stream.to_credit = 0

    def abandon(self, stream: Stream) -> None:
        """Nobody wants the rest of the answer: the client left, or what came of it is not fit to pass on."""
        if stream.state == "waiting":
            stream.service.queue.remove(stream)
            stream.step("client_gone")
        elif stream.state in ("asked", "answering") and not stream.ended:
            stream.step("client_gone")
            machine = stream.machine
            assert machine is not None
            machine.worker.send(frames.pack(frames.RESET, 0, machine.number, stream.number))
            machine.reset_at = self._loop.time()
            self._detach(machine, stream)

    # Machines.

    async def _open(self, service: Service) -> None:
        """Bring up a machine for the requests in the service's queue."""
        image: Image | None = None
        first, collapsed = True, len(service.queue)
        try:
            while True:
                release = service.release
                image, trip = await self.images.load(release.manifest_digest, release.manifest_size)
                image.pins += 1
                held = await self.records.get(service.key)
                worker = await self._worker()
                cost = SHELL_BYTES + image.manifest.page_count * abi.PAGE_SIZE
                await self._make_room(cost)
                with suppress(WorkerLost):
                    await worker.give(image)
                if worker.alive and service.release.manifest_digest == release.manifest_digest:
                    break
                image.pins -= 1
                image = None
        except NunatakError as error:
            if image is not None:
                image.pins -= 1
            service.step("failed")
            self._fail_queue(service, error)
            return
        finally:
            service.opening = None
        record, tier = held if held is not None else (b"", _image_tier(trip))
        machine = self._open_in(worker, service, image, record, cost)
        service.machine = machine
        service.step("opened")
        for stream in service.queue:
            stream.tier, stream.trip = tier, trip
            stream.collapsed = tier == "origin" and not first
            first = False
        if tier == "origin":
            self.counters.collapsed += max(0, collapsed - 1)
        self._pump(machine)

    def _open_in(self, worker: Worker, service: Service, image: Image, record: bytes, cost: int) -> Machine:
        """Send OPEN; frames for the machine may follow at once. The image stays pinned until the machine is gone."""
        self._next_machine += 1
        machine = Machine(self._next_machine, service, image, worker, self._loop.time())
        worker.machines[machine.number] = machine
        self.residents.put(machine.number, machine, cost)
        limits = image.manifest.limits
        about = canonical_json(
            {
                "image": image.number,
                "cpu_ms": limits.cpu_ms,
                "output_bytes": limits.output_bytes,
                "streams": limits.streams,
            }
        )
        worker.send(frames.pack(frames.OPEN, 0, machine.number, 0, b"".join((_LENGTH.pack(len(about)), about, record))))
        self.counters.opens += 1
        return machine

    def _pump(self, machine: Machine) -> None:
        queue = machine.service.queue
        while queue and len(machine.streams) < machine.limit:
            stream = queue.popleft()
            self._dispatch(machine, stream)
            wake(stream.credit_waiter)

    def _fail_queue(self, service: Service, error: BaseException) -> None:
        while service.queue:
            self._fail(service.queue.popleft(), error)

    def _fail(self, stream: Stream, error: BaseException) -> None:
        """The end of a request that gets no (further) answer from a guest."""
        stream.step("fail")
        if not stream.answer.done():
            stream.answer.set_exception(error)
        elif stream.abort is not None:
            stream.abort()
        wake(stream.part_waiter)
        wake(stream.credit_waiter)

    def _detach(self, machine: Machine, stream: Stream) -> None:
        """A stream of a machine is over."""
        machine.streams.pop(stream.number, None)
        wake(stream.credit_waiter)
        service = machine.service
        if service.queue and service.machine is machine and service.state == "resident":
            self._pump(machine)
        if not machine.streams:
            if machine.retiring:
                self._close(machine)
            elif self._room_waiters:
                wake(self._room_waiters.popleft())

    def _close(self, machine: Machine) -> None:
        machine.worker.send(frames.pack(frames.CLOSE, 0, machine.number, 0))
        self._forget(machine)

    def _forget(self, machine: Machine) -> None:
        """A machine is no longer in its worker."""
        if machine.worker.machines.pop(machine.number, None) is None:
            return
        self.residents.pop(machine.number)
        machine.image.pins -= 1
        if machine.image.pins == 0:
            self.images.trim()
        wake(self._parkings.pop(machine.number, None))
        if self._room_waiters:
            wake(self._room_waiters.popleft())

    def park(self, service: Service) -> "asyncio.Future[None] | None":
        """Ask for an idle machine's record; None if there is no such machine. The future is done when it is here."""
        machine = service.machine
        if service.state != "resident" or machine is None or not self._may_park(machine):
            return None
        service.step("park")
        self.residents.pop(machine.number)  # a worker takes frames in order: its memory is free before the next OPEN
        machine.worker.send(frames.pack(frames.PARK, 0, machine.number, 0))
        parked = self._parkings[machine.number] = self._loop.create_future()
        return parked

    def _may_park(self, machine: Machine) -> bool:
        return not machine.streams and not machine.retiring and machine.reset_at + SETTLE_S < self._loop.time()

    async def _make_room(self, coming_bytes: int) -> None:
        """Park the coldest idle machines until so many bytes fit; wait while all are busy."""
        while self.residents.over(coming_bytes) and len(self.residents):
            number = self.residents.coldest(self._may_park)
            if number is not None and (machine := self.residents.get(number)) is not None:
                self.park(machine.service)
                continue
            waiter = self._loop.create_future()
            self._room_waiters.append(waiter)
            await asyncio.wait([waiter], timeout=SETTLE_S)
            if waiter in self._room_waiters:
                self._room_waiters.remove(waiter)

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
            if not machine.streams and machine.number not in self._parkings:
                self._close(machine)
        if service.queue and service.state == "cold":  # what waited for a PARKED
            if release is None:
                self._fail_queue(service, Unavailable(f"{service.name}: withdrawn"))
            else:
                self._loop.call_soon(self._want_queued, service)

    def _want_queued(self, service: Service) -> None:
        """Bring up a machine for requests that are queued already, or refuse them."""
        if not service.queue:
            return
        try:
            self._want(service)
        except Unavailable as error:
            self._fail_queue(service, error)

    def _on_image_drop(self, image: Image) -> None:
        for worker in self.workers.values():
            worker.drop(image)

    # Workers.

    async def _worker(self) -> Worker:
        """The worker with the fewest machines.

        :raises Unavailable: there is none, and none came back in time.
        """
        while not self.workers:
            waiter = self._loop.create_future()
            self._worker_waiters.append(waiter)
            done, _ = await asyncio.wait([waiter], timeout=WORKER_WAIT_S)
            if not done:
                raise Unavailable("no worker")
        return min(self.workers.values(), key=lambda worker: len(worker.machines))

    def on_frames(self, worker: Worker, batch: Sequence[Frame]) -> None:
        """Frames from a worker; those for what is gone are dropped.

        :raises ValueError: what a worker cannot say.
        """
        machines = worker.machines
        for frame in batch:
            type_, flags, number, stream_number, payload = frame
            if type_ == frames.PONG:
                worker.on_pong(payload)
                continue
            machine = machines.get(number)
            if machine is None:
                continue
            if type_ == frames.HEAD or type_ == frames.BODY or type_ == frames.CREDIT or type_ == frames.RESET:
                stream = machine.streams.get(stream_number)
                if stream is not None:
                    self._on_stream_frame(machine, stream, frame)
            elif type_ == frames.PARKED:
                self._on_parked(machine, payload)
            elif type_ == frames.DIED:
                self._on_died(machine, json_object(payload))
            elif type_ == frames.LOG:
                self._on_log(machine, payload)
            else:
                raise ValueError(f"a frame type from a worker expected, got {type_} with flags {flags:#x}")

    def _on_stream_frame(self, machine: Machine, stream: Stream, frame: Frame) -> None:
        type_, payload = frame.type, frame.payload
        end = frame.flags & frames.FLAG_END
        if type_ == frames.HEAD:
            stream.state = flow.step(flow.REQUEST_FLOW, stream.state, "end" if end else "head")
            if end:
                stream.ended = True
                self._detach(machine, stream)
            else:
                stream.parts = deque()
                stream.since = self._loop.time()
            stream.answer.set_result(frame)
        elif type_ == frames.BODY:
            if stream.parts is None:
                raise ValueError("BODY before HEAD")
            stream.under_way += len(payload)
            if stream.under_way > abi.STREAM_WINDOW:
                raise ValueError(f"{stream.under_way} bytes under way, at most {abi.STREAM_WINDOW} expected")
            if payload:
                stream.parts.append(payload)
            if end:
                stream.ended = True
                stream.step("end")
                self._detach(machine, stream)
            wake(stream.part_waiter)
        elif type_ == frames.CREDIT:
            stream.credit += _unpack_credit(payload)
            stream.since = self._loop.time()
            wake(stream.credit_waiter)
        else:
            self._fail(stream, GuestError("the guest aborted the request"))
            self._detach(machine, stream)

    def _on_parked(self, machine: Machine, record: bytes) -> None:
        if machine.number not in self._parkings:
            raise ValueError("PARKED without PARK")
        service = machine.service
        self._forget(machine)
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
        self._forget(machine)
        self.counters.add(self.counters.crashes, error.counter)
        service.crashes += 1
        if service.machine is machine:
            service.machine = None
            service.crashes_in_row, pause_s = flow.after_crash(service.crashes_in_row, now - machine.opened)
            service.pause_until = now + pause_s
            service.step("crashed")
            self.records.forget(service.key)  # the cause may be in it; the next machine starts from the image
        _logger.warning(
            log.line("machine_died", service=service.name, machine=machine.number, error=error.counter, message=error)
        )
        self.reports.append(
            {
                "time": time.time(),
                "service": service.name,
                "image": machine.image.manifest.digest,
                "error": type(error).__name__,
                "message": str(error),
                "report": about.get("report"),
            }
        )
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
                self.counters.replays += 1
            else:
                self._fail(stream, error)
        self._want_queued(service)

    def _on_log(self, machine: Machine, payload: bytes) -> None:
        for text in payload.decode("utf-8", "replace").splitlines():
            machine.log_lines += 1
            if machine.log_lines <= LOG_LINES_A_TICK:
                _guest_logger.info(log.line("guest_log", service=machine.service.name, text=text))

    def on_lost(self, worker: Worker) -> None:
        """A worker ended unasked: its requests are replayed or end, its services go back to their records."""
        self.workers.pop(worker.index, None)
        self.counters.workers_lost += 1
        _logger.error(log.line("worker_lost", worker=worker.index, pid=worker.pid, machines=len(worker.machines)))
        for machine in list(worker.machines.values()):
            self._forget(machine)
            service = machine.service
            if service.machine is machine:
                service.machine = None
                service.step("worker_lost")
            error = WorkerLost(f"worker {worker.index} ended")
            self._end_streams(machine, error, seen=lambda _: True, guest_fault=False)
        if not self.draining:
            self._spawn(self._restart(worker))

    async def _restart(self, lost: Worker) -> None:
        await lost.reap()
        crashes, pause_s = flow.after_crash(0, self._loop.time() - lost.started)
        while not self.draining:
            await asyncio.sleep(pause_s)
            worker = Worker(lost.index, self, self._worker_command)
            try:
                await worker.start()
            except OperatorError as error:
                _logger.error(log.line("worker_not_started", worker=lost.index, error=error))
                crashes, pause_s = flow.after_crash(crashes, 0.0)
                continue
            self.workers[worker.index] = worker
            while self._worker_waiters:
                wake(self._worker_waiters.popleft())
            return

    async def _tick(self) -> None:
        """Once a second: give up on what makes no progress, and see that busy workers are alive."""
        while True:
            await asyncio.sleep(TICK_S)
            overdue = self._loop.time() - self.config.request_timeout
            for worker in list(self.workers.values()):
                busy = False
                for machine in list(worker.machines.values()):
                    machine.log_lines = 0
                    busy |= bool(machine.streams)
                    for stream in [s for s in machine.streams.values() if s.since < overdue]:
                        machine.worker.send(frames.pack(frames.RESET, 0, machine.number, stream.number))
                        machine.reset_at = self._loop.time()
                        self._fail(stream, GuestSilent(f"no progress in {self.config.request_timeout} s"))
                        self._detach(machine, stream)
                if busy or (worker.machines and self._parkings):
                    worker.ping(self.config.wedged)
            for service in list(self.directory.by_name.values()):
                while service.queue and service.queue[0].since < overdue:
                    self._fail(service.queue.popleft(), Unavailable(f"waited {self.config.request_timeout} s"))

    # The end.

    async def drain(self) -> None:
        """Park every machine, write every record, stop the workers. Requests in flight have ended before."""
        self.draining = True
        parkings = [self.park(machine.service) for machine in list(self.residents.values())]
        if waiting := [parked for parked in parkings if parked is not None]:
            await asyncio.wait(waiting, timeout=self.config.drain or 1.0)
        kept = await self.records.flush()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()), return_exceptions=True)
        self.images.close()
        self.directory.close()
        _logger.info(log.line("drained", parked=len(waiting), records=kept))

    # What it looks like from outside.

    def gauges(self) -> dict[str, float]:
        """Values for `counters.GAUGES`."""
        machines = [machine for worker in self.workers.values() for machine in worker.machines.values()]
        queued = sum(len(service.queue) for service in self.directory.by_name.values())
        return {
            "resident_machines": len(machines),
            "resident_bytes": self.residents.used_bytes,
            "parked_machines": len(self.records.memory),
            "parked_bytes": self.records.memory.used_bytes,
            "parked_disk_machines": len(self.records.on_disk),
            "images": len(self.images.held),
            "image_bytes": self.images.held.used_bytes,
            "services": len(self.directory.by_name),
            "streams": queued + sum(len(machine.streams) for machine in machines),
            "workers": len(self.workers),
            "catalogue_expired": float(self.directory.expired),
        }

    def describe(self, service: Service) -> dict[str, Any]:
        """One line of `/-/services`."""
        tier: str | None = "resident" if service.machine is not None else self.records.tier_of(service.key)
        if tier is None:
            tier = "blob" if service.release.manifest_digest in self.images.held else "cold"
        return {
            "service": service.name,
            "hosts": list(service.release.hosts),
            "image": service.release.manifest_digest,
            "version": service.release.version,
            "state": service.state,
            "tier": tier,
            "worker": service.machine.worker.index if service.machine else None,
            "parked_bytes": self.records.memory.size_of(service.key),
            "resident_bytes": self.residents.size_of(service.machine.number) if service.machine else 0,
            "requests": service.requests,
            "waiting": len(service.queue),
            "crashes": service.crashes,
        }


def _image_tier(trip: Trip | None) -> flow.Tier:
    return "origin" if trip is not None and trip.from_origin else "blob"


def _unpack_credit(payload: bytes) -> int:
    if len(payload) != _CREDIT.size:
        raise ValueError(f"CREDIT of {_CREDIT.size} bytes expected, got {len(payload)}")
    return int(_CREDIT.unpack(payload)[0])
