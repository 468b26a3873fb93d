"""A client connection by itself: what clients send to exhaust it or to hold it up, and bodies and answers in order."""

import asyncio
import gc

import pytest

from edge.common.counters import Counters
from edge.front.connection import HELD_MAX, PIPELINED_MAX, UNFINISHED_MAX, Connection
from edge.front.crowd import READ_BYTES, Crowd
from edge.front.heads import HEAD_MAX
from edge.front.request import BODY_WAITING_MAX
from edge.model.flow import ClientError
from tests.support.connections import KEEPALIVE_S, Wire, get, later, post, run


@pytest.mark.parametrize(
    ("start", "drip", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 1000, 431),
        (b"GET /", b"a" * 1000, 414),
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
        (slow,) = wire.taken
        wire.clerk.answer(slow)
        whole = wire.taken[-1]
        wire.clerk.answer(whole)
        broken = wire.taken[-1]
        assert wire.taken == [slow, whole, broken]
        assert whole.error is None
        assert whole.head_bytes > HEAD_MAX
        assert broken.error is not None
        assert broken.error.refusal.status == 431
        assert broken.headers == []
        wire.clerk.answer(broken)
        assert wire.transport.closed

    run(scenario)


@pytest.mark.parametrize("size", [HEAD_MAX, 8000, 1000, 30])
@pytest.mark.parametrize("bodies", [False, True])
def test_what_waits_behind_a_slow_answer_is_bounded_however_it_is_sent(size: int, bodies: bool) -> None:
    async def scenario() -> None:
        wire = Wire()
        one = post("Content-Length: 30000") + b"b" * 30_000 if bodies else head_of(size)
        stream, fed = one * (40 * READ_BYTES // len(one)), 0
        while wire.transport.reading:
            assert fed < len(stream)
            wire.feed(stream[fed : fed + READ_BYTES])
            fed += READ_BYTES
        requests, told = wire.requests(), wire.clerk.connections.held_bytes
        unread = fed - len(one) * (len(requests) - 1)  # of the last request there may be no more than the head
        assert unread <= len(one) + READ_BYTES
        assert len(requests) <= 1 + PIPELINED_MAX + 1, "the one that was taken, those that wait, one that arrives"
        assert sum(request.held_bytes for request in requests) <= HELD_MAX + 2 * HEAD_MAX + 2 * READ_BYTES
        assert 0 < told <= HELD_MAX + 2 * HEAD_MAX + 3 * READ_BYTES

    run(scenario)


def test_short_requests_in_one_read_wait_where_they_cost_little() -> None:
    async def scenario() -> None:
        wire = Wire()
        short = b"GET / HTTP/1.1\r\nHost:a\r\n\r\n"
        wire.feed(short * (READ_BYTES // len(short)))
        assert len(wire.requests()) == 1 + PIPELINED_MAX
        body = post("Transfer-Encoding: chunked") + b"1\r\nb\r\n0\r\n\r\n"
        wire = Wire()
        wire.feed(body + short * 800)
        assert len(wire.requests()) <= 1 + PIPELINED_MAX + (1 << 11) // len(short)

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
            if len(wire.taken) % 500 == 1:
                waiting = len(wire.requests()) - len(wire.taken)
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


@pytest.mark.parametrize("data", [b"", b"GET / HT", get(), get() + get()], ids=["nothing", "half", "one", "two"])
def test_a_connection_that_is_over_goes_without_a_collection_of_garbage(data: bytes) -> None:
    """Collections hold up everybody: 14 objects each, of 200 connections a second, were 10 ms every few seconds."""

    async def scenario() -> None:
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                wire = Wire()
                wire.feed(data)
                wire.connection.connection_lost(None)
                wire.clerk.taken.clear()
                wire.clerk.left.clear()
                del wire
            await asyncio.sleep(0)
            assert not [found for found in gc.get_objects() if type(found) is Connection]
        finally:
            gc.enable()

    run(scenario)


@pytest.mark.parametrize("data", [b"", b"GET / HT", get()], ids=["nothing", "half a head", "a whole request"])
def test_silence_closes_a_connection_unless_an_answer_is_due(data: bytes) -> None:
    async def scenario() -> None:
        wire = Wire()
        if data:
            wire.feed(data)
        await later(KEEPALIVE_S - 1)
        assert not wire.transport.closed
        await later(2)
        assert wire.transport.closed is not bool(wire.taken)

    run(scenario)
