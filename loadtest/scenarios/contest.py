"""The same pages from nunatak and from its peers, in one run: rounds in turn, one client, one machine."""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from loadtest.peers.peers import WORKER, Cgi, Nginx, Peer, PeerMissing, Wasmtime, Workerd
from loadtest.report.rows import Row
from loadtest.site.checks import NotServed, require
from loadtest.site.fetch import Client, fetch
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from loadtest.traffic.pressure import press, require_clean

PEERS: Final[tuple[type[Peer], ...]] = (Workerd, Nginx, Wasmtime, Cgi)
Samples = Mapping[Row, Sequence[float]]

HELLO_C: Final = Row("contest-hello-c", "hello: C in a machine, 32 connections", "req/s", "higher")
HELLO_JS: Final = Row("contest-hello-js", "hello: JavaScript in a machine", "req/s", "higher")
JSON_JS: Final = Row("contest-json-js", "JSON of ten objects: JavaScript in a machine", "req/s", "higher")
BARE: Final = Row("contest-bare", "hello: bare aiohttp", "req/s", "higher")
HELLO_RATIO: Final = Row("hello-against-workerd", "hello in C against workerd's hello", "x", "higher", 1.5)
JSON_RATIO: Final = Row("json-against-workerd", "JavaScript JSON against workerd's", "x", "higher", 1.0)
COLD_JS: Final = Row("cold-js", "JavaScript not on this edge -> first byte, base cached, p50", "ms", "lower", 10)
COLD_WORKERD: Final = Row("cold-workerd", "fresh workerd process -> first byte, p50", "ms", "lower")
FIRST_WORKERD: Final = Row("first-workerd", "workerd, worker configured: its first request, p50", "ms", "lower")
PARKED_JS: Final = Row("parked-js", "JavaScript parked -> first byte, p50", "ms", "lower", 1)
DELTA_JS: Final = Row("delta-js", "a small worker on the wire, of its whole image with the base", "%", "lower", 3)


def measure_contest(rounds: int, seconds: float) -> Samples:
    """Throughput of each, in turn.

    :raises NotServed: an answer that is not what it must be.
    """
    samples: dict[Row, list[float]] = {row: [] for row in (HELLO_C, HELLO_JS, JSON_JS, BARE)}
    with tempfile.TemporaryDirectory(prefix="nunatak-contest-") as folder, ExitStack() as stack:
        site = stack.enter_context(Site(Path(folder) / "site"))
        site.publish(site.build(example("hello")), "hello")
        site.publish(site.build(WORKER), "worker")
        edge = site.edges[0].url
        bare = stack.enter_context(Server("bare", [sys.executable, "-m", "loadtest.peers.bare"], Path(folder)))
        targets: dict[Row, str] = {
            HELLO_C: f"{edge}/~service/hello/",
            HELLO_JS: f"{edge}/~service/worker/",
            JSON_JS: f"{edge}/~service/worker/json",
            BARE: f"{bare.url}/",
        }
        for kind in PEERS:
            try:
                peer = stack.enter_context(kind(Path(folder) / kind.name))
            except PeerMissing as error:
                Console(stderr=True).print(f"[yellow]not measured:[/] {error}")
                continue
            for page in kind.pages:
                what = "JSON of ten objects" if page == "/json" else "hello"
                row = Row(
                    f"contest-{kind.name}{page.replace('/', '-').rstrip('-')}",
                    f"{what}: {kind.name}",
                    "req/s",
                    "higher",
                )
                targets[row] = peer.url + page
                samples[row] = []
        for url in targets.values():
            for _ in range(50):
                if fetch(url).status != 200:
                    raise NotServed(f"{url}: status 200 expected")
        for _ in range(rounds):
            for row, url in targets.items():
                samples[row].append(require_clean(press(url, seconds=seconds), row.title).requests_per_s)
    found: dict[Row, Sequence[float]] = dict(samples)
    by_name = {row.name: values for row, values in samples.items()}
    for ratio, own, other in (
        (HELLO_RATIO, HELLO_C, "contest-workerd"),
        (JSON_RATIO, JSON_JS, "contest-workerd-json"),
    ):
        if other in by_name:
            found[ratio] = [a / b for a, b in zip(samples[own], by_name[other], strict=True)]
    return found


def measure_javascript(services: int, starts: int) -> Samples:
    """Cold and parked workers, beside what a fresh workerd takes.

    :raises NotServed: an answer that is not what it must be.
    """
    found: dict[Row, Sequence[float]] = {}
    with tempfile.TemporaryDirectory(prefix="nunatak-js-") as folder:
        with Site(Path(folder) / "site") as site, Client(site.edges[0].url) as client:
            image = site.build(WORKER)
            images = site.inspect(image)["images"]
            assert isinstance(images, list)
            base, own = images
            whole = base["snapshot_wire_bytes"] + own["snapshot_wire_bytes"]
            found[DELTA_JS] = [100 * own["snapshot_wire_bytes"] / whole]
            site.publish(image, "worker")
            require(client.get("/~service/worker/"), "worker")
            names = site.world(WORKER, services, "cold")
            found[COLD_JS] = [require(client.get(f"/~service/{name}/"), name).first_byte_ms for name in names]
            times = []
            for _ in range(services):
                site.park("worker")
                times.append(require(client.get("/~service/worker/json"), "/~service/worker/json").first_byte_ms)
            found[PARKED_JS] = times
        try:
            fresh, first = [], []
            for number in range(starts):
                began = time.perf_counter()
                with Workerd(Path(folder) / f"workerd-{number}") as peer:
                    with Client(peer.url) as own_client:
                        first.append(require(own_client.get("/"), "/").first_byte_ms)
                    fresh.append((time.perf_counter() - began) * 1e3)
            found[COLD_WORKERD], found[FIRST_WORKERD] = fresh, first
        except PeerMissing as error:
            Console(stderr=True).print(f"[yellow]not measured:[/] {error}")
    return found
