"""Disks over a real origin and real edges: what is fetched, shared, kept, lost and logged."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtest.site.fetch import Client, fetch
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, Site
from tests.support.edges import PATIENCE_S, admin, eventually, metrics

PROGRAM = Path(__file__).parent.parent / "guest" / "programs" / "disks.c"
BLOCK = 65536
DATA = random.Random(5).randbytes(40 * BLOCK) + b"the end"
DRIVES = ("--disk", "tmp=scratch", "--disk", "audit=log")


def disk_of(site: Site, name: str, data: bytes = DATA) -> Path:
    """A disk file."""
    source, packed = site.folder / f"{name}.bin", site.folder / f"{name}.disk"
    source.write_bytes(data)
    site.run("disk", "build", str(source), "-o", str(packed), "--name", "data")
    return packed


@pytest.fixture(scope="module")
def disk(site: Site) -> Path:
    return disk_of(site, "shared")


@pytest.fixture(scope="module")
def image(site: Site, disk: Path) -> Callable[[str], Path]:
    """The program over the disk, of one kind or the other."""
    built: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind not in built:
            built[kind] = site.build(PROGRAM, "--disk", f"data={disk}:{kind}", *DRIVES, name=f"disks-{kind}")
        return built[kind]

    return build


def own_service(site: Site, kind: str = "cow", name: str = "own") -> None:
    disk = disk_of(site, name)
    site.publish(site.build(PROGRAM, "--disk", f"data={disk}:{kind}", *DRIVES, name=name), name, disks=[disk])


def get(edge: Server, service: str, path: str) -> bytes:
    with Client(edge.url) as client:
        answer = client.get(path, host=f"{service}.test")
    assert answer.status == 200, (path, answer.status, answer.error)
    return answer.body


def grown(edge: Server, before: dict[str, float], *names: str) -> list[int]:
    after = metrics(edge)
    return [int(after[name] - before[name]) for name in names]


def test_only_what_is_read_is_fetched_and_only_once(site: Site, image: Callable[[str], Path], disk: Path) -> None:
    edge = site.edges[0]
    site.publish(image("shared"), "dk-first", disks=[disk])
    site.publish(image("shared"), "dk-second")
    get(edge, "dk-first", "/")
    before = metrics(edge)
    assert get(edge, "dk-first", f"/read?offset={7 * BLOCK + 10}&size=100") == DATA[7 * BLOCK + 10 :][:100]
    assert grown(edge, before, "origin_fetches_total", "blocks_wanted_total") == [1, 1]
    assert get(edge, "dk-second", f"/read?offset={7 * BLOCK}&size=100") == DATA[7 * BLOCK :][:100]
    assert get(edge, "dk-first", f"/read?offset={8 * BLOCK - 50}&size=40") == DATA[8 * BLOCK - 50 :][:40]
    assert grown(edge, before, "origin_fetches_total", "blocks_wanted_total") == [1, 1], (
        "the other service finds it here"
    )


def test_reading_straight_on_fetches_ahead(site: Site, image: Callable[[str], Path], disk: Path) -> None:
    edge = site.edges[1]
    site.publish(image("shared"), "dk-ahead", disks=[disk])
    get(edge, "dk-ahead", "/")
    before = metrics(edge)
    body = get(edge, "dk-ahead", f"/read?offset=0&size={20 * BLOCK}")
    assert body == DATA[: 20 * BLOCK]
    (blocks,) = grown(edge, before, "blocks_wanted_total")
    assert 20 <= blocks <= 28


def test_clients_who_want_one_block_wait_for_one_fetch(site: Site, image: Callable[[str], Path], disk: Path) -> None:
    edge, clients = site.edges[0], 12
    for number in range(3):
        site.publish(image("shared"), f"dk-crowd-{number}", disks=[disk])
        get(edge, f"dk-crowd-{number}", "/")
    before, barrier = metrics(edge), threading.Barrier(clients)

    def read(number: int) -> bytes:
        barrier.wait()
        return get(edge, f"dk-crowd-{number % 3}", f"/read?offset={30 * BLOCK}&size=10")

    with ThreadPoolExecutor(clients) as pool:
        assert set(pool.map(read, range(clients))) == {DATA[30 * BLOCK :][:10]}
    assert grown(edge, before, "origin_fetches_total", "blocks_wanted_total") == [1, 1]


def test_what_a_service_writes_is_its_own_and_outlives_parking(
    site: Site, image: Callable[[str], Path], disk: Path
) -> None:
    edge = site.edges[0]
    for name in ("dk-mine", "dk-other"):
        site.publish(image("cow"), name, disks=[disk])
    assert get(edge, "dk-mine", "/write?offset=4096&byte=65") == b"4096\n"
    assert get(edge, "dk-mine", "/write?disk=tmp&offset=0&byte=66") == b"4096\n"
    site.park("dk-mine")
    assert get(edge, "dk-mine", "/read?offset=4095&size=3") == DATA[4095:4096] + b"AA"
    assert get(edge, "dk-mine", "/read?disk=tmp&offset=0&size=2") == b"BB"
    assert get(edge, "dk-other", "/read?offset=4095&size=3") == DATA[4095:4098]


def test_what_was_flushed_outlives_the_machine(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/write?offset=0&byte=65")
    assert get(edge, "own", "/flush") == b"0\n"
    get(edge, "own", "/write?offset=4096&byte=66")
    get(edge, "own", "/write?disk=tmp&offset=0&byte=67")
    with Client(edge.url) as client:
        assert client.get("/exit", host="own.test").status == 502
    assert get(edge, "own", "/read?offset=4090&size=10") == b"A" * 6 + DATA[4096:4100]
    assert get(edge, "own", "/read?disk=tmp&offset=0&size=2") == bytes(2), "scratch begins anew"


def test_what_was_not_flushed_outlives_a_machine_that_is_replaced(own_site: Site) -> None:
    """As at the end of any program: only a crash or a power cut takes what was written and not flushed."""
    edge = own_site.edges[0]
    packed = disk_of(own_site, "own")
    options = ("--disk", f"data={packed}:cow", *DRIVES)
    own_site.publish(own_site.build(PROGRAM, *options, "--rejuvenate", "requests=2", name="one"), "own", disks=[packed])
    get(edge, "own", "/write?offset=0&byte=65")
    get(edge, "own", "/write?disk=tmp&offset=0&byte=67")
    assert get(edge, "own", "/read?offset=0&size=3") == b"AAA", "of a machine that is new"
    assert metrics(edge)["rejuvenations_total{requests}"] == 1
    get(edge, "own", "/write?offset=4096&byte=66")
    get(edge, "own", "/write?offset=8192&byte=66")
    own_site.publish(own_site.build(PROGRAM, *options, name="two"), "own", disks=[packed])
    eventually(lambda: metrics(edge)["replaced_total"] == 1, "the edge has seen the new version")
    assert get(edge, "own", "/read?offset=4095&size=3") == b"ABB"
    assert get(edge, "own", "/read?disk=tmp&offset=0&size=2") == bytes(2), "scratch begins anew"


def test_what_was_flushed_outlives_the_edge_and_no_older_machine_wakes_to_it(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/write?disk=tmp&offset=0&byte=67")
    own_site.park("own")
    eventually(lambda: metrics(edge)["parked_unsaved_machines"] == 0, "the record is on disk")
    assert get(edge, "own", "/read?disk=tmp&offset=0&size=2") == b"CC"
    get(edge, "own", "/write?offset=0&byte=65")
    assert get(edge, "own", "/flush") == b"0\n"
    edge.kill()
    own_site.restart(edge)
    assert get(edge, "own", "/read?offset=0&size=3") == b"AAA"
    assert get(edge, "own", "/read?disk=tmp&offset=0&size=2") == bytes(2), "started from its image"
    assert metrics(edge)["records_outdated_total"] == 1


def test_a_drained_edge_goes_on_where_it_was(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/write?offset=0&byte=65")
    get(edge, "own", "/write?disk=tmp&offset=0&byte=67")
    edge.stop()
    own_site.restart(edge)
    with Client(edge.url) as client:
        answer = client.get("/read?offset=0&size=3", host="own.test")
    assert (answer.body, answer.tier) == (b"AAA", "disk")
    assert get(edge, "own", "/read?disk=tmp&offset=0&size=2") == b"CC"


def test_no_origin_is_an_error_in_the_guest_and_no_more(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/read?offset=0&size=10")
    own_site.origin.stop()
    with Client(edge.url) as client:
        answer = client.get(f"/read?offset={9 * BLOCK}&size=10", host="own.test")
        assert (answer.status, answer.headers["x-result"]) == (200, "-5")
        assert client.get("/read?offset=0&size=10", host="own.test").body == DATA[:10], "what is here is here"
    assert metrics(edge)["block_errors_total"] == 1
    own_site.restart(own_site.origin)
    assert get(edge, "own", f"/read?offset={9 * BLOCK}&size=10") == DATA[9 * BLOCK :][:10]


def test_blocks_are_on_the_edges_disk_after_a_restart(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", f"/read?offset={5 * BLOCK}&size=10")
    edge.stop()
    own_site.origin.stop()
    own_site.restart(edge)
    assert get(edge, "own", f"/read?offset={5 * BLOCK}&size=10") == DATA[5 * BLOCK :][:10]
    assert metrics(edge)["origin_fetches_total"] == 0


def test_a_worker_that_ends_while_blocks_are_under_way(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/")
    os.kill(own_site.origin.pid, signal.SIGSTOP)
    statuses: list[int] = []

    def read() -> None:
        with Client(edge.url) as client:
            statuses.append(client.request("POST", f"/read?offset={11 * BLOCK}&size=10", host="own.test").status)

    try:
        reader = threading.Thread(target=read)
        reader.start()
        eventually(lambda: metrics(edge)["blocks_wanted_total"] >= 1, "the block is asked for")
        (worker,) = [int(pid) for pid in _children(edge.pid)]
        os.kill(worker, signal.SIGKILL)
        reader.join(PATIENCE_S)
    finally:
        os.kill(own_site.origin.pid, signal.SIGCONT)
    assert statuses == [502]
    assert get(edge, "own", f"/read?offset={11 * BLOCK}&size=10") == DATA[11 * BLOCK :][:10]


def test_a_park_waits_for_the_disk_and_loses_nothing(own_site: Site) -> None:
    """The client left, the block is still on its way into the machine's memory."""
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/")
    os.kill(own_site.origin.pid, signal.SIGSTOP)
    try:
        parts = urlsplit(edge.url)
        with socket.create_connection((parts.hostname, parts.port)) as client:
            client.sendall(f"GET /read?offset={11 * BLOCK}&size=10 HTTP/1.1\r\nHost: own.test\r\n\r\n".encode())
            eventually(lambda: metrics(edge)["blocks_wanted_total"] == 1, "the block is asked for")
        eventually(lambda: metrics(edge)["streams"] == 0, "the client is gone")
        parking = threading.Thread(target=own_site.park, args=("own",))
        parking.start()
        eventually(lambda: _state(edge) == "parking", "parking has begun")
        assert metrics(edge)["parks_total"] == 0
    finally:
        os.kill(own_site.origin.pid, signal.SIGCONT)
    parking.join(PATIENCE_S)
    assert (metrics(edge)["parks_total"], metrics(edge)["block_errors_total"]) == (1, 0)
    assert get(edge, "own", f"/read?offset={11 * BLOCK}&size=10") == DATA[11 * BLOCK :][:10]


