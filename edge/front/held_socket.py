"""One WebSocket of a client, held for its service's machine, which may be parked meanwhile. wsproto knows the frames.

What comes from the client goes to the guest as requests, one at a time: while one is under way no more is read, so a
client is as fast as its guest, and what is held for it is one message and one read. What the guest sends leaves at
once, within a window of what the client has not taken. Pings, close frames and time are this file's business; whether a
service's sockets end with its machine is the supervisor's, see `end`.
"""

import asyncio
from codecs import getincrementaldecoder
from typing import Final, NamedTuple, Protocol

from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.front.crowd import Client, Crowd
from edge.model import sockets
from edge.model.services import Service
from edge.model.sockets import Times
from edge.model.streams import Stream
from edge.supervisor.supervisor import Supervisor
from edge.vmm.wire.streams import Answer, Piece
from vmimage import abi
from vmimage.errors import NunatakError
from vmimage.sockets import close_of

WRITE_WAITING_MAX: Final = 1 << 14  # bytes that a client has not read, from which on its guest waits

_UNDER_WAY: Final = ("waiting", "asked", "answering")
_Text: Final = getincrementaldecoder("utf-8")


class Holder(Protocol):
    """Who holds all sockets of an edge."""

    run: str
    message_max: int
    patience: sockets.Patience
    supervisor: Supervisor
    connections: Crowd[Client]
    counters: Counters
    tasks: Tasks

    def forget(self, socket: "HeldSocket") -> None:
        """Both sides of it are done."""


class _End(NamedTuple):
    """How it ended, for the guest to know."""

    code: int
    reason: str
    kind: sockets.Event = "close"  # or error, which a close follows
    clean: bool = False


