"""Does what `life` decides: carries its commands out with asyncio, and brings machines up, step by step.

Each command is carried out by itself: one that fails is a defect of ours, counted, and costs the others nothing. Facts
that a decision needs and that take time to get, an image, disks, a record, a worker, are fetched here and told.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, assert_never

from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.content.ages import began_us, lived_s
from edge.content.image import Image
from edge.content.images import Images
from edge.content.records import Kept, Records
from edge.devices.disks import Attached, Disks
from edge.devices.upstreams import Upstreams
from edge.model.flow import WorkerLost
from edge.model.services import Machine, Service
from edge.model.streams import wake
from edge.supervisor import commands as do
from edge.supervisor.budget import Room, cost_of
from edge.supervisor.fallback import Fallback
from edge.supervisor.life import Life
from edge.supervisor.openings import Held, Openings
from edge.supervisor.reports import Reports
from edge.vmm.wire.machines import Close, Open, Park
from edge.vmm.wire.streams import Head, Reset
from edge.workers.fleet import Fleet
from edge.workers.process import Worker
from vmimage.errors import NunatakError
from vmimage.parked import ParkedRecord
from vmimage.trust import ServiceRecord

LOOK_AGAIN_S: Final = 0.25  # while all machines are busy
CLOSE_S: Final = 2.0  # for a machine that is closed to come to rest and say what it wrote
NAMES_MAX: Final = 20  # services in one log line

_logger: Final = log.logger("machines")
_losses_logger: Final = log.logger("losses")
_pools_logger: Final = log.logger("pools")
_quarantine_logger: Final = log.logger("quarantine")
_Parked = asyncio.Future[None]


class Driver:
    """The hands of a `Life`."""

    def __init__(
        self,
        life: Life,
        fleet: Fleet,
        images: Images,
        records: Records,
        disks: Disks,
        upstreams: Upstreams,
        reports: Reports,
        weights: Mapping[str, int],
        counters: Counters,
        tasks: Tasks,
    ) -> None:
        """:param weights: of tenants in the sharing of CPU time; 1 where there is none."""
        self._life, self._openings, self._residents, self._out = life, Openings(life), life.residents, life.out
        self.fallback = Fallback(life)
        self.on_fallback: Callable[[Service, ServiceRecord, NunatakError], None] = lambda *_: None
        self._fleet, self._images, self._records, self._disks = fleet, images, records, disks
        self._upstreams, self._reports, self.weights = upstreams, reports, weights
        self._counters, self._tasks = counters, tasks
        self._loop = asyncio.get_running_loop()
        self._parked: dict[int, _Parked] = {}  # done when the record is here, by machine
        self._rooms: dict[Room, asyncio.Future[None]] = {}  # done when a machine has become idle
        self._opens: deque[Service] = deque()  # after all other commands: what an opening leaves comes after those

    def carry_out(self) -> None:
        """Do all that there is to be done."""
        self._empty_out()
        while self._opens:
            service = self._opens.popleft()
            if not self._open_at_once(service):
                self._tasks.spawn("open", self._open(service))
            self._empty_out()

    def _empty_out(self) -> None:
        out = self._out
        while out:
            command = out.popleft()
            try:
                self._do(command)
            except Exception as error:
                self._tasks.note("command", error)

    def _do(self, command: do.Command) -> None:
        counters = self._counters
        match command:
            case do.Dispatch(machine, stream):
                stream.given_at = time.monotonic()
                machine.worker.send(Head.encode(machine.number, stream.number, stream.whole, stream.payload))
                stream.wake()
            case do.Fail(stream, error):
                if stream.state == "cut":  # the client only sees that it is not whole
                    _logger.warning(log.line("answer_cut", service=stream.service.name, reason=error))
                stream.tell(error)
            case do.EndSockets(sockets, code):
                for socket in sockets:
                    socket.end(code)
            case do.Reset(machine, stream):
                machine.worker.send(Reset(machine.number, stream.number).to_bytes())
            case do.Open(service):
                self._opens.append(service)
            case do.Grow(service, first):
                self._tasks.spawn("pool_grow", self._grow(service, first))
            case do.Park(machine):
                machine.worker.send(Park(machine.number).to_bytes())
                self._parked[machine.number] = self._loop.create_future()
            case do.Close(machine):
                machine.worker.send(Close(machine.number).to_bytes())
            case do.Leave(machine):
                self._leave(machine)
            case do.KeepRecord(key, machine, parts, age_s, served):
                self._records.put(key, _record_of(machine, parts, age_s, served))
            case do.ForgetRecord(key):
                self._records.forget(key)
            case do.LeaveWritten(service):
                self._disks.overlays.leave(service.name, reason="withdrawn")
            case do.LookAgain(room):
                wake(self._rooms.get(room))
            case do.WantSoon(service):
                self._loop.call_soon(self._wanted, service)
            case do.Replay():
                counters.replays += 1
            case do.Count(counter, label):
                if label:
                    counters.add(getattr(counters, counter), label)
                else:
                    setattr(counters, counter, getattr(counters, counter) + 1)
            case do.Report(machine, error, details, requests):
                self._reports.add(machine.service, machine.image, error, details, requests)
                self.fallback.crashed(machine, error)
            case do.StatesLost(services):
                self._states_lost(services)
            case do.RecordTooLarge(service, size_bytes):
                _logger.error(log.line("record_too_large", service=service.name, bytes=size_bytes))
                counters.add(counters.states_lost, "image")
            case do.FellBack(service, refused, why):
                about = {"service": service.name, "refused": refused.manifest_digest, "reason": why}
                _logger.error(log.line("fell_back", **about, serves=service.release.manifest_digest))
                counters.add(counters.fell_back, why.counter)
                self.on_fallback(service, refused, why)
            case do.Released(name, cause, times):
                _quarantine_logger.info(log.line("quarantine_left", service=name, cause=cause, times=times))
            case _:
                assert_never(command)

    def _leave(self, machine: Machine) -> None:
        machine.worker.leave(machine)
        self._upstreams.forget(machine)
        self._disks.forget(machine)
        machine.image.pins -= 1
        if machine.image.pins == 0:
            self._images.trim()
        wake(self._parked.pop(machine.number, None))

    def _wanted(self, service: Service) -> None:
        self._life.wanted(service, self._loop.time())
        self.carry_out()

    def _states_lost(self, services: Sequence[Service]) -> None:
        lost: dict[str, list[str]] = {}
        for service in services:
            lost.setdefault("record" if self._records.tier_of(service.key) else "image", []).append(service.name)
        for to, names in lost.items():
            self._counters.add(self._counters.states_lost, to, len(names))
            few = " ".join(names[:NAMES_MAX])
            _losses_logger.error(log.line("states_lost", to=to, services=len(names), names=few))

    # Bringing machines up.

    def _open_at_once(self, service: Service) -> bool:
        """Bring up a machine where nothing has to be waited for, as after most parkings; else False, for `_open`."""
        try:
            return self._try_at_once(service)
        except Exception as error:
            self._not_opened(service, error)
            return True

    def _try_at_once(self, service: Service) -> bool:
        key = self._openings.begin(service)
        image, worker = self._images.held.get(service.release.manifest_digest), self._fleet.at_hand(service)
        if image is None or worker is None or image.manifest.disks or service in self._residents.closing:
            return False
        kept = self._records.at_hand(key)
        if kept is None and self._records.tier_of(key) is not None:
            return False
        cost_bytes = self._life.budget.admit(image.manifest)
        if not worker.give_at_once(image) or not self._residents.park_coldest(cost_bytes):
            return False
        if not service.is_candidate:  # what the stable version wrote is none of its business
            self._disks.overlays.leave(service.name, ())
        held, record = self._usable(service, image, kept)
        self._empty_out()  # who is parked for it goes first
        machine = self._start(service, image, worker, cost_bytes, (), record)
        self._openings.opened(machine, held, None, self._loop.time())
        return True

    def _not_opened(self, service: Service, error: Exception) -> None:
        if self.fallback.not_opened(service, error):
            return
        if not isinstance(error, NunatakError):
            _logger.error(log.line("open_failed", service=service.name), exc_info=error)
        self._openings.failed(service, error)

    async def _open(self, service: Service) -> None:
        """Bring up a machine for the requests in the service's queue."""
        try:
            while not await self._try_open(service):
                pass
        except Exception as error:
            self._not_opened(service, error)
        finally:
            self.carry_out()

    async def _try_open(self, service: Service) -> bool:
        """False when the worker ended, or the service became another version, meanwhile."""
        openings, release = self._openings, service.release
        key = openings.begin(service)
        image, load = await self._images.load(
            release.manifest_digest, release.manifest_size, release.snapshot, service.tenant
        )
        manifest = image.manifest
        image.pins += 1
        try:
            self._life.budget.admit(manifest)  # `images` has asked too, but not for one that is held or a base
            await self._closed(service)
            attached = await self._disks.prepare(service, manifest.disks)
            held, record = await self._held(service, image, key)
            worker = await self._fleet.pick(service)
            cost_bytes = self._life.budget.admit(manifest, _written_bytes(attached))
            await self._make_room(Room(service.tenant, cost_bytes, self._loop.time()))
            with suppress(WorkerLost):
                await worker.give(image)
            if not openings.still_right(service, key, worker, cost_bytes, self._disks.current(attached)):
                return False
            if record is not None and not self._disks.match(attached, record):
                held = record = None
            machine = self._start(service, image, worker, cost_bytes, attached, record)
            openings.opened(machine, held, load, self._loop.time())
        finally:
            image.pins -= 1
        return True

    async def _held(self, service: Service, image: Image, key: str) -> tuple[Held, ParkedRecord] | tuple[None, None]:
        """The record that the next machine is to go on from, and what is known of it."""
        found = self._usable(service, image, await self._records.get(key))
        self.carry_out()
        return found

    def _usable(
        self, service: Service, image: Image, kept: Kept | None
    ) -> tuple[Held, ParkedRecord] | tuple[None, None]:
        if kept is None:
            return None, None
        record, tier = kept
        held = Held(tier, lived_s(record.began_us), record.served, record.size)
        return (held, record) if self._openings.may_use(service, image.manifest, held) else (None, None)

    def _start(
        self,
        service: Service,
        image: Image,
        worker: Worker,
        cost_bytes: int,
        attached: Sequence[Attached],
        record: ParkedRecord | None,
    ) -> Machine:
        """Send OPEN; frames for the machine may follow at once. The image is pinned until the machine is gone."""
        machine = self._residents.enter(service, image, worker, cost_bytes, self._loop.time())
        image.pins += 1
        worker.enter(machine)
        message = Open(
            machine=machine.number,
            image=image.number,
            tenant=service.tenant,
            weight=self.weights.get(service.tenant, 1),
            limits=image.manifest.limits,
            growth_bytes=image.manifest.rejuvenate.growth_bytes,
            record_bytes=self._life.budget.record_bytes,
            fresh=image.manifest.instance == "request",
            disks=self._disks.attach(machine, attached),
            state=record.state if record is not None else b"",
            scratch=record.scratch if record is not None else b"",
            secrets=service.secrets.block,
        )
        worker.send(message.to_bytes())
        self._counters.opens += 1
        return machine

    async def _grow(self, service: Service, first: Machine) -> None:
        image, grown = first.image, False
        image.pins += 1
        try:
            worker = await self._fleet.pick(service, beside=True)
            if not self._openings.may_grow(first):
                return
            self.carry_out()
            with suppress(WorkerLost):
                await worker.give(image)
            # None of them is copy-on-write, or the service could have but one machine.
            attached = await self._disks.prepare(service, image.manifest.disks)
            cost_bytes = cost_of(image.manifest, _written_bytes(attached))
            if self._openings.still_wanted(service, first, worker, cost_bytes):
                machine = self._start(service, image, worker, cost_bytes, attached, None)
                self._openings.grown(machine, self._loop.time())
                grown = True
        except NunatakError as error:
            _pools_logger.warning(log.line("pool_not_grown", service=service.name, reason=error))
        finally:
            image.pins -= 1
            self._openings.grow_over(service, grown=grown)
            self.carry_out()

    async def _closed(self, service: Service) -> None:
        """Wait until a machine of the service that is being closed has said what it wrote; not for long."""
        machine = self._residents.closing.get(service)
        parked = self._parked.get(machine.number) if machine is not None else None
        if machine is not None and parked is not None:
            await asyncio.wait([parked], timeout=CLOSE_S)
            self._residents.close_now(machine)
            self.carry_out()

    async def _make_room(self, room: Room) -> None:
        while not self._life.make_room(room, self._loop.time()):
            waiter = self._rooms[room] = self._loop.create_future()
            self.carry_out()
            await asyncio.wait([waiter], timeout=LOOK_AGAIN_S)
            del self._rooms[room]
        self.carry_out()

    # Parking for others: operators, and the end.

    def park(self, service: Service) -> _Parked | None:
        """Ask for an idle machine's record; None if there is no such machine. The future is done when it is here."""
        machine = service.machine
        if machine is None or not self._residents.park(service):
            return None
        self.carry_out()
        return self._parked[machine.number]

    async def park_all(self, timeout_s: float) -> None:
        """Park every machine, waiting for those that are not idle yet, but only so long.

        Each worker for itself, so that one that hangs costs only its own; in each the small ones first and few at once.
        """
        deadline = self._loop.time() + timeout_s
        await asyncio.gather(*(self._park_all_of(worker, deadline) for worker in self._fleet))
        left = deadline - self._loop.time()
        if self._parked and left > 0:
            await asyncio.wait(self._parked.values(), timeout=left)

    async def _park_all_of(self, worker: Worker, deadline: float) -> None:
        while worker.alive and (here := self._residents.left_in(worker)):
            batches = self._residents.last_batches(here)
            self.carry_out()
            for batch in batches:
                asked = [parked for machine in batch if (parked := self.park(machine.service)) is not None]
                left = deadline - self._loop.time()
                if left <= 0 or (asked and (await asyncio.wait(asked, timeout=left))[1]):
                    return
            if (left := deadline - self._loop.time()) <= 0:
                return
            if worker.alive and self._residents.left_in(worker):
                await asyncio.sleep(min(LOOK_AGAIN_S, left))


def _record_of(machine: Machine, parts: do.ParkedParts, age_s: float, served: int) -> ParkedRecord:
    service, image = machine.service, machine.image.manifest.digest
    about = service.name, service.owner, image, began_us(age_s), served, parts.disk_versions
    return ParkedRecord(*about, parts.state, parts.scratch)


def _written_bytes(attached: Sequence[Attached]) -> int:
    return sum(len(each.pages) for each in attached)
