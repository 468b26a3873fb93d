"""Does the simulated fleet follow its demand, its orders and its outages, with the same counts for a seed always?"""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.simulation.cli import app
from edge.simulation.demand import Demand, Law, requests
from edge.simulation.far import Far, Gone
from edge.simulation.fleet import Plan, play
from edge.simulation.nodes import BLOB, DISK, FETCHED, PARKED, RESIDENT, Budgets, Node
from edge.simulation.policies import POLICIES, Costly, Policy
from edge.simulation.pops import Outage
from edge.simulation.publishing import cheapest, costs
from edge.simulation.sizes import Sizes, sizes
from edge.simulation.spread import spread
from edge.simulation.studies import STUDIES, Scale, share_of_machines
from edge.simulation.trials import Candidate, trial
from vmimage.trust import BIN_TARGETS_MAX

SMALL = Demand(2000, own=0.1, drift=0.001, flash=0.2, scan=0.05, seed=3)
PLAN = Plan(SMALL, share_of_machines(SMALL, 10), pops=2, edges=3, requests=6000, warm=2000, parents=1, owners=False)


# Demand.


def test_requests_follow_zipfs_law() -> None:
    law = Law(Demand(1000, alpha=1.0, own=0.0))
    common = law.ranking(0)
    counts = np.bincount(np.concatenate(list(requests(law, common, 0, 200_000))), minlength=1000)
    for rank in (0, 1, 9):
        assert counts[common[rank]] / 200_000 == pytest.approx(law.share(rank), rel=0.05)


def test_a_seed_gives_the_same_requests_and_pops_differ() -> None:
    def drawn(pop: int, seed: int = 3) -> list[int]:
        law = Law(replace(SMALL, seed=seed))
        return [int(each) for piece in requests(law, law.ranking(0), pop, 9000) for each in piece]

    assert drawn(0) == drawn(0)
    assert drawn(0)[:5] == [1304, 0, 166, 104, 334]
    assert drawn(0) != drawn(1)
    assert drawn(0) != drawn(0, seed=4)


def test_a_scan_meets_every_service_in_order() -> None:
    law = Law(Demand(50, own=0.0, scan=1.0))
    (asked,) = requests(law, law.ranking(0), 0, 120)
    assert asked.tolist() == [n % 50 for n in range(120)]


def test_a_crowd_wants_one_cold_service_in_the_middle_of_the_run() -> None:
    law = Law(Demand(1000, own=0.0, flash=0.5))
    common = law.ranking(0)
    pieces = list(requests(law, common, 0, 4096 * 20))
    cold = common[-51]
    wanted = [int((piece == cold).sum()) for piece in pieces]
    assert [count > 1800 for count in wanted] == [number in (9, 10) for number in range(20)]


@pytest.mark.parametrize("wrong", [{"services": 0}, {"own": 1.1}, {"flash": 0.7, "scan": 0.7}, {"alpha": -1}], ids=str)
def test_a_demand_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(SMALL, **wrong)  # type: ignore[arg-type]


# Orders.


@pytest.mark.parametrize("name", POLICIES)
def test_no_order_passes_its_budget_or_forgets_who_went(name: str) -> None:
    dice, policy, here = random.Random(1), POLICIES[name](1000), dict[int, int]()
    for _ in range(5000):
        service = int(dice.paretovariate(0.5)) % 200
        assert policy.hit(service) is (service in here)
        if service not in here:
            here[service] = size = dice.randrange(1, 60)
            for gone in policy.add(service, size, 1.0):
                del here[gone]
        if dice.random() < 0.05 and here:
            gone = dice.choice(sorted(here))
            policy.drop(gone)
            del here[gone]
        assert sum(here.values()) <= 1000
        assert len(policy) == len(here)
    assert all(service in policy for service in here)


def test_gdsf_is_what_its_definition_says() -> None:
    """Against the definition, which looks at all entries each time."""
    dice, policy, bar = random.Random(2), Costly(500), 0.0
    model: dict[int, tuple[float, int, float, int]] = {}
    for _ in range(3000):
        service = dice.randrange(60)
        if policy.hit(service):
            _, size, worth, count = model[service]
            model[service] = bar + (count + 1) * worth, size, worth, count + 1
            continue
        size, cost = 1 + service % 37, 1.0 + service % 11
        model[service] = bar + cost / size, size, cost / size, 1
        gone = []
        while sum(entry[1] for entry in model.values()) > 500:
            least = min(model, key=lambda each: (model[each][0], each))
            bar = model.pop(least)[0]
            gone.append(least)
        assert policy.add(service, size, cost) == gone


