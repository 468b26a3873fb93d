"""Durations of requests as Prometheus reads them: buckets, labels, who is named; nothing is lost or doubled."""

import random
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from edge.common.counters import GAUGES, PREFIX, Counters
from edge.common.durations import BOUNDS_S, LABELS, LEAVING_S, NAME, OTHER, PERIOD_S, Durations
from edge.operators.metrics import page

Series = tuple[str, ...]  # the name of a sample, and the values of LABELS; of a bucket its bound too


def samples(text: str) -> dict[Series, float]:
    (family,) = text_string_to_metric_families(text)
    assert (family.name, family.type) == (NAME, "histogram")
    found = {
        (each.name, *(each.labels[label] for label in (*LABELS, "le") if label in each.labels)): each.value
        for each in family.samples
    }
    assert len(found) == len(family.samples), "no line is there twice"
    return found


def names(durations: Durations) -> set[str]:
    return {series[1] for series in samples(durations.text()) if series[0] == f"{NAME}_count"}


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_histogram_that_prometheus_own_client_makes(seed: int) -> None:
    chance, ours = random.Random(seed), Durations()
    registry = CollectorRegistry(auto_describe=False)
    theirs = Histogram(NAME, "x", LABELS, buckets=BOUNDS_S, registry=registry)
    for _ in range(500):
        labels = chance.choice(["a", "b", ""]), chance.choice(["hit", "miss"]), chance.choice(["", "disk"])
        seconds, status = chance.choice([*BOUNDS_S, chance.lognormvariate(-6, 3)]), chance.choice([200, 204, 503, 0])
        ours.add(*labels, status, seconds, 1.0)
        theirs.labels(*labels, f"{status // 100}xx" if status else "").observe(seconds)
    expected = samples(generate_latest(registry).decode().partition(f"# HELP {NAME}_created")[0])
    got = samples(ours.text())
    assert got.keys() == expected.keys()
    assert all(got[series] == pytest.approx(value) for series, value in expected.items())


def test_help_type_and_unit_come_before_the_samples() -> None:
    lines = Durations().text().splitlines()
    assert [line.split()[:3] for line in lines] == [["#", word, NAME] for word in ("HELP", "TYPE", "UNIT")]
    assert lines[1:] == [f"# TYPE {NAME} histogram", f"# UNIT {NAME} seconds"]


def test_openmetrics_has_the_last_trace_of_each_bucket() -> None:
    durations, gauges = Durations(), dict.fromkeys(GAUGES, 2.0)
    for seconds, trace_id in ((0.02, b"5" * 32), (0.021, b"6" * 32), (0.022, b""), (0.3, b"")):
        durations.add("a", "miss", "disk", 200, seconds, 1.0, trace_id)
    asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"  # by Prometheus 2.42
    shown = page(Counters(), durations, lambda: gauges, asked)
    assert shown.content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in openmetrics(shown.body.decode())}  # type: ignore[no-untyped-call]
    assert families.keys() == {NAME} | {PREFIX + name for name in (*Counters.__slots__, *GAUGES)}
    assert families[NAME].unit == "seconds"
    exemplars = {each.labels["le"]: each.exemplar for each in families[NAME].samples if each.exemplar is not None}
    assert {bound: (each.labels, each.value) for bound, each in exemplars.items()} == {
        "0.025": ({"trace_id": "6" * 32}, 0.021)
    }


def test_who_does_not_ask_for_openmetrics_gets_prometheus_text() -> None:
    durations = Durations()
    durations.add("a", "miss", "disk", 200, 0.02, 1.0, b"5" * 32)
    shown = page(Counters(), durations, lambda: {"workers": 1}, "*/*")
    assert shown.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert {NAME, "nunatak_workers"} <= {family.name for family in text_string_to_metric_families(shown.body.decode())}
    assert b"trace_id" not in shown.body


@pytest.mark.parametrize(("status", "label"), [(0, ""), (101, "1xx"), (299, "2xx"), (599, "5xx"), (600, ""), (-1, "")])
def test_a_status_is_shown_by_its_class(status: int, label: str) -> None:
    durations = Durations()
    durations.add("a", "miss", "disk", status, 0.1, 1.0)
    assert samples(durations.text())[f"{NAME}_count", "a", "miss", "disk", label] == 1


