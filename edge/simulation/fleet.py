"""A whole fleet: POP after POP, then what they fetched, in order of time. Memory is that of one POP and of the fetches.

POPs share nothing but parents and origin, so they are played one after the other. A fetch that nobody can answer is
counted as failed, and the POP is played as if the client's next try had been answered.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge.simulation.demand import Demand, Law, requests
from edge.simulation.far import Far, FarResult, Gone
from edge.simulation.nodes import TIERS, Budgets
from edge.simulation.pops import EDGES_MAX, Outage, Pop, PopResult, Tables
from edge.simulation.sizes import sizes


@dataclass(frozen=True)
class Plan:
    """What is played.

    :raises ValueError: a number is out of range.
    """

    demand: Demand
    budgets: Budgets
    pops: int = 1
    edges: int = 8  # of each POP
    requests: int = 100_000  # to each POP
    rate: float = 1000.0  # requests a second to each POP
    warm: int = 0  # of these, the first so many, which fill the tiers and are not counted
    parents: int = 0
    parent_bytes: int = 1 << 40
    owners: bool = True
    parked_stays: bool = True
    outages: tuple[Outage, ...] = ()
    gone: tuple[Gone, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.edges <= EDGES_MAX:
            raise ValueError(f"edges: 1 to {EDGES_MAX} expected, got {self.edges}")
        if not 0 <= self.warm < self.requests:
            raise ValueError(f"warm: less than all {self.requests} requests expected, got {self.warm}")
        if self.pops < 1 or self.requests < 1 or self.rate <= 0 or self.parents < 0:
            raise ValueError(f"pops, requests and rate above 0 expected, parents 0 or more, got {self}")


@dataclass
class Result:
    """What came of it, of all POPs together."""

    tiers: dict[str, int]  # requests by the tier that answered them
    evictions: dict[str, int]
    forwarded: int
    from_peer: int
    peer_bytes: int
    fetched: int  # images that came into POPs
    max_over_mean: float  # of requests an edge served, in the POP where that is worst
    far: FarResult

    @property
    def requests(self) -> int:
        """In all."""
        return sum(self.tiers.values())

    def share(self, *tiers: str) -> float:
        """Of requests, answered from these tiers."""
        return sum(self.tiers[tier] for tier in tiers) / self.requests

    def to_json(self) -> dict[str, Any]:
        """All of it, as plain data."""
        far = asdict(self.far) | {"origin_peak": self.far.origin_peak}
        far.pop("origin_by_second")
        return asdict(self) | {"far": far}


def play(plan: Plan, say: Callable[[str], None] = lambda _: None) -> Result:
    """Play all of it."""
    demand = plan.demand
    law, of_services, tables = Law(demand), sizes(demand.services, demand.seed), Tables()
    common, began = law.ranking(0), time.monotonic()
    found: list[PopResult] = []
    for number in range(plan.pops):
        pop = Pop(
            plan.budgets,
            of_services,
            plan.edges,
            owners=plan.owners,
            rate=plan.rate,
            outages=plan.outages,
            seed=demand.seed * 1_000_003 + number,
            parked_stays=plan.parked_stays,
            tables=tables,
        )
        found.append(pop.play(requests(law, common, number, plan.requests), plan.warm))
        if number % 10 == 9:
            say(f"{number + 1} of {plan.pops} POPs after {time.monotonic() - began:.0f} s")
    far = Far(of_services, plan.parents, plan.parent_bytes, plan.gone)
    far.play(
        np.repeat(np.arange(plan.pops), [len(each.fetched) for each in found]),
        np.concatenate([each.fetched for each in found]),
        np.concatenate([each.fetched_s for each in found]),
        plan.warm / plan.rate,
    )
    return Result(
        dict(zip(TIERS, map(sum, zip(*(each.tiers for each in found), strict=True)), strict=True)),
        dict(zip(TIERS, map(sum, zip(*(each.evictions for each in found), strict=True)), strict=True)),
        sum(each.forwarded for each in found),
        sum(each.from_peer for each in found),
        sum(each.peer_bytes for each in found),
        sum(len(each.fetched) - each.fetched_warm for each in found),
        max(max(each.served) * plan.edges / sum(each.served) for each in found),
        far.result,
    )
