"""A long load on an edge whose budgets are too small for it: what fails, what grows, what it costs.

An origin and an edge come up with many services of C, JavaScript and Lua. Every tier of the edge is given a part of
what they need, so that machines are parked, records go to disk and are forgotten, images leave memory and disk and are
fetched again, all the time. How much the edge can do is measured briefly; then a share of that rate is asked of it
(`paced`, open loop), Zipf-distributed, with drift, crowds and a scan. Samples are taken every few seconds and judged at
the end: no error, no growth beyond `BUDGETS` after a warm-up, evictions from every tier.
"""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtest.scenarios.growth import Budget, judge
from loadtest.site.checks import NotServed
from loadtest.site.server import Server
from loadtest.site.site import Site
from loadtest.site.vitals import Vitals, look
from loadtest.traffic.paced import NAME as GENERATOR
from loadtest.traffic.paced import Order, generator
from loadtest.traffic.tally import Tally
from loadtest.traffic.zipf import Shape

MIB: Final = 1 << 20
PREFIX: Final = "soak"
WARM_UP: Final = 1 / 3  # of the soak: caches fill, allocators find their size; not judged for growth
CAPACITY_CONNECTIONS: Final = 16
IDLE_S: Final = 1.5  # until the records of the last second are on disk

# Bytes for each service; measured for c=3,js=2,lua=1: 7.6 KB a parked record, 11.6 KB an image. A quarter of the
# records, half of them on disk, and a third of the images fit, beside the bases, which all share.
PARKED_MEMORY: Final = 2 << 10
PARKED_DISK: Final = 4 << 10
IMAGE_MEMORY: Final = 4 << 10
BLOB_DISK: Final = 1 / 3  # of what images have for themselves; bases, which stay in memory, are the first to leave it
PAGE_BYTES: Final = 4 << 10
RESIDENT_MEMORY: Final = 40 << 20  # some fifteen machines

# SQLite's write-ahead logs are up to 4 MiB a cache before they are written over (1,000 pages, its default). Connections
# between edge and origin come and go: what a crowd of misses has opened stays open for a while, as a step in the line.
BUDGETS: Final = (
    Budget("memory of the edge", "MiB", share=0.05, floor=8, swing=0.25, swing_floor=32),
    Budget("memory of the origin", "MiB", share=0.05, floor=8, swing=0.25, swing_floor=16),
    Budget("open files of the edge", "", share=0, floor=40, swing=0, swing_floor=40),
    Budget("open files of the origin", "", share=0, floor=40, swing=0, swing_floor=40),
    Budget("disk of the edge", "MiB", share=0.05, floor=8, swing=0.25, swing_floor=16),
)


@dataclass(frozen=True)
class Plan:
    """What to do, and how long."""

    services: int = 1000
    seconds: float = 600.0
    load: float = 0.7  # of what the edge can do
    mix: str = "c=3,js=2,lua=1"
    workers: int = 1
    capacity_s: float = 8.0
    rate: float = 0.0  # requests a second; 0: `load` of what is measured
    seed: int = 1

    @property
    def every_s(self) -> float:
        """Between samples: a hundred in all, but no more than two a second and one in 5 seconds at least."""
        return min(5.0, max(0.5, self.seconds / 100))


@dataclass
class Sample:
    """What one interval brought, and how things stood at its end."""

    at_s: float
    tally: Tally
    again: Mapping[str, int]
    waiting: int
    vitals: Vitals


