"""`nunatak demo`: the whole way from key to page on this machine, each step shown and checked.

A step that does not do what it shows ends the demo with its name, what was expected and what came. Nothing here is
staged: the commands are those of an operator and a publisher, the requests are plain HTTP.
"""

import json
import signal
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import CommandFailed, Publication, Site, example
from loadtest.site.tenants import add_tenant

# Samples with options of their build. `spin` is to reach its limit; others use 1 % of the common 200 ms at most, but
# `hog` 20 to 28 ms, nearly all of it the host's for 8,000 pages, which costs a multiple where memory is short. It is to
# run out of memory, not of time.
SAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("hello", "clock", "airports", "echo", "news", "crash", "spin"), ()),
    "hog": ("--cpu-ms", "5000"),
}
PATIENT: Final = {"wedged": 60, "origin_timeout": 60}  # a machine that is busy with other work is no defect of the edge
STALE_S: Final = 3.1  # until what `news` says is stale
PHASES: Final = ("fetch", "verify", "restore", "guest")  # the edge's Server-Timing metrics, in the order they happen
PATIENCE_S: Final = 30.0  # for a service that crashed to be started again
ECHO_BODY: Final = bytes(range(256)) * 1024  # 256 KiB: four times the gate ring, so it must stream


class StepFailed(Exception):
    """A step did not do what the demo says it does."""