class HeldSocket(asyncio.BufferedProtocol):
    """A connection that was a client's and is a socket now."""

    def __init__(self, holder: Holder, frames: Frames, service: Service, number: int, remote: str) -> None:
        self.number, self.service, self.remote = number, service, remote
        self._holder, self._frames = holder, frames
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._times = Times(heard=now, pinged=None, message=now)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []  # of the message that is arriving
        self._size = self._telling = 0  # bytes of messages that are here, and of the one that the guest is told of
        self._counted = 0  # bytes that all connections know this one to hold
        self._stream: Stream | None = None  # the event that the guest is told of
        self._sent = self._taken = self._told = 0  # bytes from the guest, of which the client took, and it knows
        self._text = _Text()
        self._end: _End | None = None
        self._silent = False  # the guest is told of nothing any more
        self._lost = self._unread = False  # the client is gone; it does not read
        self._reading, self._ahead = True, False  # what came last was not looked at

    # From the transport.

    def begin(self, transport: asyncio.Transport) -> None:
        """The connection is this one's from now on."""
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_WAITING_MAX)
        self._timer = self._loop.call_later(self._holder.patience.ping_s, self._look)
        if self._holder.connections.add(self):
            transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._holder.connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._times = self._times._replace(heard=self._loop.time(), pinged=None)  # perhaps in one tick of the clock
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self._frames.receive_data(bytes(self._holder.connections.buffer[:nbytes]))
        self._ahead = self._stream is not None
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._timer.cancel()
        self._holder.connections.discard(self)
        self._end = self._end or _End(sockets.LOST, "")
        self._go_on()

    def pause_writing(self) -> None:
        self._unread = True
        if self._transport is not None:
            self._holder.connections.stopped_reading(self, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._unread, self._taken = False, self._sent
        self._holder.connections.resumed_reading(self)
        self._go_on()

    # From the client to the guest.

    def _go_on(self) -> None:
        """Pass on what has come, one thing at a time, and at last the end."""
        while (self._stream is None or self._silent) and not self._unread:
            event = next(self._frames.events(), None)
            if event is None:
                self._ahead = False
                break
            self._take(event)
        if self._stream is None and not self._silent:
            if self._end is not None:
                self._say_end(self._end)
            elif self._taken - self._told >= sockets.WINDOW // 2:
                self._tell("taken")
        self._account()
        if self._silent and self._lost and self._stream is None:
            self._holder.forget(self)

    def _take(self, event: Event) -> None:
        match event:
            case TextMessage() | BytesMessage():
                self._take_part(event)
            case Ping():
                self._write(event.response())
            case CloseConnection(code, reason):
                self._closed(event, int(code), reason or "")
            case Pong():
                pass

    def _take_part(self, event: TextMessage | BytesMessage) -> None:
        if self._end is not None or self._times.closing is not None:
            return  # after a close frame nothing counts
        part = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._holder.message_max:
            self._fail(sockets.TOO_LARGE, f"a message of at most {self._holder.message_max} bytes expected")
            return
        now = self._loop.time()
        if not event.message_finished:
            if self._times.begun is None:
                self._times = self._times._replace(begun=now)
                self._look_again()
            return
        message, self._parts = b"".join(self._parts), []
        self._times = self._times._replace(begun=None, message=now)
        self._holder.counters.add(self._holder.counters.socket_messages, "from_client")
        self._telling = self._size
        self._tell("text" if isinstance(event, TextMessage) else "binary", message)

    def _closed(self, event: CloseConnection, code: int, reason: str) -> None:
        """The client's close frame, or what is no frame at all."""
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self._fail(code, reason)  # and nothing after it can be read
        elif self._frames.state is ConnectionState.REMOTE_CLOSING:
            self._write(event.response())
        self._end = self._end or _End(code, reason, clean=True)
        if self._transport is not None:
            self._transport.close()

    def _tell(self, kind: sockets.Event, body: bytes = b"", *, code: int = 0, clean: bool = False) -> None:
        """Tell the guest of something, which wakes its machine if that is parked."""
        self._told, service = self._taken, self.service
        about = self.number, self._holder.run, service.lineage, self._taken
        block = sockets.event(kind, *about, code=code, clean=clean)
        whole = len(block) + len(body) <= abi.RECORD_PAYLOAD_MAX
        stream = Stream(service, sockets.METHOD, block + body if whole else block, whole, self._loop.time())
        stream.taker = self._on_answer
        self._stream = stream
        try:
            self._holder.supervisor.submit(stream)
        except NunatakError as error:
            self._stream = None
            self._untold(error)
            return
        if not whole:
            self._holder.tasks.spawn("socket_message", stream.send_body(body, end=True))

    def _on_answer(self, said: Answer | BaseException) -> None:
        """The guest is done with it, or could not be told."""
        stream, self._stream = self._stream, None
        self._told_whole()
        if stream is not None and stream.state in _UNDER_WAY:  # the guest would say more: nobody asked it
            self._holder.supervisor.abandon(stream)
        if isinstance(said, BaseException):
            self._untold(said)
        elif said.payload[:8] != b"Status\x002":
            self._untold(NunatakError("the guest could not take a message"))
        self._go_on()

    def _told_whole(self) -> None:
        self._size, self._telling = self._size - self._telling, 0

    def _untold(self, error: BaseException) -> None:
        self._told_whole()
        if self._end is None:
            self._fail(sockets.code_after(error), "")

    def _say_end(self, end: _End) -> None:
        self._silent = True
        self._holder.counters.add(self._holder.counters.sockets_ended, sockets.label_of(end.code))
        self._tell(end.kind, end.reason.encode(), code=end.code, clean=end.clean)

    def _fail(self, code: int, reason: str) -> None:
        """It cannot go on: the client is told why, and then the guest."""
        self._end = self._end or _End(code, reason, "error")
        self._size, self._parts = self._telling, []
        self._close(code, "")

    # From the guest to the client.

    def on_piece(self, piece: Piece) -> None:
        """The guest sends something; a no-op when either side has closed."""
        if self._end is not None or self._silent or self._times.closing is not None:
            return
        kind, data = piece.payload[0], piece.payload[1:]
        if kind == abi.SOCKET_CLOSE:
            code, reason = close_of(piece.payload)
            self._close(code or sockets.NO_CODE, reason)
            return
        self._sent += len(data)
        try:
            if self._sent - self._taken > sockets.WINDOW:
                raise LocalProtocolError(f"at most {sockets.WINDOW} bytes that its client has not taken expected")
            text = self._text.decode(data, piece.end) if kind == abi.SOCKET_TEXT else None
            whole = piece.end
            self._write(
                BytesMessage(data, message_finished=whole)
                if text is None
                else TextMessage(text, message_finished=whole)
            )
        except (LocalProtocolError, TypeError, UnicodeDecodeError) as error:
            self._fail(sockets.INTERNAL_ERROR, f"its guest broke the rules: {error}")
            self._go_on()
            return
        if piece.end:
            self._times = self._times._replace(message=self._loop.time())
            self._holder.counters.add(self._holder.counters.socket_messages, "to_client")
        if not self._unread:
            self._taken = self._sent
            self._go_on()

    def broken(self) -> None:
        """The guest sent what is not to be passed on."""
        self._fail(sockets.INTERNAL_ERROR, "its guest broke the rules: more than its window, before it had answered")
        self._go_on()

    def end(self, code: int) -> None:
        """The machine that knows it is no more: close it, and say nothing of that to a guest."""
        if self._silent:
            return
        self._silent = True
        self._holder.counters.add(self._holder.counters.sockets_ended, sockets.label_of(code))
        self._close(code, "")
        self._loop.call_soon(self._let_go)

    def _let_go(self) -> None:
        """In a turn of its own: what ended the socket is being carried out."""
        stream, self._stream = self._stream, None
        if stream is not None and stream.state in _UNDER_WAY:
            self._holder.supervisor.abandon(stream)
        self._go_on()

    def _close(self, code: int, reason: str) -> None:
        """Send a close frame, once, and give the client a moment to answer it."""
        if self._times.closing is None:
            self._times = self._times._replace(closing=self._loop.time())
            self._write(CloseConnection(code, reason))
            self._look_again()

    def _write(self, event: Event) -> None:
        if self._transport is not None and not self._lost:
            try:
                data = self._frames.send(event)
            except LocalProtocolError:
                if isinstance(event, Message):
                    raise
                return  # a close frame has gone before
            self._transport.write(data)

    # Time and flow.

    def _look_again(self) -> None:
        self._timer.cancel()
        self._look()

    def _look(self) -> None:
        if self._lost or self._transport is None:
            return
        if not (self._reading or self._unread):  # it is its guest that is waited for
            self._times = self._times._replace(heard=self._loop.time(), pinged=None)  # perhaps in one tick of the clock
        act, look_s = sockets.due(self._times, self._holder.patience, self._loop.time())
        match act:
            case "ping":
                self._times = self._times._replace(pinged=self._loop.time())
                self._write(Ping())
            case "idle":
                self._end = _End(sockets.GOING_AWAY, "idle", clean=True)
                self._close(sockets.GOING_AWAY, "idle")
                self._go_on()
                return
            case "slow":
                self._fail(sockets.POLICY, "a message that is complete in time expected")
                self._go_on()
                return
            case "silent" | "unclosed":
                self._transport.abort()
                return
            case "nothing":
                pass
        self._account()
        self._timer = self._loop.call_later(look_s, self._look)

    def _account(self) -> None:
        """Say what is held for the client, and read on or not."""
        crowd, held = self._holder.connections, 0 if self._lost else self._size
        if held != self._counted:
            crowd.hold(held - self._counted)
            self._counted = held
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        waits = (self._ahead and self._stream is not None) or self._unread or (crowd.full and held >= crowd.share_bytes)
        if self._reading is waits:
            self._reading = not waits
            if waits:
                transport.pause_reading()
            else:
                transport.resume_reading()

    # For those who count connections.

    @property
    def idle_since(self) -> float | None:
        """Loop time of the last message."""
        return self._times.message

    def close(self) -> None:
        """The edge ends."""
        self.end(sockets.SERVICE_RESTART)

    def abort(self) -> None:
        """It has to make room, or reads too slowly."""
        if self._transport is not None:
            self._transport.abort()
