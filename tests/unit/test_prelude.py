"""A connection before its PROXY header is here: from whom one is taken, how long, how much, and what follows it."""

import pytest

from edge.common.counters import Counters
from edge.config.proxies import networks
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.prelude import HEADER_S, Prelude, Refused
from edge.front.reached import Reached
from edge.front.senders import Senders
from tests.support.connections import KEEPALIVE_S, Clerk, Transport, get, later, run

PROXY = "192.0.2.1"  # whom the transport has at its other end
HEADER = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 80\r\n"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


class Wire(Transport):
    """A connection on a listener that expects the PROXY protocol, and who takes it."""

    def __init__(self, crowd: Crowd[Connection] | None = None, *, trusted: bool = True) -> None:
        super().__init__()
        self.clerk = Clerk()
        self.connections = self.clerk.connections = self.clerk.connections if crowd is None else crowd
        self.refused: list[tuple[Refused, str]] = []
        self.protocol: Prelude | Connection = Prelude(self, 8080)
        self._trusted = trusted
        self.protocol.connection_made(self)  # type: ignore[arg-type]

    # As who takes connections.

    def connection(self, reached: Reached) -> Connection:
        return Connection(self.clerk, KEEPALIVE_S, reached)

    def trusts(self, peer: str) -> bool:
        return self._trusted and peer == PROXY

    def header_refused(self, why: Refused, peer: str) -> None:
        self.refused.append((why, peer))

    # As a transport.

    def set_protocol(self, protocol: Connection) -> None:
        self.protocol = protocol

    def feed(self, data: bytes) -> None:
        self.connections.buffer[: len(data)] = data
        self.protocol.buffer_updated(len(data))

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Of each request from whom it is, and its target."""
        return [(request.remote, request.target) for request in self.clerk.taken]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_behind_its_header_it_is_an_ordinary_connection_of_the_client(step: int) -> None:
    async def scenario() -> None:
        wire, data = Wire(), HEADER + get("/a")
        for at in range(0, len(data), step):
            wire.feed(data[at : at + step])
        assert wire.asked == [("203.0.113.9", "/a")]
        assert isinstance(wire.protocol, Connection)
        assert wire.protocol.reached == Reached(8080, "203.0.113.9")
        assert list(wire.connections) == [wire.protocol]
        assert wire.connections.of_party("203.0.113.9") == 1
        await later(HEADER_S + 1)
        assert not wire.closed
        wire.clerk.answer(wire.clerk.taken[0])
        wire.feed(get("/b"))
        assert wire.asked[1] == ("203.0.113.9", "/b")

    run(scenario)


def test_of_a_client_that_nobody_names_the_proxy_is_all_that_is_known() -> None:
    async def scenario() -> None:
        for header, reached in (
            (LOCAL, Reached(8080)),
            (b"PROXY UNKNOWN\r\n", Reached(8080, unknown=True)),
        ):
            wire = Wire()
            wire.feed(header + get("/a"))
            assert wire.asked == [(PROXY, "/a")]
            assert isinstance(wire.protocol, Connection)
            assert wire.protocol.reached == reached

    run(scenario)


def test_nobody_speaks_for_a_client_that_its_proxy_does_not_name() -> None:
    """What is behind such a header is not the proxy's own word, though it comes from there."""
    senders = Senders(networks(PROXY))
    forged = [(b"X-Forwarded-For", b"198.51.100.1"), (b"X-Forwarded-Proto", b"https")]
    assert senders.of(PROXY, forged).address == b"198.51.100.1"
    told = senders.of(PROXY, forged, Reached(unknown=True))
    assert told.address == PROXY.encode()
    assert b"198.51.100.1" not in told.variables
    assert senders.seen(PROXY, forged, Reached(unknown=True)) == ()


@pytest.mark.parametrize("data", [get("/a"), b"\x16\x03\x01", b"PROXY TCP9 \r\n", b"PROXY UNKNOWN " + b"x" * 200])
def test_what_does_not_begin_with_a_header_ends_without_a_word(data: bytes) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(data)
        assert wire.aborted
        assert [why for why, _ in wire.refused] == ["too_long" if len(data) > 107 else "malformed"]
        assert (wire.written, wire.asked, len(wire.connections)) == (b"", [], 0)
        wire.feed(HEADER + get("/late"))
        assert wire.asked == [], "it is over"

    run(scenario)


def test_only_a_trusted_proxy_may_begin() -> None:
    async def scenario() -> None:
        wire = Wire(trusted=False)
        assert wire.aborted
        assert wire.refused == [("untrusted", PROXY)]
        assert len(wire.connections) == 0
        wire.feed(HEADER + get("/a"))
        assert wire.asked == []

    run(scenario)


def test_a_header_that_comes_byte_by_byte_has_its_time() -> None:
    async def scenario() -> None:
        wire = Wire()
        for at in range(len(HEADER) - 1):
            wire.feed(HEADER[at : at + 1])
            await later(HEADER_S / len(HEADER))
        assert not wire.closed
        await later(1)
        assert wire.aborted
        assert wire.refused == [("late", PROXY)]
        assert len(wire.connections) == 0

    run(scenario)


def test_one_header_is_all_there_is() -> None:
    """A second one is what a client sent through a proxy that adds its own: no HTTP."""

    async def scenario() -> None:
        for second in (HEADER, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", LOCAL):
            wire = Wire()
            wire.feed(HEADER + second + get("/a"))
            (request,) = wire.clerk.taken
            assert request.error is not None
            assert request.error.refusal.status == 400
            assert request.remote == "203.0.113.9"

    run(scenario)


def test_where_no_header_is_expected_it_is_no_request() -> None:
    async def scenario() -> None:
        for header in (HEADER, LOCAL):
            clerk, transport = Clerk(), Transport()
            connection = Connection(clerk, KEEPALIVE_S)
            connection.connection_made(transport)  # type: ignore[arg-type]
            connection.data_received(header + get("/a"))
            (request,) = clerk.taken
            assert request.error is not None
            assert (request.error.refusal.status, request.remote) == (400, PROXY)

    run(scenario)


def test_those_that_have_not_begun_count_among_all_and_make_room_first() -> None:
    async def scenario() -> None:
        crowd: Crowd[Connection] = Crowd(4, 1 << 20, Counters(), each=4)
        waiting = [Wire(crowd) for _ in range(3)]
        busy = Wire(crowd)
        busy.feed(HEADER + get("/slow"))
        await later(1)
        late = Wire(crowd)
        assert [each.aborted for each in waiting] == [True, False, False]
        assert not busy.aborted
        assert not late.aborted
        assert len(crowd) == 4
        waiting[1].protocol.connection_lost(None)
        assert len(crowd) == 3
        assert waiting[0].refused == waiting[1].refused == []

    run(scenario)
