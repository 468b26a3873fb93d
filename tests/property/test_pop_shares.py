"""What owners do for a POP, counted over the edges' own policy: each edge has memory for a tenth of the services.

Requests are for services by Zipf's law of exponent 0.9, each at a random edge; the second half counts.
"""

import random
from collections import Counter, OrderedDict
from itertools import accumulate
from statistics import mean
from typing import NamedTuple

import pytest

from edge.peers.placement import Hot, Loads, Member, Owners, place, service_key


class World(NamedTuple):
    """A POP, and how much it is asked."""

    services: int = 10_000
    edges: int = 8
    requests: int = 120_000


class Machines:
    """Those of one edge: resident by LRU, and as many parked."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.resident: OrderedDict[int, None] = OrderedDict()
        self.parked: OrderedDict[int, None] = OrderedDict()

    def serve(self, service: int) -> bool:
        """Whether its machine was resident; it is now."""
        hit = service in self.resident
        self.parked.pop(service, None)
        self.resident[service] = None
        self.resident.move_to_end(service)
        if len(self.resident) > self._room:
            gone, _ = self.resident.popitem(last=False)
            self.parked[gone] = None
            if len(self.parked) > self._room:
                self.parked.popitem(last=False)
        return hit

    def has(self, service: int) -> bool:
        return service in self.resident or service in self.parked


class Counted:
    """What came of the second half of all requests."""

    def __init__(self, world: World, *, shared: bool, seed: int = 1) -> None:
        names, self._world = [f"edge-{seed}-{number}" for number in range(world.edges)], world
        members = [Member(name) for name in names]
        owners, machines = Owners(members), {name: Machines(world.services // 10) for name in names}
        loads, hot = {name: Loads(members) for name in names}, {name: Hot() for name in names}
        chance = random.Random(seed)
        weights = list(accumulate(1 / rank**0.9 for rank in range(1, world.services + 1)))
        self.served: Counter[str] = Counter()
        self.hits = self.forwarded = 0
        for number, service in enumerate(chance.choices(range(world.services), cum_weights=weights, k=world.requests)):
            here = at = names[chance.randrange(world.edges)]
            if shared:
                is_hot, kept = hot[here].asked(f"service-{service}"), machines[here].has(service)
                of = owners.of(service_key(f"service-{service}"))
                found = place(of, here, kept=kept, hot=is_hot, fits=loads[here].fits)
                loads[here].placed(of, found)
                at = found.member
            hit = machines[at].serve(service)
            if number >= world.requests // 2:
                self.hits += hit
                self.forwarded += at != here
                self.served[at] += 1

    @property
    def rate(self) -> float:
        """Requests whose machine was resident."""
        return self.hits / self.served.total()

    @property
    def skew(self) -> float:
        """What the busiest edge has, by the mean."""
        return max(self.served.values()) * self._world.edges / self.served.total()


@pytest.fixture(scope="module")
def shared() -> Counted:
    return Counted(World(), shared=True)


def test_owners_let_half_as_many_requests_again_find_their_machine(shared: Counted) -> None:
    alone = Counted(World(), shared=False)
    print(f"hit rate {alone.rate:.3f} alone, {shared.rate:.3f} with owners: {shared.rate / alone.rate:.2f} times")
    assert shared.rate >= 1.5 * alone.rate


def test_no_edge_has_much_more_than_the_mean(shared: Counted) -> None:
    print(f"max/mean {shared.skew:.3f}, forwarded {shared.forwarded / shared.served.total():.3f}")
    assert shared.skew <= 1.3


@pytest.mark.parametrize(
    "world",
    [World(400, requests=8_000), World(400, edges=16, requests=16_000), World(3_000, edges=32, requests=160_000)],
    ids=["few services", "few requests to each of many edges", "many edges"],
)
def test_nor_where_each_edge_sees_few_requests_for_each_other(world: World) -> None:
    """Where a service has a ninth of all requests, and an edge sends another no more than a hundred."""
    found = [Counted(world, shared=True, seed=seed) for seed in range(1, 5)]
    print([f"max/mean {each.skew:.2f}, hit rate {each.rate:.3f}" for each in found])
    assert mean(each.skew for each in found) <= 1.3
    assert mean(each.rate for each in found) >= 1.5 * Counted(world, shared=False).rate
