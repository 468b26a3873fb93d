"""Comparison with a baseline, and the report of a run: what is said must follow from the rows."""

import re
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench import SCENARIOS
from loadtest.report import trend
from loadtest.report.baseline import compare
from loadtest.report.html_report import write_report
from loadtest.report.plots import PICTURES
from loadtest.report.rows import load
from loadtest.report.targets import TARGETS


def row(name: str, median: float, *, better: str = "lower", spread: float = 0.02, **more: Any) -> dict[str, Any]:
    """As `report.save` writes it."""
    return {
        "name": name,
        "title": f"the {name}",
        "unit": "ms",
        "better": better,
        "reach": None,
        "median": median,
        "spread": [median * (1 - spread), median * (1 + spread)],
        "samples": [median * (1 - spread), median, median * (1 + spread)],
        "met": None,
        "command": "nunatak bench",
        **more,
    }


@pytest.mark.parametrize(
    ("before", "now", "better", "verdict"),
    [
        (10, 20, "lower", "worse"),
        (20, 10, "lower", "better"),
        (10, 20, "higher", "better"),
        (20, 10, "higher", "worse"),
        (10, 10.5, "lower", "same"),
    ],
)
def test_a_change_beyond_spread_and_threshold_is_spoken_of(
    before: float, now: float, better: str, verdict: str
) -> None:
    (change,) = compare([row("a", now, better=better)], [row("a", before, better=better), row("gone", 1)])
    assert (change.verdict, change.ratio) == (verdict, now / before)


def test_a_change_within_spread_is_none() -> None:
    (change,) = compare([row("a", 20, spread=0.6)], [row("a", 10, spread=0.6)])
    assert change.verdict == "same"


def everything() -> list[dict[str, Any]]:
    """Rows for each picture."""
    rows = [row(name, 1 + place) for place, name in enumerate(("warm-first-byte", "parked-first-byte", "cold-js"))]
    rows += [row(f"cold-{stage}", 1.5) for stage in ("fetch", "verify", "restore", "guest", "rest")]
    rows += [row(f"scale-{n}-{what}", 2.0) for n in (10, 100) for what in ("first-byte", "p99", "memory", "each")]
    rows += [row(f"crowd-d{n:02d}-{what}", n) for n in (1, 2, 10) for what in ("p50", "p99")]
    rows += [row(f"crowd-tier-{tier}", 20) for tier in ("resident", "parked", "disk", "blob", "origin")]
    rows += [row("fair-spinner-ratio", 1.2), row("contest-workerd", 100.0)]
    figures = ("rate", "resident", "parked", "disk", "blob", "origin")
    rows += [row(f"zipf-{alpha}-{n}-{what}", 1000 / n) for alpha in (0.7, 1.1) for n in (10, 100) for what in figures]
    return rows


def test_the_page_needs_nothing_else_and_shows_every_picture(tmp_path: Path) -> None:
    rows = [*everything(), row("added-p50", 150, reach=100, met=False), row("x", 1, title="<script>alert(1)</script>")]
    kept = {"machine": "2 processors", "client": "wrk", "quick": True, "took_s": {"warm": 1.0}, "rows": rows}
    page = write_report(kept, tmp_path).read_text()
    assert page.count("data:image/png;base64,") == len(PICTURES) == len(list(tmp_path.glob("*.png")))
    assert not re.search(r"(src|href)=[\"']?https?:", page)
    assert "not reached" in page
    assert "not to be quoted" in page
    assert "<script>" not in page


def test_no_rows_are_a_page_without_pictures(tmp_path: Path) -> None:
    page = write_report({"machine": "m", "client": "c", "rows": []}, tmp_path).read_text()
    assert "data:image" not in page
    assert page.count("not measured in this run") == len(TARGETS)


def test_other_json_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="samples of `nunatak bench` expected"):
        load(tmp_path / "other.json")


def run(*rows: dict[str, Any], machine: str = "one", quick: bool = False) -> dict[str, Any]:
    """As `rows.load` gives it."""
    return {"machine": machine, "quick": quick, "rows": list(rows)}


def test_a_run_is_compared_with_the_median_of_the_last_ones_on_its_machine(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "trend.jsonl"
    assert trend.usual(file, run(row("a", 9))) == [], "nothing is known yet"
    trend.append(file, run(row("a", 1000)))  # too long ago
    for median in (10, 11, 50, 12, 9):  # the third had a bad day
        trend.append(file, run(row("a", median), row("b", 1)))
    trend.append(file, run(row("a", 500), machine="another"))
    trend.append(file, run(row("a", 700), quick=True))
    (usual,) = trend.usual(file, run(row("a", 30), row("never before", 1)))
    assert (usual["median"], usual["spread"]) == (11, pytest.approx((9 * 0.98, 50 * 1.02)))
    assert [change.verdict for change in compare([row("a", 60)], [usual])] == ["worse"]
    assert [change.verdict for change in compare([row("a", 30)], [usual])] == ["same"], "as on the bad day"


@pytest.mark.parametrize("line", ["{", "[]", '{"machine": "one"}', '{"rows": {}}'])
def test_a_damaged_trend_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "trend.jsonl"
    trend.append(file, run(row("a", 1)))
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(ValueError, match="in line 2"):
        trend.usual(file, run(row("a", 1)))


def test_every_scenario_says_what_it_measures() -> None:
    assert all(scenario.measures and scenario.command.endswith(name) for name, scenario in SCENARIOS.items())
