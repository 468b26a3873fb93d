"""A client connection by itself, on a transport that records: what clients send to confuse, exhaust or hold up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.common.counters import Counters
from edge.front.connection import HEAD_MAX, HEADERS_MAX, HELD_MAX, LINE_MAX, PIPELINED_MAX, UNFINISHED_MAX, Connection
from edge.front.crowd import READ_BYTES, Crowd
from edge.front.request import BODY_WAITING_MAX, Request
from edge.model.flow import ClientError

KEEPALIVE_S = 0.05


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.reading, self.closed, self.aborted = True, False, False

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1234) if name == "peername" else None

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Clerk:
    """Takes requests; a test says when they are answered."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.connections: Crowd[Connection] = Crowd(1000, 1 << 30, Counters())
        self.taken: list[Request] = []
        self.left: list[Request] = []
        self._at_once = at_once

    def take(self, request: Request) -> None:
        self.taken.append(request)
        if self._at_once:
            self.answer(request)

    def answer(self, request: Request, keep: bool | None = None) -> None:
        request.keep_alive = request.keep_alive if keep is None else keep
        request.connection.write(request, request.target.encode() + b";")
        request.connection.finished(request)

    def gone(self, request: Request) -> None:
        self.left.append(request)


class Wire:
    """A connection, its transport and who takes its requests."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.clerk, self.transport = Clerk(at_once=at_once), Transport()
        self.connection = Connection(self.clerk, KEEPALIVE_S)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.feed = self.connection.data_received

    @property
    def taken(self) -> list[Request]:
        return self.clerk.taken


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def get(target: str = "/", *fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join((f"GET {target} HTTP/{version}", "Host: a.test", *fields, "", "")).encode()


def post(*fields: str) -> bytes:
    return "\r\n".join(("POST /p HTTP/1.1", "Host: a.test", *fields, "", "")).encode()


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


@pytest.mark.parametrize(
    ("start", "drip", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 1000, 431),
        (b"GET /", b"a" * 1000, 400),
        (post("Transfer-Encoding: chunked") + b"1;", b"x" * 1000, 400),
        (post("Transfer-Encoding: chunked") + b"0\r\nX: ", b"a" * 1000, 400),
    ],
    ids=["field", "target", "chunk extension", "trailer"],
)
def test_what_never_ends_is_not_kept(start: bytes, drip: bytes, status: int) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(start)
        for _ in range(UNFINISHED_MAX // len(drip) + 2):
            wire.feed(drip)
        (request,) = wire.taken
        assert request.error is not None
        assert request.error.refusal.status == status

    run(scenario)


def head_of(size: int) -> bytes:
    """A request whose target, names and values have so many bytes."""
    fields = [f"X-{number:02}: " + "a" * 996 for number in range((size - 1 - len("Hosta.test")) // 1000)]
    rest = size - 1 - len("Hosta.test") - 1000 * len(fields)
    return get("/" + "p" * rest, *fields)


def test_a_head_that_no_gate_record_holds_is_refused_when_it_arrives_and_not_kept() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/slow"))
        wire.feed(head_of(HEAD_MAX) + head_of(HEAD_MAX + 1) + get("/never"))
        slow, whole, broken = wire.taken[0], *wire.connection._waiting
        assert whole.error is None
        assert whole.head_bytes > HEAD_MAX
        assert broken.error is not None
        assert broken.error.refusal.status == 431
        assert broken.headers == []
        for request in (slow, whole):
            wire.clerk.answer(request)
        assert wire.taken == [slow, whole, broken]
        wire.clerk.answer(broken)
        assert wire.transport.closed

    run(scenario)


@pytest.mark.parametrize("size", [HEAD_MAX, 8000, 1000, 30])
@pytest.mark.parametrize("bodies", [False, True])
def test_what_waits_behind_a_slow_answer_is_bounded_however_it_is_sent(size: int, bodies: bool) -> None:
    async def scenario() -> None:
        wire = Wire()
        one = post("Content-Length: 30000") + b"b" * 30_000 if bodies else head_of(size)
        stream = one * (40 * READ_BYTES // len(one))
        for start in range(0, len(stream), READ_BYTES):
            if wire.transport.reading:
                wire.feed(stream[start : start + READ_BYTES])
        assert not wire.transport.reading
        connection = wire.connection
        held = sum(request.held_bytes for request in (*connection._waiting, *wire.taken)) + len(connection._unparsed)
        assert len(connection._waiting) <= PIPELINED_MAX
        assert held <= HELD_MAX + 2 * HEAD_MAX + 3 * READ_BYTES
        assert wire.clerk.connections.held_bytes <= held

    run(scenario)


def test_short_requests_in_one_read_wait_where_they_cost_little() -> None:
    async def scenario() -> None:
        wire = Wire()
        short = b"GET / HTTP/1.1\r\nHost:a\r\n\r\n"
        wire.feed(short * (READ_BYTES // len(short)))
        assert len(wire.connection._waiting) == PIPELINED_MAX
        body = post("Transfer-Encoding: chunked") + b"1\r\nb\r\n0\r\n\r\n"
        wire = Wire()
        wire.feed(body + short * 800)
        assert len(wire.connection._waiting) <= PIPELINED_MAX + (1 << 11) // len(short)

    run(scenario)


def test_a_connection_that_holds_more_than_its_share_waits_while_all_hold_too_much() -> None:
    async def scenario() -> None:
        wires = [Wire() for _ in range(3)]
        crowd: Crowd[Connection] = Crowd(1000, 20_000, Counters())
        for wire in wires:
            wire.clerk.connections = crowd
            crowd.add(wire.connection)
        greedy, modest, late = wires
        greedy.feed(get("/slow"))
        while greedy.transport.reading:
            greedy.feed(head_of(3000))
        assert crowd.full
        assert crowd.share_bytes <= crowd.held_bytes < 64_000
        modest.feed(get("/slow") + get("/next"))
        assert modest.transport.reading, "it holds less than its share"
        late.feed(get("/slow") + head_of(15_000))
        assert not late.transport.reading
        assert len(late.connection.get_buffer(-1)) < READ_BYTES
        for wire in (greedy, late):
            for request in wire.taken:  # grows while it is walked
                wire.clerk.answer(request)
            assert wire.transport.reading
        modest.clerk.answer(modest.taken[0])
        assert crowd.held_bytes == 0
        assert len(late.connection.get_buffer(-1)) == READ_BYTES

    run(scenario)


def test_what_is_read_into_the_shared_buffer_is_what_arrives() -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        for data in (get("/1")[:10], get("/1")[10:] + get("/2")):
            buffer = wire.connection.get_buffer(-1)
            buffer[: len(data)] = data
            wire.connection.buffer_updated(len(data))
            buffer[: len(data)] = bytes(len(data))  # another connection's read
        assert [request.target for request in wire.taken] == ["/1", "/2"]

    run(scenario)


def test_pipelined_requests_wait_their_turn_and_their_sender_waits_too() -> None:
    async def scenario() -> None:
        wire, count = Wire(), 3000
        wire.feed(b"".join(get(f"/{number}") for number in range(count)))
        assert len(wire.taken) == 1
        assert not wire.transport.reading
        while len(wire.taken) < count:
            waiting = len(wire.connection._waiting)
            assert waiting <= PIPELINED_MAX + (1 << 14) // len(get("/0"))
            wire.clerk.answer(wire.taken[-1])
        wire.clerk.answer(wire.taken[-1])
        assert [request.target for request in wire.taken] == [f"/{number}" for number in range(count)]
        assert wire.transport.reading

    run(scenario)


def test_who_does_not_read_is_not_answered_further() -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        wire.connection.pause_writing()
        wire.feed(get("/1") + get("/2"))
        assert wire.taken == []
        wire.connection.resume_writing()
        assert [request.target for request in wire.taken] == ["/1", "/2"]

    run(scenario)


def test_a_body_that_nobody_takes_makes_its_sender_wait() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(post("Content-Length: 1000000"))
        (request,) = wire.taken
        wire.feed(b"a" * BODY_WAITING_MAX)
        assert not wire.transport.reading
        assert len(await request.read()) == BODY_WAITING_MAX
        assert wire.transport.reading

    run(scenario)


def test_a_broken_chunk_ends_the_body_with_an_error() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(post("Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        (request,) = wire.taken
        assert await request.read() == b"abc"
        wire.feed(b"zz\r\n")
        with pytest.raises(ClientError, match="bad_body"):
            await request.read()
        wire.clerk.answer(request)
        assert wire.transport.closed

    run(scenario)


@pytest.mark.parametrize("keep", [True, False])
def test_an_answer_before_the_body_lets_the_client_finish_sending(keep: bool) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(post("Content-Length: 200000") + b"a" * 100_000)
        (request,) = wire.taken
        wire.clerk.answer(request, keep=keep)
        assert not wire.transport.closed
        assert wire.transport.reading
        wire.feed(b"a" * 100_000 + get("/next"))
        assert wire.transport.closed is not keep
        assert [taken.target for taken in wire.taken] == (["/p", "/next"] if keep else ["/p"])

    run(scenario)


def test_a_client_that_leaves_is_reported_once() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/1") + get("/2"))
        wire.connection.connection_lost(None)
        assert [request.target for request in wire.clerk.left] == ["/1"]
        wire.clerk.answer(wire.taken[0])
        assert len(wire.taken) == 1
        assert wire.transport.written == b""
        assert len(wire.clerk.connections) == 0
        assert wire.clerk.connections.held_bytes == 0

    run(scenario)


@pytest.mark.parametrize("data", [b"", b"GET / HT", get()], ids=["nothing", "half a head", "a whole request"])
def test_silence_closes_a_connection_unless_an_answer_is_due(data: bytes) -> None:
    async def scenario() -> None:
        wire = Wire()
        if data:
            wire.feed(data)
        await asyncio.sleep(KEEPALIVE_S * 4)
        assert wire.transport.closed is not bool(wire.taken)

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
