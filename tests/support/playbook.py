"""Plays of a service's life: events in, commands out, in exact order, with neither loop nor clock nor worker process.

    Playbook().asked(1).expect("Open(a)").opened().expect("Dispatch(a#1, 1)")

Requests go by the number that a play gives them, services by name, machines by service and order: `a#2` is the second
of a. Each event checks first that all commands before it were expected. Two things that are no commands are shown as
if they were: `Dispatch` of a request that a machine takes at once, and `Refuse` of one that is told so when it comes.
"""

from types import SimpleNamespace
from typing import Any

from edge.content.blobs import Load
from edge.model.flow import SHARED, Patience, Place, WorkerLost
from edge.model.services import Machine, Service, StreamState
from edge.supervisor import commands as do
from edge.supervisor.budget import SHELL_BYTES, Budget, Room
from edge.supervisor.life import Life
from edge.supervisor.losses import Losses
from edge.supervisor.openings import Held, Openings
from edge.supervisor.orders import Orders
from edge.supervisor.quarantine import Quarantine
from edge.supervisor.waiting import Waiting
from edge.vmm.wire.streams import Answer, Body, Credit
from vmimage import abi
from vmimage.errors import GuestFault, NunatakError
from vmimage.terms import Limits, Rejuvenation
from vmimage.trust import ServiceRecord

MACHINE_BYTES = 2 << 20  # what each is charged when it opens
_PAGES = (MACHINE_BYTES - SHELL_BYTES) // abi.PAGE_SIZE

PATIENCE = Patience(30.0, 600.0)  # the defaults of an edge


class Worker:
    """A worker that is told nothing."""

    def __init__(self, index: int = 0, place: Place = SHARED) -> None:
        self.index, self.place = index, place
        self.alive, self.leaving = True, False
        self.open_streams = 0
        self.disks: set[int] = set()
        self.machines: dict[int, Machine] = {}

    def send(self, frame: bytes) -> None:
        raise AssertionError("a decision does no I/O")

    def enter(self, machine: Machine) -> None:
        self.machines[machine.number] = machine

    def leave(self, machine: Machine) -> bool:
        return self.machines.pop(machine.number, None) is not None


class Request(StreamState):
    """A request whose client is told nothing."""

    def __init__(
        self, label: int, service: Service, now: float, method: str = "GET", whole: bool = True, size: int = 100
    ) -> None:
        self.label, self.service, self.since, self.method, self.whole = label, service, now, method, whole
        self.payload = bytes(size)

    def tell(self, error: BaseException) -> None:
        raise AssertionError("a decision does no I/O")

    def wake(self) -> None:
        raise AssertionError("a decision does no I/O")

    def on_answer(self, answer: Answer, now: float) -> None:
        raise AssertionError("a decision does no I/O")

    def hand_over(self, answer: Answer) -> None:
        raise AssertionError("a decision does no I/O")

    def on_body(self, body: Body) -> None:
        raise AssertionError("a decision does no I/O")

    def on_credit(self, credit: Credit, now: float) -> None:
        raise AssertionError("a decision does no I/O")

    def on_abort(self) -> None:
        raise AssertionError("a decision does no I/O")


def release(name: str, tenant: str = "", version: int = 1) -> ServiceRecord:
    """What the catalogue says of a service."""
    return ServiceRecord(name, (f"{name}.test",), f"sha256:{version:064x}", 100, version, owner=tenant or name)


def image(
    *,
    streams: int = 64,
    pool: int = 1,
    pages: int = _PAGES,
    requests: int = 0,
    seconds: int = 0,
    disks: tuple[object, ...] = (),
    fresh: bool = False,
) -> Any:
    """An image, as far as decisions look at it."""
    manifest = SimpleNamespace(
        name="image",
        page_count=pages,
        memory_bytes=32 << 20,
        disks=disks,
        pool=pool,
        limits=Limits(streams=streams),
        rejuvenate=Rejuvenation(requests=requests, seconds=seconds),
        instance="request" if fresh else "service",
    )
    return SimpleNamespace(manifest=manifest)


