"""What is asked of the simulator: each study is plans played and their results as rows, always the same for a seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edge.simulation.demand import Demand
from edge.simulation.far import Gone
from edge.simulation.fleet import Plan, Result, play
from edge.simulation.nodes import Budgets
from edge.simulation.policies import POLICIES
from edge.simulation.pops import Outage
from edge.simulation.publishing import cheapest
from edge.simulation.sizes import sizes
from edge.simulation.spread import spread
from edge.simulation.trials import Candidate, trial

MIB: Final = 1 << 20
# An edge of the fleet's studies: small, so that a run that fits here fills every tier.
EDGE: Final = Budgets(machines=1024 * MIB, records=256 * MIB, disk_records=2048 * MIB, blobs=4096 * MIB)

Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scale:
    """How large the fleet is that studies of a fleet play."""

    services: int = 1_000_000
    pops: int = 300
    edges: int = 8
    parents: int = 30
    requests: int = 50_000  # to each POP
    seed: int = 1


def share_of_machines(demand: Demand, percent: int, policy: str = "lru") -> Budgets:
    """An edge whose memory holds that part of all services' machines, and whose disk holds all images."""
    of = sizes(demand.services, demand.seed)
    machines, records, images = (sum(each) for each in (of.machine, of.record, of.image))
    return Budgets(machines * percent // 100, max(records * percent // 50, MIB), records * 2, images * 2, policy)


def owners(scale: Scale, say: Say) -> list[Row]:
    """Eight edges whose memory holds a tenth of the machines each, with and without owners of services."""
    demand = Demand(10_000, own=0.0, seed=scale.seed)
    plan = Plan(demand, share_of_machines(demand, 10), requests=200_000, warm=100_000)
    cases = {
        "each on its own": replace(plan, owners=False),
        "owners, resident machines stay": replace(plan, parked_stays=False),
        "owners, parked machines stay too": plan,
    }
    rows = []
    for name, case in cases.items():
        result = play(case)
        rows.append(
            {
                "case": name,
                "resident": result.share("resident"),
                "in memory": result.share("resident", "parked"),
                "fetched": result.share("fetched"),
                "forwarded": result.forwarded / result.requests,
                "max/mean": result.max_over_mean,
            }
        )
    return rows


def eviction(scale: Scale, say: Say) -> list[Row]:
    """One edge whose memory holds a tenth of the machines: who goes, by order, under different demands."""
    steady = Demand(10_000, own=0.0, seed=scale.seed)
    demands = {
        "steady": steady,
        "drift": replace(steady, drift=0.002),
        "scan": replace(steady, scan=0.2),
        "crowd": replace(steady, flash=0.3),
        "alpha 0.7": replace(steady, alpha=0.7),
        "alpha 1.1": replace(steady, alpha=1.1),
    }
    rows = []
    for name, demand in demands.items():
        row: Row = {"demand": name}
        for policy in POLICIES:
            plan = Plan(demand, share_of_machines(demand, 10, policy), edges=1, owners=False)
            result = play(replace(plan, requests=200_000, warm=100_000))
            row[policy] = result.share("resident")
            row[f"{policy} parks"] = result.evictions["resident"]
        rows.append(row)
    return rows


def fleet(scale: Scale, say: Say) -> list[Row]:
    """The whole fleet with drift, a crowd and a scan: with owners and parents, and without either."""
    demand = Demand(scale.services, drift=1e-4, flash=0.2, scan=0.01, seed=scale.seed)
    plan = Plan(demand, EDGE, scale.pops, scale.edges, scale.requests, warm=scale.requests // 2, parents=scale.parents)
    cases = {
        "owners and parents": plan,
        "neither": replace(plan, parents=0, owners=False),
    }
    return [fleet_row(name, case, play(case, say)) for name, case in cases.items()]


def fleet_row(name: str, plan: Plan, result: Result) -> Row:
    """What a fleet did, by request."""
    seconds = (plan.requests - plan.warm) / plan.rate
    return {
        "case": name,
        "requests": result.requests,
        **{tier: count / result.requests for tier, count in result.tiers.items()},
        "from peers": result.from_peer / result.requests,
        "into POPs": result.fetched,
        "origin fetches": result.far.origin_fetches,
        "origin MB/s": result.far.origin_bytes / 1e6 / seconds,
        "origin peak/s": result.far.origin_peak,
        "failed": result.far.failed,
        "max/mean": result.max_over_mean,
    }


def failures(scale: Scale, say: Say) -> list[Row]:
    """Ten POPs and two parents: what the loss of an edge of each POP, of a parent and of the origin costs."""
    demand = Demand(20_000, seed=scale.seed)
    budgets = share_of_machines(demand, 10)
    plan = Plan(demand, budgets, pops=10, requests=20_000, warm=10_000, parents=2)
    cases = {
        "all are there": plan,
        "an edge of each POP goes at 12 s": replace(plan, outages=(Outage(0, 12.0, 99.0),)),
        "it is back at 15 s": replace(plan, outages=(Outage(0, 12.0, 15.0),)),
        "a parent is gone from 12 s to 15 s": replace(plan, gone=(Gone(0, 12.0, 15.0),)),
        "both parents": replace(plan, gone=(Gone(0, 12.0, 15.0), Gone(1, 12.0, 15.0))),
        "the origin": replace(plan, gone=(Gone(-1, 12.0, 15.0),)),
        "the origin, and a parent": replace(plan, gone=(Gone(-1, 12.0, 15.0), Gone(0, 12.0, 15.0))),
    }
    rows = []
    for name, case in cases.items():
        result = play(case)
        rows.append(
            {
                "case": name,
                "in memory": result.share("resident", "parked"),
                "into POPs": result.fetched,
                "parent hits": result.far.parent_hits,
                "origin fetches": result.far.origin_fetches,
                "asked in vain": result.far.tries_in_vain,
                "failed": result.far.failed,
            }
        )
    return rows


def purge(scale: Scale, say: Say) -> list[Row]:
    """How long until every edge has heard of a purge, by edges and parents, with and without a cut."""
    rows = []
    for pops in (12, 38, 125, 300, 1000):
        for parents in (0, max(1, pops // 10)):
            for cut_off in (0.0, 0.02):
                found = spread(pops, 8, parents, cut_off=cut_off, heals_s=30.0, seed=scale.seed)
                rows.append(
                    {
                        "edges": pops * 8,
                        "parents": parents,
                        "cut off": cut_off,
                        "origin's listeners": found.listeners,
                        **{f"p{percent:g} ms": found.percentile_ms(percent) for percent in (50, 99, 100)},
                    }
                )
    return rows


def publishing(scale: Scale, say: Say) -> list[Row]:
    """What one publication costs each edge that knows the service's bin, with the best number of bins."""
    rows = []
    for services in (1_000, 10_000, 100_000, 300_000, 1_000_000):
        cost = cheapest(services)
        edges = scale.pops * scale.edges
        rows.append(
            {
                "services": services,
                "bins": 2**cost.bits,
                "entries of a bin": cost.entries,
                "bin kB": cost.bin_bytes / 1000,
                "snapshot kB": cost.snapshot_bytes / 1000,
                "an edge kB": cost.bytes / 1000,
                "the origin MB, no parents": cost.bytes * edges / 1e6,
                "the origin MB, parents": cost.bytes * scale.parents / 1e6,
            }
        )
    return rows


def releases(scale: Scale, say: Say) -> list[Row]:
    """Candidates at a hundredth of 1,000 requests a second to a POP: who meets a bad one before edges stop it."""
    cases = {
        "always crashes": Candidate(fails=1.0, crashes=True),
        "always fails": Candidate(fails=1.0),
        "one answer in three fails": Candidate(fails=0.33),
        "one in ten": Candidate(fails=0.1),
        "20 times as slow": Candidate(slower=20.0),
        "as good as the stable one": Candidate(),
    }
    rows = []
    for name, candidate in cases.items():
        for edges in (1, 8, 32):
            found = trial(candidate, edges=edges, rate=1000.0, share=100, for_s=600.0, seed=scale.seed)
            rows.append(
                {
                    "candidate": name,
                    "edges": edges,
                    "met it": found.met,
                    "failed": found.failed,
                    "edges that stopped it": found.stopped,
                    "last after s": found.last_s,
                    "because of": ", ".join(found.causes) or "-",
                }
            )
    return rows


STUDIES: Final[Mapping[str, Callable[[Scale, Say], list[Row]]]] = {
    "owners": owners,
    "eviction": eviction,
    "failures": failures,
    "purge": purge,
    "publishing": publishing,
    "releases": releases,
    "fleet": fleet,
}


def titles(names: Sequence[str]) -> dict[str, str]:
    """The first sentence of each study."""
    return {name: (STUDIES[name].__doc__ or "").strip().rstrip(".") for name in names}
