"""Writes `docs/deploy/grafana.json`: a dashboard of an edge's metrics, from the table of its panels.

`python -m tests.support.dashboard` writes the file; `tests/unit/test_watching.py` compares, and tries what it asks for.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from edge.common.durations import NAME

ROOT: Final = Path(__file__).resolve().parents[2]
TARGET: Final = ROOT / "docs" / "deploy" / "grafana.json"

WIDTH: Final = 24  # of a dashboard, in columns
HEIGHT: Final = 8  # of a panel
EDGE: Final = 'instance=~"$instance"'
SPAN: Final = "$__rate_interval"
SCHEMA: Final = 39  # of dashboards: Grafana 10.4 and newer read it

Unit = Literal["short", "reqps", "s", "bytes", "Bps", "percentunit", "d", "ops"]


class Panel(NamedTuple):
    """Curves over time."""

    title: str
    about: str
    unit: Unit
    curves: Sequence[tuple[str, str]]  # what is asked for, and what each answer is called
    width: int = 8
    stacked: bool = False


def rate(metric: str, by: str = "", where: str = "") -> str:
    """The rate of a counter, of all edges that are chosen."""
    wanted = ", ".join(part for part in (EDGE, where) if part)
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{wanted}}}[{SPAN}]))"


def total(metric: str) -> str:
    """A gauge, of all edges that are chosen."""
    return f"sum (nunatak_{metric}{{{EDGE}}})"


def quantile(share: float, by: str = "", where: str = "") -> str:
    """The duration within which this share of the requests is over."""
    return f"histogram_quantile({share}, {rate(f'{NAME}_bucket', f'{by}, le' if by else 'le', where)})"


COUNT: Final = f"{NAME}_count"
GUESTS: Final = 'tier!=""'  # requests that a guest answered
HITS: Final = 'result="hit"'
KEPT: Final = 'result=~"hit|stale|collapsed|stood_in"'
SERVICES: Final = 'service!=""'
FAILED: Final = 'service!="", status="5xx"'
WENT_BACK: Final = 'outcome!~"tried|kept"'

ROWS: Final[Sequence[tuple[str, Sequence[Panel]]]] = (
    (
        "Requests",
        (
            Panel(
                "Requests by result",
                "What answered: a kept answer (hit, stale, collapsed, revalidated, stood_in), a guest (miss, bypass), "
                "the edge itself, or nobody to the end (cut, gone).",
                "reqps",
                [(rate(COUNT, "result"), "{{result}}")],
                stacked=True,
            ),
            Panel("Requests by status", "", "reqps", [(rate(COUNT, "status"), "{{status}}")], stacked=True),
            Panel(
                "Duration",
                "From a request's head to the last byte of its answer.",
                "s",
                [(quantile(share), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)],
            ),
            Panel(
                "p99 by tier",
                "Of requests that a guest answered, by where its machine came from.",
                "s",
                [(quantile(0.99, "tier", GUESTS), "{{tier}}"), (quantile(0.99, where=HITS), "kept")],
            ),
            Panel(
                "Busiest services",
                "Those that are asked most are named, the others are _other.",
                "reqps",
                [(f"topk(10, {rate(COUNT, 'service', SERVICES)})", "{{service}}")],
            ),
            Panel(
                "Services with errors",
                "Answers with a status of 500 and above, the service's own and the edge's in its place.",
                "reqps",
                [(f"topk(10, {rate(COUNT, 'service', FAILED)} > 0)", "{{service}}")],
            ),
        ),
    ),
    (
        "Kept answers",
        (
            Panel(
                "Part of the requests that needed no guest",
                "",
                "percentunit",
                [(f"{rate(COUNT, where=KEPT)} / {rate(COUNT)}", "kept")],
            ),
            Panel(
                "What came of looking for kept answers",
                "",
                "reqps",
                [(rate("nunatak_cache_results_total", "result"), "{{result}}")],
            ),
            Panel(
                "Memory of kept answers, and what made room",
                "",
                "bytes",
                [(total("response_bytes"), "bytes")],
            ),
            Panel(
                "Evicted and purged",
                "",
                "ops",
                [
                    (rate("nunatak_cache_evictions_total"), "evicted"),
                    (rate("nunatak_purges_total", "kind"), "purged by {{kind}}"),
                ],
            ),
        ),
    ),
    (
        "Machines",
        (
            Panel(
                "Machines",
                "",
                "short",
                [
                    (total("resident_machines"), "resident"),
                    (total("parked_machines"), "parked in memory"),
                    (total("parked_disk_machines"), "parked on disk"),
                ],
            ),
            Panel(
                "Memory",
                "",
                "bytes",
                [
                    (total("resident_bytes"), "resident"),
                    (total("parked_bytes"), "parked"),
                    (total("image_bytes"), "images"),
                    (total("response_bytes"), "kept answers"),
                ],
                stacked=True,
            ),
            Panel(
                "Answers of guests by tier",
                "Where their machines came from.",
                "reqps",
                [(rate("nunatak_answers_total", "tier"), "{{tier}}")],
                stacked=True,
            ),
            Panel(
                "Opened and parked",
                "",
                "ops",
                [
                    (rate("nunatak_opens_total"), "opened"),
                    (rate("nunatak_parks_total"), "parked"),
                    (rate("nunatak_rejuvenations_total", "cause"), "rejuvenated: {{cause}}"),
                ],
            ),
            Panel(
                "Crashes and limits",
                "",
                "ops",
                [
                    (rate("nunatak_crashes_total", "error"), "{{error}}"),
                    (rate("nunatak_limit_hits_total", "limit"), "limit {{limit}}"),
                    (rate("nunatak_releases_stopped_total", "cause"), "candidates stopped: {{cause}}"),
                    (rate("nunatak_fell_back_total", "reason"), "back to the last good version: {{reason}}"),
                    (rate("nunatak_fleet_settings_total", "outcome", WENT_BACK), "fleet settings: {{outcome}}"),
                ],
            ),
            Panel(
                "Workers",
                "",
                "short",
                [
                    (total("workers"), "workers"),
                    (total("quarantined"), "services in quarantine"),
                    (f"sum (increase(nunatak_workers_lost_total{{{EDGE}}}[{SPAN}]))", "ended"),
                ],
            ),
        ),
    ),
    (
        "Trouble",
        (
            Panel("Refusals", "", "reqps", [(rate("nunatak_refusals_total", "reason"), "{{reason}}")]),
            Panel(
                "Failures",
                "",
                "ops",
                [
                    (rate("nunatak_origin_errors_total", "reason"), "origin: {{reason}}"),
                    (rate("nunatak_storage_errors_total", "part"), "disk: {{part}}"),
                    (rate("nunatak_task_failures_total", "task"), "work: {{task}}"),
                    (rate("nunatak_states_lost_total", "to"), "machines back to {{to}}"),
                ],
            ),
            Panel(
                "Lost",
                "",
                "ops",
                [
                    (rate("nunatak_access_log_lost_total", "cause"), "access log: {{cause}}"),
                    (rate("nunatak_log_refused_total"), "lines of services"),
                    (rate("nunatak_records_lost_total"), "parked machines"),
                ],
            ),
        ),
    ),
    (
        "Clients, origin, trust",
        (
            Panel(
                "Clients",
                "",
                "ops",
                [
                    (rate("nunatak_clients_gone_total"), "left"),
                    (rate("nunatak_cut_answers_total"), "answers cut"),
                    (rate("nunatak_connections_refused_total"), "connections refused"),
                    (rate("nunatak_connections_unread_total"), "not reading"),
                ],
            ),
            Panel(
                "WebSockets",
                "",
                "short",
                [
                    (total("sockets"), "open"),
                    (rate("nunatak_socket_messages_total", "direction"), "messages {{direction}}"),
                ],
            ),
            Panel(
                "Fleet settings",
                "Edges by the version that they go by, and those that went back from the one that is meant for them.",
                "short",
                [
                    (f'count_values("version", nunatak_fleet_settings_version{{{EDGE}}})', "version {{version}}"),
                    (total("fleet_settings_back"), "went back"),
                ],
            ),
            Panel("From the origin", "", "Bps", [(rate("nunatak_origin_bytes_total"), "images")]),
            Panel(
                "Days until what is signed ends",
                "",
                "d",
                [
                    (f"min (nunatak_{role}_expires_timestamp_seconds{{{EDGE}}} > 0) / 86400 - time() / 86400", role)
                    for role in ("root", "targets", "bins")
                ],
            ),
        ),
    ),
)


def panels() -> Iterator[Panel]:
    """All of them."""
    for _, row in ROWS:
        yield from row


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana keeps it."""
    return {
        "uid": "nunatak-edge",
        "title": "nunatak edges",
        "description": "Made by tests/support/dashboard.py; what each metric is stands in docs/reference/metrics.md.",
        "tags": ["nunatak"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _instance()]},
        "panels": list(_placed()),
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _instance() -> dict[str, Any]:
    query = "label_values(nunatak_workers, instance)"
    return {
        "name": "instance",
        "label": "Edge",
        "type": "query",
        "datasource": _source(),
        "query": {"query": query, "refId": "instance"},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _source() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _placed() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, row in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}
        top, left = top + 1, 0
        for panel in row:
            if left + panel.width > WIDTH:
                top, left = top + HEIGHT, 0
            number += 1
            yield _shown(panel, number, _place(left, top, panel.width, HEIGHT))
            left += panel.width
        top += HEIGHT


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _shown(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 10, "stacking": {"mode": "normal" if panel.stacked else "none"}, "showPoints": "never"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _source(),
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _source(), "expr": asked, "legendFormat": called}
            for place, (asked, called) in enumerate(panel.curves)
        ],
    }


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
