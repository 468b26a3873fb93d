"""One simulated edge: the tiers that a request falls through, each with its order and budget.

As an edge has them: a machine that must make room is parked, its record stays in memory and on disk, the coldest
records are on disk alone, and the image that it came from stays on disk for as long as there is room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.simulation.policies import POLICIES, Recent
from edge.simulation.sizes import MANIFEST_BYTES, Sizes

TIERS: Final = ("resident", "parked", "disk", "blob", "fetched")
RESIDENT, PARKED, DISK, BLOB, FETCHED = range(len(TIERS))

# What it takes to have a machine back from below, in milliseconds: SPECIFICATION.md, of a C service.
BACK_MS: Final = 0.5


@dataclass(frozen=True)
class Budgets:
    """Bytes of one edge, by tier.

    :raises ValueError: one is not above 0, or there is no such policy.
    """

    machines: int
    records: int
    disk_records: int
    blobs: int
    policy: str = "lru"  # of machines

    def __post_init__(self) -> None:
        for name in ("machines", "records", "disk_records", "blobs"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: more than 0 bytes expected, got {getattr(self, name)}")
        if self.policy not in POLICIES:
            raise ValueError(f"policy: one of {', '.join(POLICIES)} expected, got {self.policy!r}")


class Node:
    """An edge: which tier a request is answered from, and what that does to all tiers."""

    def __init__(self, budgets: Budgets, sizes: Sizes) -> None:
        self._sizes = sizes
        self._budgets = budgets
        self.evictions = [0] * len(TIERS)  # from each tier
        self.served = 0
        self.blobs = Recent(budgets.blobs)
        self.on_disk = Recent(budgets.disk_records)
        self.forget()

    def forget(self) -> None:
        """Its process ends without having parked anything: what was in memory is lost, what is on disk stays."""
        self.machines = POLICIES[self._budgets.policy](self._budgets.machines)
        self.records = Recent(self._budgets.records)

    def holds(self, service: int) -> bool:
        """Whether a machine of the service is here, running or parked in memory."""
        return service in self.machines or service in self.records

    def ask(self, service: int, fetch: Callable[[int], None]) -> int:
        """One request; the tier that its machine came from.

        :param fetch: called where the image must come from elsewhere.
        """
        self.served += 1
        if self.machines.hit(service):
            return RESIDENT
        if service in self.records:
            tier = PARKED
            self.records.drop(service)
        elif self.on_disk.hit(service):
            tier = DISK
        else:
            tier = BLOB
        if tier != PARKED and not self.blobs.hit(service):
            tier = FETCHED if tier == BLOB else tier
            fetch(service)
            self.keep(service)
        self._open(service)
        return tier

    def keep(self, service: int) -> None:
        """An image has come."""
        if not self.blobs.hit(service):
            self.evictions[BLOB] += len(self.blobs.add(service, self._sizes.image[service] + MANIFEST_BYTES, 1))

    def _open(self, service: int) -> None:
        sizes = self._sizes
        parked = self.machines.add(service, sizes.machine[service], BACK_MS)
        self.evictions[RESIDENT] += len(parked)
        for each in parked:
            size = sizes.record[each]
            spilled = self.records.add(each, size, 1)
            self.evictions[PARKED] += len(spilled)
            if not self.on_disk.hit(each):
                self.evictions[DISK] += len(self.on_disk.add(each, size, 1))
