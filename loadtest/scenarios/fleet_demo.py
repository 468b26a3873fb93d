"""`nunatak demo --fleet`: a fleet under load; servers die, a POP is cut off, a key is replaced, a release is bad.

Visitors ask all edges throughout. After each step it is judged what they got: nothing but good answers, except for
those few visitors of a bad candidate that its gates need to find out. Whatever else goes wrong ends the demonstration.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from loadtest.scenarios.demo import StepFailed
from loadtest.site.fetch import Client
from loadtest.site.fleet import FAR_EDGE, Fleet
from loadtest.site.server import Server
from loadtest.site.site import CommandFailed, example
from loadtest.site.tenants import add_tenant
from loadtest.traffic.visitors import Crowd, Visit, Visitors, failed

VISITS_PER_S: Final = 12.0  # to each edge
RELEASE_VISITS_PER_S: Final = 60.0  # while a candidate is judged that 1 % of them get
QUIET_S: Final = 3.0  # of visits after something was done, in which it would show
PATIENCE_S: Final = 60.0
WAIT: Final = ("--wait", "30")
EXIT_LAGGING: Final = 3
UNLUCKY_MAX: Final = 50  # visitors who may meet a bad candidate before it is stopped
KEPT_S: Final = 3600  # the freshness of what is purged
BROKEN: Final = """\
#include <nunatak.h>

static void page(nk_request *request) {
    *(volatile char *)0 = (char)(request != 0);
}

