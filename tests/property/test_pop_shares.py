"""What owners do for a POP, counted over the edges' own policy: 8 edges, each with memory for a tenth of the services.

Requests are 120,000 for 10,000 services by Zipf's law of exponent 0.9, each at a random edge; the second half counts.
"""

import random
from collections import Counter, OrderedDict
from itertools import accumulate

import pytest

from edge.peers.placement import Hot, Loads, Member, Owners, place, service_key

EDGES, SERVICES, MACHINES, REQUESTS = 8, 10_000, 1_000, 120_000
NAMES = [f"edge-{number}" for number in range(EDGES)]
KEYS = [service_key(f"service-{number}") for number in range(SERVICES)]


class Machines:
    """Those of one edge: resident by LRU, and as many parked."""

    def __init__(self) -> None:
        self.resident: OrderedDict[int, None] = OrderedDict()
        self.parked: OrderedDict[int, None] = OrderedDict()

    def serve(self, service: int) -> bool:
        """Whether its machine was resident; it is now."""
        hit = service in self.resident
        self.parked.pop(service, None)
        self.resident[service] = None
        self.resident.move_to_end(service)
        if len(self.resident) > MACHINES:
            gone, _ = self.resident.popitem(last=False)
            self.parked[gone] = None
            if len(self.parked) > MACHINES:
                self.parked.popitem(last=False)
        return hit

    def has(self, service: int) -> bool:
        return service in self.resident or service in self.parked


class Counted:
    """What came of the second half of all requests."""

    def __init__(self, *, shared: bool, seed: int = 1) -> None:
        members = [Member(name) for name in NAMES]
        owners, machines = Owners(members), {name: Machines() for name in NAMES}
        loads, hot = {name: Loads(members) for name in NAMES}, {name: Hot() for name in NAMES}
        chance = random.Random(seed)
        weights = list(accumulate(1 / rank**0.9 for rank in range(1, SERVICES + 1)))
        self.served: Counter[str] = Counter()
        self.hits = self.forwarded = 0
        for number, service in enumerate(chance.choices(range(SERVICES), cum_weights=weights, k=REQUESTS)):
            here = at = NAMES[chance.randrange(EDGES)]
            if shared:
                is_hot, kept = hot[here].asked(f"service-{service}"), machines[here].has(service)
                of = owners.of(KEYS[service])
                at = place(of, here, kept=kept, hot=is_hot, fits=loads[here].fits).member
                loads[here].sent(at)
            hit = machines[at].serve(service)
            if number >= REQUESTS // 2:
                self.hits += hit
                self.forwarded += at != here
                self.served[at] += 1

    @property
    def rate(self) -> float:
        """Requests whose machine was resident."""
        return self.hits / (REQUESTS // 2)

    @property
    def skew(self) -> float:
        """What the busiest edge has, by the mean."""
        return max(self.served.values()) * EDGES / (REQUESTS // 2)


@pytest.fixture(scope="module")
def shared() -> Counted:
    return Counted(shared=True)


def test_owners_let_half_as_many_requests_again_find_their_machine(shared: Counted) -> None:
    alone = Counted(shared=False)
    print(f"hit rate {alone.rate:.3f} alone, {shared.rate:.3f} with owners: {shared.rate / alone.rate:.2f} times")
    assert shared.rate >= 1.5 * alone.rate


def test_no_edge_has_much_more_than_the_mean(shared: Counted) -> None:
    print(f"max/mean {shared.skew:.3f}, forwarded {shared.forwarded / (REQUESTS // 2):.3f}")
    assert shared.skew <= 1.3