def filled(policy: Policy, asked: list[int]) -> Policy:
    for service in asked:
        if not policy.hit(service):
            policy.add(service, 1, 1.0)
    return policy


@pytest.mark.parametrize(
    ("name", "stays"), [("lru", False), ("s3-fifo", True), ("gdsf", True), ("pins", True)], ids=list(POLICIES)
)
def test_what_is_popular_outlives_a_scan_but_for_the_order_of_use(name: str, stays: bool) -> None:
    popular, scan = [n for _ in range(20) for n in range(5)], list(range(100, 140))
    policy = filled(POLICIES[name](20), popular + scan)
    assert all((n in policy) is stays for n in range(5))


# One edge.


def test_a_request_falls_through_the_tiers() -> None:
    of = Sizes(*([size] * 10 for size in (100, 10, 5)))  # type: ignore[arg-type]
    node = Node(Budgets(machines=20, records=10, disk_records=15, blobs=10_000), of)
    fetched: list[int] = []

    def ask(service: int) -> int:
        return node.ask(service, fetched.append)

    assert [ask(n) for n in (0, 1, 0, 1)] == [FETCHED, FETCHED, RESIDENT, RESIDENT]
    assert [ask(n) for n in (2, 3)] == [FETCHED] * 2, "0 and 1 are parked"
    assert ask(0) == PARKED, "and 2 is, for it"
    assert [ask(4), ask(5)] == [FETCHED] * 2, "3 and 0 are parked, for which 1 and 2 are on disk alone"
    assert ask(2) == DISK
    assert ask(1) == BLOB, "the disk has room for three records"
    assert fetched == [0, 1, 2, 3, 4, 5]
    node.forget()
    assert ask(5) != RESIDENT
    assert fetched == [0, 1, 2, 3, 4, 5], "an edge that has gone finds its disk as it was"


# A fleet.


def test_counts_of_a_small_fleet() -> None:
    result = play(PLAN)
    assert result.tiers == {"resident": 3544, "parked": 1576, "disk": 223, "blob": 0, "fetched": 2657}
    assert (result.fetched, result.far.parent_hits, result.far.origin_fetches) == (2657, 2069, 588)
    assert result.requests == 2 * 4000