@dataclass
class Result:
    """Everything that was measured."""

    plan: Plan
    capacity: float  # requests a second, closed loop; 0 when the rate was given
    rate: float
    before: Vitals  # at the beginning of the soak
    samples: list[Sample] = field(default_factory=list)
    parked: Vitals | None = None  # at the end, when all was parked
    idle_cpu_s_per_hour: float = 0.0  # of the edge, with everything parked

    def add(self, sample: Sample) -> None:
        """One more; what came just after another, at the very end, belongs to that one."""
        if self.samples and sample.at_s - self.samples[-1].at_s < self.plan.every_s / 2:
            last = self.samples.pop()
            sample.tally.merge(last.tally)
            sample = replace(sample, again=Counter(last.again) + Counter(sample.again))
        self.samples.append(sample)

    @property
    def tally(self) -> Tally:
        """Of all samples."""
        together = Tally()
        for sample in self.samples:
            together.merge(sample.tally)
        return together

    def evictions(self) -> dict[str, int]:
        """From each tier during the soak; a disk's are known by those who had to go further than before."""
        last, again = self.samples[-1].vitals, Counter[str]()
        for sample in self.samples:
            again.update(sample.again)

        def counted(name: str) -> int:
            return int(last.total(name) - self.before.total(name))

        return {
            "resident": counted("parks_total"),
            "parked in memory": counted("spills_total"),
            "parked on disk": again["blob"] + again["origin"],
            "images in memory": counted("images_dropped_total"),
            "images on disk": again["origin"],
        }

    def series(self) -> dict[str, list[float]]:
        """The quantities of `BUDGETS`, by name."""
        looks = [sample.vitals for sample in self.samples]
        return {
            "memory of the edge": [v.edge_memory / MIB for v in looks],
            "memory of the origin": [v.origin_memory / MIB for v in looks],
            "open files of the edge": [float(v.edge_files) for v in looks],
            "open files of the origin": [float(v.origin_files) for v in looks],
            "disk of the edge": [v.edge_disk / MIB for v in looks],
        }

    def complaints(self) -> list[str]:
        """What was not as it must be."""
        tally, found = self.tally, []
        if not tally.requests:
            return ["requests: at least 1 expected, got none"]
        if tally.failures:
            classes = ", ".join(f"{name}: {count}" for name, count in tally.errors.most_common(5))
            found.append(f"errors: none expected, got {tally.failures} of {tally.requests} requests ({classes})")
        warm = [sample.at_s >= self.plan.seconds * WARM_UP for sample in self.samples]
        times = [sample.at_s for sample, judged in zip(self.samples, warm, strict=True) if judged]
        for budget in BUDGETS:
            values = [v for v, judged in zip(self.series()[budget.name], warm, strict=True) if judged]
            found += filter(None, [judge(budget, times, values)])
        found += [f"evictions from {tier}: some expected, got none" for tier, n in self.evictions().items() if not n]
        return found

    def costs(self) -> dict[str, float]:
        """Of a million requests, and of a thousand parked services."""
        last, millions = self.samples[-1].vitals, self.tally.requests / 1e6
        found = {
            "cpu_s_per_million_requests": (last.edge_cpu_s - self.before.edge_cpu_s) / millions,
            "origin_cpu_s_per_million_requests": (last.origin_cpu_s - self.before.origin_cpu_s) / millions,
            "bytes_from_origin_per_million_requests": (
                last.total("origin_bytes_total") - self.before.total("origin_bytes_total")
            )
            / millions,
        }
        if self.parked is not None and (parked := self.parked.metrics.get("parked_machines", 0)):
            found["parked_bytes_per_thousand"] = self.parked.metrics["parked_bytes"] / parked * 1e3
            found["idle_cpu_s_per_hour"] = self.idle_cpu_s_per_hour
            found["parked_services_while_idle"] = parked + self.parked.metrics["parked_disk_machines"]
        return found

    def to_json(self) -> dict[str, Any]:
        """For programs: figures, verdict, and every sample."""
        tally = self.tally
        return {
            "plan": asdict(self.plan),
            "generator": GENERATOR + " (open loop)",
            "capacity_per_s": self.capacity,
            "rate_per_s": self.rate,
            "not_met": self.complaints(),
            "evictions": self.evictions(),
            "costs": self.costs(),
            **tally.summary(),
            "errors": dict(tally.errors),
            "samples": [
                {
                    "at_s": sample.at_s,
                    "requests": sample.tally.requests,
                    "errors": dict(sample.tally.errors),
                    "tiers": dict(sample.tally.tiers),
                    "p50_ms": sample.tally.times.quantile(0.5),
                    "p99_ms": sample.tally.times.quantile(0.99),
                    "again": dict(sample.again),
                    "waiting": sample.waiting,
                    **asdict(sample.vitals),
                }
                for sample in self.samples
            ],
        }


