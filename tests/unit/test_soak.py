"""Does a soak's verdict find each thing that may go wrong, and nothing else?"""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.scenarios.soak import MIB, Plan, Result, Sample, Stored
from loadtest.site.vitals import Vitals
from loadtest.traffic.tally import Tally

EVICTING = {"parks_total": 10.0, "spills_total": 5.0, "images_dropped_total": 3.0, "origin_bytes_total": 1000.0}
PLAN = Plan(seconds=30)
BEFORE = Vitals(100 * MIB, 50 * MIB, 60, 20, 30 * MIB, 5.0, 1.0, dict.fromkeys(EVICTING, 0.0))

Change = Callable[[Sample, int], Sample]


def _sample(number: int) -> Sample:
    tally = Tally()
    for _ in range(100):
        tally.record("d01", 2.0, {"cache-status": "nunatak; fwd=uri-miss; detail=parked"}, "")
    metrics = {name: rise * (number + 1) for name, rise in EVICTING.items()}
    vitals = replace(BEFORE, edge_cpu_s=5.0 + 0.1 * (number + 1), metrics=metrics)
    return Sample(number + 1.0, tally, {"parked": 90, "blob": 2, "origin": 1}, 0, vitals)


def _result(change: Change = lambda sample, _: sample) -> Result:
    return Result(PLAN, 100, 70, BEFORE, [change(_sample(number), number) for number in range(30)])


def _grown(**by: int) -> Change:
    """Fields of vitals that grow by so much every second."""

    def grow(sample: Sample, number: int) -> Sample:
        more = {name: getattr(BEFORE, name) + rate * number for name, rate in by.items()}
        return replace(sample, vitals=replace(sample.vitals, **more))

    return grow


def _early(sample: Sample, number: int) -> Sample:
    return _grown(edge_memory=9 * MIB)(sample, min(number, 8))


def _failing(sample: Sample, number: int) -> Sample:
    if number == 20:
        sample.tally.record("d01", 1.0, {}, "502 guest_fault")
    return sample


def _never_from_origin(sample: Sample, _: int) -> Sample:
    return replace(sample, again={"parked": 90, "blob": 2})


def _never_parked(sample: Sample, _: int) -> Sample:
    return replace(sample, vitals=replace(sample.vitals, metrics={**sample.vitals.metrics, "parks_total": 0.0}))


def test_a_good_soak_has_no_complaint_and_its_costs() -> None:
    result = _result()
    assert result.complaints() == []
    assert result.evictions() == {
        "resident": 300,
        "parked in memory": 150,
        "parked on disk": 90,
        "images in memory": 90,
        "images on disk": 30,
    }
    assert result.costs()["cpu_s_per_million_requests"] == pytest.approx(3.0 / 3000 * 1e6)
    assert result.costs()["bytes_from_origin_per_million_requests"] == pytest.approx(30_000 / 3000 * 1e6)
    assert result.to_json()["not_met"] == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_grown(edge_memory=MIB), "memory of the edge: growth of at most 8.0 MiB in 20 s expected, got 20.0 MiB"),
        (_grown(origin_memory=MIB), "memory of the origin: growth"),
        (_grown(edge_files=3), "open files of the edge: growth of at most 40.0"),
        (_grown(origin_files=3), "open files of the origin: growth"),
        (_grown(edge_disk=MIB), "disk of the edge: growth"),
        (_failing, "errors: none expected, got 1 of 3001 requests (502 guest_fault: 1)"),
        (_never_from_origin, "evictions from images on disk: some expected, got none"),
        (_never_parked, "evictions from resident: some expected, got none"),
    ],
)
def test_what_goes_wrong_is_said(change: Change, complaint: str) -> None:
    said = _result(change).complaints()
    assert said[0].startswith(complaint)
    assert len(said) == 1


def test_what_came_after_the_last_interval_belongs_to_it() -> None:
    result = _result()
    result.add(replace(_sample(30), at_s=30.05))
    assert len(result.samples) == 30
    assert result.samples[-1].at_s == 30.05
    assert result.samples[-1].tally.requests == 200
    assert result.evictions()["images on disk"] == 31


def test_growth_while_it_warms_up_is_none() -> None:
    assert _result(_early).complaints() == []


def test_what_images_have_for_themselves_is_told_from_the_base_that_they_share(tmp_path: Path) -> None:
    folder = tmp_path / "manifests" / "sha256" / "00"
    folder.mkdir(parents=True)
    for name, base, snapshot in (("base", None, 1_000_000), ("one", "base", 10), ("other", "base", 20)):
        config = base64.b64encode(json.dumps({"base": base, "page_count": 3}).encode()).decode()
        layers = [{"size": snapshot}, {"size": 5_000_000}]  # the second are symbols, for a crash
        (folder / name).write_text(json.dumps({"config": {"data": config}, "layers": layers}))
    manifests = sum((folder / name).stat().st_size for name in ("one", "other"))
    assert Stored.of(tmp_path) == (3 * 4096, manifests + 30)