class Demo:
    """The steps, in order; `rows` fills with what each request cost."""

    def __init__(self, site: Site, console: Console) -> None:
        self._site = site
        self._console = console
        self._client = Client(site.edges[0].url)
        self.rows: list[tuple[str, Answer]] = []

    def run(self) -> None:
        """All steps.

        :raises StepFailed: one did not do what it shows.
        """
        self.build_and_publish()
        self.tiers()
        self.samples()
        self.kept_answers()
        self.tenants()
        self.unhappy_guests()
        self.flipped_byte()
        self.origin_down()

    def build_and_publish(self) -> None:
        """Bake each sample into an image and publish all under one new version of the catalogue."""
        images: dict[str, Path] = {}
        with Progress(console=self._console, transient=True, disable=not self._console.is_terminal) as progress:
            for name, options in progress.track(SAMPLES.items(), description="building the samples"):
                images[name] = self._site.build(example(name), *options)
        self._site.publish_batch(Publication(image, name, (f"{name}.test",)) for name, image in images.items())
        total = sum(image.stat().st_size for image in images.values()) >> 10
        self._say(f"built, signed and published {len(images)} services, {total:,} KiB of images")

    def tiers(self) -> None:
        """One service from the origin, from a resident machine, and from its parked record."""
        cold = self._ask("hello, never seen by this edge", "hello", "/", tier="origin")
        warm = self._ask("hello again", "hello", "/", tier="resident")
        if warm.body == cold.body:
            raise StepFailed(f"hello again: a counter that has moved expected, got {warm.body!r} twice")
        self._site.park("hello")
        parked = self._ask("hello, parked in between", "hello", "/", tier="parked")
        if parked.body in (cold.body, warm.body):
            raise StepFailed(f"hello, parked in between: a counter that goes on expected, got {parked.body!r} again")
        self._say("the first request fetched the machine, the second found it running, a parked one woke where it was")

    def samples(self) -> None:
        """The other well-behaved guests, each on a base image that the edge has by now."""
        airports = self._ask("airports, search", "airports", "/?q=KEF")
        if b"KEF" not in airports.body:
            raise StepFailed(f"airports, search: Keflavik expected, got {airports.body[:200]!r}")
        self._ask("clock", "clock", "/")
        echo = self._ask("echo, 256 KiB posted", "echo", "/", body=ECHO_BODY)
        if not echo.body.endswith(ECHO_BODY):
            raise StepFailed(f"echo: the {len(ECHO_BODY)} bytes posted expected, got {len(echo.body)} bytes")
        self._say("a search over a real data set, two clocks, a body larger than the ring both ways")

    def kept_answers(self) -> None:
        """An answer that says so is kept; it stands in for a guest that fails; a purge makes it void."""
        first = self._ask("news, which may be kept", "news", "/")
        hit = self._ask("news again, no machine runs", "news", "/", said="hit")
        time.sleep(STALE_S)
        stale = self._ask("news, stale, its guest crashes", "news", "/", said="fwd=stale; ttl=", breaks=True)
        if not first.body == hit.body == stale.body:
            raise StepFailed(f"news: {first.body!r} three times expected, got {hit.body!r} and {stale.body!r}")
        self._site.run(
            "purge", "news", "--tag", "news", "--socket", self._site.edges[0].admin_url.removeprefix("unix:")
        )
        deadline = time.monotonic() + PATIENCE_S
        while (after := self._client.get("/", host="news.test")).status != 200:  # it is not started again at once
            if time.monotonic() > deadline:
                raise StepFailed(f"news, purged: a new page expected, got {after.status} {after.error}")
            time.sleep(0.05)
        self.rows.append(("news, purged", after))
        self._say("a kept answer needs no machine, stands in when its guest crashes, and is gone with a purge")

    def tenants(self) -> None:
        """Two tenants with keys of their own: one steals a host in vain, a key is replaced, a hold ends what runs."""
        site, image = self._site, str(self._site.folder / "images" / "hello.oci.tar")
        here = ("--origin", site.origin.url, "--keys")
        add_tenant(site, "alpine", "alpine.test")
        add_tenant(site, "polar")
        host = ("--host", "alpine.test", *here)
        site.run("publish", image, "--service", "alpine.hello", *host, str(site.folder / "alpine"))
        self._ask("hello, signed by tenant alpine", "alpine", "/")
        try:
            site.run("publish", image, "--service", "polar.hello", *host, str(site.folder / "polar"))
        except CommandFailed as refused:
            if "the operator has not given" not in str(refused):
                raise StepFailed(f"theft of a host: a refusal that says why expected, got {refused}") from None
        else:
            raise StepFailed("theft of a host: a refusal expected, tenant polar has published alpine's host")
        self._say("a tenant publishes its own names with its own key, and no host of another's")
        site.run("keys", "rotate", "timestamp", *here, str(site.keys))
        site.run("hold", "add", "--tenant", "alpine", *here, str(site.keys))
        self._wait_for("hello of tenant alpine, held", "alpine", 503)
        site.run("hold", "release", "--tenant", "alpine", *here, str(site.keys))
        self._wait_for("hello of tenant alpine, released", "alpine", 200)
        self._say("the timestamp key was replaced, the edge followed; a hold ended the tenant's machine everywhere")

    def _wait_for(self, step: str, service: str, status: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self._client.get("/", host=f"{service}.test")).status != status:
            if time.monotonic() > deadline:
                raise StepFailed(f"{step}: status {status} expected, got {answer.status} {answer.error}".rstrip())
            time.sleep(0.05)
        self.rows.append((step, answer))

    def unhappy_guests(self) -> None:
        """Guests that fault, loop and eat memory; after each, the neighbour answers from the machine it had."""
        for name, path, status in (("crash", "/null", 502), ("spin", "/spin", 504), ("hog", "/hog", 507)):
            self._ask(name, name, path, status=status)
            self._ask(f"hello, {name}'s neighbour", "hello", "/", tier="resident")
        self._say("a fault (502), an endless loop (504), a memory eater (507): their neighbour did not notice")

    def flipped_byte(self) -> None:
        """One bit of a stored blob flips at the origin: refused, and the client is told of no digest. Fixed: served."""
        before = set(_content(self._site.store))
        self._site.publish(self._site.build(example("hello"), "--env", "NAME=damaged", name="damaged"), "damaged")
        blob = _snapshot(set(_content(self._site.store)) - before)
        whole = blob.read_bytes()
        middle = len(whole) // 2
        blob.chmod(0o644)
        blob.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        refused = self._ask("hello with one bit flipped at the origin", "damaged", "/", status=502)
        if b"sha" in refused.body.lower() or b"digest" in refused.body.lower():
            raise StepFailed(f"flipped byte: no digest in the body expected, got {refused.body!r}")
        if refused.error != "unverifiable":
            raise StepFailed(f"flipped byte: error 'unverifiable' expected, got {refused.error!r}")
        blob.write_bytes(whole)
        self._ask("the same, fixed", "damaged", "/", tier="origin")
        self._say("one bit flipped in a blob of the origin's store: refused (502), not run; fixed: served")

    def origin_down(self) -> None:
        """Without its origin an edge goes on with everything it has verified."""
        self._site.origin.stop()
        self._ask("hello, origin down", "hello", "/", tier="resident")
        self._site.park("airports")
        self._ask("airports parked, origin down", "airports", "/?q=KEF", tier="parked")
        self._site.restart(self._site.origin)
        self._say("origin stopped: what the edge has verified is still served")

    def table(self) -> Table:
        """Where the time went, a row for each request; milliseconds."""
        table = Table(title="where the time went: the edge's phases, and what the client saw; ms", title_justify="left")
        table.add_column("request", no_wrap=True)
        table.add_column("answer")
        table.add_column("from", style="cyan")
        for phase in PHASES:
            table.add_column(phase, justify="right")
        table.add_column("first byte", justify="right", style="bold")
        table.add_column("whole", justify="right")
        for step, answer in self.rows:
            colour = "green" if answer.status == 200 else "yellow"
            spent = answer.timing_ms
            table.add_row(
                step,
                f"[{colour}]{answer.status}[/] {answer.error}".rstrip(),
                _origin_of(answer),
                *(f"{spent[phase]:.2f}" if phase in spent else "" for phase in PHASES),
                f"{answer.first_byte_ms:.2f}",
                f"{answer.total_ms:.2f}",
            )
        return table

    def _ask(
        self,
        step: str,
        service: str,
        path: str,
        *,
        status: int = 200,
        tier: str = "",
        body: bytes | None = None,
        said: str = "",
        breaks: bool = False,
    ) -> Answer:
        """:param said: at the beginning of what Cache-Status says. :param breaks: `news` is to crash."""
        method, headers = "GET" if body is None else "POST", {"X-Break": "1"} if breaks else {}
        answer = self._client.request(method, path, host=f"{service}.test", body=body, headers=headers)
        self.rows.append((step, answer))
        if answer.status != status:
            raise StepFailed(f"{step}: status {status} expected, got {answer.status} {answer.error}".rstrip())
        if tier and answer.tier != tier:
            raise StepFailed(f"{step}: answer from {tier} expected, got it from {answer.tier or 'nowhere named'}")
        status_line = answer.headers.get("cache-status", "")
        if said and not status_line.startswith(f"nunatak; {said}"):
            raise StepFailed(f"{step}: Cache-Status with {said!r} expected, got {status_line!r}")
        return answer

    def _say(self, what: str) -> None:
        self._console.print(f"[green]✓[/] {what}")


