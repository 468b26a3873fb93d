"""One client connection: bytes become requests, which are answered one at a time, in their order.

llhttp (through httptools) knows the grammar of RFC 9112. What is decided here is how much a client may send before it
is read on, how long it may take, and what becomes of the connection after an answer. Bytes are read in small portions,
so what is held for a client stays near the bounds below; what all connections hold together is `crowd`'s business.
"""

import asyncio
import socket
from collections import deque
from typing import Any, Final, Protocol

import httptools
from mypy_extensions import mypyc_attr

from edge.front import heads, offers
from edge.front.crowd import HELD_EACH_MIN, READ_BYTES, Crowd
from edge.front.heads import HEAD_MAX, LINE_MAX
from edge.front.reached import DIRECTLY, Reached, plain_address
from edge.front.request import Request
from edge.model.flow import ClientError
from edge.model.streams import wake

# Bytes without a whole head, or between two parts of a body: the parser holds them. A head with all that it may have
# besides, four bytes a field, is well below.
UNFINISHED_MAX: Final = 2 * HEAD_MAX
WRITE_WAITING_MAX: Final = 1 << 14  # bytes for a client that does not read, from which on we wait for it and count
PIPELINED_MAX: Final = 8  # requests that wait for the one before them, from which on the client waits
HELD_MAX: Final = 1 << 16  # bytes of requests that wait, from which on the client waits: some 40 ordinary heads
FIELD_BYTES: Final = 160  # what a field takes beside its bytes: a tuple and two objects, by sys.getsizeof
FEED_BYTES: Final = READ_BYTES  # parsed at a time
CHUNKS_BYTES: Final = 1 << 11  # of a body whose end nobody knows: requests that follow it are then few
SHORTEST_HEAD: Final = len(b"GET / HTTP/1.1\r\n\r\n")
SPENT: Final = httptools.HttpRequestParser(None)
LINGER_S: Final = 2.0  # to swallow a body nobody reads, so that the client can read our answer


