"""What RFC 9110 and RFC 9112 say of a server, asked over sockets of each listener that there is."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import PATIENCE_S, metrics, raw
from tests.support.guests import PROGRAMS

HOST, SAYS = "rules.test", "says.test"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="module")
def edge(site: Site, image: Callable[..., Path]) -> Server:
    """An edge with a service that says what it was asked, and one that answers as it is told."""
    site.publish(image("echo"), "rules", HOST)
    site.publish(site.build(PROGRAMS / "linux_cgi_raw.c", "--cgi", name="says"), "says", SAYS)
    return site.edges[0]


def request(line: str, *fields: str, host: str = HOST, close: bool = True) -> bytes:
    ends = ("Connection: close",) if close else ()
    return "\r\n".join((f"{line} HTTP/1.1", f"Host: {host}", *fields, *ends, "", "")).encode()


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]


def field(got: bytes, name: str) -> str:
    found = re.search(rb"(?i)\r\n%b: ?([^\r]*)" % name.encode(), got)
    return found[1].decode() if found else ""


class Wire:
    """A connection that is spoken to in turns."""

    def __init__(self, edge: Server) -> None:
        parts = urlsplit(edge.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
        self.close = self.socket.close
        self.send = self.socket.sendall

    def until(self, end: bytes = b"\r\n\r\n") -> bytes:
        got = b""
        while end not in got and (more := self.socket.recv(1 << 16)):
            got += more
        return got

    def rest(self) -> bytes:
        return b"".join(iter(lambda: self.socket.recv(1 << 16), b""))


@pytest.fixture
def wire(edge: Server) -> Iterator[Wire]:
    with closing(Wire(edge)) as opened:
        yield opened


# Offers that nobody takes.

OFFERS = {
    "h2c": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAA"),
    "websocket": (
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "several": ("Connection: upgrade", "Upgrade: TLS/1.0, HTTP/2.0"),
}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
def test_an_offer_that_is_not_taken_is_answered_with_the_whole_body_and_the_connection_goes_on(
    edge: Server, offer: tuple[str, ...], method: str
) -> None:
    big = b"x" * 100_000
    framed = (
        (("Content-Length: 5",), b"hello", b"hello"),
        (("Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        ((f"Content-Length: {len(big)}",), big, big),
        ((), b"", b""),
    )
    sent = b"".join(request(f"{method} /up", *offer, *fields, close=False) + body for fields, body, _ in framed)
    got = raw(edge, sent + request("GET /last"))
    assert statuses(got) == [200] * 5
    assert re.findall(rb"X-Echo-Path: (\S+)", got) == [b"/up"] * 4 + [b"/last"]
    assert got.count(b"hello") == 2
    assert sum(map(len, re.findall(rb"x{100,}", got))) == len(big)
    assert field(got, "upgrade") == field(got, "x-echo-http2-settings") == ""
    may_take = method == "GET" and "Upgrade: websocket" in offer  # the one without a body: a service may take it
    assert re.findall(rb"X-Echo-Upgrade: (\S+)", got) == ([b"websocket"] if may_take else [])


# Expectations.

BODY = ("Content-Length: 5", "Expect: 100-continue")


def test_a_body_that_is_wanted_is_asked_for_and_the_connection_goes_on(wire: Wire) -> None:
    for fields, body in ((BODY, b"hello"), (("Transfer-Encoding: chunked", BODY[1]), b"5\r\nhello\r\n0\r\n\r\n")):
        wire.send(request("POST /", *fields, close=False))
        assert wire.until() == CONTINUE
        wire.send(body)
        got = wire.until(b"hello")
        assert (statuses(got), field(got, "connection")) == ([200], "")
    large = 3_000_000
    wire.send(request("POST /", f"Content-Length: {large}", BODY[1]))
    assert wire.until() == CONTINUE
    wire.send(b"y" * 70_000)
    head = wire.until()
    assert statuses(head) == [200], "an answer may begin before the body has ended"


@pytest.mark.parametrize(
    ("line", "host", "fields", "status"),
    [
        ("POST /", "nobody.test", BODY, 421),
        ("POST /~service/rules/", HOST, BODY, 421),
        ("POST /", HOST, (f"Content-Length: {1 << 40}", BODY[1]), 413),
        ("POST /%00", HOST, BODY, 400),
        ("TRACE /", HOST, BODY, 405),
        ("POST /", HOST, ("Content-Length: 5", "Expect: 100-continue, more"), 417),
        ("GET /", HOST, ("Expect: 200-ok",), 417),
    ],
)
def test_a_final_status_comes_without_100_and_says_that_the_connection_ends(
    wire: Wire, line: str, host: str, fields: tuple[str, ...], status: int
) -> None:
    wire.send(request(line, *fields, host=host, close=False))
    got = wire.until(b", request ")
    assert statuses(got) == [status]
    assert field(got, "connection") == ("close" if len(fields) == 2 else "")
    if len(fields) == 2:
        wire.send(request("GET /taken-for-a-body"))
        assert statuses(wire.rest()) == []


def test_who_does_not_wait_gets_no_100_and_who_speaks_HTTP_1_0_neither(edge: Server) -> None:
    assert statuses(raw(edge, request("POST /", *BODY) + b"hello")) == [200]
    old = f"POST / HTTP/1.0\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello".encode()
    assert statuses(raw(edge, old)) == [200]


def test_a_body_is_asked_for_when_a_machine_has_the_request(site: Site, edge: Server) -> None:
    site.publish(site.build(PROGRAMS / "linux_cgi_raw.c", "--cgi", "--env", "A=1", name="falls"), "falls")
    before = metrics(edge)["opens_total"]
    with closing(Wire(edge)) as wire:
        wire.send(request("POST /", *BODY, host="falls.test", close=False))
        assert wire.until() == CONTINUE
        assert metrics(edge)["opens_total"] == before + 1
        wire.send(b"A: 1\n")
        assert statuses(wire.until()) == [502]


# Methods and targets.


def test_methods_of_proxies_are_refused_and_unknown_ones_are_not_implemented(edge: Server) -> None:
    for method, status in (("CONNECT", 405), ("TRACE", 405), ("BREW", 501), ("get", 501)):
        got = raw(edge, request(f"{method} {'a.test:443' if method == 'CONNECT' else '/'}"))
        assert statuses(got) == [status]
        assert ("GET" in field(got, "allow")) is (status == 405)
        assert field(got, "date")
    for version, status in (("HTTP/2.0", 505), ("HTTP/3.0", 505), ("RTSP/1.0", 400)):
        assert statuses(raw(edge, f"GET / {version}\r\nHost: {HOST}\r\n\r\n".encode())) == [status]


def test_the_server_as_a_whole_may_be_asked_for_its_options_alone(edge: Server) -> None:
    got = raw(edge, request("OPTIONS *"))
    assert (statuses(got), field(got, "x-echo-method"), field(got, "x-echo-path")) == ([200], "OPTIONS", "")
    assert statuses(raw(edge, request("GET *"))) == [400]


@pytest.mark.parametrize(
    ("data", "status", "limit"),
    [
        (request("GET /" + "a" * 8190), 414, "target=8190"),
        (request("GET /", "X: " + "a" * 8190), 431, "field=8190"),
        (request("GET /", *(f"X-{number}: 1" for number in range(100))), 431, "fields=100"),
        (request("GET /", *(f"X-{number}: {'a' * 6000}" for number in range(3))), 431, "head="),
        (request("GET /", "x" * 300 + ": 1"), 431, "field_name=256"),
    ],
)
def test_limits_of_a_head_are_named(edge: Server, data: bytes, status: int, limit: str) -> None:
    for method in (b"GET", b"HEAD"):
        got = raw(edge, data.replace(b"GET", method, 1))
        assert (statuses(got), field(got, "connection")) == ([status], "close")
        assert field(got, "x-nunatak-limit").startswith(limit)
        assert got.endswith(b"\r\n\r\n") is (method == b"HEAD")


# HEAD, and answers without a body.


@pytest.mark.parametrize("host", [HOST, "nobody.test"])
@pytest.mark.parametrize("fields", [(), ("Expect: x",)])
def test_HEAD_is_answered_with_the_fields_of_GET(edge: Server, host: str, fields: tuple[str, ...]) -> None:
    both = [raw(edge, request(f"{method} /x", *fields, host=host)) for method in ("GET", "HEAD")]
    heads = [got.partition(b"\r\n\r\n")[0] for got in both]
    assert both[1].endswith(b"\r\n\r\n")
    differs = rb"\r\n(Server-Timing|X-Request-Id|X-Echo-X-Request-Id|X-Echo-Method|Date|Cache-Status): [^\r]*"
    same = [re.sub(differs, b"", head) for head in heads]
    assert same[0] == same[1] or (host == HOST and not fields)


@pytest.mark.parametrize(
    ("said", "status", "length"),
    [
        (b"Status: 204\nX: 1\n\nbody", 204, ""),
        (b"Status: 204\nContent-Length: 4\n\nbody", 204, ""),
        (b"Status: 205\n\nbody", 205, "0"),
        (b"Status: 304\nETag: x\n\n", 304, ""),
        (b"Status: 304\n\nbody", 304, ""),
        (b"Status: 304\nContent-Length: 7\n\n", 304, "7"),
        (b"Status: 200\n\n", 200, "0"),
        (b"Status: 404\n\n", 404, "0"),
    ],
)
def test_answers_that_have_no_body_have_none_and_the_next_is_in_step(
    edge: Server, said: bytes, status: int, length: str
) -> None:
    ask = request("POST /", f"Content-Length: {len(said)}", host=SAYS, close=False) + said
    got = raw(edge, ask + request("GET /next"))
    assert statuses(got) == [status, 200]
    assert field(got.partition(b"\r\n\r\n")[0] + b"\r\n", "content-length") == length
    assert got.split(b"\r\n\r\n")[1].startswith(b"HTTP/1.1 200 ")


def test_an_answer_says_in_one_way_where_it_ends(edge: Server) -> None:
    large = b"z" * 100_000
    for body, version, framing in ((b"z", "1.1", "length"), (large, "1.1", "chunked"), (large, "1.0", "close")):
        head = f"POST / HTTP/{version}\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        got = raw(edge, head.encode() + body)
        said = (field(got.partition(b"\r\n\r\n")[0], "content-length"), field(got, "transfer-encoding"))
        assert said == {"length": ("1", ""), "chunked": ("", "chunked"), "close": ("", "")}[framing]
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")


def test_nothing_is_read_after_the_last_request_of_a_connection(edge: Server) -> None:
    assert statuses(raw(edge, request("GET /1", close=False) + request("GET /2") + request("GET /3"))) == [200, 200]
    old = f"GET /1 HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode()
    assert statuses(raw(edge, old + request("GET /2"))) == [200]
    kept = old.replace(b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n")
    got = raw(edge, kept + request("GET /2"))
    assert (statuses(got), field(got, "connection")) == ([200, 200], "keep-alive")


# Who asks.


def test_a_client_is_who_it_is_and_a_named_proxy_says_who_its_clients_are(
    edge: Server, own_site: Site, image: Callable[..., Path]
) -> None:
    own_site.publish(image("echo"), "rules", HOST)
    trusting = own_site.add_edge(config={"trusted_proxies": "127.0.0.0/8"})
    forged = ("X-Forwarded-For: 203.0.113.9", "X-Real-IP: 203.0.113.9", "X-Forwarded-Proto: https", "X_Real_IP: 1")
    for server, client, way, scheme in (
        (edge, "127.0.0.1", "127.0.0.1", ""),
        (trusting, "203.0.113.9", "203.0.113.9, 127.0.0.1", "https"),
    ):
        got = raw(server, request("GET /", *forged, "Connection: X-Real-IP, X-Forwarded-For"))
        assert statuses(got) == [200]
        assert (field(got, "x-echo-x-real-ip"), field(got, "x-echo-x-forwarded-for")) == (client, way)
        assert field(got, "x-echo-x-forwarded-proto") == scheme


# Host, at every door.


def over_unix(path: str, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(path)
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


HOSTS = {
    "one": (200, "1.1", ("Host: localhost",)),
    "an empty one": (200, "1.1", ("Host:",)),
    "none in HTTP/1.0": (200, "1.0", ()),
    "none": (400, "1.1", ()),
    "two": (400, "1.1", ("Host: localhost", "Host: localhost")),
    "two in HTTP/1.0": (400, "1.0", ("Host: a", "Host: b")),
    "one that is none": (400, "1.1", ("Host: a b",)),
    "two in one": (400, "1.1", ("Host: a, b",)),
    "one with a user": (400, "1.1", ("Host: u@localhost",)),
}


@pytest.mark.parametrize("door", ["edge", "operators", "origin"])
@pytest.mark.parametrize(("status", "version", "fields"), HOSTS.values(), ids=HOSTS.keys())
def test_each_door_wants_one_host(
    site: Site, edge: Server, door: str, status: int, version: str, fields: tuple[str, ...]
) -> None:
    named = tuple(name.replace("localhost", HOST) for name in fields) if door == "edge" else fields
    path = {"edge": "/~service/rules/", "operators": "/-/health", "origin": "/tuf/1.root.json"}[door]
    if door == "edge" and named == (f"Host: {HOST}",):
        path = "/"
    data = "\r\n".join((f"GET {path} HTTP/{version}", *named, "Connection: close", "", "")).encode()
    if door == "operators":
        got = over_unix(edge.admin_url.removeprefix("unix:"), data)
    else:
        got = raw(edge if door == "edge" else site.origin, data)
    assert int(got.split()[1]) == status


def test_pages_of_operators_say_which_method_they_have(site: Site, edge: Server) -> None:
    with Client(edge.admin_url) as client:
        for page, method, allowed in (("park", "GET", "POST"), ("health", "POST", "GET, HEAD")):
            answer = client.request(method, f"/-/{page}")
            assert (answer.status, answer.headers["allow"]) == (405, allowed)