int main(void) {
    return nk_serve(page);
}
"""


class Done(NamedTuple):
    """One step and what visitors saw of it."""

    step: str
    seconds: float
    visits: list[Visit]
    note: str


class FleetDemo:
    """The steps, in order; `done` fills."""

    def __init__(self, fleet: Fleet, console: Console) -> None:
        self._fleet, self._console = fleet, console
        self.done: list[Done] = []

    def run(self) -> None:
        """All steps.

        :raises StepFailed: one did not do what it shows.
        """
        self.publish()
        edges = {name: edge.url for name, edge in self._fleet.by_name.items()}
        with Visitors(Crowd(edges, ("alpine.test", "polar.test"), VISITS_PER_S)) as visitors:
            for step, action in (
                ("visitors ask three edges in two POPs", lambda: ""),
                ("an origin is killed, and a new version published by the other", self.kill_origin),
                ("the parent is killed, and a service asked for that no edge has", self.kill_parent),
                (f"POP {FAR_EDGE.split('-')[0]} is cut off, and misses a purge", self.partition),
                ("the timestamp's key is replaced", self.rotate),
                ("a page is purged everywhere", self.purge),
            ):
                self._step(visitors, step, action)
            visitors.rate = RELEASE_VISITS_PER_S
            self._step(visitors, "a candidate that crashes is released to 1 %", self.bad_release, UNLUCKY_MAX)
            self._step(visitors, "after that nobody meets it", lambda: "")

    def publish(self) -> None:
        """Two tenants, each with a service of its own; all edges have both."""
        fleet = self._fleet
        self._keys = {
            "alpine": add_tenant(fleet, "alpine", "alpine.test"),
            "polar": add_tenant(fleet, "polar", "polar.test", "clock.test"),
        }
        news = fleet.folder / "kept.c"
        news.write_text(example("news").read_text().replace("max-age=3,", f"max-age={KEPT_S},"))
        broken = fleet.folder / "broken.c"
        broken.write_text(BROKEN)
        self._hello, self._broken = fleet.build(example("hello")), fleet.build(broken)
        self._publish(self._hello, "alpine.hello", "alpine.test")
        self._publish(fleet.build(news), "polar.news", "polar.test", *WAIT)
        for edge in fleet.edges:
            for host in ("alpine.test", "polar.test"):
                self._ask(edge, host)
        self._until("both origins know every edge", lambda: all(map(self._knows_all, (fleet.origin, fleet.doomed))))
        self._say("two tenants have published by two origins on one bucket; edges have fetched through the parent")

    def kill_origin(self) -> str:
        """kill -9; the other one publishes, and all edges have it when the command returns."""
        fleet = self._fleet
        fleet.doomed.kill()
        image = fleet.build(example("hello"), "--env", "NAME=second", name="second")
        self._publish(image, "alpine.hello", "alpine.test", *WAIT)
        fleet.restart(fleet.doomed)
        return "the other has published"

    def kill_parent(self) -> str:
        """kill -9; edges fetch from the origins what they had from it."""
        fleet = self._fleet
        fleet.parent.kill()
        self._publish(fleet.build(example("clock")), "polar.clock", "clock.test", *WAIT)
        for edge in fleet.edges:
            self._ask(edge, "clock.test")
        fleet.restart(fleet.parent)
        return "edges went to the origins"

    def partition(self) -> str:
        """Nothing passes to or from one POP: it serves what it has verified, and catches up afterwards."""
        fleet = self._fleet
        fleet.partition(True)
        try:
            fleet.operator("fleet", "purge", "polar.news", "--wait", f"{QUIET_S:g}")
        except CommandFailed as lagging:
            if lagging.exit_code != EXIT_LAGGING or FAR_EDGE not in str(lagging):
                raise StepFailed(f"a purge without {FAR_EDGE}: to be told that it lags expected, {lagging}") from None
        else:
            raise StepFailed(f"a purge without {FAR_EDGE}: to be told that it lags expected")
        fleet.partition(False)
        self._until("it has the purge", lambda: not self._lagging())
        return f"told that {FAR_EDGE} lags; it caught up"

    def rotate(self) -> str:
        """A new key for the timestamp; edges follow it, as a version shows that is signed with it."""
        self._fleet.operator("keys", "rotate", "timestamp")
        self._publish(self._hello, "alpine.hello", "alpine.test", *WAIT)
        return "edges follow the new key"

    def purge(self) -> str:
        """Answers when every live edge has applied it."""
        said = self._fleet.operator("fleet", "purge", "polar.news", *WAIT)
        return said.strip().splitlines()[-1].partition("live edges: ")[2] or "applied"

    def bad_release(self) -> str:
        """Nobody stops it but the edges, and then the origin for all of them."""
        keys = ("--keys", str(self._keys["alpine"]), "--origin", self._fleet.origin.url)
        words = ("--service", "alpine.hello", "--percent", "1", "--sticky", "address")
        self._fleet.run("release", "start", str(self._broken), *words, *keys)
        began = time.monotonic()
        self._until("the candidate is frozen", lambda: bool(self._release(keys).get("frozen")))
        spent_s = time.monotonic() - began
        self._fleet.run("release", "back", "alpine.hello", *WAIT, *keys)
        return f"frozen everywhere after {spent_s:.0f} s, by itself"

    def _release(self, keys: tuple[str, ...]) -> dict[str, object]:
        found = json.loads(self._fleet.run("release", "status", "alpine.hello", "--json", *keys))
        fleet = found.get("fleet") or {}
        assert isinstance(fleet, dict)
        return fleet

    def _knows_all(self, origin: Server) -> bool:
        """Heart-beats come to one of the origins; the other one learns of them by the bucket they share."""
        words = ("--origin", origin.url, "--keys", str(self._fleet.keys))
        edges = json.loads(self._fleet.run("fleet", "list", "--json", *words))["edges"]
        return {edge["edge"] for edge in edges if edge["live"]} == self._fleet.by_name.keys()

    def _lagging(self) -> list[str]:
        found = json.loads(self._fleet.operator("fleet", "list", "--json"))
        return [edge["edge"] for edge in found["edges"] if edge["behind"] != 0 or not edge["live"]]

    def _step(self, visitors: Visitors, step: str, action: Callable[[], str], allowed: int = 0) -> None:
        """Do it, let visitors see what came of it, and judge what they got.

        :param allowed: crashes of a candidate that visitors may meet.
        """
        visitors.taken()
        began = time.monotonic()
        note = action()
        time.sleep(QUIET_S)
        visits = visitors.taken()
        self.done.append(Done(step, time.monotonic() - began, visits, note))
        bad = [visit for visit in visits if visit.status != 200]
        unlucky = [visit for visit in bad if allowed and visit.version.endswith("candidate")]
        if len(bad) > len(unlucky) or len(unlucky) > allowed:
            raise StepFailed(f"{step}: no failed visit but {allowed} of a candidate expected, got {dict(failed(bad))}")
        if not visits:
            raise StepFailed(f"{step}: visits expected, got none")
        self._say(f"{step}: {len(visits)} visits, {len(unlucky)} failed; {note or 'all served'}")

    def _publish(self, image: Path, service: str, host: str, *options: str) -> None:
        keys = ("--keys", str(self._keys[service.partition(".")[0]]), "--origin", self._fleet.origin.url)
        self._fleet.run("publish", str(image), "--service", service, "--host", host, *keys, *options)

    @staticmethod
    def _ask(edge: Server, host: str) -> None:
        with Client(edge.url) as client:
            answer = client.get("/", host=host)
        if answer.status != 200:
            raise StepFailed(f"{host} at {edge.name}: status 200 expected, got {answer.status} {answer.error}")

    @staticmethod
    def _until(what: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > deadline:
                raise StepFailed(f"{what}: expected within {PATIENCE_S:g} s")
            time.sleep(0.2)

    def table(self) -> Table:
        """A row for each step."""
        table = Table(title="what visitors of the fleet saw", title_justify="left")
        table.add_column("step")
        for name in ("seconds", "visits", "failed", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right")
        table.add_column("")
        for step, seconds, visits, note in self.done:
            times = sorted(visit.ms for visit in visits) or [0.0]
            bad = sum(visit.status != 200 for visit in visits)
            spent = (f"{times[len(times) // 2]:.1f}", f"{times[len(times) * 99 // 100]:.1f}")
            table.add_row(
                step, f"{seconds:.1f}", f"{len(visits):,}", f"[{'yellow' if bad else 'green'}]{bad}[/]", *spent, note
            )
        return table

    def _say(self, what: str) -> None:
        self._console.print(f"[green]✓[/] {what}")


def run_fleet_demo(console: Console) -> None:
    """Show everything on a fresh fleet.

    :raises StepFailed: a step did not do what it shows.
    """
    with tempfile.TemporaryDirectory(prefix="nunatak-fleet-") as folder, Fleet(Path(folder)) as fleet:
        console.print(f"[green]✓[/] two origins on one bucket, a parent, edges {', '.join(fleet.by_name)}")
        demo = FleetDemo(fleet, console)
        try:
            demo.run()
            console.print(fleet.operator("fleet", "list"), highlight=False)
        finally:
            if demo.done:
                console.print(demo.table())
        console.print("Only visitors of a bad candidate may meet an error, and no more than its gates need to see.")
