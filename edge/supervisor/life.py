"""A service's life: who waits, who is opened, given a request, parked, replayed, replaced, rejuvenated, ended, refused.

Events in, commands out. Each public method is an event; it changes the state of services, machines and requests at once
and leaves in `out` what is to be done for it (`commands`), which `driver` does in order. No I/O, no clock and no tasks:
`now` is loop time in seconds. Facts come as arguments, from a machine's worker (`Link`), or by one of two questions.

How a machine is brought up is `openings`' business, the end of a worker that of `losses`; both are played as this is.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

from edge.common import backoff
from edge.model import flow
from edge.model.flow import QUARANTINE_RETRY_S, BackingOff
from edge.model.services import Machine, Service, StreamState
from edge.supervisor import commands as do
from edge.supervisor.budget import PATIENCE_S, Budget, Room
from edge.supervisor.pools import Pools
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.residents import Residents
from edge.supervisor.waiting import Waiting
from vmimage.errors import GuestError, MemoryPressure, NunatakError, OverBudget, Unavailable
from vmimage.limit_errors import machine_over_budget, others_wait
from vmimage.trust import ServiceRecord


class Life:
    """All services of an edge, and all machines in its workers."""

    def __init__(
        self,
        budget: Budget,
        waiting: Waiting,
        quarantine: Quarantine,
        max_queue: int,
        may_write: Callable[[Machine], bool],
        has_exchanges: Callable[[Machine], bool],
        crash_pause_max_s: float = backoff.BACKOFF_MAX_S,
    ) -> None:
        """:param max_queue: requests that may wait for one service.
        :param may_write: whether a machine has a disk on which its writes shall last.
        :param has_exchanges: whether a machine has requests to upstreams under way.
        :param crash_pause_max_s: before a service is started again whose machines crash and answer nothing."""
        self.out: deque[do.Command] = deque()
        self.budget, self.waiting, self.quarantine = budget, waiting, quarantine
        self.residents = Residents(budget, may_write, self.out)
        self.pools = Pools(has_exchanges, self.out)
        self.max_queue, self._has_exchanges, self.crash_pause_max_s = max_queue, has_exchanges, crash_pause_max_s
        self._touch, self._rooms = budget.touch, self.residents.rooms  # for each request: nothing between

    # Requests.

    def asked(self, stream: StreamState) -> Machine | None:
        """A request came. The machine that is to have it now; None: it waits.

        :raises Unavailable: the service is backing off, or too many wait for it, or too much for its tenant.
        :raises OverBudget: no machine of the service can be here.
        """
        service = stream.service
        machine = service.machine
        if machine is not None and service.state == "resident":
            if machine.pool > 1:
                machine = self.pools.choose(service, machine)
            if len(machine.streams) < machine.limit:
                self._touch(machine.number)
                if machine.add(stream):
                    self._rejuvenate_due(machine, stream.since)
                return machine
        if len(service.queue) >= self.max_queue:
            raise Unavailable(f"{service.name}: {self.max_queue} requests wait")
        self._want(service, stream.since)
        self.waiting.add(stream)
        return None

    def over(self, machine: Machine, stream: StreamState, now: float) -> None:
        """A request that a machine had has ended, one way or the other."""
        machine.remove(stream)
        service = machine.service
        if service.queue and service.state == "resident":
            self.pump(machine, now)
        if not machine.streams:
            if machine.retiring:
                self.residents.close(machine)
            elif self._rooms:
                self.residents.idle()

    def abandoned(self, stream: StreamState, error: Exception | None, now: float) -> None:
        """Nobody wants the rest: the client left or is at fault, or what came of it is not fit to pass on.

        :param error: what the one who still waits for the answer gets.
        """
        machine = stream.machine
        if stream.state == "waiting":
            self.waiting.remove(stream)
        elif stream.state in ("asked", "answering") and machine is not None:
            self.out.append(do.Reset(machine, stream))
        else:
            return
        if error is None:
            stream.step("client_gone")
        else:
            self._fail(stream, error)
        if machine is not None:
            self.over(machine, stream, now)

    def no_progress(self, machine: Machine, patience: flow.Patience, now: float) -> None:
        """Called every second or so: give up on a machine's requests without progress for so long."""
        for stream in list(machine.streams.values()):
            streams = stream.state == "answering" and stream.reads
            patience_s = patience.stream_s if streams else patience.answer_s
            if stream.since >= now - patience_s:
                continue
            self.out.append(do.Reset(machine, stream))
            sent = stream.whole or stream.body_sent
            error = flow.silence(stream.state, sent, stream.reads, patience_s, throttled=machine.throttled)
            if isinstance(error, NunatakError):
                self._note_limit(machine, error)
            self._fail(stream, error)
            self.over(machine, stream, now)

    def waited(self, patience_s: float, now: float) -> None:
        """Called every second or so: give up on requests that have waited for a machine for so long."""
        for service in self.waiting:  # not all services: most are parked, and cost nothing here
            while service.queue and service.queue[0].since < now - patience_s:
                self._fail(self.waiting.next(service), Unavailable(f"waited {patience_s} s"))
        self.waiting.sweep()

    def wanted(self, service: Service, now: float) -> None:
        """Bring up a machine for requests that wait already, hand them over, or refuse them."""
        if not service.queue:
            return
        if service.state == "resident" and service.machine is not None:
            for machine in (service.machine, *service.others):
                if machine.worker.alive:  # else its loss is told in a moment
                    self.pump(machine, now)
            return
        try:
            self._want(service, now)
        except (Unavailable, OverBudget) as error:
            self.fail_queue(service, error)

    def _want(self, service: Service, now: float) -> None:
        """Start opening a machine if that is what the service needs.

        :raises BackingOff: not yet.
        :raises OverBudget: there is no room for a machine of it here.
        """
        if service.state == "backoff":
            if (pause_s := service.pause_until - now) > 0:
                raise BackingOff(pause_s)
            service.step("pause_over")
        if service.state in ("cold", "parked"):
            if service.unfit is not None:
                raise service.unfit.with_traceback(None)
            if (pause_s := self.quarantine.pause_s(service, now)) > 0:
                raise BackingOff(pause_s)
            service.step("request")
            self.out.append(do.Open(service))

    def pump(self, machine: Machine, now: float) -> None:
        """Give a machine what its service has queued, as far as it may have it."""
        service = machine.service
        while service.queue and not machine.retiring and len(machine.streams) < machine.limit:
            stream = self.waiting.next(service)
            self._touch(machine.number)
            if machine.add(stream):
                self._rejuvenate_due(machine, now)
            self.out.append(do.Dispatch(machine, stream))
        self.pools.relieve(service)

    def _fail(self, stream: StreamState, error: Exception) -> None:
        if not stream.over:
            stream.step("fail")
            self.out.append(do.Fail(stream, error))

    def fail_queue(self, service: Service, error: Exception) -> None:
        """Refuse all that waits for a service."""
        while service.queue:
            self._fail(self.waiting.next(service), error)

    def end_streams(
        self,
        machine: Machine,
        error: NunatakError,
        now: float,
        *,
        seen: Callable[[int], bool] = lambda _: True,
        guest_fault: bool = False,
        blamed: bool = False,
    ) -> None:
        """All requests of a machine that is gone: again on a fresh one where that is right, else their end."""
        for number, stream in sorted(machine.take_streams().items(), reverse=True):
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
                self.out.append(do.Replay(stream))
            else:
                self._fail(stream, error)
        self.wanted(machine.service, now)

    # Machines that go on elsewhere: as a record, or from the image.

    def parked(self, machine: Machine, parts: do.ParkedParts, now: float) -> None:
        """A worker has sent the record that was asked for.

        :raises ValueError: it was not.
        """
        if not self.residents.parking(machine):
            raise ValueError("PARKED without PARK")
        try:
            self.budget.check_record(machine, parts.size)
        except OverBudget as error:
            self._end(machine, error, {}, now, seen=lambda _: False, guest_fault=False)
            return
        service = machine.service
        if machine.retiring:
            self.residents.forget(machine)
            return
        service.machine = None
        service.step("parked")
        self.out.append(do.KeepRecord(service.key, machine, parts, now - machine.began, machine.served))
        self.residents.forget(machine)
        self.out.append(do.Count("parks"))
        self.wanted(service, now)

    def rest(self, machine: Machine, now: float) -> None:
        """Called every second or so: one that is idle in quarantine is parked, since others wait for such a worker."""
        idle = now - machine.used > QUARANTINE_RETRY_S and not self._has_exchanges(machine)
        if idle and machine.worker.place.kind == "quarantine":
            self.residents.park(machine.service)

    def shrink(self, now: float) -> None:
        """Called every second or so: close machines beside a first that have nothing to do; who was refused may ask."""
        for machine in self.pools.idle(now):
            self._let_go(machine)
        self.pools.retry()

    def _let_go(self, machine: Machine) -> None:
        self.pools.leave(machine)
        self.residents.close(machine)

    def rejuvenate(self, machine: Machine, cause: str, now: float) -> None:
        """A machine finishes what it has; the next request finds one that is new from the image."""
        service = machine.service
        if machine.retiring or self.residents.parking(machine):
            return
        self.out.append(do.Count("rejuvenations", cause))
        self.retire(machine)
        if service.machine is machine:
            service.machine = None
            self.residents.end_lineage(service)
            if not self.pools.promote(service):
                service.step("rejuvenate")
            self.wanted(service, now)  # what waits for a place in this one is not to wait for the next request

    def _rejuvenate_due(self, machine: Machine, now: float) -> None:
        cause = flow.rejuvenation_cause(machine.image.manifest.rejuvenate, machine.served, machine.used - machine.began)
        self.rejuvenate(machine, cause, now)

    def retire(self, machine: Machine) -> None:
        """A machine gets no more requests, and closes with its last."""
        machine.retiring = True
        self.pools.leave(machine)
        if not machine.streams and not self.residents.parking(machine):
            self.residents.close(machine)

    def changed(self, service: Service, release: ServiceRecord | None) -> None:
        """The catalogue names another version, or none: the old machine finishes what it has, its record goes.

        :param release: what `service.release` will be when this event is over; None: there is none any more.
        """
        self.residents.end_lineage(service)
        machine, service.machine = service.machine, None
        service.crashes_in_row, service.pause_until, service.unfit = 0, 0.0, None
        if self.quarantine.on_version(service):
            self.released(service.slot, "new_version")
        service.step("replaced")
        service.withdrawn = release is None
        for old in (machine, *list(service.others)):
            if old is not None:
                self.out.append(do.Count("replaced"))
                self.retire(old)
        if service.withdrawn:
            self.out.append(do.LeaveWritten(service))
        if service.state == "cold":
            self.out.append(do.WantSoon(service))  # those that waited for a PARKED

    def released(self, name: str, cause: Literal["healthy", "new_version"]) -> None:
        """A service by this name has left quarantine."""
        blame = self.quarantine.of(name)
        self.out.append(do.Released(name, cause, blame.times if blame is not None else 0))

    # Memory.

    def measured(self, machines: Mapping[int, Machine], sizes: Iterable[tuple[int, int]], now: float) -> None:
        """A worker says what its machines take: what has outgrown all that there is ends, idle ones make room.

        :param machines: of that worker, by number. :param sizes: numbers and bytes.
        """
        for machine in self.budget.measure(machines, sizes):
            budget, size = self.budget.tier.budget_bytes, self.budget.size_of(machine)
            self._kill(machine, machine_over_budget(machine.service.name, size, budget), now)
        self.residents.relieve()

    def make_room(self, room: Room, now: float) -> bool:
        """Park idle machines or close spare ones until one more fits; wait while all are busy, but not for ever.

        :return: whether it does. If not, it is to be asked again, at `LookAgain` or after a moment.
        """
        if now >= room.patient_until:
            room.patient_until = now + PATIENCE_S
            self._end_greedy(room, now)
        return self.residents.make_room(room) or (self._close_spare(room) and self.residents.make_room(room))

    def _close_spare(self, room: Room) -> bool:
        """Close machines beside a first that are idle at this moment, until there is room; whether there is."""
        for machine in self.pools.idle(math.inf):
            self._let_go(machine)
            if not self.budget.tier.over(room.cost_bytes):
                return True
        return False

    def _end_greedy(self, room: Room, now: float) -> None:
        """Have busy machines end whose tenant has so much that others have to wait, until there is room for one."""
        while self.budget.tier.over(room.cost_bytes):
            machine = self.budget.in_the_way(room.party, room.cost_bytes)
            if machine is None:
                return
            self._kill(machine, others_wait(machine.service.name, self.budget.size_of(machine)), now)

    # Machines that end.

    def died(self, machine: Machine, error: NunatakError, unseen: Collection[int], report: object, now: float) -> None:
        """A machine has ended in its worker.

        :param unseen: requests that it had not begun with, by number.
        """
        guest_fault = isinstance(error, GuestError)
        seen = lambda number: guest_fault and number not in unseen  # noqa: E731
        self._end(machine, error, report, now, seen=seen, guest_fault=guest_fault)

    def _kill(self, machine: Machine, error: NunatakError, now: float) -> None:
        self.out.append(do.Close(machine))
        self._end(machine, error, {}, now, seen=lambda _: True, guest_fault=True)

    def _end(
        self,
        machine: Machine,
        error: NunatakError,
        report: object,
        now: float,
        *,
        seen: Callable[[int], bool],
        guest_fault: bool,
    ) -> None:
        """A machine ended by itself, or by what it did: its service begins with the image.

        It backs off first where that is a loop: machines that end again and again without one answer. A request that
        crashes what answers others is one client's, and each restart is charged to the tenant like any other.
        """
        service = machine.service
        self.residents.forget(machine)
        self.out.append(do.Count("crashes", error.counter))
        self._note_limit(machine, error)
        service.crashes += 1
        service.made_room += isinstance(error, MemoryPressure)
        self.pools.leave(machine)
        if service.machine is machine:
            self.residents.end_lineage(service, crashed=True)  # the cause may be in its record
            if not self.pools.promote(service):
                service.machine = None
                lived_s = math.inf if machine.did_its_work else now - machine.opened
                crashes = service.crashes_in_row, lived_s, self.crash_pause_max_s
                service.crashes_in_row, pause_s = backoff.after_crash(*crashes)
                service.pause_until = now + pause_s
                service.step("crashed")
        self.out.append(do.Report(machine, error, report, tuple(machine.streams.values())))
        self.end_streams(machine, error, now, seen=seen, guest_fault=guest_fault)

    def _note_limit(self, machine: Machine, error: NunatakError) -> None:
        """Say which limit of the image was hit, and count it."""
        if error.limit:
            manifest = machine.image.manifest
            value = manifest.memory_bytes if error.limit == "memory_bytes" else getattr(manifest.limits, error.limit)
            error.limit_value = f"{error.limit}={value}"
            self.out.append(do.Count("limit_hits", error.limit))
