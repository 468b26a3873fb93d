"""What an edge does when something else fails: guests, workers, the origin, a disk, and its own end."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.model import reasons
from edge.model.flow import Refusal
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Publication, Site, example
from tests.support import edges
from tests.support.edges import eventually, metrics

Image = Callable[..., Path]


def admin(edge: Server, page: str) -> Any:
    """One of the edge's JSON pages."""
    return json.loads(edges.admin(edge, page).body)[page]


def service_of(edge: Server, name: str) -> dict[str, Any]:
    """A service as the edge describes it."""
    return next(service for service in admin(edge, "services") if service["service"] == name)


def report_of(edge: Server, name: str) -> dict[str, Any]:
    """The latest crash report of a service."""
    return next(report for report in reversed(admin(edge, "reports")) if report["service"] == name)


@pytest.mark.parametrize(
    ("guest", "path", "status", "error"),
    [
        ("crash", "/null", 502, "guest_fault"),
        ("spin", "/spin", 504, "out_of_time"),
        ("hog", "/hog", 507, "out_of_memory"),
    ],
)
def test_a_guest_that_fails_is_reported_and_its_neighbour_does_not_notice(
    site: Site, image: Image, guest: str, path: str, status: int, error: str
) -> None:
    edge, name = site.edges[0], f"ft-{guest}"
    site.publish(image(guest), name)
    site.publish(image("hello"), "ft-neighbour")
    with Client(edge.url) as client:
        first = client.get("/", host="ft-neighbour.test")
        assert client.get("/", host=f"{name}.test").status == 200
        answer = client.get(path, host=f"{name}.test")
        assert (answer.status, answer.error) == (status, error)
        row, limit = reasons.REASONS[error], answer.headers.get("x-nunatak-limit", "")
        told = reasons.page(Refusal(status, error, limit=limit), answer.headers["x-request-id"].encode())
        assert (answer.body, bool(limit)) == (told, bool(row.limit)), "no more than the table has"
        assert client.get("/", host=f"{name}.test").status == 200, "the first restart is immediate"
        second = client.get("/", host="ft-neighbour.test")
    assert (second.tier, service_of(edge, "ft-neighbour")["crashes"]) == ("resident", 0)
    assert first.status == second.status == 200
    assert service_of(edge, name)["crashes"] == 1
    eventually(lambda: "trace" in report_of(edge, name), "the symbols are fetched")
    report = report_of(edge, name)
    assert report["message"]
    assert report["trace"]
    assert not report["trace"][0].startswith("0x"), "the function it happened in has a name"
    assert report["requests"] == [{"method": "GET", "path": path, "id": answer.headers["x-request-id"]}]
    said = f"the machine ended at GET {path} ({answer.headers['x-request-id']}): {error}:"
    eventually(lambda: any(said in line for line in site.logs(name)), "its publisher is told")
    assert metrics(edge)["workers_lost_total"] == 0


def test_a_service_that_keeps_crashing_is_held_back(site: Site, image: Image) -> None:
    site.publish(image("crash"), "ft-loop")
    with Client(site.edges[0].url) as client:
        answers = [client.get("/ud2", host="ft-loop.test") for _ in range(8)]
        assert {answer.status for answer in answers} == {502, 503}
        refused = next(answer for answer in answers if answer.status == 503)
        assert refused.error == "backing_off"
        assert int(refused.headers["retry-after"]) >= 1
        eventually(lambda: client.get("/", host="ft-loop.test").status == 200, "it is tried again")


def test_a_url_that_crashes_leaves_the_rest_of_its_service_served(site: Site, image: Image) -> None:
    site.publish(image("crash"), "ft-url")
    with Client(site.edges[0].url) as client:
        for _ in range(8):
            assert client.get("/", host="ft-url.test").status == 200
            assert client.get("/ud2", host="ft-url.test").status == 502


