"""What an HTTP client sees: tiers, methods, bodies, bad requests. Real guests behind a real edge."""

import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge.model.reasons import REASONS
from loadtest.site.fetch import Client
from loadtest.site.site import Site
from tests.support.edges import eventually, metrics, raw

Image = Callable[..., Path]
MIB = 1 << 20


@pytest.fixture(scope="module")
def echo(site: Site, image: Image) -> str:
    """The host of a service that sends requests back."""
    site.publish(image("echo"), "rq-echo")
    return "rq-echo.test"


@pytest.fixture
def client(site: Site) -> Client:
    """A connection to the first edge."""
    return Client(site.edges[0].url)


def test_every_tier_answers_and_is_named(site: Site, image: Image, client: Client) -> None:
    site.publish(image("hello", "--env", "FOR=tiers"), "rq-tiers")
    answers = [client.get("/x", host="rq-tiers.test") for _ in range(2)]
    site.park("rq-tiers")
    answers.append(client.get("/x", host="rq-tiers.test"))
    assert [(answer.status, answer.tier) for answer in answers] == [
        (200, "origin"),
        (200, "resident"),
        (200, "parked"),
    ]
    assert [answer.headers["cache-status"].split(";")[1].strip() for answer in answers] == ["fwd=uri-miss"] * 3
    assert answers[0].timing_ms["fetch"] > 0
    assert answers[0].timing_ms.keys() >= {"fetch", "verify", "restore", "guest"}
    assert "fetch" not in answers[1].timing_ms
    assert b"request 3" in answers[2].body, "the parked machine goes on where it was"


def test_concurrent_misses_are_one_fetch(site: Site, image: Image) -> None:
    edge, clients = site.edges[0], 16
    site.publish(image("hello"), "rq-base")
    assert Client(edge.url).get("/", host="rq-base.test").status == 200  # its base is here now
    site.publish(image("clock", "--env", "FOR=flash"), "rq-flash")
    before, barrier = metrics(edge), threading.Barrier(clients)

    def get(_: int) -> int:
        with Client(edge.url) as client:
            barrier.wait()
            return client.get("/", host="rq-flash.test").status

    with ThreadPoolExecutor(clients) as pool:
        assert list(pool.map(get, range(clients))) == [200] * clients
    after = metrics(edge)
    assert after["origin_fetches_total"] - before["origin_fetches_total"] == 2, "one manifest, one blob"
    assert after["opens_total"] - before["opens_total"] == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"])
def test_any_method_reaches_the_guest(client: Client, echo: str, method: str) -> None:
    answer = client.request(method, "/a%20b?q=%20", host=echo, body=b"b" if method != "GET" else None)
    assert answer.status == 200
    assert (answer.headers["x-echo-method"], answer.headers["x-echo-path"], answer.headers["x-echo-query"]) == (
        method,
        "/a b",
        "q=%20",
    )


def test_head_has_the_length_and_no_body(client: Client, site: Site, image: Image) -> None:
    site.publish(image("hello"), "rq-head")
    get = client.get("/x", host="rq-head.test")
    head = client.request("HEAD", "/x", host="rq-head.test")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert client.get("/x", host="rq-head.test").status == 200, "the connection is still in step"


def test_a_service_by_name(client: Client, echo: str) -> None:
    answer = client.get("/~service/rq-echo/p?q", host="127.0.0.1:1")
    assert (answer.headers["x-echo-path"], answer.headers["x-echo-host"]) == ("/p", "127.0.0.1:1")


def test_headers_that_would_be_mistaken_stay_outside(client: Client, echo: str) -> None:
    headers = {"Proxy": "http://evil", "X_Real": "1", "Connection": "X-Hop", "X-Hop": "1", "X-Request-Id": "forged"}
    answer = client.request("GET", "/", host=echo, headers=headers)
    assert {"x-echo-proxy", "x-echo-x-real", "x-echo-x-hop"}.isdisjoint(answer.headers)
    assert answer.headers["x-echo-x-request-id"] == answer.headers["x-request-id"] != "forged"