def test_services_beyond_the_bound_share_one_name() -> None:
    durations = Durations(named_max=3)
    for number in range(5000):
        durations.add(f"s{number}", "miss", "origin", 200, 0.1, 1.0)
    durations.add("", "refused", "", 421, 0.1, 1.0)
    assert names(durations) == {"s0", "s1", "s2", OTHER, ""}
    assert samples(durations.text())[f"{NAME}_count", OTHER, "miss", "origin", "2xx"] == 4997


def test_who_is_asked_most_takes_the_place_of_who_is_asked_no_longer() -> None:
    durations = Durations(named_max=2)
    for name in ("old", "still", *("still", "new") * 50):
        durations.add(name, "miss", "resident", 200, 0.1, 0.0)
    durations.add("new", "miss", "resident", 200, 0.1, PERIOD_S)
    shown = samples(durations.text())
    assert shown[f"{NAME}_count", "new", "miss", "resident", "2xx"] == 1
    assert shown[f"{NAME}_count", OTHER, "miss", "resident", "2xx"] == 50, "what was counted stays where it was"
    assert names(durations) == {"old", "still", "new", OTHER}
    durations.add("still", "miss", "resident", 200, 0.1, PERIOD_S + LEAVING_S)
    assert names(durations) == {"still", "new", OTHER}


def test_who_comes_back_goes_on_with_what_it_had() -> None:
    durations = Durations(named_max=1)
    for now, name, count in ((0.0, "a", 3), (1.0, "b", 50), (PERIOD_S, "a", 500), (2 * PERIOD_S, "a", 1)):
        for _ in range(count):
            durations.add(name, "hit", "", 200, 0.1, now)
    shown = samples(durations.text())
    assert shown[f"{NAME}_count", "a", "hit", "", "2xx"] == 4
    assert shown[f"{NAME}_count", OTHER, "hit", "", "2xx"] == 550


@pytest.mark.parametrize("seed", range(4))
def test_a_monitor_sees_each_request_once_whoever_comes_and_goes(seed: int) -> None:
    """Services whose hour comes and goes; what a monitor adds up, by the rules of Prometheus, is what there was."""
    chance, durations, named_max = random.Random(seed), Durations(named_max=4), 4
    seen: dict[Series, float] = {}
    total: Counter[str] = Counter()
    asked, most = 0, 0
    for minute in range(120):
        hour = minute // 15
        for _ in range(60):
            name = f"s{chance.randrange(hour * 3, hour * 3 + 3) if chance.random() < 0.8 else chance.randrange(400)}"
            durations.add(name, "hit", "", 200, 0.01, minute * 60.0 + chance.random() * 60)
            asked += 1
        if minute % 5 == 4 or minute == 119:  # a monitor that looks as seldom as is allowed for
            shown = {
                series: value for series, value in samples(durations.text()).items() if series[0].endswith("_count")
            }
            for series, value in shown.items():
                before = seen.get(series, 0.0)
                total[series[1]] += int(value - before if value >= before else value)  # a lower one was set back
            seen = shown  # a line that is away is a series that ended
            most = max(most, len(shown))
    assert sum(total.values()) == asked
    assert len(total) > 2 * named_max, "names have changed"
    assert most <= 2 * named_max + 1


def test_lines_are_bounded_however_fast_it_changes_who_is_asked() -> None:
    durations, named_max = Durations(named_max=3), 3
    for minute in range(30):
        for came in range(max(0, minute - 3), minute + 1):
            for name in (f"s{came}-{number}" for number in range(named_max)):
                for _ in range(200 if came == minute else 1):
                    durations.add(name, "hit", "", 200, 0.01, minute * PERIOD_S)
        assert len(names(durations)) <= 2 * named_max + len((OTHER, ""))
    assert samples(durations.text())[f"{NAME}_count", OTHER, "hit", "", "2xx"] > 200 * named_max
