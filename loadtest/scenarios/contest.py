"""The same pages from nunatak and from its peers, in one run: rounds in turn, one client, one machine."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console

from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import WORKER, Bun, Cgi, Deno, Nginx, Peer, Wasmtime, Workerd
from loadtest.report.rows import Row
from loadtest.site.checks import require
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from loadtest.traffic.pressure import press, require_clean

PEERS: Final[tuple[type[Peer], ...]] = (Workerd, Deno, Bun, Nginx, Wasmtime, Cgi)
PAGES: Final[Mapping[str, str]] = {"/": "hello", "/json": "JSON of ten objects", "/page": "a page of fifty rows"}
Samples = Mapping[Row, Sequence[float]]

HELLO_RATIO: Final = Row("hello-against-workerd", "hello in C against workerd's hello", "x", "higher", 1.5)
JSON_RATIO: Final = Row("json-against-workerd", "JavaScript JSON against workerd's", "x", "higher", 1.2)
PAGE_RATIO: Final = Row("page-against-workerd", "a page rendered by JavaScript against workerd's", "x", "higher")
RATIOS: Final = (
    (HELLO_RATIO, "contest-hello-c", "contest-workerd"),
    (JSON_RATIO, "contest-json-js", "contest-workerd-json"),
    (PAGE_RATIO, "contest-page-js", "contest-workerd-page"),
)
COLD_JS: Final = Row("cold-js", "JavaScript not on this edge -> first byte, base cached, p50", "ms", "lower", 10)
COLD_WORKERD: Final = Row("cold-workerd", "fresh workerd process -> first byte, p50", "ms", "lower")
FIRST_WORKERD: Final = Row("first-workerd", "workerd, worker configured: its first request, p50", "ms", "lower")
PARKED_JS: Final = Row("parked-js", "JavaScript parked -> first byte, p50", "ms", "lower", 1)
DELTA_JS: Final = Row("delta-js", "a small worker on the wire, of its whole image with the base", "%", "lower", 3)


@dataclass(frozen=True)
class Side:
    """One page of one server, asked for by a name as visitors do."""

    name: str  # of its row
    title: str
    url: str
    host: str
    cpu_s: Callable[[], float]  # that all of the server's processes have had

    @property
    def rate(self) -> Row:
        """Answers a second."""
        return Row(self.name, self.title, "req/s", "higher")

    @property
    def cost(self) -> Row:
        """CPU time of the server for one of them; the client's is not in it."""
        return Row(f"cpu-{self.name}", f"{self.title}: CPU of the server for a request", "µs", "lower")

    def press(self, seconds: float) -> tuple[float, float]:
        """Answers a second, and microseconds of CPU time for each.

        :raises NotServed: one was not as it must be.
        """
        before_s = self.cpu_s()
        pressure = require_clean(press(self.url, host=self.host, seconds=seconds), self.title)
        return pressure.requests_per_s, (self.cpu_s() - before_s) / pressure.requests * 1e6


def measure_contest(rounds: int, seconds: float) -> Samples:
    """Throughput of each and its CPU time, in turn.

    :raises NotServed: an answer that is not what it must be.
    """
    samples: dict[Row, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="nunatak-contest-") as folder, ExitStack() as stack:
        sides = _sides(Path(folder), stack)
        for side in sides:
            with Client(side.url) as client:
                for _ in range(50):
                    require(client.get(urlsplit(side.url).path, host=side.host), side.title)
        for _ in range(rounds):
            for side in sides:
                rate, cost = side.press(seconds)
                samples.setdefault(side.rate, []).append(rate)
                samples.setdefault(side.cost, []).append(cost)
    by_name = {row.name: values for row, values in samples.items()}
    found: dict[Row, Sequence[float]] = dict(samples)
    for ratio, own, other in RATIOS:
        if other in by_name:
            found[ratio] = [a / b for a, b in zip(by_name[own], by_name[other], strict=True)]
    return found


def _sides(folder: Path, stack: ExitStack) -> list[Side]:
    """All who take part, up and running until the stack is closed."""
    site = stack.enter_context(Site(folder / "site"))
    site.publish(site.build(example("hello")), "hello")
    site.publish(site.build(WORKER), "worker")
    edge = site.edges[0]
    bare = stack.enter_context(Server("bare", [sys.executable, "-m", "loadtest.peers.bare"], folder))
    ours = [("contest-hello-c", "hello: C in a machine", "hello.test", "/")]
    ours += [
        (f"contest-{name}-js", f"{PAGES[page]}: JavaScript in a machine", "worker.test", page)
        for name, page in (("hello", "/"), ("json", "/json"), ("page", "/page"))
    ]
    sides = [Side(name, title, edge.url + page, host, edge.cpu_s) for name, title, host, page in ours]
    sides.append(Side("contest-bare", "hello: bare aiohttp", f"{bare.url}/", "bare.test", bare.cpu_s))
    for kind in PEERS:
        try:
            peer = stack.enter_context(kind(folder / kind.name))
        except PeerMissing as error:
            Console(stderr=True).print(f"[yellow]not measured:[/] {error}")
            continue
        for page in kind.pages:
            name = f"contest-{kind.name}{page.replace('/', '-').rstrip('-')}"
            sides.append(Side(name, f"{PAGES[page]}: {kind.name}", peer.url + page, f"{kind.name}.test", peer.cpu_s))
    return sides


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
