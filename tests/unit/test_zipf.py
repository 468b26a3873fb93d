"""Does the traffic follow Zipf's law and its own options, the same way every time?"""

from collections import Counter
from typing import Any

import pytest

from loadtest.scenarios.owners import draws
from loadtest.traffic.zipf import DECILES, Shape, Traffic

MANY = 20_000


def _services(traffic: Traffic, count: int, at_s: float = 0.0) -> Counter[int]:
    return Counter(traffic.pick(at_s).service for _ in range(count))


def _crowds(traffic: Traffic, at_s: float) -> set[int]:
    return {pick.service for pick in (traffic.pick(at_s) for _ in range(100)) if pick.group == "flash"}


def test_shares_follow_the_law() -> None:
    traffic = Traffic(Shape(100, alpha=1.0))
    counts = _services(traffic, MANY)
    whole = sum(1 / rank for rank in range(1, 101))
    for rank in (1, 2, 5, 10):
        expected = MANY / rank / whole
        got = counts[traffic.ranking[rank - 1]]
        assert abs(got - expected) < 5 * expected**0.5, f"rank {rank}: some {expected:.0f} expected, got {got}"
    assert len(counts) == 100


def test_alpha_0_is_all_alike_and_a_large_one_is_one_service() -> None:
    alike = _services(Traffic(Shape(10, alpha=0)), MANY)
    assert max(alike.values()) - min(alike.values()) < MANY / 10 / 4
    assert _services(Traffic(Shape(10, alpha=50)), 1000).most_common(1)[0][1] == 1000


def test_groups_are_deciles_of_the_ranking() -> None:
    traffic = Traffic(Shape(1000, alpha=0.8))
    place = {service: rank for rank, service in enumerate(traffic.ranking)}
    picks = [traffic.pick(0) for _ in range(MANY)]
    assert all(pick.group == DECILES[place[pick.service] // 100] for pick in picks)
    counts = Counter(pick.group for pick in picks)
    assert [counts[name] for name in DECILES] == sorted(counts.values(), reverse=True)


def test_a_seed_is_a_load() -> None:
    shape = Shape(50, drift=600, flash=0.2, scan=0.1, wonders=0.1, seed=7)

    def load(shape: Shape, part: int = 0) -> list[tuple[int, str]]:
        traffic = Traffic(shape, part, 2)
        return [traffic.pick(n / 10) for n in range(2000)]

    assert load(shape) == load(shape)
    assert load(shape) != load(Shape(50, drift=600, flash=0.2, scan=0.1, wonders=0.1, seed=8))
    assert load(shape) != load(shape, 1)


def test_drift_moves_the_ranking_for_all_generators_alike() -> None:
    shape = Shape(200, drift=60)
    often, seldom = Traffic(shape, 0, 2), Traffic(shape, 1, 2)
    before = list(often.ranking)
    for second in range(121):
        often.pick(second)
    seldom.pick(120)
    moved = sum(a != b for a, b in zip(before, often.ranking, strict=True))
    assert 60 < moved <= 240, "120 exchanges move two each, some of them twice"
    assert often.ranking == seldom.ranking
    assert sorted(often.ranking) == sorted(before)


def test_a_flash_crowd_comes_to_a_cold_service_and_goes() -> None:
    shape = Shape(100, flash=0.5, flash_every_s=40, flash_for_s=10, drift=30)
    traffic, other = Traffic(shape, 0, 2), Traffic(shape, 1, 2)
    cold = set(traffic.ranking[90:])
    assert "flash" not in {traffic.pick(19.9).group for _ in range(500)}
    first = [pick for _ in range(1000) if (pick := traffic.pick(25)).group == "flash"]
    assert 420 < len(first) < 580
    [service] = {pick.service for pick in first}
    assert len(cold - set(traffic.ranking[90:])) < 10, "drift alone does not explain it"
    assert _crowds(other, 29) == {service}
    assert "flash" not in {traffic.pick(30.1).group for _ in range(500)}
    assert len(_crowds(traffic, 61)) == 1


def test_a_scan_meets_every_service_once() -> None:
    shape = Shape(300, scan=0.5)
    met = [
        [pick.service for _ in range(2000) if (pick := traffic.pick(0)).group == "scan"]
        for traffic in (Traffic(shape, part, 3) for part in range(3))
    ]
    assert met == [list(range(part, 300, 3)) for part in range(3)]


def test_one_hit_wonders_are_asked_for_once() -> None:
    shape = Shape(400, wonders=0.3)
    parts = [Traffic(shape, part, 2) for part in range(2)]
    picks = [traffic.pick(0) for traffic in parts for _ in range(5000)]
    counts = Counter(pick.service for pick in picks)
    wonders = [pick.service for pick in picks if pick.group == "wonder"]
    assert len(wonders) == 200
    assert all(counts[service] == 1 for service in wonders)


@pytest.mark.parametrize(
    "wrong",
    [
        {"services": 0},
        {"alpha": -1},
        {"drift": float("nan")},
        {"flash": 0.6, "scan": 0.5},
        {"wonders": -0.1},
        {"scan": float("nan")},
        {"flash_for_s": 40.0},
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{'shares' if {'scan', 'wonders'} & wrong.keys() else next(iter(wrong))}"):
        Shape(**{"services": 10, **wrong})
    with pytest.raises(ValueError, match="part"):
        Traffic(Shape(10), 2, 2)


def test_what_fills_the_memory_of_edges_is_as_popular_as_what_is_counted_then() -> None:
    drawn = draws([f"service-{number}" for number in range(400)], MANY, 1)
    filling, counted = (Counter(name for _, name in half) for half in (drawn[: MANY // 2], drawn[MANY // 2 :]))
    assert {name for name, _ in filling.most_common(3)} == {name for name, _ in counted.most_common(3)}
