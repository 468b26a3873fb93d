"""Dashboard and alerts: they name metrics that there are, with labels that these have, and Prometheus takes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import get_args

import pytest

from edge.model.finished import CUT, GONE, OWN, RESULTS, Cache
from tests.support import dashboard

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"
ALERTS = DEPLOY / "alerts.yml"
TESTS = DEPLOY / "alerts.test.yml"
OF_PROMETHEUS = {"up": {"job"}}  # metrics that it makes itself
EVERYWHERE = {"instance"}  # a label that it adds
PROMTOOL = shutil.which("promtool")


def metrics() -> Mapping[str, set[str]]:
    """Names of samples with their labels, as docs/reference/metrics.md has them."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    counters, gauges, histograms = (text.partition(f"## {part}")[2].partition("\n## ")[0] for part in PARTS)
    found = {name: set(re.findall(r"`(\w+)`", label)) for name, label in re.findall(LABELLED, counters)}
    found |= {name: set() for name in re.findall(r"^\| `(nunatak_\w+)` \|", gauges, re.MULTILINE)}
    for name, labels in re.findall(LABELLED, histograms)[:1]:
        for part in ("bucket", "sum", "count"):
            found[f"{name}_{part}"] = {*re.findall(r"`(\w+)`", labels), *(["le"] if part == "bucket" else [])}
    return found


PARTS = ("Counters", "Gauges", "Histograms")
LABELLED = re.compile(r"^\| `(\w+)` \| ([^|]*) \|", re.MULTILINE)
KNOWN = metrics()


def asked() -> Iterator[tuple[str, str]]:
    """All that is asked of Prometheus: where, and what."""
    for panel in dashboard.panels():
        for number, (expression, _) in enumerate(panel.curves):
            yield f"{panel.title} {number}", expression
    for name, rest in re.findall(r"- alert: (\w+)\n(.*?)(?=\n      - alert|\Z)", ALERTS.read_text("utf-8"), re.DOTALL):
        found = re.search(r"expr: (?:\|\n)?(.*?)\n        (?:for|labels):", rest, re.DOTALL)
        assert found is not None
        yield name, found[1]


ASKED = dict(asked())


def named(expression: str) -> set[str]:
    """Metrics in an expression."""
    return set(re.findall(r"\b(?:nunatak_|http_server_|up\b)\w*", re.sub(r'"[^"]*"', '""', expression)))


def test_the_reference_is_read_as_it_is_written() -> None:
    assert KNOWN["nunatak_refusals_total"] == {"reason"}
    assert KNOWN["nunatak_workers"] == KNOWN["nunatak_requests_total"] == set()
    assert KNOWN["http_server_request_duration_seconds_bucket"] == {"service", "result", "tier", "status", "le"}


@pytest.mark.parametrize("where", ASKED)
def test_what_is_asked_for_is_there(where: str) -> None:
    expression, known = ASKED[where], {**KNOWN, **OF_PROMETHEUS}
    assert named(expression)
    assert not named(expression) - known.keys()
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", selector)))
        assert used <= known[name] | EVERYWHERE, name
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    assert grouped <= EVERYWHERE.union(*(known[name] for name in named(expression)))


@pytest.mark.parametrize("where", ASKED)
def test_what_is_counted_is_asked_for_by_its_rate(where: str) -> None:
    """The count itself is that since a start of the edge, and falls when a service's lines go; or it was not there."""
    begun = re.sub(r"\b(\w+) unless \1 offset \w+", "", ASKED[where])
    plain = re.sub(r"(?:rate|increase)\((\w+)(?:\{[^}]*\})?\[[^]]*\]\)", "", begun)
    assert not [name for name in named(plain) if re.search(r"_(total|bucket|sum|count)$", name)]


def test_every_result_has_a_meaning() -> None:
    assert RESULTS.keys() == {*get_args(Cache), OWN, CUT, GONE} - {""}


def test_the_dashboard_is_current() -> None:
    assert dashboard.TARGET.read_text("utf-8") == dashboard.text(), "`make fmt` writes it anew"


def test_panels_have_numbers_of_their_own_and_places_of_their_own() -> None:
    panels = json.loads(dashboard.text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = [one[a] + one[s] <= other[a] or other[a] + other[s] <= one[a] for a, s in (("x", "w"), ("y", "h"))]
        assert any(apart), (one, other)


def test_each_alert_is_tried_where_it_is_raised_and_where_it_is_not() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text("utf-8"))
    well, unwell, *_ = TESTS.read_text("utf-8").split("  - name: ")[1:]
    assert re.findall(r"alertname: (\w+), exp_alerts: \[\]", well) == alerts
    assert re.findall(r"alertname: (\w+)\n        exp_alerts:\n          - ", unwell) == alerts


def promtool(*arguments: str, folder: Path) -> str:
    if PROMTOOL is None:
        pytest.skip("WHAT IS ASKED OF PROMETHEUS IS NOT TESTED HERE: apt-get install prometheus")
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_alerts() -> None:
    assert f"{len(re.findall('- alert:', ALERTS.read_text('utf-8')))} rules found" in promtool(
        "check", "rules", ALERTS.name, folder=DEPLOY
    )


def test_alerts_are_raised_when_they_should_be() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS.name, folder=DEPLOY)


def test_prometheus_takes_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    expressions = [expression for panel in dashboard.panels() for expression, _ in panel.curves]
    plain = [each.replace(dashboard.SPAN, "5m").replace("$instance", ".+") for each in expressions]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(plain)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    said = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert f"{len(rules)} rules found" in said