def soak(folder: Path, plan: Plan, say: Callable[[str], None]) -> Result:
    """Do all of it; `say` gets a line now and then.

    :raises NotServed: nothing was answered, or the generator ended before its time.
    :raises ServerFailed, CommandFailed: the site did not come up.
    """
    with Site(folder, edges=0, workers=plan.workers) as site:
        began = time.monotonic()
        site.world(plan.mix, plan.services, PREFIX)
        say(f"{plan.services} services ({plan.mix}) published in {time.monotonic() - began:.0f} s")
        edge = _add_edge(site, plan)
        # Half of the requests are a scan: so all are met once, and the tiers are full when the soak begins.
        meeting = Shape(plan.services, alpha=1.0, scan=0.5, seed=plan.seed)
        order = Order(edge.url, PREFIX, meeting, 0, plan.capacity_s, 0.5, CAPACITY_CONNECTIONS)
        capacity = 0.0
        if not plan.rate:
            capacity = _capacity(order)
            say(f"capacity {capacity:,.0f} requests/s: {CAPACITY_CONNECTIONS} connections, closed loop")
        rate = plan.rate or capacity * plan.load
        shape = Shape(
            plan.services,
            alpha=1.0,
            drift=60,
            flash=0.1,
            flash_every_s=plan.seconds / 5,
            flash_for_s=plan.seconds / 20,
            scan=0.02,
            seed=plan.seed + 1,
        )
        result = Result(plan, capacity, rate, look(site))
        say(f"{rate:,.0f} requests/s for {plan.seconds:.0f} s by {GENERATOR}, open loop")
        with generator(Order(edge.url, PREFIX, shape, rate, plan.seconds, plan.every_s)) as reports:
            for report in reports:
                result.add(Sample(*report, look(site)))
        if not result.samples or result.samples[-1].at_s < plan.seconds - plan.every_s:
            raise NotServed(f"reports for {plan.seconds:.0f} s expected from {GENERATOR}, it ended before")
        _rest(site, result)
        return result


def _add_edge(site: Site, plan: Plan) -> Server:
    stored, parked = Stored.of(site.store), plan.services * PARKED_MEMORY
    images = stored.bases + MIB // 4 + plan.services * IMAGE_MEMORY
    config: dict[str, int | float | str | bool] = {
        "parked_memory": parked,
        "image_memory": images,
        "parked_disk": max(MIB, plan.services * PARKED_DISK),
        "disk": max(MIB, int(stored.own * BLOB_DISK)),  # which is the least that an edge takes
    }
    memory = parked + images + RESIDENT_MEMORY
    return site.add_edge(memory=f"{-(-memory // MIB)}MiB", config=config)


class Stored(NamedTuple):
    """What edges take for the images of an origin's store, in bytes."""

    bases: int  # in memory, each once
    own: int  # fetched for one image alone: its manifest and its snapshot

    @classmethod
    def of(cls, store: Path) -> "Stored":
        """By its manifests; symbols and sources are for crashes, and are not counted."""
        bases = own = 0
        for path in (store / "manifests").glob("*/*/*"):
            manifest = json.loads(path.read_bytes())
            config = json.loads(base64.b64decode(manifest["config"]["data"]))
            if config["base"] is None:
                bases += config["page_count"] * PAGE_BYTES
            else:
                own += path.stat().st_size + manifest["layers"][0]["size"]
        return cls(bases, own)


def _capacity(order: Order) -> float:
    """Requests a second in the second half of a closed loop's time, when all services were met or soon are.

    :raises NotServed: an answer was an error.
    """
    with generator(order) as reports:
        found = [report for report in reports if report.at_s <= order.seconds * 1.1]
    errors = sum((report.tally.errors for report in found), Counter[str]())
    if errors or not found:
        raise NotServed(f"answers without error expected while capacity is measured, got {dict(errors) or 'none'}")
    later = [report for report in found if report.at_s > order.seconds / 2]
    return sum(report.tally.requests for report in later) / (later[-1].at_s - found[len(found) - len(later) - 1].at_s)


def _rest(site: Site, result: Result) -> None:
    """Park everything and look at what it costs while nobody asks."""
    with site.admin() as client:
        client.request("POST", "/-/park")
    time.sleep(IDLE_S)
    before, began = look(site), time.monotonic()
    time.sleep(max(2.0, min(10.0, result.plan.seconds / 20)))
    result.parked = look(site)
    passed = time.monotonic() - began
    result.idle_cpu_s_per_hour = (result.parked.edge_cpu_s - before.edge_cpu_s) / passed * 3600
