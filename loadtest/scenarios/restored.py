"""Machines that are not there: from a record, from the origin, and what a second service of a base costs to fetch."""

import re
from typing import Final

from loadtest.report.rows import Row
from loadtest.scenarios.scales import Samples, Scale
from loadtest.site.checks import metric, require
from loadtest.site.fetch import Client, fetch
from loadtest.site.site import bench_site, example

HELLO: Final = example("hello")
_STAGE: Final = re.compile(r"(\w+);dur=([\d.]+)")  # of Server-Timing

PARKED = Row("parked-first-byte", "parked -> first byte over HTTP, p50", "ms", "lower", 1)


def measure_parked(scale: Scale) -> Samples:
    """From a record in RAM to the first byte, and the machine is another each time."""
    with bench_site() as site:
        site.publish(site.build(HELLO), "hello")
        with Client(site.edges[0].url) as client:
            require(client.get("/~service/hello/"), "first hello")
            times = []
            for _ in range(scale.restores):
                site.park("hello")
                answer = require(client.get("/~service/hello/"), "parked hello", ("parked",))
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
    with bench_site() as site:
        site.publish(site.build(HELLO), "hello")
        with Client(site.edges[0].url) as client:
            require(client.get("/~service/hello/"), "first hello")
            names = site.world(HELLO, scale.fresh_services, "fresh")
            answers = [require(client.get(f"/~service/{name}/"), name, ("origin",)) for name in names]
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
    with bench_site() as site:
        edge = site.edges[0]
        fetched = [metric(edge, "origin_bytes_total")]
        for name in ("first", "second"):
            site.publish(site.build(HELLO, "--env", f"NAME={name}", name=name), name)
            require(fetch(f"{edge.url}/~service/{name}/"), name, ("origin",))
            fetched.append(metric(edge, "origin_bytes_total"))
    whole, delta = fetched[1] - fetched[0], fetched[2] - fetched[1]
    return {WIRE: [100 * delta / whole], WIRE_BYTES: [delta]}
