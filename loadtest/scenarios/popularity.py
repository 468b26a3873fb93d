"""Visitors by Zipf's law on an edge whose every tier is too small: tails by popularity, answers by tier, costs."""

import tempfile
from pathlib import Path

from loadtest.report.rows import TIERS, Row
from loadtest.scenarios.scales import Samples, Scale
from loadtest.scenarios.soak import Plan, soak
from loadtest.scenarios.zipf_scale import tier_row
from loadtest.site.checks import NotServed
from loadtest.traffic.zipf import DECILES


def measure_popularity(scale: Scale) -> Samples:
    """Visitors by Zipf's law on an edge whose every tier is too small: tails by popularity, answers by tier, costs."""
    plan = Plan(scale.crowd, scale.crowd_s, load=0.6, capacity_s=min(8.0, scale.crowd_s))
    with tempfile.TemporaryDirectory(prefix="nunatak-bench-") as folder:
        found = soak(Path(folder), plan, lambda _: None)
    if found.tally.failures:
        raise NotServed(f"popularity: answers without error expected, got {dict(found.tally.errors)}")
    about = f"{scale.crowd:,} services, C, JavaScript and Lua, all tiers too small"
    rows: dict[Row, list[float]] = {
        Row("crowd-capacity", f"{about}: closed loop", "req/s", "higher"): [found.capacity],
    }
    for group, times in sorted(found.tally.groups.items()):
        if group in DECILES and len(times):
            title = f"{about}: tenth {int(group[1:])} by popularity"
            rows[Row(f"crowd-{group}-p50", f"{title}, p50", "ms", "lower")] = [times.quantile(0.5)]
            rows[Row(f"crowd-{group}-p99", f"{title}, p99", "ms", "lower")] = [times.quantile(0.99)]
    for tier in TIERS:
        share = 100 * found.tally.tiers[tier] / found.tally.tiers.total()
        rows[tier_row("crowd-tier", f"{about}:", tier)] = [share]
    costs = found.costs()
    rows[Row("crowd-cpu", f"{about}: CPU for a million requests", "s", "lower")] = [costs["cpu_s_per_million_requests"]]
    if "parked_bytes_per_thousand" in costs:
        parked = costs["parked_bytes_per_thousand"] / (1 << 20)
        rows[Row("crowd-parked", f"{about}: records of a thousand parked", "MiB", "lower")] = [parked]
    return rows