class Playbook:
    """One play. Services are made when they are named first; each event is at `now`, which `wait` moves on."""

    def __init__(
        self,
        *,
        room_for: int = 4,
        max_queue: int = 8,
        waiting_bytes: int = 1 << 20,
        isolates: str = "",
        crash_pause_max_s: float = 30,
        **of: Any,
    ) -> None:
        """:param room_for: machines. :param isolates: a tenant with workers of its own. :param of: as `image` takes."""
        self.now = 1000.0
        self.writers: set[str] = set()  # machines with a disk on which their writes shall last
        self.exchanging: set[str] = set()  # machines with requests to upstreams
        self.life = Life(
            Budget(room_for * MACHINE_BYTES, 32 << 20),
            Waiting(waiting_bytes),
            Quarantine(lambda tenant: tenant == isolates),
            max_queue,
            lambda machine: self.name(machine) in self.writers,
            lambda machine: self.name(machine) in self.exchanging,
            crash_pause_max_s,
        )
        self.openings, self.losses = Openings(self.life), Losses(self.life)
        self.orders = Orders(self.life)
        self.workers = [Worker(0), Worker(1)]
        self.services: dict[str, Service] = {}
        self.requests: dict[int, Request] = {}
        self.machines: dict[str, Machine] = {}
        self.rooms: dict[str, Room] = {}
        self._names: dict[int, str] = {}
        self._of = of
        self._seen: list[str] = []

    # What is seen.

    def expect(self, *commands: str) -> "Playbook":
        """Exactly these commands came of the last event, in this order."""
        seen, self._seen = self._seen, []
        assert seen == list(commands)
        return self

    def came(self) -> list[str]:
        """What came of the last event, for who looks for some of it."""
        seen, self._seen = self._seen, []
        return seen

    def state(self, expected: str, service: str = "a") -> "Playbook":
        """The service is in this state."""
        assert self.services[service].state == expected
        return self

    def request(self, label: int, expected: str) -> "Playbook":
        """The request is in this state."""
        assert self.requests[label].state == expected
        return self

    def name(self, machine: Machine) -> str:
        """How a play calls a machine."""
        return self._names[machine.number]

    def _look(self, *more: str) -> "Playbook":
        while self.life.out:
            command = self.life.out.popleft()
            if isinstance(command, do.Leave):
                command.machine.worker.leave(command.machine)
            self._seen.append(self._show(command))
        self._seen += more
        return self

    def _show(self, command: do.Command) -> str:
        values = command[:2] if isinstance(command, do.Report) else command  # its requests are looked at elsewhere
        return f"{type(command).__name__}({', '.join(text for value in values if (text := self._label(value)))})"

    def _label(self, value: object) -> str:
        match value:
            case Request():
                return str(value.label)
            case Service():
                return value.name
            case Machine():
                return self.name(value)
            case Room():
                return next(name for name, room in self.rooms.items() if room is value)
            case Exception():
                return type(value).__name__
            case do.ParkedParts():
                return f"{value.size} bytes"
            case tuple():
                return " ".join(map(self._label, value))
            case str():
                return value.split("@")[0]  # of a key: the service
            case float():
                return f"{value:g} s"
            case None | dict():
                return ""
            case _:
                return str(value)

    def _event(self) -> "Playbook":
        assert not self._seen, "commands that nobody expected"
        return self

    # Events.

    def wait(self, seconds: float) -> "Playbook":
        """Time goes by."""
        self.now += seconds
        return self

    def service(self, name: str, tenant: str = "") -> Service:
        """A service that the catalogue knows."""
        return self.services.setdefault(name, Service(release(name, tenant)))

    def asked(self, label: int, service: str = "a", **about: Any) -> "Playbook":
        """A request comes."""
        self._event()
        stream = self.requests[label] = Request(label, self.service(service), self.now, **about)
        try:
            machine = self.life.asked(stream)
        except NunatakError as error:
            return self._look(f"Refuse({label}, {type(error).__name__})")
        return self._look() if machine is None else self._look(f"Dispatch({self.name(machine)}, {label})")

    def head(self, label: int) -> "Playbook":
        """The head of an answer goes to the client."""
        self._event().requests[label].step("head")
        return self

    def answered(self, *labels: int) -> "Playbook":
        """Answers come to their end."""
        self._event()
        for label in labels:
            stream = self.requests[label]
            stream.step("end")
            assert stream.machine is not None
            self.life.over(stream.machine, stream, self.now)
        return self._look()

    def client_gone(self, label: int, error: Exception | None = None) -> "Playbook":
        """Nobody wants the answer any more."""
        self._event().life.abandoned(self.requests[label], error, self.now)
        return self._look()

    def _enter(self, service: Service, worker: Worker) -> Machine:
        machine = self.life.residents.enter(service, image(**self._of), worker, MACHINE_BYTES, self.now)
        name = f"{service.name}#{1 + sum(other.startswith(service.name + '#') for other in self.machines)}"
        self.machines[name], self._names[machine.number] = machine, name
        worker.enter(machine)
        return machine

    def opened(
        self, service: str = "a", *, worker: Worker | int = 0, held: Held | None = None, from_origin: bool = False
    ) -> "Playbook":
        """What `Open` needs is here, and the machine is brought up."""
        self._event()
        here, where = self.services[service], self.workers[worker] if isinstance(worker, int) else worker
        key = self.openings.begin(here)
        assert self.openings.still_right(here, key, where, MACHINE_BYTES, True)
        load = Load(from_origin=True) if from_origin else None
        self.openings.opened(self._enter(here, where), held, load, self.now)
        return self._look()

    def open_failed(self, error: Exception, service: str = "a") -> "Playbook":
        """What `Open` needs cannot be had."""
        self._event().openings.failed(self.services[service], error)
        return self._look()

    def record(self, held: Held, service: str = "a") -> bool:
        """A record is found for the machine that is being opened; whether it may be used."""
        used = self._event().openings.may_use(self.services[service], image(**self._of).manifest, held)
        self._look()
        return used

    def grown(self, service: str = "a", *, worker: int = 1) -> "Playbook":
        """What `Grow` needs is here, and the machine is brought up."""
        self._event()
        here = self.services[service]
        assert here.machine is not None
        assert self.openings.still_wanted(here, here.machine, self.workers[worker], MACHINE_BYTES)
        self.openings.grown(self._enter(here, self.workers[worker]), self.now)
        self.openings.grow_over(here, grown=True)
        return self._look()

    def not_grown(self, service: str = "a") -> "Playbook":
        """What `Grow` needs cannot be had."""
        self._event().openings.grow_over(self.services[service], grown=False)
        return self._look()

    def may_grow(self, service: str = "a") -> "Playbook":
        """Whether there is room for what `Grow` is to bring."""
        first = self._event().services[service].machine
        assert first is not None
        return self._look("Room" if self.openings.may_grow(first) else "NoRoom")

    def park(self, service: str = "a") -> "Playbook":
        """An operator asks for a record."""
        self._event().life.residents.park(self.services[service])
        return self._look()

    def restart(self, service: str = "a") -> "Playbook":
        """An operator lets a service begin anew."""
        self._event()
        assert self.orders.may_restart(self.services[service])
        self.orders.restart(self.services[service])
        return self._look()

    def rest(self, service: str = "a") -> "Playbook":
        """A service is on hold, and has to come to rest."""
        self._event().orders.rest(self.services[service])
        return self._look()

    def parked(self, machine: str = "a#1", record: bytes = b"record") -> "Playbook":
        """The record comes."""
        parts = do.ParkedParts(record, b"", ())
        self._event().life.parked(self.machines[machine], parts, self.now)
        return self._look()

    def died(self, machine: str = "a#1", error: NunatakError | None = None, retry: tuple[int, ...] = ()) -> "Playbook":
        """A machine ends in its worker. `retry`: requests that it had not begun with."""
        self._event()
        unseen = {self.requests[label].number for label in retry}
        self.life.died(self.machines[machine], error or GuestFault("x"), unseen, None, self.now)
        return self._look()

    def worker_lost(self, worker: Worker | int = 0, blamed: str = "") -> "Playbook":
        """A worker ends, for which a machine is blamed, or nobody; another takes its place."""
        self._event()
        where = self.workers[worker] if isinstance(worker, int) else worker
        where.alive, error, here = False, WorkerLost("its worker ended"), list(where.machines.values())
        if isinstance(worker, int):
            self.workers[worker] = Worker(where.index, where.place)
        if blamed:
            here.remove(self.machines[blamed])
            self.losses.blamed(self.machines[blamed], error, self.now)
        self.losses.states(here)
        for machine in here:
            self.losses.lost(machine, error, self.now)
        return self._look()

    def changed(self, service: str = "a", *, withdrawn: bool = False) -> "Playbook":
        """The catalogue names another version, or none."""
        self._event()
        here = self.services[service]
        after = None if withdrawn else release(service, here.tenant, here.release.version + 1)
        self.life.changed(here, after)
        here.release = after or here.release
        return self._look()

    def wanted(self, service: str = "a") -> "Playbook":
        """What `WantSoon` is for."""
        self._event().life.wanted(self.services[service], self.now)
        return self._look()

    def make_room(self, name: str, party: str = "new", machines: int = 1) -> "Playbook":
        """One who brings a machine up looks for room, for the first time or again."""
        self._event()
        room = self.rooms.setdefault(name, Room(party, machines * MACHINE_BYTES, self.now))
        there_is = self.life.make_room(room, self.now)
        return self._look("Room" if there_is else "NoRoom")

    def measured(self, **sizes: int) -> "Playbook":
        """A worker says what machines take, in bytes: `a1` is a#1."""
        self._event()
        machines = [(self.machines[f"{name[0]}#{name[1:]}"], size) for name, size in sizes.items()]
        by_number = {machine.number: machine for machine, _ in machines}
        self.life.measured(by_number, [(machine.number, size) for machine, size in machines], self.now)
        return self._look()

    def grew(self, machine: str = "a#1") -> "Playbook":
        """A worker says that a machine differs more from its image than it may."""
        self._event().life.rejuvenate(self.machines[machine], "growth_bytes", self.now)
        return self._look()

    def tick(self, patience: Patience = PATIENCE) -> "Playbook":
        """What is done once a second."""
        self._event()
        for machine in list(self.life.residents.machines.values()):
            self.life.no_progress(machine, patience, self.now)
            self.life.rest(machine, self.now)
        self.life.shrink(self.now)
        self.losses.tick(self.now)
        self.life.waited(patience.answer_s, self.now)
        return self._look()
