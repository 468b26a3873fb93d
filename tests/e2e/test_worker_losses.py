"""What a service and its neighbours lose when their worker is killed: idle, or while a machine runs."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

from loadtest.site.fetch import Client
from loadtest.site.server import Server, tree_cpu_s
from loadtest.site.site import Site, example
from tests.support.edges import admin as operators_page
from tests.support.edges import eventually, metrics

NEIGHBOURS = ("n0", "n1")


def admin(edge: Server, page: str) -> Any:
    return json.loads(operators_page(edge, page).body)[page]


def service_of(edge: Server, name: str) -> dict[str, Any]:
    return next(service for service in admin(edge, "services") if service["service"] == name)


def count(client: Client, name: str) -> int:
    answer = client.get("/", host=f"{name}.test")
    assert answer.status == 200, (answer.status, answer.error)
    return int(answer.body.split()[-1])


def publish(site: Site) -> None:
    hello = site.build(example("hello"))
    for name in NEIGHBOURS:
        site.publish(hello, name)


def test_an_idle_worker_that_is_killed_is_blamed_on_nobody_and_records_come_back(own_site: Site) -> None:
    edge = own_site.edges[0]
    publish(own_site)
    with Client(edge.url) as client:
        assert [count(client, "n0") for _ in range(2)] == [1, 2]
        own_site.park("n0")
        assert [count(client, "n0"), count(client, "n1")] == [3, 1]
        (worker,) = admin(edge, "workers")
        stat = Path(f"/proc/{worker['pid']}/stat")
        eventually(lambda: all(stat.read_text().split()[2] == "S" for _ in range(50)), "it rests, the spare shell made")
        os.kill(worker["pid"], signal.SIGKILL)
        eventually(lambda: metrics(edge)["workers_lost_total"] == 1, "noticed")
        assert [count(client, "n0"), count(client, "n1")] == [3, 1], "from its record, and from the image"
        seen = metrics(edge)
        assert (seen["states_lost_total{record}"], seen["states_lost_total{image}"]) == (1, 1), "and it is said"
        assert seen["quarantined"] == 0
        assert "event=states_lost to=record services=1 names=n0" in edge.log.read_text()


def test_what_a_record_has_seen_is_not_lost_with_a_worker(own_site: Site) -> None:
    edge = own_site.edges[0]
    publish(own_site)
    with Client(edge.url) as client:
        assert count(client, "n0") == 1
        own_site.park("n0")
        (worker,) = admin(edge, "workers")
        os.kill(worker["pid"], signal.SIGKILL)
        eventually(lambda: metrics(edge)["workers_lost_total"] == 1, "noticed")
        assert count(client, "n0") == 2
        assert not [name for name in metrics(edge) if name.startswith("states_lost_total{")]


def test_a_worker_killed_while_a_machine_runs_is_blamed_on_it_and_the_neighbours_do_not_wait(own_site: Site) -> None:
    edge = own_site.edges[0]
    publish(own_site)
    own_site.publish(own_site.build(example("spin"), "--cpu-ms", "60000"), "runs")
    got: list[tuple[int, str]] = []

    def ask() -> None:
        with Client(edge.url) as client:
            answer = client.get("/spin?turns=2000000000", host="runs.test")
            got.append((answer.status, answer.error))

    with Client(edge.url) as client:
        for name in NEIGHBOURS:
            assert count(client, name) == 1
        assert client.get("/", host="runs.test").status == 200
        asking = threading.Thread(target=ask)
        (worker,) = admin(edge, "workers")
        before_s = tree_cpu_s(worker["pid"])
        asking.start()
        eventually(lambda: tree_cpu_s(worker["pid"]) - before_s > 0.3, "it runs the request, and does not only have it")
        os.kill(worker["pid"], signal.SIGKILL)
        asking.join()
        assert got == [(502, "worker_lost")]
        assert [count(client, name) for name in NEIGHBOURS] == [1, 1]
        assert client.get("/", host="runs.test").status == 200, "one accident costs it no pause"
        runs = service_of(edge, "runs")
        assert (runs["quarantined"], runs["crashes"]) == (True, 1)
        assert service_of(edge, "n0")["worker"] != runs["worker"]
        report = next(report for report in admin(edge, "reports") if report["service"] == "runs")
        assert "SIGKILL" in report["message"]
    seen = metrics(edge)
    assert (seen["worker_ends_total{died}"], seen["replays_total"], seen["quarantined"]) == (1, 0, 1)
