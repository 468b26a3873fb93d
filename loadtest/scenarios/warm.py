"""A resident machine: what the edge adds to a bare server, and what the VMM costs by itself."""

import json
import statistics
import subprocess
import sys
from dataclasses import fields
from typing import Final

from loadtest.report.rows import Row
from loadtest.scenarios.scales import Samples, Scale
from loadtest.site.checks import NotServed, require
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import bench_site, example
from loadtest.traffic.pressure import press, require_clean

HELLO: Final = example("hello")
HOST: Final = "hello.test"
FRESH_HOST: Final = "fresh.test"
VMM_BENCH_TIMEOUT_S: Final = 300.0

WARM_HELLO = Row("warm-hello", "hello warm through the edge, 32 connections", "req/s", "higher")
BARE = Row("bare-aiohttp", "bare aiohttp, same client, same run", "req/s", "higher")
WARM_SHARE = Row("warm-share", "hello warm as a share of bare aiohttp", "%", "higher", 45)
ADDED_P50 = Row("added-p50", "added to a bare aiohttp response, 1 connection, p50", "µs", "lower", 100)
WARM_CPU = Row("warm-cpu", "hello warm, 32 connections: CPU of all the edge's processes for a request", "µs", "lower")
FRESH_HELLO = Row("warm-fresh", "hello from fresh machines of one request each, 32 connections", "req/s", "higher")
FRESH_SHARE = Row("fresh-share", "hello from fresh machines as a share of a kept one", "%", "higher")
FRESH_CPU = Row(
    "fresh-cpu",
    "hello from fresh machines, 32 connections: CPU of all the edge's processes for a request",
    "µs",
    "lower",
)
BARE_CPU = Row("bare-cpu", "bare aiohttp: the same", "µs", "lower")
WARM = Row("warm-first-byte", "hello warm through the edge, 1 connection -> first byte, p50", "ms", "lower")


def measure_warm(scale: Scale) -> Samples:
    """Hello from a resident machine against a handler that only answers, side by side, each asked for by a name."""
    samples: dict[Row, list[float]] = {
        row: []
        for row in (
            WARM_HELLO,
            BARE,
            WARM_SHARE,
            WARM_CPU,
            BARE_CPU,
            FRESH_HELLO,
            FRESH_SHARE,
            FRESH_CPU,
            ADDED_P50,
            WARM,
        )
    }
    with bench_site() as site, Server("bare", [sys.executable, "-m", "loadtest.peers.bare"], site.folder) as bare:
        site.publish(site.build(HELLO), "hello", HOST)
        site.publish(site.build(HELLO, "--fresh", name="fresh"), "fresh", FRESH_HOST)
        edge = site.edges[0]
        with Client(bare.url) as plain, Client(edge.url) as through:
            require(through.get("/", host=HOST), "first hello")
            require(through.get("/", host=FRESH_HOST), "first hello of a fresh machine")
            for _ in range(100):  # the first turns of both loops fill caches
                plain.get("/", host=HOST), through.get("/", host=HOST)
            for _ in range(scale.rounds):
                plain_ms = statistics.median(plain.get("/", host=HOST).first_byte_ms for _ in range(scale.requests))
                answers = [through.get("/", host=HOST) for _ in range(scale.requests)]
                times = [require(answer, "warm hello", ("resident",)).first_byte_ms for answer in answers]
                samples[ADDED_P50].append((statistics.median(times) - plain_ms) * 1e3)
                samples[WARM] += times
        for _ in range(scale.rounds):
            rates = []
            for server, host, rate, cpu in (
                (bare, HOST, BARE, BARE_CPU),
                (edge, HOST, WARM_HELLO, WARM_CPU),
                (edge, FRESH_HOST, FRESH_HELLO, FRESH_CPU),
            ):
                before_s = server.cpu_s()
                found = require_clean(press(server.url + "/", host=host, seconds=scale.seconds), rate.title)
                samples[cpu].append((server.cpu_s() - before_s) / found.requests * 1e6)
                samples[rate].append(found.requests_per_s)
                rates.append(found.requests_per_s)
            samples[WARM_SHARE].append(100 * rates[1] / rates[0])
            samples[FRESH_SHARE].append(100 * rates[2] / rates[1])
    return samples


def measure_vmm(_: Scale) -> Samples:
    """What the VMM measures of itself, without HTTP: a JSON list of objects with the fields of `Row` and "samples"."""
    command = [sys.executable, "-m", "edge.vmm.bench.costs", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=VMM_BENCH_TIMEOUT_S, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        raise NotServed(f"edge.vmm.bench.costs: exit code {done.returncode}: {last[0]}")
    known = {field.name for field in fields(Row)}
    return {
        Row(**{key: value for key, value in entry.items() if key in known}): entry["samples"]
        for entry in json.loads(done.stdout)
    }
