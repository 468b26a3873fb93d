"""A client says one thing to the edge and means another for the guest, for a proxy in front, or for the next request.

Every attempt is raw bytes to a real edge, with one more request after it on the same connection. What is refused
reaches no guest, is the last thing that is read there, and changes nothing for others.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import metrics, raw
from tests.support.odd_heads import FRAMED, FRAMINGS, absolute_targets, hosts, post

HOST = "sm-echo.test"
AFTER = f"GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
TARGETS = ("/p", "/-/health", "/~service/sm-echo/p")


@pytest.fixture(scope="module")
def edge(site: Site, image: Callable[..., Path]) -> Server:
    """An edge with a service that says what it was asked."""
    site.publish(image("echo"), "sm-echo", HOST, "other.test")
    with Client(site.edges[0].url) as client:
        assert client.get("/", host=HOST).status == 200
    return site.edges[0]


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]


def echoed(got: bytes, field: str) -> list[str]:
    return [value.decode() for value in re.findall(rb"\r\nX-Echo-%b: ([^\r]*)\r\n" % field.encode(), got)]


def attempt(edge: Server, data: bytes, expected: int) -> bytes:
    """One that must be refused."""
    before = metrics(edge)["requests_total"]
    got = raw(edge, data + AFTER)  # until the edge closes: it does not go on to what follows
    assert statuses(got) == [expected]
    assert got.count(b"\r\nX-Nunatak-Error: ") == got.count(b"\r\nX-Request-Id: ") == 1
    with Client(edge.url) as client:
        assert client.get("/", host=HOST).status == 200
    after = metrics(edge)
    assert after["requests_total"] == before + 1, "the neighbour's alone"
    assert after["workers_lost_total"] == after["worker_faults_total"] == 0
    return got


HOSTS = hosts(HOST)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fields", HOSTS.values(), ids=HOSTS.keys())
def test_a_host_that_is_none_or_more_than_one(edge: Server, fields: tuple[str, ...], target: str) -> None:
    attempt(edge, post(target, *fields, "Content-Length: 0"), 400)


ABSOLUTE = absolute_targets(HOST)


@pytest.mark.parametrize("target", ABSOLUTE.values(), ids=ABSOLUTE.keys())
def test_a_target_whose_authority_is_none(edge: Server, target: str) -> None:
    attempt(edge, post(target, f"Host: {HOST}", "Content-Length: 0"), 400)


def test_a_host_field_is_judged_where_the_target_names_the_host(edge: Server) -> None:
    attempt(edge, post(f"http://{HOST}/x", 'Host: a b<script>"', "Content-Length: 0"), 400)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_a_body_whose_end_two_could_see_in_two_places(
    edge: Server, framing: tuple[int, tuple[str, ...]], target: str
) -> None:
    expected, fields = framing
    attempt(edge, post(target, f"Host: {HOST}", *fields, body=FRAMED), expected)


def test_the_host_that_a_guest_sees_is_the_one_that_led_to_it(edge: Server) -> None:
    got = raw(edge, f"GET http://{HOST}/x?y HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n".encode())
    assert (statuses(got), echoed(got, "Host"), echoed(got, "Path")) == ([200], [HOST], ["/x"])
    got = raw(edge, f"GET http://evil.test/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    assert statuses(got) == [421]


def test_codings_that_an_answer_may_have_do_not_frame_a_request(edge: Server) -> None:
    fields = (f"Host: {HOST}", "TE: gzip, chunked, trailers", "Connection: TE", "Transfer-Encoding: chunked")
    got = raw(edge, post("/te", *fields, body="3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n") + AFTER)
    assert (statuses(got), echoed(got, "Path")) == ([200, 200], ["/te", "/smuggled"])
    assert echoed(got, "Te") == echoed(got, "Transfer-Encoding") == []


def test_nobody_but_the_edge_says_what_only_the_edge_may_say(edge: Server) -> None:
    forged = "X-Request-Id X-Nunatak-Local X-Nunatak-Error x-nunatak-tenant X_Request_Id X_Nunatak_Local Proxy".split()
    fields = (f"Host: {HOST}", *(f"{name}: forged" for name in forged), "Connection: close", "Content-Length: 0")
    got = raw(edge, post("/forged", *fields))
    assert statuses(got) == [200]
    assert b"forged" not in got.replace(b"/forged", b"")
    (answer_id,) = re.findall(rb"\r\nX-Request-Id: ([^\r]*)\r\n", got)
    assert echoed(got, "X-Request-Id") == [answer_id.decode()]
