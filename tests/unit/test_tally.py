"""Are requests counted right, and the counts of several generators added up right?"""

import json
import random

import pytest

from loadtest.traffic.tally import BUCKET_RATIO, Tally, Times, complaints, error_class

RESIDENT = {"cache-status": "nunatak; fwd=uri-miss; detail=resident"}


def test_quantiles_are_right_to_a_twentieth_and_never_too_low() -> None:
    dice = random.Random(1)
    sample = [dice.lognormvariate(1, 1) for _ in range(5000)]
    times = Times()
    for ms in sample:
        times.add(ms)
    for part in (0.5, 0.9, 0.99, 1.0):
        exact = sorted(sample)[max(0, round(part * len(sample)) - 1)]
        assert exact <= times.quantile(part) * (1 + 1e-9) <= exact * BUCKET_RATIO * (1 + 1e-6)
    assert Times().quantile(0.99) == 0


def test_tallies_add_up_over_json() -> None:
    one, two = Tally(), Tally()
    for tally, group in ((one, "d01"), (two, "d01"), (two, "scan")):
        for _ in range(10):
            tally.record(group, 2.0 if tally is one else 200.0, RESIDENT, "")
    two.record("scan", 5.0, {}, "502 guest_fault")
    one.merge(Tally.from_json(json.loads(json.dumps(two.to_json()))))
    assert (one.requests, one.failures) == (31, 1)
    assert one.tiers == {"resident": 30}
    assert one.errors == {"502 guest_fault": 1}
    assert {group: len(times) for group, times in one.groups.items()} == {"d01": 20, "scan": 11}
    assert one.groups["d01"].quantile(0.5) == pytest.approx(2.0, rel=0.05)
    assert one.times.quantile(0.99) == pytest.approx(200.0, rel=0.05)
    assert two.requests == 21, "the added one is as it was"


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (200, {}, ""),
        (304, {"x-world": "mine"}, ""),
        (200, {"x-world": "another"}, "another service answered"),
        (421, {"x-nunatak-error": "unknown_service"}, "421 unknown_service"),
        (504, {"x-nunatak-error": "out_of_time", "x-nunatak-limit": "cpu"}, "504 cpu"),
        (500, {}, "500 of the service"),
    ],
)
def test_errors_have_classes(status: int, fields: dict[str, str], expected: str) -> None:
    assert error_class(status, fields, "mine") == expected


def test_bounds_are_judged_by_group() -> None:
    tally = Tally()
    assert complaints(tally, 1, 0) == ["requests: at least 1 expected, got none"]
    for _ in range(100):
        tally.record("d01", 1.0, RESIDENT, "")
        tally.record("d02", 100.0, RESIDENT, "")
    tally.record("d03", 5000.0, RESIDENT, "")
    assert complaints(tally, 0, 0) == []
    [slow] = complaints(tally, 0, 50)
    assert slow.startswith("p99 of d02: at most 50 ms expected, got 10")
    tally.record("d01", 1.0, {}, "421 unknown_service")
    [failed] = complaints(tally, 0.001, 200)
    assert failed == "failures: at most 0.100% of requests expected, got 0.495% (421 unknown_service: 1)"
    assert complaints(tally, 0.005, 200) == []
