"""The machines of all services through their lives: opened, given requests, worn, replaced, parked, crashed, lost.

What happens when is in `flow.SERVICE_FLOW`; here it is done. Requests come from the supervisor, machines' budget is
`residents`' business, and machines beside a service's first are `pools`'.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from edge import flow, log
from edge.ages import Age, split_age, with_age
from edge.counters import Counters
from edge.disks import Disks
from edge.fleet import Fleet
from edge.flow import BackingOff, WorkerLost
from edge.images import Image, Images, Trip
from edge.pools import Pools
from edge.records import Records
from edge.reports import Reports
from edge.residents import Residents
from edge.services import Machine, Service
from edge.streams import Stream
from edge.vmm import frames
from vmimage.errors import GuestError, NunatakError, Unavailable, UnknownService
from vmimage.trust import ServiceRecord

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
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self.counters, self.images, self.records, self.disks = counters, images, records, disks
        self.reports, self.residents = reports, residents
        self.waiting: set[Service] = set()  # services with requests queued, a tick ago or since
        self.pools = Pools(fleet, residents, counters, spawn, self.pump)
        self._fleet, self._spawn = fleet, spawn
        self._loop = asyncio.get_running_loop()

    def queue(self, service: Service, stream: Stream) -> None:
        """Let a request wait for a machine."""
        service.queue.append(stream)
        self.waiting.add(service)

    def want(self, service: Service) -> None:
        """Start opening a machine if that is what the service needs."""
        if service.state == "backoff":
            if (pause_s := service.pause_until - self._loop.time()) > 0:
                raise BackingOff(pause_s)
            service.step("pause_over")
        if service.state in ("cold", "parked"):
            service.step("request")
            self._spawn(self._open(service))

    def dispatch(self, machine: Machine, stream: Stream) -> None:
        """Give a request to a machine."""
        stream.state = flow.REQUEST_FLOW[stream.state]["dispatch"]
        number = machine.add(stream)
        self.residents.touch(machine.number)
        machine.worker.send(
            frames.pack(frames.HEAD, frames.FLAG_END if stream.whole else 0, machine.number, number, stream.payload)
        )
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
            service.step("failed")
            self._fail_queue(service, error)

    async def _try_open(self, service: Service) -> bool:
        """False when the worker ended, or the service became another version, meanwhile."""
        release = service.release
        if service.withdrawn:
            raise UnknownService(f"{service.name}: withdrawn")
        image, trip = await self.images.load(
            release.manifest_digest, release.manifest_size, release.snapshot, service.tenant
        )
        image.pins += 1
        try:
            await self.residents.closed(service)
            attached = await self.disks.prepare(service, image.manifest.disks)
            held = await self.records.get(service.key)
            aged = split_age(held[0]) if held is not None else None
            if aged is not None and self._is_worn(service, image, aged[0]):
                aged = None
            worker = await self._fleet.pick(service.tenant)
            await self.residents.make_room(image, attached)
            with suppress(WorkerLost):
                await worker.give(image)
            same = not service.withdrawn and service.release.manifest_digest == release.manifest_digest
            if not (worker.alive and same and self.disks.current(attached)):
                return False
            record = self.disks.match(attached, aged[1]) if aged is not None else None
            tier = held[1] if held is not None and record is not None else _image_tier(trip)
            service.machine = machine = self.residents.open(worker, service, image, record or b"", attached)
            if record is not None and aged is not None:
                machine.began, machine.served = self._loop.time() - aged[0].lived_s, aged[0].served
        finally:
            image.pins -= 1
        service.step("opened")
        for place, stream in enumerate(service.queue):
            stream.tier, stream.trip = tier, trip
            stream.collapsed = tier == "origin" and place > 0
            self.counters.collapsed += stream.collapsed
        self.pump(service.machine)
        return True

    def _is_worn(self, service: Service, image: Image, age: Age) -> bool:
        """Whether the machine whose record is held has been in use for long enough."""
        cause = flow.worn(image.manifest.rejuvenate, age.served, age.lived_s)
        if cause:
            self.records.forget(service.key)
            self.counters.add(self.counters.rejuvenations, cause)
        return bool(cause)

    def replace_worn(self, machine: Machine, cause: str) -> None:
        """A machine finishes what it has; the next request finds one that is new from the image."""
        service = machine.service
        if machine.retiring or self.residents.parking(machine):
            return
        self.counters.add(self.counters.rejuvenations, cause)
        self._retire(machine)
        if service.machine is machine:
            service.machine = None
            self.records.forget(service.key)
            if not self.pools.promote(service):
                service.step("worn")

    def _retire(self, machine: Machine) -> None:
        machine.retiring = True
        self.pools.leave(machine)
        if not machine.streams and not self.residents.parking(machine):
            self.residents.close(machine)

    def pump(self, machine: Machine) -> None:
        """Give a machine what its service has queued, as far as it may have it."""
        queue = machine.service.queue
        while queue and not machine.retiring and len(machine.streams) < machine.limit:
            stream = queue.popleft()
            self.dispatch(machine, stream)
            stream.wake()

    def _fail_queue(self, service: Service, error: BaseException) -> None:
        while service.queue:
            service.queue.popleft().fail(error)

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
        service.crashes_in_row, service.pause_until = 0, 0.0
        service.step("replaced")
        service.withdrawn = release is None
        for old in (machine, *list(service.others)):
            if old is not None:
                self.counters.replaced += 1
                self._retire(old)
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
        except Unavailable as error:
            self._fail_queue(service, error)

    def on_parked(self, machine: Machine, record: bytes) -> None:
        if not self.residents.parking(machine):
            raise ValueError("PARKED without PARK")
        service, record = machine.service, self.disks.stamp(machine, record)
        self.residents.forget(machine)
        if machine.retiring:
            return
        self.counters.parks += 1
        service.machine = None
        service.step("parked")
        self.records.put(service.key, with_age(record, Age(self._loop.time() - machine.began, machine.served)))
        self.want_queued(service)

    def on_died(self, machine: Machine, about: dict[str, Any]) -> None:
        service, now = machine.service, self._loop.time()
        error = flow.died_error(str(about.get("error")), str(about.get("message")))
        unseen = set(about.get("retry") or ())
        self.residents.forget(machine)
        self.counters.add(self.counters.crashes, error.counter)
        self.note_limit(machine, error)
        service.crashes += 1
        self.pools.leave(machine)
        if service.machine is machine:
            self.records.forget(service.key)  # the cause may be in it; the next machine starts from the image
        if service.machine is machine and not self.pools.promote(service):
            service.machine = None
            service.crashes_in_row, pause_s = flow.after_crash(service.crashes_in_row, now - machine.opened)
            service.pause_until = now + pause_s
            service.step("crashed")
        self.reports.add(service.name, machine.image, error, about.get("report"))
        guest_fault = isinstance(error, GuestError)
        self._end_streams(
            machine, error, seen=lambda number: guest_fault and number not in unseen, guest_fault=guest_fault
        )

    def note_limit(self, machine: Machine, error: NunatakError) -> None:
        """Say which limit of the image was hit, and count it."""
        if error.limit:
            manifest = machine.image.manifest
            value = manifest.memory_bytes if error.limit == "memory_bytes" else getattr(manifest.limits, error.limit)
            error.limit_value = f"{error.limit}={value}"
            self.counters.add(self.counters.limit_hits, error.limit)

    def lose(self, machine: Machine, error: WorkerLost) -> None:
        """Its worker is gone: its requests are replayed or end, its service goes back to its record."""
        self.residents.forget(machine)
        service = machine.service
        self.pools.leave(machine)
        if service.machine is machine and not self.pools.promote(service):
            service.machine = None
            service.step("worker_lost")
        self._end_streams(machine, error, seen=lambda _: True, guest_fault=False)

    def _end_streams(self, machine: Machine, error: NunatakError, *, seen: Any, guest_fault: bool) -> None:
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
            ):
                stream.step("replay")
                stream.replayed, stream.machine = True, None
                service.queue.appendleft(stream)
                self.waiting.add(service)
                self.counters.replays += 1
            else:
                stream.fail(error)
        self.want_queued(service)


def _image_tier(trip: Trip | None) -> flow.Tier:
    return "origin" if trip is not None and trip.from_origin else "blob"
