"""Is a victim served while its neighbours on the same worker want everything? Orders of events, not times."""

import http.client
import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtest.scenarios import fairness
from loadtest.scenarios.fairness import NEIGHBOURS, publish_neighbours
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import metrics

Image = Callable[..., Path]
VISITS = 20
QUEUED = 400  # requests of 10 ms each: 4 s of work


@pytest.fixture(scope="module")
def edge(site: Site, image: Image) -> Server:
    """An edge with one worker, and both services in it."""
    site.publish(image("hello"), "fa-victim")
    site.publish(image("neighbour", "--cpu-ms", "60000"), "fa-neighbour")
    edge = site.edges[0]
    with Client(edge.url) as client:
        assert client.get("/", host="fa-victim.test").status == 200
        assert client.get("/", host="fa-neighbour.test").status == 200
    return edge


def visit(edge: Server) -> None:
    """The victim is asked again and again, and is there each time."""
    with Client(edge.url) as client:
        for _ in range(VISITS):
            answer = client.get("/", host="fa-victim.test")
            assert (answer.status, answer.tier) == (200, "resident")


def ask(edge: Server, path: str, host: str = "fa-neighbour.test") -> socket.socket:
    """A request of the neighbour's; its answer is left to come."""
    parts = urlsplit(edge.url)
    connection = socket.create_connection((parts.hostname, parts.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection


def test_a_victim_is_served_while_a_neighbour_spins(edge: Server) -> None:
    with ask(edge, "/spin?ms=5000") as spinner:
        visit(edge)
        answered = select.poll()
        answered.register(spinner, select.POLLIN)
        assert not answered.poll(0), "the neighbour spins on"
        assert spinner.recv(1 << 10).startswith(b"HTTP/1.1 200 "), "and comes to its end"


def test_a_victim_does_not_wait_for_a_neighbours_queue(edge: Server) -> None:
    with ExitStack() as stack:
        queue = [stack.enter_context(ask(edge, "/spin?ms=10")) for _ in range(QUEUED)]
        visit(edge)
        poll = select.poll()
        for connection in queue:
            poll.register(connection, select.POLLIN)
        served = len(poll.poll(0))
        assert served < QUEUED // 2, "first come, first served would have answered all of them before the last visit"
        for connection in queue:
            connection.settimeout(60)
            assert connection.recv(1 << 10).startswith(b"HTTP/1.1 200 ")


def test_a_victim_is_served_while_a_neighbour_floods(edge: Server) -> None:
    parts = urlsplit(edge.url)
    flowing, enough = threading.Barrier(3), threading.Event()
    floods: list[int] = []

    def flood() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.request("GET", "/flood?mib=50", headers={"Host": "fa-neighbour.test"})
        response = connection.getresponse()
        got = len(response.read(1 << 20))
        flowing.wait()
        enough.wait()  # the client stops reading: what it does not take is not made
        got += sum(iter(lambda: len(response.read(1 << 20)), 0))
        floods.append(got)
        connection.close()

    readers = [threading.Thread(target=flood) for _ in range(2)]
    for reader in readers:
        reader.start()
    flowing.wait()
    visit(edge)
    assert not floods
    enough.set()
    visit(edge)
    for reader in readers:
        reader.join()
    assert floods == [50 << 20] * 2, "and the floods arrive whole"


FLOODS = {case: n for case, n in NEIGHBOURS.items() if n is not None and n.program == "neighbour_floods"}


@pytest.fixture(scope="module")
def floods(edge: Server, site: Site) -> Server:
    """The same edge, and the neighbours that make others work for them, with a smaller disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fairness, "LARGE_BYTES", 4 << 20)
        publish_neighbours(site, FLOODS)
    with Client(edge.url) as client:
        for case in FLOODS:
            assert client.get("/", host=f"{case}.test").status == 200, case
    return edge


@pytest.mark.parametrize("case", FLOODS)
def test_a_victim_is_served_while_a_neighbour_makes_the_edge_work(floods: Server, case: str) -> None:
    def counted() -> dict[str, float]:
        found = metrics(floods)
        names = {
            "lines": "log_records_total",
            "exchanges": "upstream_requests_total{too_many}",
            "flushes": "pages_kept_total",
            "blocks": "blocks_wanted_total",
        }
        return {name: found.get(metric, 0.0) for name, metric in names.items()}

    before = counted()
    with ask(floods, FLOODS[case].path, f"{case}.test") as neighbour:
        visit(floods)
        neighbour.settimeout(60)
        answer = neighbour.recv(1 << 10)
        if case == "memory" and answer.startswith(b"HTTP/1.1 507 "):
            assert b"one's tenant the most" in answer, "the others left it no room, and the greediest ends"
        else:
            assert answer.startswith(b"HTTP/1.1 200 "), "and the neighbour lives on"
            assert b"\r\n0 done" not in answer
    after = counted()
    if case in before:
        assert after[case] > before[case], "it did what it is here for"
    assert metrics(floods)["workers_lost_total"] == 0


def test_a_victim_is_served_beside_connections_with_pipelined_heads(edge: Server) -> None:
    large = b"GET / HTTP/1.1\r\nHost: fa-neighbour.test\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 12 + b"\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(ask(edge, "/sleep?ms=300")) for _ in range(50)]
        for connection in connections:
            connection.setblocking(False)
            for _ in range(9):
                try:
                    connection.send(large)
                except BlockingIOError:
                    break  # the edge reads no more for now
        visit(edge)
        for connection in connections:
            connection.settimeout(60)
            assert connection.recv(1 << 10).startswith(b"HTTP/1.1 200 ")
    assert metrics(edge)["connections_refused_total"] == 0
