"""`nunatak bench`: the promised numbers (SPECIFICATION.md), measured on this machine in one run.

A scenario is a record: what it measures, beside whom, how to run it. Its rows say their units and which way is better.
What one scenario lacks, or finds wrong, does not keep the others from being measured.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from loadtest.report.rows import Measurement, save, show
from loadtest.scenarios import contest, fairness, hits, memory, popularity, restored, scale, streaming, warm, zipf_scale
from loadtest.scenarios.scales import FULL, Samples, Scale
from loadtest.site.checks import NotServed
from loadtest.site.server import ServerFailed
from loadtest.site.site import CommandFailed, example
from loadtest.traffic.pressure import client_name

BALLAST: Final = example("ballast")  # of the size of a JavaScript service


@dataclass(frozen=True)
class Scenario:
    """One thing to measure."""

    name: str  # of `--only`
    measures: str
    run: Callable[[Scale], Samples]
    peers: Sequence[str] = ()  # measured in turn with us
    always: bool = True  # or only when it is asked for by name: it takes long

    @property
    def command(self) -> str:
        """What measures it again."""
        return f"nunatak bench --only {self.name}"


SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("warm", "a resident machine: throughput and added latency", warm.measure_warm, ["aiohttp"]),
        Scenario(
            "hits",
            "a kept answer beside other caches and the guest",
            hits.measure_hits,
            ["nginx", "Varnish", "aiohttp"],
        ),
        Scenario("vmm", "engines, exits, reset, park and restore, without HTTP", warm.measure_vmm, ["native code"]),
        Scenario("parked", "from a record in memory to the first byte", restored.measure_parked),
        Scenario("stream", "the first chunk of a stream, and each one's way to the client", streaming.measure_streams),
        Scenario("cold", "from nothing on the edge to the first byte, stage by stage", restored.measure_cold),
        Scenario("wire", "bytes that a second service of a base costs", restored.measure_wire),
        Scenario("memory", "memory of parked services, and two thousand of them in turn", memory.measure_memory),
        Scenario(
            "scale",
            "first byte, CPU and memory with ever more parked services",
            lambda much: scale.measure_population(BALLAST, much.population),
        ),
        Scenario(
            "multitude",
            "the same with 100,000 (takes minutes)",
            lambda much: scale.measure_population(BALLAST, much.multitude),
            always=False,
        ),
        Scenario(
            "fairness",
            "a victim's tail beside hostile neighbours",
            lambda much: fairness.measure_fairness(much.rounds, much.visits),
        ),
        Scenario("zipf", "throughput against number of services", lambda much: zipf_scale.measure_zipf(much.curve)),
        Scenario("popularity", "visitors by Zipf's law on tiers that are too small", popularity.measure_popularity),
        Scenario(
            "peers",
            "the same pages from others",
            lambda much: contest.measure_contest(much.rounds, much.seconds),
            ["workerd", "nginx", "wasmtime", "CGI", "aiohttp"],
        ),
        Scenario(
            "js",
            "JavaScript from far and from a record",
            lambda much: contest.measure_javascript(much.fresh_services, much.rounds),
            ["workerd"],
        ),
    )
}


def show_scenarios(console: Console) -> None:
    """Print what there is to measure."""
    table = Table(title="scenarios", title_justify="left", title_style="dim")
    for header in ("name", "measures", "beside"):
        table.add_column(header)
    for scenario in SCENARIOS.values():
        table.add_row(scenario.name, scenario.measures, ", ".join(scenario.peers))
    console.print(table)


def run_bench(console: Console, scale: Scale, json_file: Path, only: Sequence[str]) -> Sequence[Measurement]:
    """Run the scenarios (all that are always run, or those named), print the table and keep the samples.

    :raises NotServed: no such scenario; or, after all have had their turn, one met a page that was not served.
    """
    if unknown := sorted(set(only) - SCENARIOS.keys()):
        raise NotServed(f"scenario {' or '.join(SCENARIOS)} expected, got {unknown[0]!r}")
    chosen = [SCENARIOS[name] for name in only] or [scenario for scenario in SCENARIOS.values() if scenario.always]
    measurements: list[Measurement] = []
    took_s: dict[str, float] = {}
    failed: list[str] = []
    try:
        for scenario in chosen:
            began = time.monotonic()
            try:
                with console.status(f"measuring {scenario.name}: {scenario.measures}"):
                    samples = scenario.run(scale)
            except (NotServed, CommandFailed, ServerFailed) as error:
                failed.append(f"{scenario.name}: {error}")
                console.print(f"[red]✗[/] {failed[-1]}")
                continue
            took_s[scenario.name] = time.monotonic() - began
            measurements += [Measurement(row, values, scenario.command) for row, values in samples.items()]
            console.print(f"[green]✓[/] {scenario.name} ({took_s[scenario.name]:.0f} s)")
    finally:  # what was measured before an interruption is kept
        show(console, measurements, client=client_name())
        if scale is not FULL:
            console.print("[yellow]few samples: not to be quoted[/]")
        save(json_file, measurements, client=client_name(), took_s=took_s, quick=scale is not FULL)
        console.print(f"samples in {json_file}")
    if failed:
        raise NotServed("; ".join(failed))
    return measurements
