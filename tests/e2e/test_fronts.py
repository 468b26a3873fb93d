"""Do the configurations of docs/how-to/put-*-in-front.md work: clients, streams, sockets, an edge that drains, lies?"""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import PATIENCE_S, eventually
from tests.support.fronts import FRONTS, Front, Ports, free_port, running
from tests.support.odd_heads import all_of_them

HOST = "fronted.test"
ELSEWHERE = "127.0.0.7"  # a client that is no proxy
TOKEN = "a-token-of-operators"
EDGES = ("127.0.0.1", "127.0.0.2")
DELAY_S = 3
WORKER = """
const seen = [];
let events = null;
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", (event) => server.send(`${url.host}: ${event.data}`));
      return new Response(null, { status: 101, webSocket: client });
    }
    if (url.pathname === "/seen") return Response.json(seen);
    if (url.pathname === "/events") {
      const stream = new ReadableStream({ start(controller) { events = controller; say("begun"); } });
      return new Response(stream, { headers: { "content-type": "text/event-stream" } });
    }
    if (url.pathname === "/say") { say(url.search.slice(1)); return new Response("said"); }
    if (url.pathname === "/end") { events.close(); return new Response("ended"); }
    if (url.pathname === "/who") return Response.json({ url: request.url, ...Object.fromEntries(request.headers) });
    if (url.pathname === "/size") return new Response(String((await request.arrayBuffer()).byteLength));
    seen.push(url.pathname);
    return new Response(`answer to ${url.pathname}.`);
  },
};
function say(text) { events.enqueue(new TextEncoder().encode(`data: ${text}\\n\\n`)); }
"""


class Fronted(NamedTuple):
    """A front, and the edges behind it."""

    front: Front
    port: int
    edges: list[Server]
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: bytes | None = None, fields: Mapping[str, str] = {}) -> bytes:
        """As a client that has an address of its own."""
        return self.asked(path, body, fields)[1]

    def asked(self, path: str, body: bytes | None = None, fields: Mapping[str, str] = {}) -> tuple[int, bytes]:
        """The same, with the status."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE_S, source_address=(ELSEWHERE, 0)
        )
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Host": HOST, **fields})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Behind(NamedTuple):
    """Edges that fronts are put before."""

    edges: list[Server]
    ports: Ports


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Two edges, on the same ports of two addresses, that trust 127.0.0.1 alone."""
    with Site(tmp_path_factory.mktemp("fronts"), edges=0, edge_config={"refresh": 0.2}) as site:
        token = site.folder / "admin-token"
        token.touch(0o600)
        token.write_text(TOKEN)
        (site.folder / "worker.js").write_text(WORKER)
        site.publish(site.build(site.folder / "worker.js", name="fronted"), "fronted")
        ports = Ports(EDGES, free_port(), free_port(), free_port(), TOKEN)
        for address in EDGES:
            at = f"{address}:{ports.admin}"
            edge = site.add_edge(
                config={
                    "trusted_proxies": "127.0.0.1",
                    "admin_listen": at,
                    "admin_token": str(token),
                    "drain_delay": DELAY_S,
                }
            )
            edge.stop()
            edge.command[edge.command.index("--listen") + 1] = f"{address}:{ports.http}"
            edge.command += ["--listen", f"{address}:{ports.proxy},proxy"]
            edge.start()
        yield Behind(site.edges, ports)


@pytest.fixture(scope="module", params=FRONTS, ids=str)
def fronted(
    request: pytest.FixtureRequest, behind: Behind, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fronted]:
    """A front as its page has it, before the first of the edges."""
    folder = tmp_path_factory.mktemp("front") / "front"
    with running(request.param, behind.ports._replace(addresses=EDGES[:1]), folder) as port:
        yield Fronted(request.param, port, behind.edges, folder)


def test_a_service_sees_its_client_and_no_lie_of_it(fronted: Fronted) -> None:
    lies = {
        "X-Forwarded-For": "192.0.2.7",
        "Forwarded": "for=192.0.2.8;proto=https",
        "X-Real-IP": "192.0.2.9",
        "X-Forwarded-Proto": "https",
    }
    told = json.loads(fronted.ask("/who", fields=lies))
    assert told["x-real-ip"] == ELSEWHERE
    way = told["x-forwarded-for"].split(", ")
    assert ELSEWHERE in way[-2:]
    assert told["url"] == f"http://{HOST}/who"
    assert told.get("x-forwarded-proto", "http") == "http"
    assert "192.0.2.8" not in told.get("forwarded", "")
    assert (told["host"], fronted.ask("/size", bytes(3 << 20))) == (HOST, str(3 << 20).encode())


def test_a_service_is_told_that_its_client_came_by_tls(fronted: Fronted, behind: Behind, tmp_path: Path) -> None:
    """Else one that leads everybody to https leads in a circle."""
    if fronted.front.program != "haproxy":
        pytest.skip("the scheme is a field as any other there")
    port = free_port()
    tls = f"127.0.0.1:{port} ssl crt {certificate(tmp_path / 'site.pem')}"
    with running(fronted.front, behind.ports._replace(addresses=EDGES[:1]), tmp_path / "front", tls):
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE_S, context=trusting, source_address=(ELSEWHERE, 0)
        )
        connection.request("GET", "/who?a=b", headers={"Host": HOST, "X-Forwarded-Proto": "http"})
        told = json.loads(connection.getresponse().read())
        connection.close()
    assert (told["url"], told["x-forwarded-proto"]) == (f"https://{HOST}/who?a=b", "https")


