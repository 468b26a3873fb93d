"""The machines in workers, under a byte budget: opened, measured, parked when room is needed, closed.

A machine is admitted by what its image says that it takes, and then charged with what its worker measures. What a
machine's end means for its service and its requests is the supervisor's business.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from edge.common.counters import Counters
from edge.content.image import Image
from edge.content.images import Images
from edge.content.tiers import Tier
from edge.devices.disks import Attached, Disks
from edge.devices.upstreams import Upstreams
from edge.model.services import Machine, Service
from edge.model.streams import Stream, wake
from edge.vmm.wire.frames import PAYLOAD_MAX
from edge.vmm.wire.machines import Close, Open, Park
from edge.vmm.wire.streams import Reset
from edge.workers.process import Worker
from vmimage import abi
from vmimage.drives import WRITTEN_MAX
from vmimage.errors import OverBudget
from vmimage.manifest import ImageManifest
from vmimage.parked import ParkedRecord

# What a resident machine costs beside its own pages: an engine with an 8 MiB translation buffer that is hardly touched
# (1.2 MiB measured on unicorn 2.1.4), page tables, and rings.
SHELL_BYTES: Final = 3 << 19
LOOK_AGAIN_S: Final = 0.25  # while all machines are busy
PATIENCE_S: Final = 2.0  # with them, until one of a greedy tenant ends; well below what a request waits
GREEDY_SHARE: Final = 4  # of the budget, a quarter: a tenant with less is in nobody's way
CLOSE_S: Final = 2.0  # for a machine that is closed to come to rest and say what it wrote
# Raw bytes of changed pages in a record: a quarter of the memory for records, so that one machine never drives all
# others to disk; never so few that a machine of an interpreted language could not be parked (8 MiB is four times what
# a QuickJS guest changes), and never so many that a frame of an incompressible record becomes hard to carry.
RECORD_MIN: Final = 8 << 20
RECORD_MAX: Final = 32 << 20
RECORD_SLACK: Final = 64 << 10  # registers, open requests and the compression's own bytes
PARK_BATCH_BYTES: Final = 16 << 20  # asked of one worker at once at the end; a larger machine goes alone, and last


def cost_of(manifest: ImageManifest, attached: Sequence[Attached] = ()) -> int:
    """Memory a machine of this image is taken to need, in bytes, with what was written to its disks so far."""
    return SHELL_BYTES + manifest.page_count * abi.PAGE_SIZE + sum(len(each.pages) for each in attached)


def record_bytes(parked_bytes: int) -> int:
    """Most raw bytes of changed pages that a machine may be parked with, by the memory that all records may take."""
    return max(RECORD_MIN, min(RECORD_MAX, parked_bytes // 4))


def worker_bytes(budget_bytes: int) -> int:
    """Hard limit for the pages of one worker's machines, in bytes, by the budget for all machines of the edge.

    The whole budget, not a worker's share of it: each machine that the budget admits must be able to run wherever it
    is placed. And an eighth more, but at least 8 MiB: within that this edge, which learns sizes once a second, acts
    first and parks the coldest, where the worker ends the greediest.
    """
    return budget_bytes + max(8 << 20, budget_bytes // 8)


def greediest(used: Mapping[str, int], party: str, cost_bytes: int, budget_bytes: int) -> str | None:
    """The tenant that has most, where that is much: of all there is, beside the others, and beside who wants a machine.

    Where many tenants have little each, none of them is greedy, and who comes last waits.

    :param used: bytes by tenant. :param party: who wants a machine. :param cost_bytes: of that machine.
    """
    most = max(used, key=lambda tenant: used[tenant], default=party)
    equal_share, wanted = budget_bytes // len({*used, party}), used.get(party, 0) + cost_bytes
    if most == party or used[most] <= max(budget_bytes // GREEDY_SHARE, equal_share, 2 * wanted):
        return None
    return most


class Residents:
    """All machines in workers, those being parked aside: their memory is as good as free."""

    def __init__(
        self,
        budget_bytes: int,
        parked_bytes: int,
        weights: Mapping[str, int],
        images: Images,
        upstreams: Upstreams,
        disks: Disks,
        counters: Counters,
    ) -> None:
        """:param budget_bytes: for machines in workers.
        :param parked_bytes: for records in memory.
        :param weights: of tenants in the sharing of CPU time; 1 where there is none."""
        self._weights = weights
        self.record_bytes = record_bytes(parked_bytes)
        self.tier: Tier[int, Machine] = Tier(budget_bytes)  # by number
        self.touch = self.tier.touch
        self.on_greedy: Callable[[Machine], None] = lambda _: None  # has a machine end that is in others' way
        self._images, self._upstreams, self._disks, self._counters = images, upstreams, disks, counters
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._room: deque[asyncio.Future[None]] = deque()  # those who wait for a machine to become idle
        self._parking: dict[int, asyncio.Future[None]] = {}  # by machine
        self._closing: dict[Service, Machine] = {}  # that are parked for what they wrote, not for their record

    async def prepare(self, service: Service, image: Image) -> Sequence[Attached]:
        """The disks of one more machine of a service: none of them is copy-on-write, or it could have but one machine.

        :raises OriginError: a disk cannot be had.
        """
        return await self._disks.prepare(service, image.manifest.disks)

    def open(
        self,
        worker: Worker,
        service: Service,
        image: Image,
        record: ParkedRecord | None,
        attached: Sequence[Attached],
    ) -> Machine:
        """Send OPEN; frames for the machine may follow at once. The image is pinned until the machine is gone."""
        self._number = self._number % 0xFFFFFFFF + 1  # never 0, which is nobody
        machine = Machine(self._number, service, image, worker, self._loop.time())
        image.pins += 1
        worker.enter(machine)
        self.tier.put(machine.number, machine, cost_of(image.manifest, attached))
        message = Open(
            machine=machine.number,
            image=image.number,
            tenant=service.tenant,
            weight=self._weights.get(service.tenant, 1),
            limits=image.manifest.limits,
            growth_bytes=image.manifest.rejuvenate.growth_bytes,
            record_bytes=self.record_bytes,
            fresh=image.manifest.instance == "request",
            disks=self._disks.attach(machine, attached),
            state=record.state if record is not None else b"",
            scratch=record.scratch if record is not None else b"",
        )
        worker.send(message.to_bytes())
        self._counters.opens += 1
        return machine

    def reset(self, machine: Machine, stream: Stream) -> None:
        """Tell the guest that nobody waits for this answer any more."""
        machine.worker.send(Reset(machine.number, stream.number).to_bytes())

    def park(self, service: Service) -> "asyncio.Future[None] | None":
        """Ask for an idle machine's record; None if there is no such machine. The future is done when it is here."""
        machine = service.machine
        if service.state != "resident" or machine is None or not self._may_park(machine):
            return None
        service.step("park")
        return self._ask_to_park(machine)

    def _ask_to_park(self, machine: Machine) -> "asyncio.Future[None]":
        self.tier.pop(machine.number)  # a worker lets few wait for that, and frees its memory before it takes more
        machine.worker.send(Park(machine.number).to_bytes())
        parked = self._parking[machine.number] = self._loop.create_future()
        return parked

    def parking(self, machine: Machine) -> bool:
        """Whether its record has been asked for."""
        return machine.number in self._parking

    def _may_park(self, machine: Machine) -> bool:
        first = machine.service.machine is machine and not machine.service.others  # others go by themselves
        return first and not machine.streams and not machine.retiring

    def full(self, image: Image) -> bool:
        """Whether one more machine of the image would need room to be made."""
        return self.tier.over(cost_of(image.manifest))

    def admit(self, manifest: ImageManifest, attached: Sequence[Attached] = ()) -> int:
        """What a machine of this image is charged, in bytes.

        :raises OverBudget: more than all machines together may have, so that no parking of others makes room for it.
        """
        cost, budget = cost_of(manifest, attached), self.tier.budget_bytes
        if cost > budget:
            raise OverBudget(f"{manifest.name}: a machine of at most {budget} bytes expected, got one of {cost}")
        return cost

    def check_record(self, machine: Machine, size: int) -> None:
        """The size of what a worker parked a machine as, in bytes.

        :raises OverBudget: it is larger than a record may be. With disks there is unflushed data in it too.
        """
        limit = PAYLOAD_MAX if machine.image.manifest.disks else self.record_bytes + RECORD_SLACK
        if size > limit:
            raise OverBudget(f"{machine.service.name}: a record of at most {limit} bytes expected, got {size}")

    def measure(self, worker: Worker, sizes: Iterable[tuple[int, int]]) -> list[Machine]:
        """Charge machines with what their worker has measured; those that have outgrown all there is for machines.

        A worker that lies can make its machines look as large as their images let them become, or as small as it likes.
        """
        outgrown = []
        for number, size in sizes:
            machine = worker.machines.get(number)
            if machine is None or number not in self.tier:  # gone, or being parked
                continue
            manifest = machine.image.manifest
            most = SHELL_BYTES + manifest.memory_bytes + (WRITTEN_MAX if manifest.disks else 0)
            self.tier.resize(number, max(SHELL_BYTES, min(size, most)))
            if self.tier.size_of(number) > self.tier.budget_bytes:
                outgrown.append(machine)
        return outgrown

    def relieve(self) -> None:
        """Park idle machines until the budget holds: first one that has more than half of it, then the coldest."""
        budget = self.tier.budget_bytes
        while self.tier.over():
            greedy = self.tier.coldest(lambda m: self._may_park(m) and 2 * self.tier.size_of(m.number) > budget)
            number = self.tier.coldest(self._may_park) if greedy is None else greedy
            machine = self.tier.get(number) if number is not None else None
            if machine is None or self.park(machine.service) is None:
                return  # all are busy: whoever wants room waits, and the next measurement comes in a second

    async def make_room(self, image: Image, attached: Sequence[Attached], party: str) -> None:
        """Park the coldest idle machines until one more fits; wait while all are busy, but not for ever.

        :param party: the tenant whose machine it is.
        :raises OverBudget: it never will.
        """
        cost = self.admit(image.manifest, attached)
        patient_until = self._loop.time() + PATIENCE_S
        while self.tier.over(cost) and len(self.tier):
            number = self.tier.coldest(self._may_park)
            if number is not None and (machine := self.tier.pop(number)) is not None:
                self.park(machine.service)
                continue
            waiter = self._loop.create_future()
            self._room.append(waiter)
            await asyncio.wait([waiter], timeout=LOOK_AGAIN_S)
            if waiter in self._room:
                self._room.remove(waiter)
            if self._loop.time() >= patient_until:
                patient_until = self._loop.time() + PATIENCE_S
                self._end_greedy(party, cost)

    def _end_greedy(self, party: str, cost: int) -> None:
        """Have busy machines end whose tenant has so much that others have to wait, until there is room for one."""
        while self.tier.over(cost):
            used: dict[str, int] = {}
            for machine in self.tier.values():
                used[machine.service.tenant] = used.get(machine.service.tenant, 0) + self.tier.size_of(machine.number)
            greedy = greediest(used, party, cost, self.tier.budget_bytes)
            theirs = [machine for machine in self.tier.values() if machine.service.tenant == greedy]
            if not theirs:
                return
            self.on_greedy(max(theirs, key=lambda machine: self.tier.size_of(machine.number)))

    async def park_all(self, timeout_s: float) -> None:
        """Park every machine, waiting for those that are not idle yet, but only so long.

        Each worker for itself, so that one that hangs costs only its own; in each the small ones first and few at once,
        so that a machine that ends its worker by being parked takes as little as possible with it.
        """
        deadline = self._loop.time() + timeout_s
        workers = {machine.worker for machine in self.tier.values()}
        await asyncio.gather(*(self._park_all_of(worker, deadline) for worker in workers))
        left = deadline - self._loop.time()
        if self._parking and left > 0:
            await asyncio.wait(self._parking.values(), timeout=left)

    async def _park_all_of(self, worker: Worker, deadline: float) -> None:
        while worker.alive and (here := [m for m in worker.machines.values() if m.number in self.tier]):
            for machine in here:
                for other in machine.service.others:
                    self.close(other)
                machine.service.others.clear()
            for batch in self._batches([machine for machine in here if self._may_park(machine)]):
                asked = [parked for machine in batch if (parked := self.park(machine.service)) is not None]
                left = deadline - self._loop.time()
                if left <= 0 or (asked and (await asyncio.wait(asked, timeout=left))[1]):
                    return
            if (left := deadline - self._loop.time()) <= 0:
                return
            if worker.alive and any(machine.number in self.tier for machine in worker.machines.values()):
                await asyncio.sleep(min(LOOK_AGAIN_S, left))

    def _batches(self, machines: list[Machine]) -> Iterator[list[Machine]]:
        """Machines in the order in which they are parked at the end."""
        batch: list[Machine] = []
        used = 0
        for machine in sorted(machines, key=lambda machine: self.tier.size_of(machine.number)):
            size = self.tier.size_of(machine.number)
            if batch and used + size > PARK_BATCH_BYTES:
                yield batch
                batch, used = [], 0
            batch.append(machine)
            used += size
        if batch:
            yield batch

    def idle(self) -> None:
        """A machine has no requests any more, or is gone: one who waits for room may look again."""
        if self._room:
            wake(self._room.popleft())

    def close(self, machine: Machine) -> None:
        """End a machine that retires. What it wrote to copy-on-write disks is kept, flushed or not; nothing else is."""
        if self._disks.may_write(machine) and not machine.service.withdrawn:
            self._closing[machine.service] = machine
            self._ask_to_park(machine)
            return
        self._end(machine)

    def _end(self, machine: Machine) -> None:
        machine.worker.send(Close(machine.number).to_bytes())
        self.forget(machine)

    async def closed(self, service: Service) -> None:
        """Wait until a machine of the service that is being closed has said what it wrote; not for long."""
        machine = self._closing.get(service)
        parked = self._parking.get(machine.number) if machine is not None else None
        if machine is not None and parked is not None:
            await asyncio.wait([parked], timeout=CLOSE_S)
            if self._closing.get(service) is machine:
                self._end(machine)

    def forget(self, machine: Machine) -> None:
        """A machine is no longer in its worker."""
        if not machine.worker.leave(machine):
            return
        self.tier.pop(machine.number)
        self._upstreams.forget(machine)
        self._disks.forget(machine)
        machine.image.pins -= 1
        if machine.image.pins == 0:
            self._images.trim()
        wake(self._parking.pop(machine.number, None))
        if self._closing.get(machine.service) is machine:
            del self._closing[machine.service]
        self.idle()
