"""Kept answers beside other caches: the same greeting, the same client, in turn; beside the guest that would write it
and a server that only answers."""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from loadtest.peers.caches import CachePeer, NginxCache, Varnish
from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import PAGES
from loadtest.report.rows import Row
from loadtest.scenarios.contest import Side
from loadtest.scenarios.scales import Samples, Scale
from loadtest.site.checks import NotServed, require
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example

OTHERS: Final[Sequence[type[CachePeer]]] = (NginxCache, Varnish)
HIT: Final = "hit"
GUEST: Final = "hit-guest"
BARE: Final = "hit-bare"
WARM_UP: Final = 50

OVER_GUEST: Final = Row("hit-over-guest", "a kept answer against the guest's own, 32 connections", "x", "higher", 2)
ADDED: Final = Row("hit-added-p50", "a kept answer: added to a bare aiohttp response, p50", "µs", "lower", 40)
AGAINST: Final = "a kept answer against {}'s, 32 connections"


def latency(side: Side) -> Row:
    """From a request to its first byte on one connection."""
    return Row(f"p50-{side.name}", f"{side.title}: 1 connection, p50", "µs", "lower")


def measure_hits(scale: Scale) -> Samples:
    """Throughput, CPU time and time to the first byte of each, in turn.

    :raises NotServed: an answer that is not what it must be.
    """
    samples: dict[Row, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="nunatak-hits-") as folder, ExitStack() as stack:
        sides = _sides(Path(folder), stack)
        for _ in range(scale.rounds):
            found: dict[str, tuple[float, float]] = {}
            for side in sides:
                p50_us = _p50_us(side, scale.requests)
                rate, cost = side.press(scale.seconds)
                found[side.name] = rate, p50_us
                for row, value in ((side.rate, rate), (side.cost, cost), (latency(side), p50_us)):
                    samples.setdefault(row, []).append(value)
            samples.setdefault(OVER_GUEST, []).append(found[HIT][0] / found[GUEST][0])
            samples.setdefault(ADDED, []).append(found[HIT][1] - found[BARE][1])
            for other in OTHERS:
                if other.name in found:
                    row = Row(f"hit-against-{other.name}", AGAINST.format(other.name), "x", "higher")
                    samples.setdefault(row, []).append(found[HIT][0] / found[other.name][0])
    return samples


def _p50_us(side: Side, requests: int) -> float:
    """The median time to the first byte, on a connection of its own, after some requests that fill caches."""
    with Client(side.url) as client:
        for _ in range(WARM_UP):
            answer = require(client.get("/", host=side.host), side.title)
        if side.name == HIT and not answer.headers.get("cache-status", "").startswith("nunatak; hit"):
            raise NotServed(f"{side.title}: a hit expected, got {answer.headers.get('cache-status')}")
        return 1e3 * statistics.median(client.get("/", host=side.host).first_byte_ms for _ in range(requests))


def _sides(folder: Path, stack: ExitStack) -> list[Side]:
    """All who take part, up and running until the stack is closed."""
    site = stack.enter_context(Site(folder / "site"))
    site.publish(site.build(PAGES / "kept.c"), "kept")
    site.publish(site.build(example("hello")), "hello")
    edge = site.edges[0]
    bare = stack.enter_context(Server("bare", [sys.executable, "-m", "loadtest.peers.bare"], folder))
    origin = stack.enter_context(Server("keepable", [sys.executable, "-m", "loadtest.peers.keepable"], folder))
    sides = [
        Side(HIT, "a kept answer", f"{edge.url}/", "kept.test", edge.cpu_s),
        Side(GUEST, "hello: C in a machine", f"{edge.url}/", "hello.test", edge.cpu_s),
        Side(BARE, "hello: bare aiohttp", f"{bare.url}/", "bare.test", bare.cpu_s),
    ]
    for kind in OTHERS:
        try:
            peer = stack.enter_context(kind(folder / kind.name, origin.url))
        except PeerMissing as error:
            Console(stderr=True).print(f"[yellow]not measured:[/] {error}")
            continue
        sides.append(Side(kind.name, f"a kept answer: {kind.name}", f"{peer.url}/", "kept.test", peer.cpu_s))
    return sides
