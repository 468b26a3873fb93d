"""What `nunatak bench` measures, scenario by scenario, beside those that have modules of their own.

Each starts what it needs, alternates the sides of a comparison within the run, and returns samples, from which the
report takes median and spread. A page that was not served as it must be stops the scenario: there is no number for it.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from loadtest.report.rows import Row
from loadtest.scenarios.contest import Lost, measure_contest, measure_javascript
from loadtest.scenarios.fairness import Unfair, measure_neighbours
from loadtest.scenarios.fairness import rows as fairness_rows
from loadtest.scenarios.scale import NotParked, Population, measure_population
from loadtest.scenarios.soak import Plan, SoakFailed, soak
from loadtest.scenarios.soak_report import TIERS
from loadtest.scenarios.zipf_scale import Broken, Curve, measure_zipf, tier_row
from loadtest.site.fetch import Answer, Client, fetch
from loadtest.site.server import Server, tree_memory_bytes
from loadtest.site.site import Site, example
from loadtest.site.vitals import metrics
from loadtest.traffic.pressure import Pressure, press
from loadtest.traffic.zipf import DECILES

HELLO: Final = example("hello")
BALLAST: Final = example("ballast")  # of the size of a JavaScript service
VISITS_PER_S: Final = 40.0  # of a victim's one client
VMM_BENCH_TIMEOUT_S: Final = 300.0

Samples = Mapping[Row, Sequence[float]]

_STAGE: Final = re.compile(r"(\w+);dur=([\d.]+)")  # of Server-Timing


class BenchFailed(Exception):
    """Something was not served as it must be; figures of that run mean nothing."""


@dataclass(frozen=True)
class Scale:
    """How much is measured; `FULL` is what may be quoted."""

    rounds: int  # of an A/B comparison
    seconds: float  # of one side in a round
    requests: int  # on one connection, of one side in a round
    restores: int  # parked -> first byte
    fresh_services: int  # not on the edge -> first byte
    services: int  # distinct ones that go round robin, each with an image of its own
    memory: str  # budget of the edge they are on
    population: Population  # parked services, ever more of them
    multitude: Population  # more than anybody has asked for yet
    visits: int  # of a victim beside each of its neighbours, in a round
    crowd: int  # services that visitors choose from by Zipf's law
    crowd_s: float  # how long they do
    curve: Curve  # throughput against number of services


FULL: Final = Scale(
    rounds=5,
    seconds=4,
    requests=400,
    restores=200,
    fresh_services=40,
    services=2_000,
    memory="256MiB",
    population=Population((100, 1_000, 10_000), asked=2_000, images=10_000, memory_mib=512),
    multitude=Population((100_000,), asked=2_000, images=10_000, memory_mib=4096),
    visits=400,
    crowd=1_000,
    crowd_s=30,
    curve=Curve((10, 30, 100, 300, 1_000, 10_000), (0.7, 0.9, 1.1), seconds=4, images=2_000),
)
QUICK: Final = Scale(
    rounds=2,
    seconds=1,
    requests=50,
    restores=20,
    fresh_services=4,
    services=60,
    memory="32MiB",
    population=Population((20, 60), asked=40, images=60, memory_mib=64),
    multitude=Population((100,), asked=20, images=10, memory_mib=64),
    visits=40,
    crowd=150,
    crowd_s=6,
    curve=Curve((10, 100), (0.9,), seconds=1, images=100),
)


def _require(answer: Answer, what: str, tiers: tuple[str, ...] = ()) -> Answer:
    if answer.status != 200:
        raise BenchFailed(f"{what}: status 200 expected, got {answer.status} {answer.error}")
    if tiers and answer.tier not in tiers:
        raise BenchFailed(f"{what}: answer from {' or '.join(tiers)} expected, got {answer.tier or 'no tier'}")
    return answer


def _require_clean(pressure: Pressure, what: str) -> Pressure:
    if pressure.errors or not pressure.requests_per_s:
        raise BenchFailed(f"{what}: answers without errors expected, got {pressure}")
    return pressure


@contextmanager
def _site(*, memory: str = "256MiB") -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="nunatak-bench-") as folder, Site(Path(folder), memory=memory) as site:
        yield site


WARM_HELLO = Row("warm-hello", "hello warm through the edge, 32 connections", "req/s", "higher")
BARE = Row("bare-aiohttp", "bare aiohttp, same client, same run", "req/s", "higher")
WARM_SHARE = Row("warm-share", "hello warm as a share of bare aiohttp", "%", "higher", 45)
ADDED_P50 = Row("added-p50", "added to a bare aiohttp response, 1 connection, p50", "µs", "lower", 100)
WARM = Row("warm-first-byte", "hello warm through the edge, 1 connection -> first byte, p50", "ms", "lower")


def measure_warm(scale: Scale) -> Samples:
    """Hello from a resident machine against a handler that only answers, side by side."""
    samples: dict[Row, list[float]] = {WARM_HELLO: [], BARE: [], WARM_SHARE: [], ADDED_P50: [], WARM: []}
    with _site() as site, Server("bare", [sys.executable, "-m", "loadtest.peers.bare"], site.folder) as bare:
        site.publish(site.build(HELLO), "hello")
        edge, path = site.edges[0], "/~service/hello/"
        with Client(bare.url) as plain, Client(edge.url) as through:
            _require(through.get(path), "first hello")
            for _ in range(100):  # the first turns of both loops fill caches
                plain.get("/"), through.get(path)
            for _ in range(scale.rounds):
                plain_ms = statistics.median(plain.get("/").first_byte_ms for _ in range(scale.requests))
                times = [
                    _require(through.get(path), "warm hello", ("resident",)).first_byte_ms
                    for _ in range(scale.requests)
                ]
                samples[ADDED_P50].append((statistics.median(times) - plain_ms) * 1e3)
                samples[WARM] += times
        for _ in range(scale.rounds):
            yardstick = _require_clean(press(bare.url + "/", seconds=scale.seconds), "bare aiohttp")
            warm = _require_clean(press(edge.url + path, seconds=scale.seconds), "warm hello")
            samples[BARE].append(yardstick.requests_per_s)
            samples[WARM_HELLO].append(warm.requests_per_s)
            samples[WARM_SHARE].append(100 * warm.requests_per_s / yardstick.requests_per_s)
    return samples


def measure_vmm(_: Scale) -> Samples:
    """What the VMM measures of itself, without HTTP: a JSON list of objects with the fields of `Row` and "samples"."""
    command = [sys.executable, "-m", "edge.vmm.bench.costs", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=VMM_BENCH_TIMEOUT_S, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        raise BenchFailed(f"edge.vmm.bench.costs: exit code {done.returncode}: {last[0]}")
    known = {field.name for field in fields(Row)}
    return {
        Row(**{key: value for key, value in entry.items() if key in known}): entry["samples"]
        for entry in json.loads(done.stdout)
    }


PARKED = Row("parked-first-byte", "parked -> first byte over HTTP, p50", "ms", "lower", 1)


def measure_parked(scale: Scale) -> Samples:
    """From a record in RAM to the first byte, and the machine is another each time."""
    with _site() as site:
        site.publish(site.build(HELLO), "hello")
        with Client(site.edges[0].url) as client:
            _require(client.get("/~service/hello/"), "first hello")
            times = []
            for _ in range(scale.restores):
                site.park("hello")
                answer = _require(client.get("/~service/hello/"), "parked hello", ("parked",))
                times.append(answer.first_byte_ms)
    return {PARKED: times}


COLD = Row("cold-first-byte", "not on this edge -> first byte, base cached, p50", "ms", "lower", 10)
COLD_STAGES: Final = {
    stage: Row(f"cold-{stage}", f"of that: {title}", "ms", "lower")
    for stage, title in {
        "fetch": "manifest and delta fetched from the origin",
        "verify": "verified and unpacked",
        "restore": "a machine made of them",
        "guest": "the guest's own time",
        "rest": "catalogue, HTTP and what processes wait for each other",
    }.items()
}


def measure_cold(scale: Scale) -> Samples:
    """Services the edge never saw, of a base that it has: catalogue, manifest, delta, verification, restore, guest."""
    with _site() as site:
        site.publish(site.build(HELLO), "hello")
        with Client(site.edges[0].url) as client:
            _require(client.get("/~service/hello/"), "first hello")
            names = site.world(HELLO, scale.fresh_services, "fresh")
            answers = [_require(client.get(f"/~service/{name}/"), name, ("origin",)) for name in names]
    samples: dict[Row, list[float]] = {COLD: [answer.first_byte_ms for answer in answers]}
    samples |= {row: [] for row in COLD_STAGES.values()}
    for answer in answers:
        stages = {name: float(ms) for name, ms in _STAGE.findall(answer.headers.get("server-timing", ""))}
        stages["rest"] = max(0.0, answer.first_byte_ms - sum(stages.values()))
        for stage, row in COLD_STAGES.items():
            samples[row].append(stages[stage])
    return samples


WIRE = Row("second-service-wire", "second service on a cached base: wire bytes, share of the whole", "%", "lower", 3)
WIRE_BYTES = Row("second-service-bytes", "second service on a cached base: wire bytes", "B", "lower")


def measure_wire(_: Scale) -> Samples:
    """What an edge fetches for its first service (base and delta) and for the second (delta), by its own count."""
    with _site() as site:
        edge = site.edges[0]
        fetched = [_metric(edge, "origin_bytes_total")]
        for name in ("first", "second"):
            site.publish(site.build(HELLO, "--env", f"NAME={name}", name=name), name)
            _require(fetch(f"{edge.url}/~service/{name}/"), name, ("origin",))
            fetched.append(_metric(edge, "origin_bytes_total"))
    whole, delta = fetched[1] - fetched[0], fetched[2] - fetched[1]
    return {WIRE: [100 * delta / whole], WIRE_BYTES: [delta]}


MEMORY = Row("parked-memory", "memory per parked service: all that the edge's processes grew by", "KiB", "lower", 32)
RECORD = Row("parked-record", "record of a parked service", "B", "lower")
EDGE_MEMORY = Row("edge-memory", "the whole edge with all of them", "MiB", "lower")
ROUND_ROBIN = Row("round-robin-first-byte", "services round robin in 256 MiB -> first byte, p50", "ms", "lower")


def measure_memory(scale: Scale) -> Samples:
    """Many services in turn, twice over, on one edge with a small budget; not one answer may fail.

    Growth is taken from where a quarter of the services has been met (residents and images have reached their budgets
    by then) to where all have, so that it is the price of one more parked service and nothing else.
    """
    with _site(memory=scale.memory) as site:
        edge = site.edges[0]
        names = site.world(HELLO, scale.services, "service")
        with Client(edge.url) as client:
            marks = []
            for number, name in enumerate(names, start=1):
                _require(client.get(f"/~service/{name}/"), name)
                if number in (len(names) // 4, len(names)):
                    parked = _metric(edge, "parked_machines") + _metric(edge, "parked_disk_machines")
                    marks.append((parked, tree_memory_bytes(edge.pid)))
            answers = [_require(client.get(f"/~service/{name}/"), name) for name in names]
        records = _metric(edge, "parked_bytes") / _metric(edge, "parked_machines")
    (parked_before, memory_before), (parked_after, memory_after) = marks
    return {
        MEMORY: [(memory_after - memory_before) / (parked_after - parked_before) / 1024],
        RECORD: [records],
        EDGE_MEMORY: [memory_after / (1 << 20)],
        ROUND_ROBIN: [answer.first_byte_ms for answer in answers],
    }


def measure_scale(scale: Scale) -> Samples:
    """The same edge with ever more parked services: what one of them takes to answer, and what all of them take."""
    try:
        return measure_population(BALLAST, scale.population)
    except NotParked as error:
        raise BenchFailed(str(error)) from None


def measure_multitude(scale: Scale) -> Samples:
    """The end of the curve, on an edge with 4 GiB."""
    try:
        return measure_population(BALLAST, scale.multitude)
    except NotParked as error:
        raise BenchFailed(str(error)) from None


def measure_fairness(scale: Scale) -> Samples:
    """A victim's tail beside each of its bad neighbours, against its tail alone."""
    try:
        return fairness_rows(measure_neighbours(scale.rounds, scale.visits, VISITS_PER_S))
    except Unfair as error:
        raise BenchFailed(str(error)) from None