def test_counts_depend_on_no_hash_seed() -> None:
    program = (
        "from dataclasses import replace; from edge.simulation.fleet import play; "
        "from tests.unit.test_simulation import PLAN; print(play(replace(PLAN, owners=True)).to_json())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_owners_save_fetches_and_share_the_load() -> None:
    alone, owned = play(PLAN), play(replace(PLAN, owners=True))
    assert owned.fetched < alone.fetched
    assert owned.share("resident", "parked") > alone.share("resident", "parked")
    assert (alone.forwarded, alone.from_peer) == (0, 0)
    assert owned.forwarded > 0
    assert sum(owned.tiers.values()) == sum(alone.tiers.values())


def test_owners_of_eight_edges_with_a_tenth_of_the_machines_each() -> None:
    """Half as many hits again, and nobody has 1.3 times its share; a small `nunatak simulate owners`."""
    demand = Demand(3000, own=0.0, seed=5)
    plan = Plan(demand, share_of_machines(demand, 10), requests=60_000, warm=30_000)
    alone, owned = play(replace(plan, owners=False)), play(plan)
    assert owned.share("resident") >= 1.5 * alone.share("resident")
    assert owned.max_over_mean <= 1.3


def test_what_an_edge_has_sent_is_not_forgotten_at_a_heart_beat() -> None:
    """One comes after each five requests, or each fifty, and the loads that they say are too small to bind anybody."""
    demand = Demand(400, own=0.0, seed=1)
    plan = Plan(demand, share_of_machines(demand, 10), requests=8000, warm=4000)
    assert play(replace(plan, rate=1.0)).max_over_mean == play(replace(plan, rate=10.0)).max_over_mean <= 1.3


def test_an_edge_that_is_gone_serves_nobody_and_all_are_served() -> None:
    # Requests come for 6 s; from 2 s on they are counted.
    result = play(replace(PLAN, owners=True, outages=(Outage(1, 2.0, 99.0),), pops=1))
    assert result.requests == 4000
    assert result.max_over_mean > 1.3, "two of three share it"


def fetches(far: Far, *services: int, pops: tuple[int, ...] = (0, 1, 2)) -> Far:
    """Each POP fetches all of them, one a second."""
    times = np.repeat(np.arange(len(services)), len(pops)).astype(np.float64)
    far.play(np.tile(pops, len(services)), np.repeat(services, len(pops)), times)
    return far


OF = sizes(100, 1)


def test_a_parent_asks_the_origin_once_for_all_its_pops() -> None:
    result = fetches(Far(OF, 1, 1 << 40), 1, 2, 3, 1).result
    assert (result.origin_fetches, result.parent_hits, result.failed) == (3, 9, 0)
    assert result.origin_bytes == sum(OF.image[n] + 1000 for n in (1, 2, 3))
    assert fetches(Far(OF, 0, 1), 1, 2, 3, 1).result.origin_fetches == 12


def test_who_is_gone_is_asked_in_vain_and_the_next_one_answers() -> None:
    result = fetches(Far(OF, 2, 1 << 40, [Gone(0, 1.0, 2.0)]), 1, 2, 2).result
    # First two parents fetch 1. Then POPs 0 and 2 turn from the first to the second, which fetches 2 for all three.
    assert (result.origin_fetches, result.tries_in_vain, result.failed) == (2 + 1 + 1, 2, 0)


def test_without_the_origin_what_parents_have_is_answered_and_the_rest_fails() -> None:
    result = fetches(Far(OF, 1, 1 << 40, [Gone(-1, 1.0, 9.0)]), 1, 1, 2).result
    assert (result.parent_hits, result.failed, result.origin_fetches) == (2 + 3, 3, 1)
    assert result.tries_in_vain == 3 + 3, "the parent, and then the origin"


# Purges and publications.


def test_parents_spread_what_the_origin_says_and_a_cut_waits_for_its_end() -> None:
    alone, helped = spread(300, 8, 0), spread(300, 8, 30)
    assert (alone.listeners, helped.listeners) == (2400, 30)
    assert helped.percentile_ms(99) < 100 < alone.percentile_ms(99)
    cut = spread(300, 8, 30, cut_off=0.1, heals_s=30)
    late = cut.times_s[cut.times_s > 1]
    assert len(late) % 8 == 0, "whole POPs"
    assert 30 <= late.min() <= late.max() <= 35


def test_more_bins_are_smaller_and_their_snapshot_larger() -> None:
    found = costs(100_000, range(6, 12))
    assert [cost.bin_bytes for cost in found] == sorted((cost.bin_bytes for cost in found), reverse=True)
    assert [cost.snapshot_bytes for cost in found] == sorted(cost.snapshot_bytes for cost in found)
    assert [cost.allowed for cost in found] == [cost.entries <= BIN_TARGETS_MAX for cost in found]
    assert cheapest(100_000).bits == 10
    with pytest.raises(ValueError, match="number of bins"):
        cheapest(100_000_000)


# Releases.


def test_a_candidate_that_always_crashes_meets_few_and_a_good_one_is_not_stopped() -> None:
    # A hundredth of 1,000 requests a second to eight edges.
    bad = trial(Candidate(fails=1.0, crashes=True), edges=8, rate=1000, share=100, for_s=20)
    assert (bad.stopped, bad.failed, bad.met, bad.causes) == (8, 24, 24, ("crashes",))
    assert bad.last_s < 30
    good = trial(Candidate(), edges=8, rate=1000, share=100, for_s=20)
    assert (good.stopped, good.failed, good.causes) == (0, 0, ())


# The command.


def test_the_command_prints_and_keeps_a_study(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    done = CliRunner().invoke(app, ["purge", "publishing", "--json", str(kept)])
    assert done.exit_code == 0, done.output
    assert set(json.loads(kept.read_text())) == {"purge", "publishing"}
    assert "snapshot kB" in done.output
    assert CliRunner().invoke(app, ["nothing"]).exit_code != 0


def test_the_fleets_study_on_a_small_scale() -> None:
    said: list[str] = []
    rows = STUDIES["fleet"](Scale(services=3000, pops=10, edges=2, parents=2, requests=400), said.append)
    assert [row["case"] for row in rows] == ["owners and parents", "neither"]
    assert rows[0]["origin fetches"] < rows[0]["into POPs"] < rows[1]["origin fetches"]
    assert all(row["requests"] == 10 * 200 for row in rows)
    assert all(line.startswith("10 of 10 POPs") for line in said)