def test_a_worker_killed_under_load_is_replaced(own_site: Site) -> None:
    """Where the service's machine ran at that moment it is blamed, and its next worker is its own."""
    edge = own_site.edges[0]
    own_site.publish(own_site.build(example("hello")), "hello")
    statuses: list[list[int]] = [[] for _ in range(8)]
    stop = threading.Event()

    def load(mine: list[int]) -> None:
        with Client(edge.url) as client:
            while not stop.is_set():
                mine.append(client.get("/", host="hello.test").status)

    def count() -> int:
        return sum(mine.count(200) for mine in statuses)

    threads = [threading.Thread(target=load, args=(mine,)) for mine in statuses]
    for thread in threads:
        thread.start()
    try:
        for kill in range(3):
            before = count()
            eventually(lambda goal=before + 100: count() > goal, "load flows")  # type: ignore[misc]
            eventually(lambda: service_of(edge, "hello")["worker"] is not None, "it has a worker")
            index = service_of(edge, "hello")["worker"]
            (worker,) = (worker for worker in admin(edge, "workers") if worker["index"] == index)
            os.kill(worker["pid"], signal.SIGKILL)
            eventually(lambda goal=kill + 1: metrics(edge)["workers_lost_total"] == goal, "noticed")  # type: ignore[misc]
            eventually(lambda: metrics(edge)["workers"] >= 1, "replaced")
        before = count()
        eventually(lambda: count() > before + 100, "load flows again")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    seen = metrics(edge)
    allowed = {200, 502, 503} if seen["quarantined"] else {200, 502}
    assert {status for mine in statuses for status in mine} <= allowed
    assert statuses[0][-1] == 200
    assert sum(status == 502 for mine in statuses for status in mine) <= 3 * len(threads), "only what was in flight"
    assert metrics(edge)["streams"] == 0


def test_what_was_verified_is_served_without_the_origin(own_site: Site) -> None:
    edge = own_site.edges[0]
    image = own_site.build(example("hello"))
    own_site.publish(image, "known")
    with Client(edge.url) as client:
        assert client.get("/", host="known.test").status == 200
        own_site.park("known")
        own_site.origin.kill()
        assert client.get("/", host="known.test").tier == "parked"
        unknown = client.get("/", host="never-seen.test")
        assert (unknown.status, unknown.error) == (502, "origin_unreachable")
    assert edge.stop() == 0
    own_site.restart(edge)
    with Client(edge.url) as client:
        answer = client.get("/", host="known.test")
        assert (answer.status, answer.tier) == (200, "disk")
        assert b"request 3" in answer.body, "parked at the end, and there again"