def measure_peers(scale: Scale) -> Samples:
    """Hello and JSON from nunatak and its peers, in turn."""
    try:
        return measure_contest(scale.rounds, scale.seconds)
    except Lost as error:
        raise BenchFailed(str(error)) from None


def measure_js(scale: Scale) -> Samples:
    """JavaScript workers that come from far, from a record, and beside a fresh workerd."""
    try:
        return measure_javascript(scale.fresh_services, scale.rounds)
    except Lost as error:
        raise BenchFailed(str(error)) from None


def _metric(edge: Server, name: str) -> float:
    """One number without labels of an edge's `/-/metrics`."""
    found = metrics(edge).get(name)
    if found is None:
        raise BenchFailed(f"metric nunatak_{name} expected, none found")
    return found


def measure_popularity(scale: Scale) -> Samples:
    """Visitors by Zipf's law on an edge whose every tier is too small: tails by popularity, answers by tier, costs."""
    plan = Plan(scale.crowd, scale.crowd_s, load=0.6, capacity_s=min(8.0, scale.crowd_s))
    try:
        with tempfile.TemporaryDirectory(prefix="nunatak-bench-") as folder:
            found = soak(Path(folder), plan, lambda _: None)
    except SoakFailed as error:
        raise BenchFailed(str(error)) from None
    if found.tally.failures:
        raise BenchFailed(f"popularity: answers without error expected, got {dict(found.tally.errors)}")
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


def measure_zipf_scale(scale: Scale) -> Samples:
    """Ever more services, by Zipf's law, on an edge that holds some dozens of machines."""
    try:
        return measure_zipf(scale.curve)
    except Broken as error:
        raise BenchFailed(str(error)) from None