def _state(edge: Server) -> str:
    (service,) = json.loads(admin(edge, "services").body)["services"]
    return str(service["state"])


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def texts(lines: list[str]) -> list[str]:
    """Without the times."""
    return [line.partition(" ")[2] for line in lines]


def test_logs_reach_the_publisher(site: Site, image: Callable[[str], Path], disk: Path) -> None:
    site.publish(image("shared"), "dk-logs", disks=[disk])
    for number, edge in enumerate(site.edges):
        assert get(edge, "dk-logs", f"/append?disk=audit&text=bought+{number}") == b"8\n"
        assert get(edge, "dk-logs", "/flush?disk=audit") == b"0\n"
        get(edge, "dk-logs", f"/log?text=said+{number}")
    expected = sorted(
        f"{log} {text} {number}" for number in range(2) for log, text in (("audit", "bought"), ("-", "said"))
    )
    eventually(lambda: len(site.logs("dk-logs")) == 4, "the lines are at the origin")
    assert sorted(texts(site.logs("dk-logs"))) == expected
    assert sorted(texts(site.logs("dk-logs", "--log", "audit"))) == ["audit bought 0", "audit bought 1"]


def test_logs_are_followed(site: Site, image: Callable[[str], Path], disk: Path) -> None:
    site.publish(image("shared"), "dk-tail", disks=[disk])
    options = ["logs", "dk-tail", "--follow", "--origin", site.origin.url, "--keys", str(site.keys)]
    with subprocess.Popen(
        [*NUNATAK, *options], stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as tail:
        assert tail.stdout is not None
        try:
            for text in ("one", "two"):
                get(site.edges[0], "dk-tail", f"/append?disk=audit&text={text}")
                assert tail.stdout.readline().split()[1:] == [b"audit", text.encode()]
        finally:
            tail.terminate()


def test_logs_outlive_the_edge_and_come_once(own_site: Site) -> None:
    edge = own_site.edges[0]
    own_service(own_site)
    get(edge, "own", "/")
    own_site.origin.stop()
    for number in range(3):
        assert get(edge, "own", f"/append?disk=audit&text=line{number}") == b"5\n"
    edge.kill()
    own_site.restart(own_site.origin)
    own_site.restart(edge)
    eventually(lambda: len(own_site.logs("own")) >= 3, "the lines are at the origin")
    assert texts(own_site.logs("own")) == ["audit line0", "audit line1", "audit line2"]


def test_logs_are_for_those_who_may(site: Site) -> None:
    assert fetch(f"{site.origin.url}/logs/dk-logs").status == 401
    with Client(site.origin.url) as client:
        assert client.request("POST", "/logs", body=b"{}\n").status == 401


def test_inspect_shows_disks(site: Site, image: Callable[[str], Path]) -> None:
    images = site.inspect(image("cow"))["images"]
    assert isinstance(images, list)
    shown = [(disk["name"], disk["kind"], disk["bytes"]) for disk in images[-1]["disks"]]
    assert shown == [("data", "cow", len(DATA)), ("tmp", "scratch", 8 << 20), ("audit", "log", 1 << 20)]


def test_an_image_is_not_published_without_its_disk(own_site: Site) -> None:
    disk = disk_of(own_site, "alone")
    image = own_site.build(PROGRAM, "--disk", f"data={disk}:shared", name="alone")
    with pytest.raises(Exception, match="disk data sha256:"):
        own_site.publish(image, "alone")
