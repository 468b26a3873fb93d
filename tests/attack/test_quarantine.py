"""Can a service that ends workers at will hurt anybody but itself?

The guest executes an instruction at which Unicorn 2.1.4 calls abort(): the worker's process is gone, with all machines
in it. Promised: one such end costs the others what their machines knew since their last record, and the time that a
worker takes to start; from then on the service is alone, and costs nobody anything.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from loadtest.site import site as site_module
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import admin as operators_page
from tests.support.edges import eventually, metrics

LAUNCHER = Path(__file__).parent / "uncontained.py"
KILLER = Path(__file__).parent / "programs" / "abort.c"
VICTIMS = 10
KILLS = 300  # requests, 50 a second
KILL_EVERY_S = 0.02


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(site_module, "NUNATAK", (sys.executable, str(LAUNCHER)))
    config: Mapping[str, int | float | str | bool] = {"refresh": 0.2, "engine": "unicorn"}
    with Site(tmp_path, workers=request.param, edge_config=config) as running:
        yield running


def admin(edge: Server, page: str) -> Any:
    return json.loads(operators_page(edge, page).body)[page]


def service_of(edge: Server, name: str) -> dict[str, Any]:
    return next(service for service in admin(edge, "services") if service["service"] == name)


class Victim(threading.Thread):
    """Asks a service that counts its requests, without a pause, until it is told to stop."""

    def __init__(self, edge: Server, name: str) -> None:
        super().__init__()
        self.counts: list[int] = []
        self.failures: list[object] = []
        self.stop = threading.Event()
        self._edge, self._host = edge, f"{name}.test"

    def run(self) -> None:
        with Client(self._edge.url) as client:
            while not self.stop.is_set():
                answer = client.get("/", host=self._host)
                if answer.status == 200:
                    self.counts.append(int(answer.body.split()[-1]))
                else:
                    self.failures.append((answer.status, answer.error))
                self.stop.wait(0.01)

    @property
    def falls(self) -> int:
        """How often the service knew less than it had known before."""
        return sum(after <= before for before, after in zip(self.counts, self.counts[1:], strict=False))


def test_a_service_that_aborts_its_worker_on_each_request_hurts_nobody_else(site: Site) -> None:
    edge = site.edges[0]
    hello = site.build(example("hello"))
    names = [f"victim{number}" for number in range(VICTIMS)]
    for name in names:
        site.publish(hello, name)
    site.publish(site.build(KILLER), "killer")
    with Client(edge.url) as client:
        for name in (*names, "killer"):
            assert client.get("/", host=f"{name}.test").status == 200
    shared = len(admin(edge, "workers"))
    victims = [Victim(edge, name) for name in names]
    for victim in victims:
        victim.start()
    answers: list[tuple[int, str]] = []
    with Client(edge.url) as client:
        for _ in range(KILLS):
            began = time.monotonic()
            answer = client.get("/kill", host="killer.test")
            answers.append((answer.status, answer.error))
            time.sleep(max(0.0, began + KILL_EVERY_S - time.monotonic()))
    asked = [len(victim.counts) for victim in victims]
    eventually(lambda: all(len(v.counts) > n + 5 for v, n in zip(victims, asked, strict=True)), "victims are served")
    for victim in victims:
        victim.stop.set()
        victim.join()

    assert [victim.failures for victim in victims] == [[]] * VICTIMS, "every request of a victim is answered"
    assert all(victim.falls <= 1 for victim in victims), "one worker with them in it was lost, and no second"
    if shared > 1:
        assert any(victim.falls == 0 for victim in victims), "those in the other worker lost nothing at all"
    assert {status for status, _ in answers} == {502, 503}
    assert {error for status, error in answers if status == 502} == {"worker_lost"}
    assert {error for status, error in answers if status == 503} <= {"backing_off", "quarantine_full"}

    seen = metrics(edge)
    lost = sum(status == 502 for status, _ in answers)
    assert 2 <= seen["workers_lost_total"] == seen["worker_ends_total{died}"] == lost, (
        "each is blamed, none is repeated"
    )
    assert lost < 10, "pauses bound how many workers are started for it"
    assert seen["worker_faults_total"] == 0
    assert seen["quarantined"] == 1
    assert seen["states_lost_total{image}"] <= VICTIMS
    eventually(lambda: metrics(edge)["workers"] >= shared, "the workers of all are back")
    assert service_of(edge, "killer")["quarantined"] is True
    assert not any(service_of(edge, name)["quarantined"] for name in names)
    assert all(service_of(edge, name)["crashes"] == 0 for name in names)
    reports = [report for report in admin(edge, "reports") if report["service"] == "killer"]
    assert len(reports) == lost
    assert all("SIGABRT" in report["message"] and "quarantined" in report["message"] for report in reports)
    assert [report["report"]["in_row"] for report in reports] == list(range(1, lost + 1))


def test_a_quarantined_service_is_served_alone_and_a_new_version_is_let_out(site: Site) -> None:
    edge = site.edges[0]
    site.publish(site.build(KILLER), "killer")
    site.publish(site.build(example("hello")), "victim")
    with Client(edge.url) as client:
        assert client.get("/", host="victim.test").status == 200
        assert client.get("/kill", host="killer.test").status == 502
        answer = client.get("/", host="killer.test")
        assert (answer.status, answer.body) == (200, b"request 1\n"), "the first pause is none, its record is not used"
        assert client.get("/", host="victim.test").status == 200
        killer, victim = service_of(edge, "killer"), service_of(edge, "victim")
        assert killer["worker"] != victim["worker"]
        assert killer["quarantined"]
        nice = {w["index"]: int(Path(f"/proc/{w['pid']}/stat").read_text().split()[18]) for w in admin(edge, "workers")}
        assert nice[killer["worker"]] == min(19, nice[victim["worker"]] + 10)
        site.publish(site.build(example("clock")), "killer")
        eventually(lambda: b"wall_ns" in client.get("/", host="killer.test").body, "the new version")
        killer = service_of(edge, "killer")
        assert not killer["quarantined"]
        if len(admin(edge, "workers")) == 2:  # the one of all, and the one that is about to leave
            assert killer["worker"] == victim["worker"]
