"""Edges of one POP: what they fetch and answer for each other, and what is left when one of them is gone."""

import asyncio
import http.client
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from edge.peers.placement import Member, Owners, service_key
from loadtest.site.server import Server
from loadtest.site.site import Publication, Site, example
from tests.support.edges import PATIENCE_S, admin, eventually, metrics
from tests.support.pops import Pop, pop_of_origin

PROGRAM = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
_RUN = re.compile(rb"run (\d+)")


class Got(NamedTuple):
    """One answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def run(self) -> int:
        """Which run of its machine wrote it."""
        found = _RUN.search(self.body)
        assert found is not None, self.body
        return int(found[1])

    @property
    def came(self) -> list[str]:
        """What caches did for it, from the machine on."""
        return self.headers.get_all("Cache-Status", [])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("pop"), edges=0, edge_config={"refresh": 0.2}) as running:
        yield running


@pytest.fixture(scope="module")
def pop(site: Site) -> Pop:
    """Four edges that forward requests."""
    return Pop(site, 4, {"share": "requests"})


def owned_by(pop: Pop, name: str, prefix: str) -> str:
    """The name of a service whose first owner is that edge."""
    owners = Owners(Member(each) for each in pop.names)
    return next(f"{prefix}-{n}" for n in range(1000) if owners.of(service_key(f"{prefix}-{n}"))[0] == name)


@pytest.fixture(scope="module")
def services(site: Site, pop: Pop) -> Mapping[str, str]:
    """Services of which nobody knows anything yet, by what they are for; each is owned by the edge that is named."""
    says, echo = site.build(PROGRAM, name="says"), site.build(example("echo"), name="echo")
    owners = {"cold": "edge-2", "crowd": "edge-1", "parts": "edge-2", "purged": "edge-1", "changed": "edge-1"}
    owners |= {"bodies": "edge-0", "who": "edge-3", **{f"lost-{name}": name for name in pop.names}}
    names = {what: owned_by(pop, name, what) for what, name in owners.items()}
    images = {what: echo if what in ("bodies", "who") else says for what in names}
    site.publish_batch(Publication(images[what], name, (f"{name}.test",)) for what, name in names.items())
    return names


def ask(pop: Pop, name: str, service: str, path: str = "/", body: bytes | None = None, **headers: str) -> Got:
    """Ask an edge, by its name in the list of members."""
    connection = http.client.HTTPConnection(urlsplit(pop.of(name).url).netloc, timeout=PATIENCE_S)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Host": f"{service}.test", **headers})
        response = connection.getresponse()
        return Got(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_a_cold_service_is_asked_of_its_owner(pop: Pop, services: Mapping[str, str]) -> None:
    service = services["cold"]
    answers = [ask(pop, name, service, Say="X: 1") for name in pop.names for _ in range(2)]
    assert [answer.status for answer in answers] == [200] * 8
    assert sorted(answer.run for answer in answers) == list(range(1, 9)), "one machine has had them all"
    forwarded = [answer for answer in answers if "detail=owner" in answer.came[-1]]
    assert len(forwarded) == 6
    assert all(len(answer.came) == 2 and answer.came[0].startswith("nunatak-pop; fwd=") for answer in forwarded)
    assert forwarded[0].headers.get_all("Via") == ["1.1 nunatak", "1.1 nunatak"]


def test_a_new_image_comes_from_outside_once(site: Site) -> None:
    """To edges whose members the origin lists, and that fetch images for each other and nothing else."""
    edges = pop_of_origin(site, 3, {"share": "images"})
    image = site.build(example("hello"), name="everywhere")
    site.publish(image, "everywhere")
    got = crowd(edges, "everywhere", "/", "", 6)
    assert [each.split(b" ")[1] for each in got] == [b"200"] * 6
    counted = [metrics(edge) for edge in edges]
    files = len({"manifest", "snapshot", "base's manifest", "base's snapshot"})
    assert sum(each["origin_fetches_total"] for each in counted) == files
    assert sum(each.get("peer_fetches_total{found}", 0) for each in counted) == 2 * files
    for edge in edges:
        edge.stop()


def crowd(edges: Sequence[Server], service: str, path: str, say: str, size: int) -> list[bytes]:
    """So many clients, the same number at each edge, who all have asked before the first is answered."""
    connections = []
    for number in range(size):
        parts = urlsplit(edges[number % len(edges)].url)
        connections.append(socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S))
    for connection in connections:
        fields = f"Host: {service}.test\r\nSay: {say}\r\nWait: 400\r\nConnection: close\r\n"
        connection.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
    return [read_all(connection) for connection in connections]


def read_all(connection: socket.socket) -> bytes:
    got = b""
    with connection:
        while more := connection.recv(1 << 16):
            got += more
    return got


def test_a_crowd_on_a_cold_page_of_a_pop_is_one_run(pop: Pop, services: Mapping[str, str]) -> None:
    service = services["crowd"]
    answers = crowd(pop.edges, service, "/page", "Cache-Control: max-age=60", 100)
    assert {match[1] for each in answers if (match := _RUN.search(each))} == {b"1"}
    assert all(each.startswith(b"HTTP/1.1 200 ") for each in answers)
    assert any(b"Cache-Status: nunatak-pop; " in each for each in answers)
    kept = ask(pop, "edge-3", service, "/page")
    assert kept.run == 1
    assert kept.came[0].startswith("nunatak; hit")


def test_a_request_with_a_body_goes_and_comes_back_whole(pop: Pop, services: Mapping[str, str]) -> None:
    service = services["bodies"]
    for size in (1, 100_000, 3_000_000):
        data = bytes(range(256)) * (size // 256 + 1)
        answer = ask(pop, "edge-3", service, body=data)
        assert answer.status == 200
        assert data in answer.body
        assert "detail=owner" in answer.came[-1]


def test_an_answer_in_parts_comes_whole(pop: Pop, services: Mapping[str, str]) -> None:
    service = services["parts"]
    answer = ask(pop, "edge-0", service, Parts="5")
    assert len(answer.body) > 500_000
    assert "detail=owner" in answer.came[-1]


def test_a_socket_goes_through_a_peer_both_ways(site: Site, pop: Pop) -> None:
    service = owned_by(pop, "edge-1", "ws")
    site.publish(site.build(Path(__file__).parent / "workers" / "sockets.js", name="sockets"), service)

    async def talk() -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            url, fields = f"{pop.of('edge-0').url}/echo", {"Host": f"{service}.test"}
            async with session.ws_connect(url, headers=fields, max_msg_size=0) as client:
                for message in ("one", "x" * 200_000):
                    await client.send_str(message)
                    assert (await client.receive()).data == message
                await client.close(code=3001)

    asyncio.run(talk())
    assert metrics(pop.of("edge-1"))["sockets_opened_total"] >= 1
    assert metrics(pop.of("edge-0"))["sockets_opened_total"] == 0
    eventually(lambda: metrics(pop.of("edge-1"))["sockets"] == 0, "the guest's edge knows that it is over")


def test_who_a_client_is_passes_in_words_that_no_client_has(pop: Pop, services: Mapping[str, str]) -> None:
    service = services["who"]
    forged = "1 203.0.113.9 80 s forged sha256:" + "0" * 64 + " -"
    said = {"X-Nunatak-Peer": forged, "X-Nunatak-Image": "sha256:0", "CDN-Loop": "other; v=1"}
    there = ask(pop, "edge-3", service, "/", None, **said)
    here = ask(pop, "edge-0", service, "/", None, **said)
    assert "detail=owner" in here.came[-1]
    for answer in (there, here):
        assert answer.status == 200
        told = {name.lower(): value for name, value in answer.headers.items()}
        assert "203.0.113.9" not in " ".join(told.values())
        assert "forged" not in " ".join(told.values())
        assert not [name for name in told if name.startswith(("x-echo-x-nunatak", "x-nunatak-"))]
        assert told["x-echo-x-request-id"] == told["x-request-id"]
        assert told["x-echo-x-real-ip"] == told["x-echo-x-forwarded-for"] == "127.0.0.1"
    assert there.headers["X-Echo-Cdn-Loop"] == "other; v=1"
    assert here.headers["X-Echo-Cdn-Loop"] == "other; v=1, nunatak"
    assert here.headers["X-Echo-Via"] == "1.1 nunatak, 1.1 nunatak"


def test_what_was_purged_here_does_not_come_back_from_a_peer(pop: Pop, services: Mapping[str, str]) -> None:
    """The purge has not come to the owner, which still serves its own clients what it keeps."""
    service = services["purged"]
    say = "Cache-Control: max-age=600"
    assert [ask(pop, name, service, "/page", Say=say).run for name in ("edge-0", "edge-1", "edge-2")] == [1, 1, 1]
    assert admin(pop.of("edge-0"), f"purge?service={service}", "POST").status == 200
    assert ask(pop, "edge-2", service, "/page", Say=say).run == 1
    again = ask(pop, "edge-0", service, "/page", Say=say)
    assert again.run == 2
    assert again.came[0].startswith("nunatak-pop; fwd=")
    assert ask(pop, "edge-0", service, "/page", Say=say).came[0].startswith("nunatak; hit")
    assert ask(pop, "edge-1", service, "/page", Say=say).run == 2, "and the owner keeps the newer"
    assert ask(pop, "edge-3", service, "/page", Say=say).run == 2


def test_a_change_through_one_edge_is_seen_there_at_once(pop: Pop, services: Mapping[str, str]) -> None:
    """By a machine of the edge's own, of which the page's owner knows nothing."""
    service = services["changed"]
    say = "Cache-Control: max-age=600"
    pop.share("edge-0", "pages")
    assert [ask(pop, "edge-0", service, "/page", Say=say).run for _ in range(2)] == [1, 1]
    assert ask(pop, "edge-0", service, "/page", body=b"new").came == ["nunatak; fwd=method; detail=peer"], "its image"
    changed = ask(pop, "edge-0", service, "/page", Say=say)
    assert changed.came[0].startswith("nunatak-pop; fwd=")
    assert changed.run == 2
    pop.share("edge-0", "requests")


def test_an_owner_that_is_killed_costs_no_error_and_one_move(pop: Pop, services: Mapping[str, str]) -> None:
    """The last of this file: it leaves three edges. What the others own stays where it is."""
    lost = [services[f"lost-{name}"] for name in pop.names]
    for name in ("edge-0", "edge-1", "edge-2"):
        assert [ask(pop, name, service).status for service in lost] == [200] * 4
    before = {name: metrics(pop.of(name))["opens_total"] for name in ("edge-0", "edge-1", "edge-2")}
    pop.of("edge-3").kill()
    for name in ("edge-0", "edge-1", "edge-2"):
        answers = [ask(pop, name, service) for service in lost for _ in range(4)]
        assert [answer.status for answer in answers] == [200] * 16
    opened = sum(metrics(pop.of(name))["opens_total"] - before[name] for name in before)
    assert opened == 1, "the service of the one that is gone was opened at its second owner, and no other anywhere"
    pop.tell([each for each in pop.members() if each["id"] != "edge-3"])
    answers = [ask(pop, name, service) for name in ("edge-0", "edge-1", "edge-2") for service in lost]
    assert [answer.status for answer in answers] == [200] * 12
    assert sum(metrics(pop.of(name))["opens_total"] - before[name] for name in before) == 1
