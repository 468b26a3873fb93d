"""Terms at work: limits that answer by their name, pools, rejuvenation, tenants with workers of their own."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import admin, eventually, metrics
from tests.support.guests import PROGRAMS
from vmimage.terms import FRESH_POOL

LIMITS = PROGRAMS / "limits.c"
CONFIG: Mapping[str, int | float | str | bool] = {
    "refresh": 0.2,
    "request_timeout": 3,
    "isolation": "alone",
    "weights": "alone=3",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("limits"), workers=2, edge_config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def edge(site: Site) -> Server:
    return site.edges[0]


def publish(site: Site, name: str, *options: str, source: Path = LIMITS, tenant: str = "") -> str:
    """A service; its path on the edge."""
    site.publish(site.build(source, *options, name=name), name, tenant=tenant)
    return f"/~service/{name}"


def at_once(edge: Server, paths: list[str]) -> list[Answer]:
    """Each from a client of its own."""

    def get(path: str) -> Answer:
        with Client(edge.url) as client:
            return client.get(path)

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(get, paths))


def names(answers: list[Answer]) -> set[bytes]:
    """Which machines answered."""
    assert {answer.status for answer in answers} == {200}
    return {answer.body.split()[0] for answer in answers}


def requests(edge: Server, name: str) -> int:
    """How many a service has had."""
    (service,) = [s for s in json.loads(admin(edge, "services").body)["services"] if s["service"] == name]
    return int(service["requests"])


def machines(edge: Server) -> float:
    return metrics(edge)["resident_machines"]


def test_a_limit_that_is_hit_is_named(site: Site, edge: Server) -> None:
    spin = publish(site, "li-spin", "--cpu-ms", "50", source=example("spin"))
    hog = publish(site, "li-hog", "--memory", "8MiB", source=example("hog"))
    with Client(edge.url) as client:
        answers = {path: client.get(path) for path in (f"{spin}/spin", f"{hog}/hog")}
    assert answers[f"{spin}/spin"].status == 504
    assert answers[f"{spin}/spin"].headers["x-nunatak-limit"] == "cpu_ms=50"
    assert (answers[f"{hog}/hog"].status, answers[f"{hog}/hog"].error) == (507, "out_of_memory")
    assert answers[f"{hog}/hog"].headers["x-nunatak-limit"] == f"memory_bytes={8 << 20}"
    assert metrics(edge)["limit_hits_total{cpu_ms}"] == 1
    assert metrics(edge)["limit_hits_total{memory_bytes}"] == 1


def test_too_much_log_is_dropped_and_said(site: Site, edge: Server) -> None:
    log = publish(site, "li-log", "--log-rate", "2KiB", "--cpu-ms", "5000")
    with Client(edge.url) as client:
        assert client.get(f"{log}/log?lines=1000").status == 200

        def said() -> bool:
            assert client.get(f"{log}/log?lines=1").status == 200
            return "bytes of log dropped: at most 2048 in a second" in edge.log.read_text()

        eventually(said, "the next line that is let through says so")
    assert edge.log.read_text().count("service=li-log text=") < 100


def test_a_quota_holds_a_service_back_and_nobody_else(site: Site, edge: Server) -> None:
    """The same work is done for one, and for the other never: a percent gives it 30 ms more while it may wait."""
    held = publish(site, "li-held", "--cpu-percent", "1", "--cpu-ms", "10000")
    free = publish(site, "li-free", "--cpu-ms", "10000")
    turns, done = 1 << 20, 0
    with Client(edge.url) as client, ThreadPoolExecutor(1) as other:
        while (answer := client.get(f"{held}/spin?turns={turns}")).status == 200:
            turns *= 2  # until it takes more than may be had at once
        assert (answer.error, answer.headers["x-nunatak-limit"]) == ("throttled", "cpu_percent=1")
        waiting = other.submit(at_once, edge, [f"{held}/spin?turns={turns}"])
        while not waiting.done():
            assert client.get(f"{free}/spin?turns={turns}").status == 200
            done += 1
        assert [answer.error for answer in waiting.result()] == ["throttled"]
    assert done > 0


def test_a_pool_grows_when_it_is_busy_and_shrinks_when_it_is_not(site: Site, edge: Server) -> None:
    pool, single = publish(site, "li-pool", "--pool", "3"), publish(site, "li-single")
    for path, expected in ((pool, 3), (single, 1)):
        with Client(edge.url) as client:
            assert client.get(path + "/").status == 200
        seen: set[bytes] = set()
        for _ in range(3):
            seen |= names(at_once(edge, [f"{path}/wait?ms=150"] * 12))
        assert len(seen) == expected
    assert metrics(edge)["pool_grown_total"] == 2
    before = machines(edge)
    eventually(lambda: machines(edge) <= before - 2, "those beside the first are closed")


def spans(answers: list[Answer]) -> list[tuple[float, float]]:
    """When the guests of these answers began and ended, by their own clocks, and each was the first request there."""
    assert {(answer.status, answer.headers["x-served"]) for answer in answers} == {(201, "1")}
    return [(float(began), float(ended)) for began, ended in (answer.body.split() for answer in answers)]


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """How many were under way at some moment, at most."""
    return max(sum(began <= moment <= ended for began, ended in spans) for moment, _ in spans)


def test_fresh_machines_serve_as_many_at_once_as_their_image_says(site: Site, edge: Server) -> None:
    cgi = publish(site, "li-cgi", "--cgi", source=PROGRAMS / "linux_cgi.c")
    three = publish(site, "li-three", "--cgi", "--pool", "3", source=PROGRAMS / "linux_cgi.c")
    before, grown = machines(edge), metrics(edge)["pool_grown_total"]
    asked = [f"{cgi}/?sleep=1500&{number}" for number in range(FRESH_POOL)]  # who asks for the same waits for the first
    assert most_at_once(spans(at_once(edge, asked))) == FRESH_POOL
    opens = metrics(edge)["opens_total"]
    assert metrics(edge)["pool_grown_total"] == grown + FRESH_POOL - 1
    spans(at_once(edge, [f"{cgi}/?sleep=1"] * 64))
    assert metrics(edge)["opens_total"] == opens, "each is reset, and takes the next"
    assert most_at_once(spans(at_once(edge, [f"{three}/?sleep=300"] * 7))) == 3
    eventually(lambda: machines(edge) <= before + 2, "those beside the first are closed")


def test_a_quick_request_does_not_wait_for_a_slow_one_of_another_fresh_machine(site: Site, edge: Server) -> None:
    cgi = publish(site, "li-slow", "--cgi", source=PROGRAMS / "linux_cgi.c")
    with Client(edge.url) as client, ThreadPoolExecutor(1) as other:
        spans([client.get(f"{cgi}/?sleep=1")])
        before = requests(edge, "li-slow")
        slow = other.submit(at_once, edge, [f"{cgi}/?sleep=1500"])
        eventually(lambda: requests(edge, "li-slow") == before + 1, "the slow one is under way")
        quick = spans([client.get(f"{cgi}/?sleep=1") for _ in range(3)])
        assert max(ended for _, ended in quick) < spans(slow.result())[0][1]


def test_a_crash_in_a_pool_leaves_the_others(site: Site, edge: Server) -> None:
    pool = publish(site, "li-crash", "--pool", "2")
    with Client(edge.url) as client:
        client.get(pool + "/")
    at_once(edge, [f"{pool}/wait?ms=100"] * 8)
    before = requests(edge, "li-crash")

    def crash() -> int:
        eventually(lambda: requests(edge, "li-crash") == before + 8, "all others are under way")
        with Client(edge.url) as client:
            return client.get(f"{pool}/crash").status

    with ThreadPoolExecutor(1) as other:
        status = other.submit(crash)
        answers = at_once(edge, [f"{pool}/wait?ms=1500"] * 8)
        assert status.result() == 502
    good = [answer for answer in answers if answer.status == 200]
    assert len(good) >= 3, "only those in the machine that crashed are lost"
    with Client(edge.url) as client:
        assert client.get(pool + "/").status == 200


def test_a_machine_in_use_for_long_is_replaced_and_no_request_is_lost(site: Site, edge: Server) -> None:
    aging = publish(site, "li-aging", "--rejuvenate", "requests=5")
    with Client(edge.url) as client:
        served = [client.get(aging + "/") for _ in range(23)]
    assert {answer.status for answer in served} == {200}
    assert [int(answer.body.split()[1]) for answer in served] == [n % 5 + 1 for n in range(23)]
    assert {answer.status for answer in at_once(edge, [f"{aging}/wait?ms=20"] * 16)} == {200}
    assert metrics(edge)["rejuvenations_total{requests}"] >= 4


def test_a_machine_that_has_grown_is_replaced(site: Site, edge: Server) -> None:
    grows = publish(site, "li-grows", "--rejuvenate", "growth=1MiB")
    with Client(edge.url) as client:
        first = client.get(f"{grows}/grow?pages=400").body.split()[0]
        eventually(lambda: client.get(grows + "/").body.split()[0] != first, "another machine answers")
    assert metrics(edge)["rejuvenations_total{growth_bytes}"] >= 1


def test_a_machine_is_as_old_after_a_restart_of_the_edge(own_site: Site) -> None:
    edge = own_site.edges[0]
    aged = publish(own_site, "li-aged", "--rejuvenate", "requests=5")
    served = []
    for _ in range(2):
        with Client(edge.url) as client:
            served += [client.get(aged + "/") for _ in range(3)]
        edge.stop()
        own_site.restart(edge)
    assert [int(answer.body.split()[1]) for answer in served] == [1, 2, 3, 4, 5, 1]
    assert [answer.tier for answer in served][3] == "disk"


def test_a_record_of_a_machine_that_is_to_be_rejuvenated_is_not_woken(site: Site, edge: Server) -> None:
    aging = publish(site, "li-parked", "--rejuvenate", "hours=0.0003")
    with Client(edge.url) as client:
        first = client.get(aging + "/").body.split()[0]
        site.park("li-parked")

        def another() -> bool:
            answered = client.get(aging + "/").body.split()[0]
            site.park("li-parked")
            return answered != first

        eventually(another, "a machine that was parked for longer than it may be old is replaced")
    assert metrics(edge)["rejuvenations_total{seconds}"] >= 1


def test_an_isolated_tenant_has_workers_of_its_own(site: Site, edge: Server) -> None:
    paths = [publish(site, f"li-tenant-{n}", tenant="alone" if n < 2 else "others") for n in range(4)]
    assert len(names(at_once(edge, [path + "/" for path in paths]))) == 4
    services = {s["service"]: s for s in json.loads(admin(edge, "services").body)["services"]}
    workers = {w["index"]: w for w in json.loads(admin(edge, "workers").body)["workers"]}
    own = {services[f"li-tenant-{n}"]["worker"] for n in (0, 1)}
    shared = {services[name]["worker"] for name in services if name not in ("li-tenant-0", "li-tenant-1")} - {None}
    assert len(own) == 1
    assert not own & shared
    assert len(workers) == 3
    assert len({workers[index]["pid"] for index in workers}) == 3