class Handler(Protocol):
    """Who answers requests."""

    connections: Crowd[Any]  # of connections, and of what they were handed over to

    def take(self, request: Request) -> None:
        """Begin with a request, whose head is here. `Connection.finished` is called when it has been answered."""

    def gone(self, request: Request) -> None:
        """The client left before that; `finished` need not be called."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(asyncio.BufferedProtocol):
    """One client connection.

    :param keepalive_s: a connection without a request, or one whose head does not come, is closed after that.
    """

    def __init__(self, handler: Handler, keepalive_s: float, reached: Reached = DIRECTLY) -> None:
        self.remote, self.reached, self.lost = "", reached, False
        self._handler, self._keepalive_s = handler, keepalive_s
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._parsed: Request | None = None  # the head or body of this one is arriving
        # What the head that is arriving began with, its first line at least; empty where chunks were before it.
        self._start = b""
        self._in_head = False
        self._offered = False  # another protocol, by that head
        self._unfinished_bytes = 0
        self._refused: ClientError | None = None  # by a callback of the parser
        self._head_left = HEAD_MAX  # bytes that the head which is arriving may still have
        self._body_left = 0  # bytes of the body that is arriving, where that is known
        self._counted = 0  # bytes that all connections know this one to hold
        self._input_ignored = False  # what still comes is not looked at
        self._unparsed = b""
        self._waiting: deque[Request] = deque()
        self._current: Request | None = None
        self._lingering: Request | None = None  # answered, and its body not yet complete
        self._starting = self._closed = False
        self._reading = True
        self._writable: asyncio.Future[None] | None = None  # while the client does not read
        self._since = self._loop.time()  # nothing was asked

    # From the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_WAITING_MAX)
        peer, connected = transport.get_extra_info("peername"), transport.get_extra_info("socket")
        self.remote = self.reached.client or (plain_address(peer[0]) if isinstance(peer, tuple) else "")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._timer = self._loop.call_later(self._keepalive_s, self._close_if_idle)
        self._input_ignored = not self._handler.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self._input_ignored = True
        self._parser = SPENT  # its own holds this: a circle that would wait for the collector of garbage, and so do
        self._parsed = self._lingering = None
        self._timer.cancel()
        self._handler.connections.discard(self)
        self._handler.connections.hold(-self._counted)
        self._counted = 0
        self._waiting.clear()
        wake(self._writable)
        request, self._current = self._current, None
        if request is not None:
            self._handler.gone(request)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._handler.connections.stopped_reading(self, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        self._handler.connections.resumed_reading(self)
        wake(writable)
        self._next()
        self.read_on()

    def get_buffer(self, sizehint: int) -> memoryview:
        crowd = self._handler.connections
        return crowd.buffer[:HELD_EACH_MIN] if crowd.full else crowd.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._handler.connections.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._input_ignored:
            return
        if self._unparsed:
            self._unparsed += data
            return
        self._feed(data)
        self._next()
        current = self._current
        if self._waiting or self._parsed is not None or self._unparsed or (current is not None and current.holds_body):
            self.read_on()

    def _feed(self, data: bytes) -> None:
        start, size = 0, len(data)
        while start < size:
            if self._input_ignored:
                return
            if (self._waiting or self._parsed is not None) and self._holds_much():
                self._unparsed = data[start:]
                return
            end = self._end_of_piece(data, start)
            piece = data if end - start == size else data[start:end]
            if self._parsed is None:
                self._start = piece
            elif self._in_head and self._start and b"\n" not in self._start.lstrip(b"\r\n"):
                self._start += piece
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as offer:
                self._after_offer()
                end = start + offer.args[0]
            except httptools.HttpParserCallbackError:
                if self._refused is None:
                    raise  # a defect of ours
                self._break()
            except httptools.HttpParserError:
                self._break()
            else:
                if self._parsed is not None:
                    self._unfinished_bytes += len(piece)
                    if self._unfinished_bytes > UNFINISHED_MAX:
                        self._break()
            start = end

    def _end_of_piece(self, data: bytes, start: int) -> int:
        """Where to stop before the parser goes on, so that no more than one request begins in a piece, or few."""
        most = FEED_BYTES
        if self._parsed is None or self._in_head:
            end = data.find(b"\r\n\r\n", start + SHORTEST_HEAD - 4)
            if end >= 0:
                most = min(most, end + 4 - start)
        elif self._parsed.chunked:
            most = CHUNKS_BYTES
        else:
            most = min(most, max(1, self._body_left))
        return min(len(data), start + most)

    # From the parser.

    def on_message_begin(self) -> None:
        self._parsed, self._in_head, self._unfinished_bytes, self._target = Request(self), True, 0, b""
        self._head_left, self._since = HEAD_MAX, self._loop.time()

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > LINE_MAX:
            self._refuse(heads.target_too_long())
        self._head_left -= len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._parsed
        assert request is not None
        if not self._in_head:
            return  # a trailer: it may not add to a head that was judged already
        value = value.rstrip(b" \t")
        request.headers.append((name, value))
        size = len(name)
        line, count = size + len(value), len(request.headers)
        self._head_left -= line
        if line > LINE_MAX or count > heads.HEADERS_MAX or self._head_left < 0:
            self._refuse(heads.field_problem(line, count, self._head_left))
        if size in heads.LOOKED_AT_SIZES:
            self._refuse(heads.look_at(request, name.lower(), value))

    def on_headers_complete(self) -> None:
        request, parser = self._parsed, self._parser
        assert request is not None
        self._in_head = False
        method, version = parser.get_method().decode(), parser.get_http_version()
        self._refuse(heads.complete(request, method, self._target, version, self._start))
        request.keep_alive = parser.should_keep_alive() and method != "CONNECT"
        self._offered = parser.should_upgrade()
        if not self._offered:
            request.upgrade = b""  # no option of Connection says that it is for us
        self._body_left = request.content_length or 0
        request.head_bytes = HEAD_MAX - self._head_left + len(request.headers) * FIELD_BYTES
        self._waiting.append(request)

    def on_body(self, data: bytes) -> None:
        assert self._parsed is not None
        self._unfinished_bytes = 0
        self._body_left -= len(data)
        self._parsed.arrive(data)

    def on_message_complete(self) -> None:
        request = self._parsed
        assert request is not None
        if self._offered and request.has_body:
            return  # of the body the parser knows nothing: `_after_offer` goes on
        self._parsed, self._start = None, b""
        request.end()
        if request is self._lingering:
            self._lingering = None
            self._after(request)

    def _after_offer(self) -> None:
        """The head of a request that offers another protocol is over; the request goes on in this one."""
        request, self._offered = self._waiting[-1], False
        if request.method != "CONNECT" and (request.has_body or request.keep_alive):
            self._parser = offers.parser_behind(request, self)
        else:  # nothing follows, or what is for whom CONNECT would have led to (RFC 9110 section 9.3.6)
            self._input_ignored = True

    def _refuse(self, problem: ClientError | None) -> None:
        if problem is not None:
            self._refused = problem
            raise problem  # leaves the parser

    def _break(self) -> None:
        """What comes is not HTTP: that is answered when its turn has come, and nothing is read any more."""
        self._input_ignored = True
        request, self._parsed = self._parsed, None
        if request is not None and not self._in_head and self._refused is None:  # a body
            request.keep_alive = False
            request.end(ClientError("bad_body"))
            if request is self._lingering:
                self.close()
            return
        broken = Request(self)  # of what has arrived of it nothing is kept
        too_large = self._in_head and self._unfinished_bytes > UNFINISHED_MAX
        broken.error = self._refused or (heads.head_too_large() if too_large else heads.unparsed(self._start))
        if self._start.lstrip(b"\r\n").startswith(b"HEAD "):
            broken.method = "HEAD"  # whose answer has no body
        self._waiting.append(broken)

    # One request after the other.

    def _next(self) -> None:
        """Begin with the next request, if it is its turn and the client reads."""
        if self._starting:
            return
        self._starting = True
        while self._waiting and not (self._current or self._lingering or self._writable or self._closed):
            self._current = self._waiting.popleft()
            self._handler.take(self._current)
        self._starting = False

    def finished(self, request: Request) -> None:
        """A request has been answered; `keep_alive` says whether there may be another."""
        if self.lost:
            return
        self._current, self._since = None, self._loop.time()
        if request.complete or request.error is not None:
            self._after(request)
        else:
            request.forget_body()
            self._lingering = request
            self._loop.call_later(LINGER_S, self._stop_lingering, request)
            self.read_on()

    def _after(self, request: Request) -> None:
        if request.keep_alive:
            self._next()
            if not self._reading or self._counted:
                self.read_on()
        else:
            self.close()

    def _stop_lingering(self, request: Request) -> None:
        if self._lingering is request:
            self.close()

    def _close_if_idle(self) -> None:
        """Close a connection that nothing is asked of."""
        left = self._keepalive_s
        if self._current is None and self._lingering is None:
            left -= self._loop.time() - self._since
            if left <= 0:
                self.close() if self._writable is None else self.abort()
                return
        self._timer = self._loop.call_later(left, self._close_if_idle)

    @property
    def idle_since(self) -> float | None:
        """Loop time since when nothing is asked; None while there is something to do."""
        return self._since if self._current is None and self._lingering is None else None

    # For those who answer.

    def write(self, request: Request, data: bytes) -> None:
        """Send bytes of an answer; a no-op when the client is gone."""
        if not self.lost:
            self._transport.write(data)
            request.sent += len(data)

    async def drained(self) -> None:
        """Wait until the client has read most of what was written.

        :raises ConnectionError: it is gone.
        """
        if self._writable is not None:
            await self._writable
        if self.lost:
            raise ConnectionError("the client is gone")

    def close(self) -> None:
        """Close when all that was written is sent."""
        self._input_ignored = self._closed = True
        self._unparsed = b""
        self._transport.close()

    def abort(self) -> None:
        """Close at once: what was sent is then visibly not whole."""
        self._transport.abort()

    def hand_over(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Leave the connection to another protocol, which hears of its end in this one's place.

        Where something came behind the offer it ends at once: it was read as HTTP, and a client had to wait.
        """
        early = bool(self._waiting or self._unparsed or self._parsed is not None)
        self._current = None
        self._transport.set_protocol(protocol)
        self.connection_lost(None)
        if early:
            self._transport.abort()
        return self._transport

    # Flow control.

    def _held_bytes(self) -> int:
        """Of requests that wait, and of the one that is arriving or whose body waits; without what is not yet fed."""
        held = sum(request.held_bytes for request in self._waiting)
        if self._parsed is not None and self._in_head:
            held += len(self._parsed.headers) * FIELD_BYTES + self._unfinished_bytes
        current = self._current
        return held + current.held_bytes if current is not None and current.holds_body else held

    def _holds_much(self) -> bool:
        parsed, waiting = self._parsed, len(self._waiting)
        if parsed is None and not waiting:
            return False
        if waiting >= PIPELINED_MAX or (parsed is not None and parsed.holds_much):
            return True
        held, crowd = self._held_bytes(), self._handler.connections
        return (waiting > 0 and held >= HELD_MAX) or (crowd.full and held >= crowd.share_bytes)

    def read_on(self) -> None:
        """Read from the client, or let it wait, by what is held of it."""
        while self._unparsed and not self._holds_much() and not self._input_ignored:
            data, self._unparsed = self._unparsed, b""
            self._feed(data)
            self._next()
        held = self._held_bytes() + len(self._unparsed)
        if held != self._counted and not self.lost:
            self._handler.connections.hold(held - self._counted)
            self._counted = held
        reads = not (self._unparsed or self._holds_much())
        if reads is not self._reading and not self._transport.is_closing():
            self._reading = reads
            (self._transport.resume_reading if reads else self._transport.pause_reading)()
