"""The memory of machines in workers: who is charged what, who fits, and who makes room for whom.

A machine is admitted by what its image says that it takes, and then charged with what its worker measures. Those that
are being parked are not counted: their memory is as good as free. Values in, choices out; `life` acts on them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from edge.content.tiers import Tier
from edge.model.services import Machine
from edge.vmm.shells.cost import SHELL_OVERHEAD_BYTES
from vmimage import abi
from vmimage.drives import WRITTEN_MAX
from vmimage.limit_errors import machine_over_budget, record_over_budget
from vmimage.manifest import ImageManifest

# What a resident machine costs beside its own pages: its shell, and a quarter of a MiB of page tables and rings.
SHELL_BYTES: Final = SHELL_OVERHEAD_BYTES + (1 << 18)
PATIENCE_S: Final = 2.0  # with busy machines, until one of a greedy tenant ends; well below what a request waits
GREEDY_SHARE: Final = 4  # of the budget, a quarter: a tenant with less is in nobody's way
# Raw bytes of changed pages in a record: a quarter of the memory for records, so that one machine never drives all
# others to disk; never so few that a machine of an interpreted language could not be parked (8 MiB is four times what
# a QuickJS guest changes), and never so many that a frame of an incompressible record becomes hard to carry.
RECORD_MIN: Final = 8 << 20
RECORD_MAX: Final = 32 << 20
RECORD_SLACK: Final = 64 << 10  # registers, open requests and the compression's own bytes
UNFLUSHED_MAX: Final = WRITTEN_MAX + WRITTEN_MAX // 256  # of all disks of a machine: pages, and where each belongs
OPEN_ROOM: Final = 64 << 10  # in an OPEN frame, for what stands before the record
PARK_BATCH_BYTES: Final = 16 << 20  # asked of one worker at once at the end; a larger machine goes alone, and last


def cost_of(manifest: ImageManifest, written_bytes: int = 0) -> int:
    """Memory a machine of this image is taken to need, in bytes, with what was written to its disks so far."""
    return SHELL_BYTES + manifest.page_count * abi.PAGE_SIZE + written_bytes


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
    share, wanted = share_of(len({*used, party}), budget_bytes), used.get(party, 0) + cost_bytes
    if most == party or used[most] <= max(share, 2 * wanted):
        return None
    return most


def share_of(tenants: int, budget_bytes: int) -> int:
    """What one of so many tenants may have while others wait for room, in bytes: an equal part, or a quarter."""
    return max(budget_bytes // GREEDY_SHARE, budget_bytes // tenants)


class Room:
    """One who waits for room for a machine of so many bytes, of a tenant."""

    def __init__(self, party: str, cost_bytes: int, now: float) -> None:
        self.party, self.cost_bytes = party, cost_bytes
        self.patient_until = now + PATIENCE_S


class Budget:
    """All machines in workers that are not being parked, in order of use, with what each is charged."""

    def __init__(self, budget_bytes: int, parked_bytes: int) -> None:
        """:param budget_bytes: for machines in workers. :param parked_bytes: for records in memory."""
        self.record_bytes = record_bytes(parked_bytes)
        self.tier: Tier[int, Machine] = Tier(budget_bytes)  # by number
        self.touch = self.tier.touch

    def size_of(self, machine: Machine) -> int:
        """What a machine is charged, in bytes; 0 for one that is being parked or gone."""
        return self.tier.size_of(machine.number)

    def full(self, manifest: ImageManifest) -> bool:
        """Whether one more machine of the image would need room to be made."""
        return self.tier.over(cost_of(manifest))

    def admit(self, manifest: ImageManifest, written_bytes: int = 0) -> int:
        """What a machine of this image is charged, in bytes.

        :raises OverBudget: more than all machines together may have, so that no parking of others makes room for it.
        """
        cost, budget = cost_of(manifest, written_bytes), self.tier.budget_bytes
        if cost > budget:
            raise machine_over_budget(manifest.name, cost, budget)
        return cost

    def check_record(self, machine: Machine, size_bytes: int) -> None:
        """A record that a worker made.

        :raises OverBudget: it is larger than a record may be. With disks there is unflushed data in it too.
        """
        limit = self.record_bytes + RECORD_SLACK + (UNFLUSHED_MAX if machine.image.manifest.disks else 0)
        if size_bytes > limit:
            raise record_over_budget(machine.service.name, size_bytes, limit)

    def measure(self, machines: Mapping[int, Machine], sizes: Iterable[tuple[int, int]]) -> list[Machine]:
        """Charge machines with what their worker has measured; those that have outgrown all there is for machines.

        A worker that lies can make its machines look as large as their images let them become, or as small as it likes.

        :param machines: of that worker, by number. :param sizes: numbers and bytes.
        """
        outgrown = []
        for number, size in sizes:
            machine = machines.get(number)
            if machine is None or number not in self.tier:  # gone, or being parked
                continue
            manifest = machine.image.manifest
            most = SHELL_BYTES + manifest.memory_bytes + (WRITTEN_MAX if manifest.disks else 0)
            self.tier.resize(number, max(SHELL_BYTES, min(size, most)))
            if self.tier.size_of(number) > self.tier.budget_bytes:
                outgrown.append(machine)
        return outgrown

    def coldest(self, may_park: Callable[[Machine], bool]) -> Machine | None:
        """Who is parked to make room for another."""
        return self._machine(self.tier.coldest(may_park))

    def to_relieve(self, may_park: Callable[[Machine], bool]) -> Machine | None:
        """Who is parked because the budget is passed: one that has more than half of it, else the coldest.

        None where the budget holds, or all are busy: whoever wants room waits, and the next measurement comes soon.
        """
        if not self.tier.over():
            return None
        budget = self.tier.budget_bytes
        greedy = self.tier.coldest(lambda machine: may_park(machine) and 2 * self.size_of(machine) > budget)
        return self._machine(self.tier.coldest(may_park) if greedy is None else greedy)

    def _machine(self, number: int | None) -> Machine | None:
        return self.tier.peek(number) if number is not None else None

    def in_the_way(self, party: str, cost_bytes: int) -> Machine | None:
        """Whose end makes room where nobody comes to rest: the largest machine of a tenant that has too much."""
        greedy = greediest(self._by_tenant(), party, cost_bytes, self.tier.budget_bytes)
        theirs = (machine for machine in self.tier.values() if machine.service.tenant == greedy)
        return max(theirs, key=self.size_of, default=None)

    def within_share(self, party: str, cost_bytes: int, may_park: Callable[[Machine], bool]) -> bool:
        """Whether a tenant that has machines keeps to its share with one of so many bytes more.

        Those that may be parked are not counted: they make room for this one, or for whoever comes next.
        """
        mine = (machine for machine in self.tier.values() if machine.service.tenant == party)
        used = sum(self.size_of(machine) for machine in mine if not may_park(machine))
        return used + cost_bytes <= share_of(max(1, len(self._by_tenant())), self.tier.budget_bytes)

    def _by_tenant(self) -> dict[str, int]:
        used: dict[str, int] = {}
        for machine in self.tier.values():
            used[machine.service.tenant] = used.get(machine.service.tenant, 0) + self.size_of(machine)
        return used

    def batches(self, machines: Iterable[Machine]) -> Iterator[list[Machine]]:
        """Machines of a worker in the order in which they are parked at the end, the small ones first and few at once.

        So a machine that ends its worker by being parked takes as little as possible with it.
        """
        batch: list[Machine] = []
        used = 0
        for machine in sorted(machines, key=self.size_of):
            size = self.size_of(machine)
            if batch and used + size > PARK_BATCH_BYTES:
                yield batch
                batch, used = [], 0
            batch.append(machine)
            used += size
        if batch:
            yield batch