def _origin_of(answer: Answer) -> str:
    """Where an answer came from: what was kept, or the tier of its machine."""
    said = answer.headers.get("cache-status", "")
    if said.startswith("nunatak; hit"):
        return "kept: a hit"
    stands_in = said.startswith(("nunatak; fwd=stale; ttl=", "nunatak; fwd=stale; fwd-status=5"))
    return "kept: stale" if stands_in else answer.tier


def run_demo(console: Console, *, serve: bool) -> None:
    """Show everything on a fresh site; with `serve`, leave it up until interrupted.

    :raises StepFailed: a step did not do what it shows.
    """
    with tempfile.TemporaryDirectory(prefix="nunatak-demo-") as folder, Site(Path(folder), edge_config=PATIENT) as site:
        console.print(f"[green]✓[/] keys made, origin on {site.origin.url}, edge on {site.edges[0].url}")
        demo = Demo(site, console)
        try:
            demo.run()
        finally:
            if demo.rows:
                console.print(demo.table())
        if serve:
            _stay_up(console, site)


def _stay_up(console: Console, site: Site) -> None:
    edge = site.edges[0].url
    try:
        for name in SAMPLES:
            console.print(f"  {edge}/~service/{name}/", highlight=False)
        socket = site.edges[0].admin_url.removeprefix("unix:")
        console.print(
            f"operators' pages: nunatak admin services --socket {socket}, or metrics, reports", highlight=False
        )
        console.print(f"keys and store are in {site.folder}, the origin is {site.origin.url}", highlight=False)
        console.print("up until Ctrl-C")
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")


def _content(store: Path) -> Iterable[Path]:
    """The files of the origin's store that are named by what is in them."""
    return (path for path in store.rglob("*") if len(path.name) == 64 and path.is_file())


def _snapshot(files: Iterable[Path]) -> Path:
    """The snapshot blob among the files of one image: the first layer that its manifest names."""
    by_digest = {f"sha256:{path.name}": path for path in files}
    for path in by_digest.values():
        if path.parents[2].name == "manifests":  # those of what is attached to the image are elsewhere
            return by_digest[json.loads(path.read_bytes())["layers"][0]["digest"]]
    raise StepFailed(f"flipped byte: a new manifest in the origin's store expected, got {len(by_digest)} other files")
