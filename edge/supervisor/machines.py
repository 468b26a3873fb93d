"""The machines of all services through their lives: opened, given requests, worn, replaced, parked, crashed, lost.

What happens when is in `flow.SERVICE_FLOW`; here it is done. Requests come from the supervisor, machines' budget is
`residents`' business, machines beside a service's first are `pools`', and who may be beside whom is `quarantine`'s.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from edge.common import backoff, log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.content.ages import began_us, lived_s
from edge.content.blobs import Trip
from edge.content.image import Image
from edge.content.images import Images
from edge.content.records import Records
from edge.devices.disks import Disks
from edge.model import flow
from edge.model.flow import BackingOff, WorkerLost
from edge.model.services import Machine, Service
from edge.model.streams import Stream
from edge.supervisor.pools import Pools
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.reports import Reports
from edge.supervisor.residents import Residents
from edge.supervisor.waiting import Waiting
from edge.vmm.wire.frames import PAYLOAD_MAX
from edge.vmm.wire.machines import Close, Died, Parked
from edge.vmm.wire.streams import Head
from edge.workers.fleet import Fleet
from vmimage.errors import GuestError, MemoryPressure, NunatakError, OverBudget, Unavailable, UnknownService
from vmimage.parked import ParkedRecord
from vmimage.trust import ServiceRecord

OPEN_ROOM: Final = 64 << 10  # in an OPEN frame, for what stands before the record

_logger: Final = log.logger("machines")


class Machines:
    """What an edge does with machines."""

    def __init__(
        self,
        counters: Counters,
        images: Images,
        records: Records,
        disks: Disks,
        reports: Reports,
        fleet: Fleet,
        residents: Residents,
        quarantine: Quarantine,
        waiting: Waiting,
        tasks: Tasks,
    ) -> None:
        self.counters, self.images, self.records, self.disks = counters, images, records, disks
        self.reports, self.residents = reports, residents
        self.waiting = waiting
        residents.on_greedy = self.in_the_way
        self.pools = Pools(fleet, residents, counters, tasks, self.pump)
        self.quarantine = quarantine
        self._fleet, self._tasks = fleet, tasks
        self._loop = asyncio.get_running_loop()

    def want(self, service: Service) -> None:
        """Start opening a machine if that is what the service needs.

        :raises BackingOff: not yet.
        :raises OverBudget: there is no room for a machine of it here.
        """
        if service.state == "backoff":
            if (pause_s := service.pause_until - self._loop.time()) > 0:
                raise BackingOff(pause_s)
            service.step("pause_over")
        if service.state in ("cold", "parked"):
            if service.unfit is not None:
                raise service.unfit
            if (pause_s := self.quarantine.pause_s(service, self._loop.time())) > 0:
                raise BackingOff(pause_s)
            service.step("request")
            self._tasks.spawn("open", self._open(service))

    def dispatch(self, machine: Machine, stream: Stream) -> None:
        """Give a request to a machine."""
        stream.state = flow.REQUEST_FLOW[stream.state]["dispatch"]
        number = machine.add(stream)
        self.residents.touch(machine.number)
        machine.worker.send(Head.encode(machine.number, number, stream.whole, stream.payload))
        if machine.worn:
            served, lived_s = machine.served, machine.used - machine.began
            self.replace_worn(machine, flow.worn(machine.image.manifest.rejuvenate, served, lived_s))

    async def _open(self, service: Service) -> None:
        """Bring up a machine for the requests in the service's queue."""
        try:
            while not await self._try_open(service):
                pass
        except Exception as error:
            if not isinstance(error, NunatakError):
                _logger.exception(log.line("open_failed", service=service.name))
            if isinstance(error, OverBudget):
                service.unfit = error  # until there is another version of it: the budget stays what it is
            service.step("failed")
            self._fail_queue(service, error)

    async def _try_open(self, service: Service) -> bool:
        """False when the worker ended, or the service became another version, meanwhile."""
        release, key = service.release, service.key
        if service.withdrawn:
            raise UnknownService(f"{service.name}: withdrawn")
        image, trip = await self.images.load(
            release.manifest_digest, release.manifest_size, release.snapshot, service.tenant
        )
        image.pins += 1
        try:
            self.residents.admit(image.manifest)  # `images` has asked too, but not for one that is held or a base
            await self.residents.closed(service)
            attached = await self.disks.prepare(service, image.manifest.disks)
            held = await self.records.get(key)
            record = held[0] if held is not None else None
            if record is not None and (self._is_worn(service, image, record) or self._too_large(service, record)):
                record = None
            worker = await self._fleet.pick(service)
            await self.residents.make_room(image, attached, service.tenant)
            with suppress(WorkerLost):
                await worker.give(image)
            same = not service.withdrawn and service.key == key  # the same image, of the same tenant
            same &= worker.place == self._fleet.place_of(service)
            if not (worker.alive and not worker.leaving and same and self.disks.current(attached)):
                return False
            if record is not None and not self.disks.match(attached, record):
                record = None
            tier = held[1] if held is not None and record is not None else _image_tier(trip)
            service.machine = machine = self.residents.open(worker, service, image, record, attached)
            if record is not None:
                machine.began, machine.served = self._loop.time() - lived_s(record.began_us), record.served
                machine.kept = machine.served
        finally:
            image.pins -= 1
        service.step("opened")
        for place, stream in enumerate(service.queue):
            stream.tier, stream.trip = tier, trip
            stream.collapsed = tier == "origin" and place > 0
            self.counters.collapsed += stream.collapsed
        self.pump(service.machine)
        return True

    def _is_worn(self, service: Service, image: Image, record: ParkedRecord) -> bool:
        """Whether the machine whose record is held has been in use for long enough."""
        cause = flow.worn(image.manifest.rejuvenate, record.served, lived_s(record.began_us))
        if cause:
            self.records.forget(service.key)
            self.counters.add(self.counters.rejuvenations, cause)
        return bool(cause)

    def _too_large(self, service: Service, record: ParkedRecord) -> bool:
        """Whether a record is of a time when this edge had more memory: no worker would take it."""
        large = record.size > PAYLOAD_MAX - OPEN_ROOM
        if large:
            _logger.error(log.line("record_too_large", service=service.name, bytes=record.size))
            self.counters.add(self.counters.states_lost, "image")
            self.records.forget(service.key)
        return large

    def replace_worn(self, machine: Machine, cause: str) -> None:
        """A machine finishes what it has; the next request finds one that is new from the image."""
        service = machine.service
        if machine.retiring or self.residents.parking(machine):
            return
        self.counters.add(self.counters.rejuvenations, cause)
        self.retire(machine)
        if service.machine is machine:
            service.machine = None
            self.records.forget(service.key)
            if not self.pools.promote(service):
                service.step("worn")

    def retire(self, machine: Machine) -> None:
        machine.retiring = True
        self.pools.leave(machine)
        if not machine.streams and not self.residents.parking(machine):
            self.residents.close(machine)

    def pump(self, machine: Machine) -> None:
        """Give a machine what its service has queued, as far as it may have it."""
        service = machine.service
        while service.queue and not machine.retiring and len(machine.streams) < machine.limit:
            stream = self.waiting.next(service)
            self.dispatch(machine, stream)
            stream.wake()

    def _fail_queue(self, service: Service, error: BaseException) -> None:
        while service.queue:
            self.waiting.next(service).fail(error)

    def detach(self, machine: Machine, stream: Stream) -> None:
        """A stream of a machine is over."""
        machine.remove(stream)
        stream.wake()
        service = machine.service
        if service.queue and service.state == "resident":
            self.pump(machine)
        if not machine.streams:
            if machine.retiring:
                self.residents.close(machine)
            else:
                self.residents.idle()

    def on_change(self, service: Service, release: ServiceRecord | None) -> None:
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
        service.crashes_in_row, service.pause_until, service.unfit = 0, 0.0, None
        self.quarantine.on_version(service)
        service.step("replaced")
        service.withdrawn = release is None
        for old in (machine, *list(service.others)):
            if old is not None:
                self.counters.replaced += 1
                self.retire(old)
        if service.withdrawn:
            self.disks.overlays.forget(service.name)
        if service.state == "cold":
            self._loop.call_soon(self.want_queued, service)  # those that waited for a PARKED

    def want_queued(self, service: Service) -> None:
        """Bring up a machine for requests that are queued already, hand them over, or refuse them."""
        if not service.queue:
            return
        if service.state == "resident" and service.machine is not None:
            self.pump(service.machine)
            return
        try:
            self.want(service)
        except (Unavailable, OverBudget) as error:
            self._fail_queue(service, error)

    def on_parked(self, machine: Machine, message: Parked) -> None:
        """A machine is parked.

        :raises ValueError: nobody asked for that.
        """
        if not self.residents.parking(machine):
            raise ValueError("PARKED without PARK")
        if message.scratch and not machine.image.manifest.disks:
            raise ValueError("PARKED: scratch pages of a machine with disks expected")
        try:
            self.residents.check_record(machine, len(message.state) + len(message.scratch))
        except OverBudget as error:
            self._end(machine, error, {}, seen=lambda _: False, guest_fault=False)
            return
        service = machine.service
        record = ParkedRecord(
            service=service.name,
            tenant=service.tenant,
            image=machine.image.manifest.digest,
            began_us=began_us(self._loop.time() - machine.began),
            served=machine.served,
            disk_versions=self.disks.versions_for(machine),
            state=message.state,
            scratch=message.scratch,
        )
        self.residents.forget(machine)
        if machine.retiring:
            return
        self.counters.parks += 1
        service.machine = None
        service.step("parked")
        self.records.put(service.key, record)
        self.want_queued(service)

    def on_died(self, machine: Machine, message: Died) -> None:
        """A machine ended in its worker."""
        error = flow.died_error(message.error, message.message)
        unseen = frozenset(message.retry)
        guest_fault = isinstance(error, GuestError)
        self._end(
            machine,
            error,
            message.report.fields() if message.report is not None else {},
            seen=lambda number: guest_fault and number not in unseen,
            guest_fault=guest_fault,
        )

    def outgrown(self, machine: Machine) -> None:
        """A machine takes more memory than all machines together may have: it ends."""
        budget, size = self.residents.tier.budget_bytes, self.residents.tier.size_of(machine.number)
        error = OverBudget(f"{machine.service.name}: a machine of at most {budget} bytes expected, got one of {size}")
        self._close(machine, error)

    def in_the_way(self, machine: Machine) -> None:
        """A busy machine keeps others from theirs, and its tenant has more memory than they: it ends."""
        size = self.residents.tier.size_of(machine.number)
        self._close(
            machine, MemoryPressure(f"{machine.service.name}: others wait for room, its tenant has most: {size}")
        )

    def _close(self, machine: Machine, error: NunatakError) -> None:
        machine.worker.send(Close(machine.number).to_bytes())
        self._end(machine, error, {}, seen=lambda _: True, guest_fault=True)

    def _end(
        self, machine: Machine, error: NunatakError, report: object, *, seen: Callable[[int], bool], guest_fault: bool
    ) -> None:
        """A machine ended by itself, or by what it did: its service backs off, and begins with the image."""
        service, now = machine.service, self._loop.time()
        self.residents.forget(machine)
        self.counters.add(self.counters.crashes, error.counter)
        self.note_limit(machine, error)
        service.crashes += 1
        self.pools.leave(machine)
        if service.machine is machine:
            self.records.forget(service.key)  # the cause may be in it; the next machine starts from the image
        if service.machine is machine and not self.pools.promote(service):
            service.machine = None
            service.crashes_in_row, pause_s = backoff.after_crash(service.crashes_in_row, now - machine.opened)
            service.pause_until = now + pause_s
            service.step("crashed")
        self.reports.add(service.name, machine.image, error, report)
        self.end_streams(machine, error, seen=seen, guest_fault=guest_fault)

    def note_limit(self, machine: Machine, error: NunatakError) -> None:
        """Say which limit of the image was hit, and count it."""
        if error.limit:
            manifest = machine.image.manifest
            value = manifest.memory_bytes if error.limit == "memory_bytes" else getattr(manifest.limits, error.limit)
            error.limit_value = f"{error.limit}={value}"
            self.counters.add(self.counters.limit_hits, error.limit)

    def end_streams(
        self, machine: Machine, error: NunatakError, *, seen: Any, guest_fault: bool, blamed: bool = False
    ) -> None:
        """All requests of a machine that is gone: again on a fresh one where that is right, else their end."""
        streams = machine.take_streams()
        service = machine.service
        for number, stream in sorted(streams.items(), reverse=True):
            if flow.may_replay(
                state=stream.state,
                method=stream.method,
                whole=stream.whole,
                replayed=stream.replayed,
                seen=seen(number),
                guest_fault=guest_fault,
                blamed=blamed,
            ):
                stream.step("replay")
                stream.replayed, stream.machine = True, None
                self.waiting.again(stream)
                self.counters.replays += 1
            else:
                stream.fail(error)
        self.want_queued(service)


def _image_tier(trip: Trip | None) -> flow.Tier:
    return "origin" if trip is not None and trip.from_origin else "blob"
