"""What a client connection takes for a request, however it comes, and what it refuses: nothing may confuse it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.front.connection import HEADERS_MAX, LINE_MAX
from edge.model.flow import ClientError
from tests.support.connections import Wire, get, post, run


def test_a_head_is_what_was_sent() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/a%20b?c=%C3%BC", "X-A: 1", "x-a:  2 ", "CDN-Loop: one", "CDN-Loop: two"))
        (request,) = wire.taken
        assert (request.method, request.target, request.version) == ("GET", "/a%20b?c=%C3%BC", (1, 1))
        assert (request.host, request.loops, request.remote) == ("a.test", "one, two", "192.0.2.1")
        assert (request.complete, request.has_body, request.keep_alive) == (True, False, True)
        assert request.headers[1:3] == [(b"X-A", b"1"), (b"x-a", b"2")]
        assert request.header(b"x-a") == "1"

    run(scenario)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_pieces_of_any_size_are_the_same_requests(size: int) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        data = get("/1") + post("Content-Length: 3") + b"abc" + get("/2", "Connection: close")
        for start in range(0, len(data), size):
            wire.feed(data[start : start + size])
        assert [request.target for request in wire.taken] == ["/1", "/p", "/2"]
        assert wire.transport.written == b"/1;/p;/2;"
        assert wire.transport.closed

    run(scenario)


REFUSED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get("/", "Host: b.test"),
    "the same host twice": get("/", "Host: a.test"),
    "host that is not ASCII": b"GET / HTTP/1.1\r\nHost: \xc3\xbc.test\r\n\r\n",
    "length twice": post("Content-Length: 3", "Content-Length: 3"),
    "length twice, different": post("Content-Length: 3", "Content-Length: 4"),
    "length with a plus": post("Content-Length: +3"),
    "length with a space inside": post("Content-Length: 3 3"),
    "length beyond 64 bits": post("Content-Length: 99999999999999999999"),
    "length and chunks": post("Content-Length: 3", "Transfer-Encoding: chunked"),
    "chunks and length": post("Transfer-Encoding: chunked", "Content-Length: 3"),
    "chunked is not the last coding": post("Transfer-Encoding: chunked, gzip"),
    "chunked twice": post("Transfer-Encoding: chunked, chunked"),
    "chunked in two fields": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked, and another coding in a second field": post("Transfer-Encoding: chunked", "Transfer-Encoding: gzip"),
    "no coding": post("Transfer-Encoding:"),
    "an empty coding": post("Transfer-Encoding: , chunked"),
    "a coding that is no token": post("Transfer-Encoding: \x0bchunked"),
    "chunked with a parameter": post("Transfer-Encoding: chunked;q=1"),
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "space before the colon": get("/", "X-A : 1"),
    "folded line": get("/", "X-A: 1", " 2"),
    "name with a control character": get("/", "X\x01A: 1"),
    "value with NUL": get("/", "X-A: \0"),
    "bare carriage return in a value": get("/", "X-A: a\rb: c"),
    "tab in the target": get("/\t"),
    "target that is not UTF-8": b"GET /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version of another kind": get(version="3.0"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "upgrade whose body would be taken for a request": post("Connection: upgrade", "Upgrade: x", "Content-Length: 40"),
    "a long target": get("/" + "a" * LINE_MAX),
    "a long field": get("/", "X: " + "a" * LINE_MAX),
    "many fields": get("/", *(f"X-{number}: 1" for number in range(HEADERS_MAX + 1))),
}


UNKNOWN_CODINGS = ("chunkedd", "identity", "gzip", "gzip, chunked", "GZip,\tChunked", "x-a, x-b")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        *(pytest.param(data, 400, id=name) for name, data in REFUSED.items()),
        *(pytest.param(post(f"Transfer-Encoding: {text}"), 501, id=text) for text in UNKNOWN_CODINGS),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_after_it_is_read(data: bytes, status: int) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        wire.feed(get("/first") + data + get("/smuggled"))
        first, broken = wire.taken
        assert first.target == "/first"
        assert isinstance(broken.error, ClientError)
        assert broken.error.refusal.status == status
        assert wire.transport.closed
        wire.feed(get("/late"))
        assert len(wire.taken) == 2

    run(scenario)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /p HTTP/1.0\r\n\r\n",
        b"GET /p HTTP/1.1\r\nHost:\r\n\r\n",
        get("/p", "TE: gzip, trailers", "Connection: TE, keep-alive"),
        post("Transfer-Encoding:  Chunked ") + b"0\r\n\r\n",
    ],
    ids=["no host in HTTP/1.0", "an empty host", "codings that an answer may have", "chunked in capitals"],
)
def test_what_looks_odd_and_is_a_request(data: bytes) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        wire.feed(data)
        assert [(request.target, request.error) for request in wire.taken] == [("/p", None)]

    run(scenario)


def test_an_upgrade_is_answered_here_and_what_follows_is_not_read() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/up", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x") + get("/no"))
        (request,) = wire.taken
        assert (request.target, request.keep_alive) == ("/up", False)
        wire.clerk.answer(request)
        assert wire.transport.closed

    run(scenario)


def test_trailers_do_not_change_a_head_that_was_judged() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(post("Transfer-Encoding: chunked"))
        (request,) = wire.taken
        before = list(request.headers)
        wire.feed(b"3\r\nabc\r\n0\r\nHost: evil.test\r\nX-Role: admin\r\n\r\n")
        assert await request.read() == b"abc"
        assert await request.read() == b""
        assert (request.headers, request.host, request.content_length) == (before, "a.test", None)

    run(scenario)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([get(), post("Content-Length: 2"), b"ab", *REFUSED.values()]))
    )
)
def test_no_bytes_raise_or_are_taken_twice(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        for piece in pieces:
            wire.feed(piece)
        assert len({id(request) for request in wire.taken}) == len(wire.taken)
        assert sum(request.error is not None for request in wire.taken) <= 1
        assert all(request.error is None for request in wire.taken[:-1])

    run(scenario)