def certificate(path: Path) -> Path:
    """A key, and the word of its owner that it is his."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(text + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_a_host_that_nobody_has_is_the_edges_to_refuse(fronted: Fronted) -> None:
    with Client(fronted.url) as client:
        answer = client.get("/", host="no-such.test")
        assert (answer.status, answer.error) == (421, "unknown_service")


def test_events_arrive_one_by_one(fronted: Fronted) -> None:
    """The next is not made before the one before has come, so whoever waits for more than one waits for ever."""
    with socket.create_connection(("127.0.0.1", fronted.port), timeout=PATIENCE_S) as connection:
        connection.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        got = b""

        def until(text: bytes) -> None:
            nonlocal got
            while text not in got:
                more = connection.recv(1 << 16)
                assert more, got
                got += more

        until(b"data: begun\n\n")
        for word in ("one", "two"):
            assert fronted.ask(f"/say?{word}") == b"said"
            until(f"data: {word}\n\n".encode())
        assert fronted.ask("/end") == b"ended"
        until(b"\r\n0\r\n\r\n")


def test_sockets_pass(fronted: Fronted) -> None:
    async def say() -> str:
        async with (
            asyncio.timeout(PATIENCE_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(fronted.url, headers={"Host": HOST}) as connection,
        ):
            await connection.send_str("hello")
            return await connection.receive_str()

    assert asyncio.run(say()) == f"{HOST}: hello"


def test_no_request_gets_past_a_front(fronted: Fronted) -> None:
    """What a guest was asked behind an odd head is what the client was answered, no more and in no other's place."""
    check_odd_heads(fronted.port, fronted.edges[0])


def test_no_request_gets_past_the_edge_itself(behind: Behind) -> None:
    check_odd_heads(behind.ports.http, behind.edges[0])


def check_odd_heads(port: int, edge: Server) -> None:
    cases = list(all_of_them(HOST))
    answers = asyncio.run(_all(port, [data for _, data in cases]))
    with Client(edge.url) as client:
        seen = json.loads(client.get("/seen", host=HOST).body)
    assert len(answers) == len(cases)
    for number, ((name, data), got) in enumerate(zip(cases, answers, strict=True)):
        asked = seen.count(f"/after-{number}-{port}")
        said = got.count(f"answer to /after-{number}-{port}.".encode())
        assert asked == said, f"{name}: a guest was asked {asked} times: {data!r} {got!r}"
        assert asked <= 1, f"{name}: {got!r}"
        others = set(re.findall(rb"answer to /after-(\d+)-", got)) - {str(number).encode()}
        assert not others, f"{name}: another's answer: {got!r}"
    assert any(f"-{port}" in path for path in seen), "some of them are no harm, and what follows is answered"


async def _all(port: int, requests: list[bytes]) -> list[bytes]:
    """What each client gets that says something odd, and asks for something else behind it."""
    return list(await asyncio.gather(*(_ask(port, number, data) for number, data in enumerate(requests))))


async def _ask(port: int, number: int, data: bytes) -> bytes:
    after = f"GET /after-{number}-{port} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    got = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(QUIET_S):  # some wait for more of a body
            writer.write(data + after)
            while more := await reader.read(1 << 16):
                got += more
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return got


QUIET_S = 3.0


def test_an_edge_that_drains_loses_no_request(behind: Behind, fronted: Fronted, tmp_path: Path) -> None:
    """Two edges; the first is told to end while clients ask."""
    draining = behind.edges[0]
    with running(fronted.front, behind.ports, tmp_path / "front") as port:
        both = fronted._replace(port=port, folder=tmp_path / "front")
        outcome: list[tuple[int, bytes]] = []
        over = threading.Event()

        def load() -> None:
            while not over.is_set():
                outcome.append(both.asked("/who"))

        def answered_by_both() -> bool:
            return all("event=" in each.log.read_text() for each in behind.edges) and len(outcome) > 20

        clients = [threading.Thread(target=load) for _ in range(3)]
        for each in clients:
            each.start()
        try:
            eventually(answered_by_both, "the load is there")
            if both.front.program == "haproxy":
                eventually(lambda: states(both) == {"edge1": "UP", "edge2": "UP"}, "both are up")
            os.kill(draining.pid, signal.SIGTERM)
            if both.front.program == "haproxy":
                eventually(lambda: states(both) == {"edge1": "DOWN", "edge2": "UP"}, "the health check has seen it")
            assert draining.wait() == 0
            count = len(outcome)
            eventually(lambda: len(outcome) > count + 20, "the other goes on")
        finally:
            over.set()
            for each in clients:
                each.join(PATIENCE_S)
            draining.start()
        assert {status for status, _ in outcome} == {200}


def states(front: Fronted) -> dict[str, str]:
    """Of the servers of HAProxy, by its own word."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(front.folder / "stats"))
        connection.sendall(b"show stat\n")
        lines = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode().splitlines()
    names = lines[0].removeprefix("# ").split(",")
    rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
    return {row["svname"]: row["status"].split(" ")[0] for row in rows if row["svname"].startswith("edge")}