@pytest.mark.parametrize("size", [0, 1, 1000, 16 << 10, 70_000, 5 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_come_back_whole(client: Client, echo: str, size: int, chunked: bool) -> None:
    body = hashlib.shake_128(b"seed").digest(size)
    for _ in range(2):  # the second on the same connection
        if chunked:
            chunks = (body[at : at + 9999] for at in range(0, size, 9999))
            got = client.request("POST", "/", host=echo, body=chunks)  # type: ignore[arg-type]
        else:
            got = client.request("POST", "/", host=echo, body=body)
        assert (got.status, len(got.body)) == (200, size)
        assert got.body == body


def test_a_client_that_does_not_read_holds_nobody_up_and_gets_everything_in_the_end(
    site: Site, client: Client, echo: str
) -> None:
    body = b"x" * (16 * MIB)  # more than all buffers on the way hold
    parts = urlsplit(site.edges[0].url)
    slow = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    slow.connect()
    sender = threading.Thread(target=lambda: slow.request("POST", "/", body, {"Host": echo}))
    sender.start()
    assert client.get("/", host=echo).status == 200, "another client of the same machine"
    assert sender.is_alive(), "the slow client's upload stands, since its answer does"
    response = slow.getresponse()
    got = response.read()
    sender.join()
    slow.close()
    assert len(got) == len(body)


def test_clients_that_leave_free_their_places(site: Site, image: Image) -> None:
    edge, clients = site.edges[0], 70  # more than a machine takes at a time
    site.publish(image("echo"), "rq-leave")
    before = metrics(edge)["clients_gone_total"]
    parts = urlsplit(edge.url)
    head = b"POST / HTTP/1.1\r\nHost: rq-leave.test\r\nContent-Length: 1000000\r\n\r\n"
    with ExitStack() as connections:
        for _ in range(clients):
            connection = connections.enter_context(socket.create_connection((parts.hostname, parts.port)))
            connection.sendall(head + b"some")
        eventually(lambda: metrics(edge)["streams"] == clients, "all of them wait or are being answered")
    eventually(lambda: metrics(edge)["clients_gone_total"] - before == clients, "all seen to leave")
    assert metrics(edge)["streams"] == 0
    with Client(edge.url) as client:
        assert client.request("POST", "/", host="rq-leave.test", body=b"x" * 100_000).status == 200
    assert metrics(edge)["workers_lost_total"] == 0


def test_pipelined_requests_are_answered_in_order(site: Site, echo: str) -> None:
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: rq-echo.test\r\n\r\n" % number for number in range(5))
    close = b"GET /last HTTP/1.1\r\nHost: rq-echo.test\r\nConnection: close\r\n\r\n"
    got = raw(site.edges[0], requests + close)
    paths = [line.split(b": ")[1] for line in got.split(b"\r\n") if line.startswith(b"X-Echo-Path")]
    assert paths == [b"/0", b"/1", b"/2", b"/3", b"/4", b"/last"]


def test_http_1_0(site: Site, echo: str) -> None:
    body = b"y" * 200_000  # more than fits one write, and HTTP/1.0 has no chunks
    head = b"POST / HTTP/1.0\r\nHost: rq-echo.test\r\nContent-Length: %d\r\n\r\n" % len(body)
    got_head, _, got = raw(site.edges[0], head + body).partition(b"\r\n\r\n")
    assert b"chunked" not in got_head
    assert got == body


def test_a_client_that_expects_100_continue_gets_it(site: Site, echo: str) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: rq-echo.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n"
    )
    parts = urlsplit(site.edges[0].url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head + b"\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hi")
        got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\nhi")
    at_once = raw(site.edges[0], head + b"\r\nhi")  # who has sent the body needs no leave to send it
    assert at_once.startswith(b"HTTP/1.1 200 OK\r\n")


BAD = {
    "no HTTP": b"GARBAGE\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "bad host": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "two lengths of a body": b"POST / HTTP/1.1\r\nHost: rq-echo.test\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length that is none": b"POST / HTTP/1.1\r\nHost: rq-echo.test\r\nContent-Length: -1\r\n\r\n",
    "NUL in the path": b"GET /%00 HTTP/1.1\r\nHost: rq-echo.test\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: rq-echo.test\r\nX: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", BAD.values(), ids=BAD.keys())
def test_a_malformed_request_is_400_with_an_id(site: Site, echo: str, request_bytes: bytes) -> None:
    got = raw(site.edges[0], request_bytes, until=b"\n400 Bad Request, request ")
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nX-Request-Id: " in got
    assert b"\r\nX-Nunatak-Error: bad_request\r\n" in got


def test_a_broken_chunk_is_400(site: Site, echo: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: rq-echo.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    got = raw(site.edges[0], head + b"zz\r\n\r\n", until=b"\n400 Bad Request, request ")
    assert b"HTTP/1.1 400 " in got
    assert metrics(site.edges[0])["workers_lost_total"] == 0


def test_limits_on_what_a_client_sends(client: Client, echo: str) -> None:
    long = {f"X-{number}": "a" * 4000 for number in range(5)}
    answer = client.request("GET", "/", host=echo, headers=long)
    assert (answer.status, answer.error) == (431, "head_too_large")
    answer = client.request("POST", "/", host=echo, headers={"Content-Length": str(1 << 40)})
    assert (answer.status, answer.error) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "host"),
    [("/", "no-such.test"), ("/", ""), ("/~service/no-such/", "127.0.0.1"), ("/~service/N!/", "127.0.0.1")],
)
def test_an_unknown_service_is_421(client: Client, path: str, host: str) -> None:
    answer = client.get(path, host=host)
    assert (answer.status, answer.error) == (421, "unknown_service")
    assert answer.headers["x-request-id"]
    status, told = answer.body.decode().splitlines()[:2]
    assert status == f"421 Misdirected Request, request {answer.headers['x-request-id']}"
    assert told == f"unknown_service: {REASONS['unknown_service'].cause}"


def test_admin_pages_answer_for_what_they_are(site: Site, echo: str) -> None:
    client = site.admin()
    eventually(lambda: json.loads(client.get("/-/health").body)["status"] == "ok", "it has looked at the catalogue")
    assert client.get("/-/no-such").status == client.get("/health").status == 404
    assert client.get("/-/park").status == client.request("HEAD", "/-/drain").status == 405
    services = client.get("/-/services").body
    assert b'"rq-echo"' in services
    assert b'"tier"' in services
