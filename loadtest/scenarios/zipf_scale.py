"""Throughput against number of services: one edge, ever more services behind it, visitors by Zipf's law.

Denali (Whitaker et al., OSDI 2002) drew this figure for web servers in virtual machines: flat while all of them fit in
memory, a cliff where they no longer do, then as fast as the disk. Here what no longer fits is parked: first in memory,
then on disk. The client is wrk, whose requests are drawn beforehand from a seeded distribution.
"""

import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

from rich.console import Console

from loadtest.report.rows import TIERS, Row
from loadtest.scenarios.scale import ask_all
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from loadtest.site.vitals import metrics
from loadtest.traffic.pressure import Pressure, press, require_clean

DRAWS: Final = 100_000  # requests in turn, then again from the first
SEED: Final = 20_021_209
PREFIX: Final = "zipf"
MIB: Final = 1 << 20
RESIDENT: Final = 48 * MIB  # for machines: some dozens of them
PARKED: Final = 4 * MIB  # for records in memory: some thousands
IMAGES: Final = 96 * MIB

Samples = Mapping[Row, Sequence[float]]


@dataclass(frozen=True)
class Curve:
    """What to measure."""

    counts: Sequence[int]  # services, rising
    alphas: Sequence[float]
    seconds: float  # of each point
    images: int  # distinct ones; services beyond share them


def script(count: int, alpha: float, draws: int = DRAWS, part: int = 0) -> str:
    """A wrk script that asks for services by Zipf's law; the same arguments give the same requests.

    Who is popular depends on the count alone, so that what one point left in the edge's tiers is right for the next.

    :param part: each number is other requests of the same visitors.
    """
    services = list(range(count))
    random.Random(f"{SEED} {count}").shuffle(services)
    weights = list(accumulate((rank + 1) ** -alpha for rank in range(count)))
    drawn = random.Random(f"{SEED} {count} {alpha} {part}").choices(services, cum_weights=weights, k=draws)
    return (
        f"local drawn = {{{','.join(map(str, drawn))}}}\n"
        "local at, known = 0, {}\n"
        "function request()\n"
        "  at = at % #drawn + 1\n"
        "  local number = drawn[at]\n"
        f'  local made = known[number] or wrk.format("GET", string.format("/~service/{PREFIX}-%05d/", number))\n'
        "  known[number] = made\n"
        "  return made\n"
        "end\n"
    )


def measure_zipf(curve: Curve) -> Samples:
    """Requests per second and share of answers by tier at each point; nothing where there is no wrk.

    :raises NotServed: an answer that is not a page.
    """
    if shutil.which("wrk") is None:
        Console(stderr=True).print("[yellow]not measured:[/] throughput by Zipf's law: wrk: apt-get install wrk")
        return {}
    samples: dict[Row, list[float]] = {}
    config: dict[str, int | float | str | bool] = {
        "parked_memory": PARKED,
        "image_memory": IMAGES,
        "parked_disk": 1 << 30,
        "disk": 1 << 30,
        "refresh": 3600,
    }
    memory = f"{(RESIDENT + PARKED + IMAGES) // MIB}MiB"
    with (
        tempfile.TemporaryDirectory(prefix="nunatak-zipf-") as folder,
        Site(Path(folder) / "site", memory=memory, edge_config=config) as site,
    ):
        edge, known = site.edges[0], 0
        names = site.world(example("hello"), curve.counts[-1], PREFIX, images=curve.images)
        for count in curve.counts:
            ask_all(edge, names[known:count])  # an edge knows nothing of services that it was never asked for
            known = count
            # Not measured: until the tiers hold who is popular, more answers come from disk than do later.
            _ask(edge, Path(folder), curve, count, curve.alphas[0], part=1)
            for alpha in curve.alphas:
                before = metrics(edge)
                found = _ask(edge, Path(folder), curve, count, alpha)
                samples |= rows(count, alpha, found, before, metrics(edge))
    return samples


def _ask(edge: Server, folder: Path, curve: Curve, count: int, alpha: float, part: int = 0) -> Pressure:
    lua = folder / "draws.lua"
    lua.write_text(script(count, alpha, part=part))
    return require_clean(press(edge.url, seconds=curve.seconds, script=lua), f"{count} services, alpha {alpha}")


def rows(
    count: int, alpha: float, found: Pressure, before: Mapping[str, float], after: Mapping[str, float]
) -> dict[Row, list[float]]:
    """One point's figures: what the client found, and each tier's share of the answers between two looks.

    :param before: the edge's metrics, as `vitals.metrics` has them; a tier that never answered is not there.
    """
    tiers = {tier: _answers(after, tier) - _answers(before, tier) for tier in TIERS}
    about, key = f"{count:,} services, alpha {alpha}:", f"zipf-{alpha}-{count}"
    figures = {
        Row(f"{key}-rate", f"{about} throughput", "req/s", "higher"): [found.requests_per_s],
        Row(f"{key}-p50", f"{about} p50", "ms", "lower"): [found.p50_ms],
        Row(f"{key}-p99", f"{about} p99", "ms", "lower"): [found.p99_ms],
    }
    whole = sum(tiers.values()) or 1.0
    for tier, answers in tiers.items():
        figures[tier_row(key, about, tier)] = [100 * answers / whole]
    return figures


def tier_row(key: str, about: str, tier: str) -> Row:
    """A tier's share of answers: the fewer come from beyond resident machines, the better."""
    return Row(f"{key}-{tier}", f"{about} answers by tier {tier}", "%", "higher" if tier == "resident" else "lower")


def _answers(metrics: Mapping[str, float], tier: str) -> float:
    return metrics.get(f"answers_total{{{tier}}}", 0.0)
