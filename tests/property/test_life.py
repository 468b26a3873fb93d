"""A service's life in orders nobody thought of: whatever happens, and whenever, no request is lost or answered twice.

What an edge does with commands and a world does with machines is played here at random, a step at a time; after each
step all that is promised is looked at. At the end the world becomes quiet, and then every request has an answer.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.model.flow import SHARED, Patience, WorkerLost
from edge.model.services import Machine, Service, StreamState
from edge.supervisor import commands as do
from edge.supervisor.budget import Budget, Room
from edge.supervisor.life import Life
from edge.supervisor.losses import Losses
from edge.supervisor.openings import Held, Openings
from edge.supervisor.orders import Orders
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.waiting import STREAM_BYTES, Waiting
from tests.support.playbook import MACHINE_BYTES, Request, Worker, image, release
from vmimage.errors import GuestFault, NunatakError, OriginUnreachable, OverBudget, WorkerFull

ROOM_FOR = 3
MAX_QUEUE = 6
WAITING_BYTES = 12 * STREAM_BYTES
PATIENCE = Patience(30.0, 600.0)
TENANTS = {"a": "alice", "b": "alice", "c": "carol", "d": "dave", "e": "dave"}
# Of a service: few places, so that requests wait; one is rejuvenated soon, one has a pool, one writes, one is fresh.
IMAGES = {
    "a": image(streams=2, requests=5),
    "b": image(streams=1),
    "c": image(streams=3, pool=2),
    "d": image(streams=2, seconds=60),
    "e": image(fresh=True, pool=3),
}
WRITERS = {"b"}
PEACE = 12  # events between two misfortunes
PICK = st.integers(0, 1 << 16)


@dataclass(eq=False)
class Opening:
    """What `Open` or `Grow` has begun; it goes on when the world lets it."""

    service: Service
    first: Machine | None = None  # of a pool
    room: Room | None = None
    has_room: bool = False


@dataclass(eq=False)
class Given:
    """What a machine was given, since it opened."""

    requests: list[StreamState] = field(default_factory=list)
    served_before: int = 0


class World(RuleBasedStateMachine):
    """An edge without I/O, and all that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.life = Life(
            Budget(ROOM_FOR * MACHINE_BYTES, 32 << 20),
            Waiting(WAITING_BYTES),
            Quarantine(lambda _: False),
            MAX_QUEUE,
            lambda machine: machine.service.name in WRITERS,
            lambda _: False,
        )
        self.openings, self.losses = Openings(self.life), Losses(self.life)
        self.orders = Orders(self.life)
        self.shared = [Worker(0), Worker(1)]
        self.own: dict[Any, Worker] = {}  # by place
        self.services: dict[str, Service] = {}
        self.requests: list[Request] = []
        self.told: Counter[Request] = Counter()  # ends
        self.replays: Counter[Request] = Counter()
        self.blamed: set[Request] = set()
        self.opening: list[Opening] = []
        self.records: dict[str, Held] = {}
        self.given: dict[int, Given] = {}
        self.asked_to_park: set[Machine] = set()
        self.soon: list[Service] = []
        self.peace = 0  # steps since the last misfortune: they come one by one, or hardly anything would begin

    @initialize(names=st.sets(st.sampled_from(sorted(TENANTS)), min_size=1, max_size=2))
    def publish(self, names: set[str]) -> None:
        for name in sorted(names):
            self.services[name] = Service(release(name, TENANTS[name]))

    # What an edge does.

    def settle(self) -> None:
        """Do what was said; what is to be done soon comes after."""
        self.peace += 1
        while self.life.out or self.soon:
            while self.life.out:
                self.carry_out(self.life.out.popleft())
            if self.soon:
                self.life.wanted(self.soon.pop(0), self.now)

    def carry_out(self, command: do.Command) -> None:
        match command:
            case do.Open(service):
                assert not any(each.service is service and each.first is None for each in self.opening)
                self.opening.append(Opening(service))
            case do.Grow(service, first):
                self.opening.append(Opening(service, first))
            case do.Dispatch(machine, stream):
                self.dispatched(machine, stream)
            case do.Fail(stream, _):
                self.end(stream)
            case do.Replay(stream):
                assert isinstance(stream, Request)
                self.replays[stream] += 1
                assert self.replays[stream] == 1, "once"
                assert stream not in self.blamed, "it may be what ended the worker"
            case do.Park(machine):
                assert machine not in self.asked_to_park
                self.asked_to_park.add(machine)
            case do.Leave(machine):
                self.asked_to_park.discard(machine)
                assert machine.worker.leave(machine), "it leaves once"
            case do.KeepRecord(key, machine, _, lived_s, served):
                given = self.given[machine.number]
                assert served == given.served_before + len(given.requests)
                assert all(stream.over and stream.machine is machine for stream in given.requests), (
                    "a record knows nothing that a client was not told"
                )
                assert not machine.service.withdrawn
                self.records[key] = Held("parked", lived_s, served, 6)
            case do.ForgetRecord(key):
                self.records.pop(key, None)
            case do.WantSoon(service):
                self.soon.append(service)
            case _:
                pass

    def dispatched(self, machine: Machine, stream: StreamState) -> None:
        assert machine.number in self.life.residents.machines
        assert machine.worker.alive
        assert machine not in self.asked_to_park
        assert len(machine.streams) <= machine.limit
        self.given[machine.number].requests.append(stream)

    def end(self, stream: StreamState) -> None:
        assert isinstance(stream, Request)
        self.told[stream] += 1
        assert self.told[stream] == 1, "answered twice"

    # What is there.

    def machines(self, of: str = "") -> list[Machine]:
        """Those in workers. `of`: with requests, or whose record is asked for."""
        here = list(self.life.residents.machines.values())
        if of == "busy":
            return [machine for machine in here if machine.streams]
        return [machine for machine in here if not of or machine in self.asked_to_park]

    def workers(self) -> list[Worker]:
        return [*self.shared, *self.own.values()]

    def worker_for(self, service: Service, pick: int) -> Worker:
        place = self.life.quarantine.place(service)
        if place == SHARED:
            return self.shared[pick % len(self.shared)]
        return self.own.setdefault(place, Worker(10 + len(self.own), place))

    def bring_up(self, opening: Opening, pick: int) -> None:
        """The next step of what was begun."""
        service, first = opening.service, opening.first
        if first is not None:
            self.opening.remove(opening)
            worker = self.worker_for(service, pick)
            room = self.openings.may_grow(first)
            self.settle()
            grown = room and self.openings.still_wanted(service, first, worker, MACHINE_BYTES)
            if grown:
                self.openings.grown(self.enter(service, worker, 0), self.now)
            self.openings.grow_over(service, grown=grown)
            self.settle()
            return
        try:
            key = self.openings.begin(service)
        except NunatakError as error:
            self.opening.remove(opening)
            self.openings.failed(service, error)
            self.settle()
            return
        held = self.records.get(key)
        if held is not None and not self.openings.may_use(service, IMAGES[service.name].manifest, held):
            held = None
        self.settle()
        if not opening.has_room:  # a worker is given the image before the machine opens, and that may take its time
            opening.room = opening.room or Room(service.tenant, MACHINE_BYTES, self.now)
            opening.has_room = self.life.make_room(opening.room, self.now)
            self.settle()
            return
        worker, opening.has_room = self.worker_for(service, pick), False
        if not self.openings.still_right(service, key, worker, MACHINE_BYTES, pick % 7 != 0):
            return  # it begins anew
        self.opening.remove(opening)
        machine = self.enter(service, worker, held.served if held is not None else 0)
        self.openings.opened(machine, held, None, self.now)
        self.settle()

    def enter(self, service: Service, worker: Worker, served: int) -> Machine:
        assert not service.withdrawn, "one that is withdrawn gets no machine"
        machine = self.life.residents.enter(service, IMAGES[service.name], worker, MACHINE_BYTES, self.now)
        assert self.life.budget.tier.used_bytes <= self.life.budget.tier.budget_bytes, "more was admitted than fits"
        worker.enter(machine)
        self.given[machine.number] = Given(served_before=served)
        return machine

    # What can happen.

    def service(self, pick: int) -> Service:
        return list(self.services.values())[pick % len(self.services)]

    @rule(pick=PICK, count=st.integers(1, 4), method=st.sampled_from(["GET", "GET", "POST"]), whole=st.booleans())
    def ask(self, pick: int, count: int, method: str, whole: bool) -> None:
        for _ in range(count):
            self.ask_one(self.service(pick), method, whole)

    def ask_one(self, service: Service, method: str, whole: bool) -> None:
        stream = Request(len(self.requests), service, self.now, method, whole, 10)
        try:
            machine = self.life.asked(stream)
        except NunatakError:
            assert stream.state == "waiting"
            assert stream not in stream.service.queue
        else:
            self.requests.append(stream)
            if machine is not None:
                self.dispatched(machine, stream)
        self.settle()

    @precondition(lambda self: self.machines("busy"))
    @rule(pick=PICK, whole=st.booleans())
    def answer(self, pick: int, whole: bool) -> None:
        busy = self.machines("busy")
        machine = busy[pick % len(busy)]
        stream = list(machine.streams.values())[pick % len(machine.streams)]
        if not whole and stream.state == "asked":
            stream.step("head")
            return
        stream.step("end")
        self.end(stream)
        self.life.over(machine, stream, self.now)
        self.settle()

    @precondition(lambda self: self.peace >= PEACE and any(not stream.over for stream in self.requests))
    @rule(pick=PICK, at_fault=st.booleans())
    def leave(self, pick: int, at_fault: bool) -> None:
        self.peace = 0
        open_ = [stream for stream in self.requests if not stream.over]
        stream = open_[pick % len(open_)]
        self.life.abandoned(stream, OriginUnreachable("a client's fault") if at_fault else None, self.now)
        if not at_fault:
            self.end(stream)
        self.settle()

    @precondition(lambda self: self.opening)
    @rule(pick=PICK)
    def open(self, pick: int) -> None:
        self.bring_up(self.opening[pick % len(self.opening)], pick)

    @precondition(lambda self: self.opening)
    @rule()
    def open_all(self) -> None:
        for _ in range(2):  # room, then the machine
            for opening in list(self.opening):
                if opening in self.opening:
                    self.bring_up(opening, 1)

    @precondition(lambda self: self.peace >= PEACE and any(each.first is None for each in self.opening))
    @rule(pick=PICK, error=st.sampled_from([OriginUnreachable("x"), OverBudget("x"), ZeroDivisionError("x")]))
    def cannot_open(self, pick: int, error: Exception) -> None:
        self.peace = 0
        opens = [each for each in self.opening if each.first is None]
        opening = opens[pick % len(opens)]
        self.opening.remove(opening)
        self.openings.failed(opening.service, error)
        self.settle()

    @rule(pick=PICK)
    def park(self, pick: int) -> None:
        self.life.residents.park(self.service(pick))
        self.settle()

    @precondition(lambda self: self.peace >= PEACE)
    @rule(pick=PICK)
    def restart(self, pick: int) -> None:
        self.peace = 0
        service = self.service(pick)
        if self.orders.may_restart(service):
            self.orders.restart(service)
            assert service.machine is None
            assert service.state == "cold" or service.queue
        self.settle()

    @precondition(lambda self: self.peace >= PEACE)
    @rule(pick=PICK)
    def rest(self, pick: int) -> None:
        self.peace = 0
        service = self.service(pick)
        self.orders.rest(service)
        assert not service.queue
        self.settle()

    @precondition(lambda self: self.asked_to_park)
    @rule(pick=PICK)
    def parked(self, pick: int) -> None:
        going = self.machines("parking")
        self.life.parked(going[pick % len(going)], do.ParkedParts(b"record", b"", ()), self.now)
        self.settle()

    @precondition(lambda self: self.life.residents.closing)
    @rule()
    def waited_for_its_writes(self) -> None:
        self.life.residents.close_now(next(iter(self.life.residents.closing.values())))
        self.settle()

    @precondition(lambda self: self.peace >= PEACE and self.machines())
    @rule(pick=PICK, error=st.sampled_from([GuestFault("x"), WorkerFull("x")]), unseen=st.sets(st.integers(0, 3)))
    def die(self, pick: int, error: NunatakError, unseen: set[int]) -> None:
        self.peace = 0
        here = self.machines()
        machine = here[pick % len(here)]
        numbers = [number for place, number in enumerate(machine.streams) if place in unseen]
        self.life.died(machine, error, numbers, None, self.now)
        self.settle()

    @precondition(lambda self: self.peace >= PEACE and self.machines())
    @rule(pick=PICK, blame=st.booleans())
    def lose_worker(self, pick: int, blame: bool) -> None:
        self.peace = 0
        worker = self.workers()[pick % len(self.workers())]
        worker.alive = False
        if worker in self.shared:
            self.shared[self.shared.index(worker)] = Worker(worker.index)
        else:
            del self.own[worker.place]
        here, error = list(worker.machines.values()), WorkerLost("x")
        if blame and here:
            blamed = here.pop(pick % len(here))
            self.blamed.update(stream for stream in blamed.streams.values() if isinstance(stream, Request))
            self.losses.blamed(blamed, error, self.now)
            self.settle()
        self.losses.states(here)
        for machine in here:
            self.losses.lost(machine, error, self.now)
            self.settle()
        self.settle()

    @precondition(lambda self: self.peace >= PEACE)
    @rule(pick=PICK, withdrawn=st.sampled_from([False, False, True]))
    def change(self, pick: int, withdrawn: bool) -> None:
        self.peace = 0
        service = self.service(pick)
        name = service.name
        after = release(name, service.tenant, service.release.version + 1)
        self.life.changed(service, None if withdrawn else after)
        if withdrawn:
            self.services[name] = Service(after)  # published anew, a moment later
        else:
            service.release = after
        self.settle()

    @precondition(lambda self: self.peace >= PEACE)
    @rule(pick=PICK, machines=st.sampled_from([0.5, 1, 1.5, 2.5, 4]))
    def measure(self, pick: int, machines: float) -> None:
        self.peace = 0
        machine = self.service(pick).machine
        if machine is not None:
            size = int(machines * MACHINE_BYTES)
            self.life.measured({machine.number: machine}, [(machine.number, size)], self.now)
            self.settle()

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 3.0, 12.0, 31.0, 700.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        for machine in self.machines():
            self.life.no_progress(machine, PATIENCE, self.now)
            self.life.rest(machine, self.now)
            self.settle()
        self.life.shrink(self.now)
        self.losses.tick(self.now)
        self.life.waited(PATIENCE.answer_s, self.now)
        self.settle()

    # What is promised.

    @invariant()
    def no_request_is_lost(self) -> None:
        places = Counter(stream for service in self.all_services() for stream in service.queue)
        places.update(stream for machine in self.machines() for stream in machine.streams.values())
        for stream in self.requests:
            assert places[stream] == (not stream.over), f"{stream.label}, {stream.state}: in one place while it is open"
            assert self.told[stream] == stream.over

    @invariant()
    def nobody_waits_for_what_does_not_come(self) -> None:
        for service in self.all_services():
            if not service.queue:
                continue
            match service.state:
                case "opening":
                    assert any(each.service is service and each.first is None for each in self.opening)
                case "parking":
                    assert service.machine in self.asked_to_park
                case "resident":
                    assert service.machine is not None
                    for machine in (service.machine, *service.others):
                        assert len(machine.streams) == machine.limit, "a place is free while requests wait"
                case state:
                    raise AssertionError(f"requests wait while {service.name} is {state}")

    @invariant()
    def a_service_is_where_its_state_says(self) -> None:
        here = self.life.residents.machines
        for service in self.all_services():
            assert (service.machine is not None) == (service.state in ("resident", "parking"))
            if service.machine is not None:
                assert here[service.machine.number] is service.machine
                assert not service.machine.retiring
                assert (service.machine in self.asked_to_park) == (service.state == "parking")
                assert 1 + len(service.others) <= service.machine.pool
            if service.others:
                assert service.machine is not None, "one beside a first that is gone takes its place"
            for other in service.others:
                assert other is not service.machine
                assert here[other.number] is other
        for machine in self.machines():
            service = machine.service
            assert machine.retiring or machine is service.machine or machine in service.others

    @invariant()
    def one_that_is_blamed_is_alone(self) -> None:
        for machine in self.machines():
            blame = self.life.quarantine.of(machine.service.name)
            going = machine.retiring or machine in self.asked_to_park
            if blame is not None and blame.confined and not going:
                assert machine.worker.place == self.life.quarantine.place(machine.service)

    @invariant()
    def sums_are_right(self) -> None:
        waiting = [stream for service in self.all_services() for stream in service.queue]
        sizes = [STREAM_BYTES + len(stream.payload) for stream in waiting]
        assert self.life.waiting.used_bytes == sum(sizes)
        assert sum(self.life.waiting.bytes_of(tenant) for tenant in set(TENANTS.values())) == sum(sizes)
        admitted = [size for stream, size in zip(waiting, sizes, strict=True) if not stream.replayed]
        assert sum(admitted) <= WAITING_BYTES
        assert {*self.life.budget.tier} == {m.number for m in self.machines() if m not in self.asked_to_park}
        for worker in self.workers():
            assert worker.open_streams == sum(len(machine.streams) for machine in worker.machines.values())
        here = {machine for worker in self.workers() for machine in worker.machines.values()}
        assert here == set(self.machines())

    def all_services(self) -> list[Service]:
        """Also those that were withdrawn and still have something to do."""
        known = [*self.services.values(), *(stream.service for stream in self.requests)]
        return list(dict.fromkeys([*known, *(machine.service for machine in self.machines())]))

    def teardown(self) -> None:
        """Nothing more goes wrong: all that is asked is answered."""
        for step in range(1000):
            if self.asked_to_park:
                self.parked(step)
            elif self.opening and (step % 2 or not self.machines("busy")):
                self.bring_up(self.opening[step // 2 % len(self.opening)], 1)
            elif self.machines("busy"):
                self.answer(step, True)
            else:
                break
            self.check()
            self.now += 0.01
        assert all(stream.over for stream in self.requests)

    def check(self) -> None:
        self.no_request_is_lost()
        self.nobody_waits_for_what_does_not_come()
        self.a_service_is_where_its_state_says()
        self.sums_are_right()


World.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLife = World.TestCase


def test_who_was_withdrawn_and_published_anew_leaves_with_the_old_one() -> None:
    """Found by the above: a service is blamed by its name, whichever of the two the machine was of."""
    world = World()
    world.publish(names={"a"})
    world.ask(pick=0, count=1, method="GET", whole=False)
    for _ in range(2):  # room, then the machine, in the first worker
        world.open(pick=2)
    world.change(pick=0, withdrawn=True)
    world.ask(pick=0, count=1, method="GET", whole=False)
    world.open_all()
    assert len(world.machines()) == 2
    world.lose_worker(pick=0, blame=True)
    world.one_that_is_blamed_is_alone()
    assert not world.machines()