def test_two_edges_do_not_share_a_cache_folder(own_site: Site) -> None:
    """They would overwrite each other's parked machines."""
    edge = own_site.edges[0]
    command = [part if part != edge.url.removeprefix("http://") else "127.0.0.1:0" for part in edge.command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "another edge uses it" in done.stderr
    assert edges.admin(edge, "health").status == 200


def test_parked_machines_survive_kill_9_of_the_edge(own_site: Site) -> None:
    """The whole edge, workers and all, at once: what was parked a moment before goes on where it was."""
    edge = own_site.edges[0]
    names = own_site.world(example("hello"), 20, "survivor")
    with Client(edge.url) as client:
        for turn in range(1, 4):
            for name in names:
                assert client.get("/", host=f"{name}.world.test").body == f"hello from /, request {turn}\n".encode()
        assert edges.admin(edge, "park", "POST").status == 200
        eventually(lambda: metrics(edge)["parked_unsaved_machines"] == 0, "records reach the disk")
    edge.kill()
    own_site.restart(edge)
    with Client(edge.url) as client:
        for name in names:
            answer = client.get("/", host=f"{name}.world.test")
            assert (answer.body, answer.tier) == (b"hello from /, request 4\n", "disk")


def test_a_cold_service_whose_origin_is_gone_is_502_and_served_when_it_is_back(own_site: Site) -> None:
    edge = own_site.edges[0]
    hello, clock = own_site.build(example("hello")), own_site.build(example("clock"))  # one base, but not one image
    own_site.publish_batch([Publication(hello, "one", ("one.test",)), Publication(clock, "two", ("two.test",))])
    with Client(edge.url) as client:
        assert client.get("/", host="one.test").status == 200
        own_site.origin.stop()
        cold = client.get("/", host="two.test")
        assert (cold.status, cold.error) == (502, "origin_unreachable")
        assert client.get("/", host="one.test").body == b"hello from /, request 2\n"
        own_site.restart(own_site.origin)
        eventually(lambda: client.get("/", host="two.test").status == 200, "served again")


def test_a_flipped_byte_at_the_origin_is_refused_and_the_reason_stays_inside(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_site.publish(own_site.build(example("clock")), "clock")
    with Client(edge.url) as client:
        assert client.get("/", host="clock.test").status == 200
    own_site.publish(own_site.build(example("hello")), "hello")
    flipped = {}
    known = {service_of(edge, "clock")["image"].partition(":")[2]}
    for file in own_site.store.rglob("*"):
        if file.is_file() and len(file.name) == 64 and file.name not in known and file.stat().st_size < 64 << 10:
            data = file.read_bytes()
            if data[:4] == b"\x28\xb5\x2f\xfd":  # a zstd frame
                flipped[file] = data
                os.chmod(file, 0o600)
                file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert flipped
    with Client(edge.url) as client:
        answer = client.get("/", host="hello.test")
        request_id = answer.headers["x-request-id"]
        body = reasons.page(Refusal(502, "unverifiable"), request_id.encode())  # that, and no digest or place
        assert (answer.status, answer.error, answer.body) == (502, "unverifiable", body)
        assert client.get("/", host="clock.test").status == 200
        assert metrics(edge)["refusals_total{unverifiable}"] >= 1
        assert "event=image_refused" in edge.log.read_text()
        for file, data in flipped.items():
            file.write_bytes(data)
        eventually(lambda: client.get("/", host="hello.test").status == 200, "repaired, it is served")


def test_rot_on_the_edges_own_disk_is_found_and_repaired(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_site.publish(own_site.build(example("hello")), "hello")
    with Client(edge.url) as client:
        assert client.get("/", host="hello.test").status == 200
    assert edge.stop() == 0
    values = [file for file in (own_site.folder / edge.name).rglob("*.val") if file.stat().st_size]
    database = own_site.folder / edge.name / "blobs" / "cache.db"
    data = bytearray(database.read_bytes())
    at = data.find(b"\x28\xb5\x2f\xfd")  # a blob small enough to live in the index
    assert values or at >= 0
    for file in values:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    if at >= 0:
        data[at + 20] ^= 1
        database.write_bytes(data)
    for parked in (own_site.folder / edge.name / "parked").iterdir():
        parked.unlink()
    own_site.restart(edge)
    with Client(edge.url) as client:
        answer = client.get("/", host="hello.test")
    assert (answer.status, answer.tier) == (200, "origin")
    assert metrics(edge)["disk_bad_total"] >= 1


def test_a_new_version_takes_over_and_a_rollback_brings_the_old_one_back(site: Site, image: Image) -> None:
    edge = site.edges[1]
    site.publish(image("hello"), "ft-version")
    with Client(edge.url) as client:
        assert client.get("/", host="ft-version.test").body.startswith(b"hello")
        site.publish(image("clock"), "ft-version")
        eventually(lambda: b"wall_ns" in client.get("/", host="ft-version.test").body, "the new version")
        assert service_of(edge, "ft-version")["version"] == 2
        site.rollback("ft-version")
        eventually(lambda: client.get("/", host="ft-version.test").body.startswith(b"hello"), "the old version")
        assert b"request 1" not in client.get("/", host="ft-version.test").body, "one machine, not one a request"


def test_more_services_than_memory_keep_their_state(own_site: Site) -> None:
    count = 40
    edge = own_site.add_edge(memory="16MiB")  # three machines at a time
    image = own_site.build(example("hello"))
    own_site.publish_batch(Publication(image, f"s{n}", (f"s{n}.test",)) for n in range(count))
    with Client(edge.url) as client:
        for turn in range(1, 4):
            for number in range(count):
                answer = client.get("/", host=f"s{number}.test")
                assert answer.status == 200
                assert f"request {turn}\n".encode() in answer.body, f"s{number} lost its state"
    seen = metrics(edge)
    assert seen["resident_bytes"] <= 8 << 20
    assert seen["parks_total"] >= 2 * count
    assert edge.stop() == 0
    own_site.restart(edge)
    with Client(edge.url) as client:
        for number in range(count):
            answer = client.get("/", host=f"s{number}.test")
            assert (answer.tier, b"request 4\n" in answer.body) == ("disk", True)


def test_a_request_in_flight_is_finished_before_the_end(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_site.publish(own_site.build(example("echo")), "echo")
    with Client(edge.url) as client:
        assert client.get("/", host="echo.test").status == 200
        half = threading.Event()
        release = threading.Event()

        def body() -> Any:
            yield b"a" * 100_000
            half.set()
            assert release.wait(30)
            yield b"b" * 100_000

        got: list[Any] = []
        headers = {"Content-Length": "200000"}
        request = threading.Thread(
            target=lambda: got.append(client.request("POST", "/", host="echo.test", body=body(), headers=headers))
        )
        request.start()
        assert half.wait(30)
        os.kill(edge.pid, signal.SIGTERM)
        eventually(lambda: "event=draining" in edge.log.read_text(), "it drains")
        release.set()
        request.join(30)
    assert got[0].status == 200
    assert got[0].body == b"a" * 100_000 + b"b" * 100_000
    eventually(lambda: not edge.running, "it leaves")
    assert edge.stop() == 0
    assert "event=drained" in edge.log.read_text()
