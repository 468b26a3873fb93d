"""Ever more parked services on one edge: what one of them takes to answer, what all of them take, and what grows.

Every service has a name, a host, a machine and a record of its own; up to `images` of them an image of its own, and
those beyond share these in turn, since what is asked here is what an edge does with machines, not what a build takes.
All are asked once, so that each has a parked record; then some are asked again, in no order, and each must come from
its record.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.report.rows import Row
from loadtest.site.checks import metric, require
from loadtest.site.fetch import Client
from loadtest.site.server import Server, tree_cpu_s, tree_memory_bytes
from loadtest.site.site import Site

CLIENTS: Final = 4  # that ask all services for the first time; one client asks when times are taken
PARKED_BYTES: Final = 15 << 10  # of memory for a parked record: 13.5 KB measured for `ballast`, and room
IMAGE_BYTES: Final = 14 << 10  # the same for an image: 13.1 KB
RESIDENT_BYTES: Final = 64 << 20  # for machines that run: some forty
SETTLE_S: Final = 1.5  # until the records of the last second are on disk
# One asked twice may still be there. What must not be is an answer from disk or from the image.
FROM_MEMORY: Final = ("parked", "resident")


@dataclass(frozen=True)
class Population:
    """How many services, and how the edge is set for them."""

    counts: tuple[int, ...]  # ever more
    asked: int  # of them, at each count
    images: int  # no more images than so many
    memory_mib: int  # that all of the edge's processes may take at the largest count
    workers: int = 2


def measure_population(source: Path, population: Population) -> dict[Row, list[float]]:
    """Samples at each count.

    :raises NotServed: an answer was not 200, or came from elsewhere than a parked record.
    """
    samples: dict[Row, list[float]] = {}
    names: list[str] = []
    dice = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="nunatak-scale-") as folder, _site(Path(folder), population) as site:
        edge = site.edges[0]
        empty = tree_memory_bytes(edge.pid)
        for count in population.counts:
            began = time.monotonic()
            new = count - len(names)
            left = max(1, min(new, population.images - len(names)))
            fresh = site.world(source, new, f"s{count}", images=left)
            published = time.monotonic()
            ask_all(edge, fresh)
            met = time.monotonic()
            names += fresh
            with site.admin(edge) as client:
                require(client.request("POST", "/-/park"), "/-/park")
            time.sleep(SETTLE_S)
            asked = [dice.choice(names) for _ in range(population.asked)]
            cpu_before, opened = tree_cpu_s(edge.pid), metric(edge, "opens_total")
            with Client(edge.url) as client:
                answers = [require(client.get(f"/~service/{name}/"), name, FROM_MEMORY) for name in asked]
            cpu_s = tree_cpu_s(edge.pid) - cpu_before
            opens = metric(edge, "opens_total") - opened
            times = sorted(answer.first_byte_ms for answer in answers if answer.tier == "parked")
            memory = tree_memory_bytes(edge.pid)
            share = sum(answer.tier == "parked" for answer in answers) / len(answers)
            about = f"{count:,} parked:"
            reach = population.memory_mib if count == population.counts[-1] else None
            samples |= {
                Row(f"scale-{count}-first-byte", f"{about} one of them -> first byte, p50", "ms", "lower", 1): times,
                Row(f"scale-{count}-p99", f"{about} the same, p99", "ms", "lower", 5): [times[len(times) * 99 // 100]],
                Row(f"scale-{count}-cpu", f"{about} CPU of all processes for one", "µs", "lower"): [
                    cpu_s / len(answers) * 1e6
                ],
                Row(f"scale-{count}-memory", f"{about} all of the edge's processes", "MiB", "lower", reach): [
                    memory / (1 << 20)
                ],
                Row(f"scale-{count}-each", f"{about} memory for each, over the empty edge", "KiB", "lower"): [
                    (memory - empty) / count / 1024
                ],
                Row(f"scale-{count}-hits", f"{about} answers from a parked record", "%", "higher"): [100 * share],
                Row(f"scale-{count}-opens", f"{about} machines opened for each answer", "", "lower"): [
                    opens / len(answers)
                ],
                Row(f"scale-{count}-publish", f"{about} build and publish", "1/s", "higher"): [
                    new / (published - began)
                ],
                Row(f"scale-{count}-first", f"{about} met for the first time and parked", "1/s", "higher"): [
                    new / (met - published)
                ],
            }
    return samples


def growth(samples: dict[Row, list[float]]) -> float:
    """How much more CPU an answer takes at the last count than at the first."""
    cpu = [statistics.median(values) for row, values in samples.items() if row.name.endswith("-cpu")]
    return cpu[-1] / cpu[0]


def _site(folder: Path, population: Population) -> Site:
    """An edge whose budgets hold all records and images and a few running machines, on disks that are large enough."""
    last = population.counts[-1]
    parked = max(4 << 20, last * PARKED_BYTES)
    images = max(4 << 20, min(last, population.images) * IMAGE_BYTES)
    config: dict[str, int | float | str | bool] = {
        "parked_memory": parked,
        "image_memory": images,
        "parked_disk": max(64 << 20, last * PARKED_BYTES * 2),
        "disk": max(64 << 20, last * IMAGE_BYTES * 4),
        "refresh": 3600,
    }
    memory = parked + images + RESIDENT_BYTES
    return Site(folder, memory=f"{memory >> 20}MiB", workers=population.workers, edge_config=config)


def ask_all(edge: Server, names: Sequence[str]) -> None:
    """Each service once, by a few clients at a time."""

    def ask(part: Sequence[str]) -> None:
        with closing(Client(edge.url)) as client:
            for name in part:
                require(client.get(f"/~service/{name}/"), name)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, [names[start::CLIENTS] for start in range(CLIENTS)]))
