"""One connection to a peer's listener: HTTP/1.1 as a client, one request at a time, bodies at the pace of who reads.

llhttp (through httptools) knows the grammar; here it is decided how much of an answer is held, and that a connection
whose other end said something unexpected is used no more. Who is at the other end was checked before the first request.
"""

import asyncio
from collections import deque
from typing import Final

import httptools

from edge.front.heads import HEAD_MAX
from edge.model.streams import wake
from vmimage.errors import PeerFailed

HELD_MAX: Final = 256 << 10  # bytes of an answer that nobody has taken, from which on the peer waits
UNSENT_MAX: Final = 64 << 10  # bytes of a request that the peer does not read, from which on its sender waits
SWITCHED: Final = 101
CONTINUE: Final = 100

Fields = list[tuple[bytes, bytes]]


class Link(asyncio.Protocol):
    """A connection. What fails raises PeerFailed; `silent` says whether any byte of an answer had come by then."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.lost = False
        self.status = 0
        self.fields: Fields = []
        self.wanted = False  # the peer has asked for the request's body, which waits for that
        self.complete = True  # all of the answer is here
        self.keep_alive = False
        self.silent = True  # nothing of the answer has come
        self._parser: httptools.HttpResponseParser | None = None
        self._bodiless = False
        self._headed = False
        self._parts: deque[bytes] = deque()
        self._held = self._head_bytes = 0
        self._rest = b""  # behind the head of a 101
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")  # uvloop's is one by its methods
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(high=UNSENT_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        wake(self._waiter)
        wake(self._writable)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        wake(writable)

    def data_received(self, data: bytes) -> None:
        """More of an answer."""
        if self._parser is None:
            self.close()  # nobody has asked for anything
            return
        self.silent = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switched:
            self._rest = data[switched.args[0] :]
            self.transport.pause_reading()
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self.close()
        if self._held > HELD_MAX and not self.lost:
            self.transport.pause_reading()
        wake(self._waiter)

    # From the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_MAX or self._headed:
            if self._headed:
                return  # a trailer
            raise ValueError("head too large")
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        self.status, self._headed = parser.get_status_code(), True
        if self.status == CONTINUE:
            self.wanted = True
            self.status, self._headed, self.fields = 0, False, []
            return
        if self.status < 200 and self.status != SWITCHED:
            raise ValueError("no interim answer was asked for")
        self.keep_alive = parser.should_keep_alive()
        if self._bodiless:
            self._end()

    def on_body(self, data: bytes) -> None:
        if self.complete:
            raise ValueError("no body was expected")
        self._parts.append(data)
        self._held += len(data)

    def on_message_complete(self) -> None:
        if self._headed and not self.complete:
            self._end()

    def _end(self) -> None:
        self.complete, self._parser = True, None if self.status != SWITCHED else self._parser

    # For those who ask.

    def begin(self, data: bytes, *, bodiless: bool) -> None:
        """Send a request, or its head with what is here of its body. :param bodiless: its answer has no body (HEAD)."""
        self.status, self.fields, self.complete, self.silent, self.wanted = 0, [], False, True, False
        self._parser, self._bodiless, self._headed = httptools.HttpResponseParser(self), bodiless, False
        self._head_bytes = 0
        self.transport.write(data)

    async def send(self, data: bytes) -> None:
        """Send more of a request's body, as fast as the peer reads. A no-op once the connection is lost."""
        if not self.lost:
            self.transport.write(data)
            if self._writable is not None:
                await self._writable

    async def head(self) -> None:
        """Wait for the head of the answer: `status` and `fields`.

        :raises PeerFailed: there will be none.
        """
        while not self._headed:
            await self._wait()

    async def asked_on(self) -> bool:
        """Wait until the peer asks for the body of a request, or answers without; whether it asks.

        :raises PeerFailed: neither will be.
        """
        while not (self.wanted or self._headed):
            await self._wait()
        return self.wanted

    async def part(self) -> bytes | None:
        """The next bytes of the answer's body; None after the last. :raises PeerFailed: it broke off."""
        while not self._parts:
            if self.complete:
                return None
            await self._wait()
        data = self._parts.popleft()
        self._held -= len(data)
        if self._held <= HELD_MAX // 2 and not self.lost:
            self.transport.resume_reading()
        return data

    async def _wait(self) -> None:
        if self.lost:
            raise PeerFailed("the connection to the peer broke off")
        if self._waiter is None or self._waiter.done():
            self._waiter = self._loop.create_future()
        await asyncio.shield(self._waiter)  # two may wait: who sends the body, and who reads the answer

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self.complete and self.keep_alive and not (self.lost or self._parts) and self.status != SWITCHED

    def switch(self, protocol: asyncio.Protocol) -> bytes:
        """After a 101: leave the connection to another protocol; the bytes that came behind the head."""
        self.transport.set_protocol(protocol)
        rest, self._rest = self._rest, b""
        return rest

    def close(self) -> None:
        """Use it no more."""
        self.lost = True
        self.transport.abort()
        wake(self._waiter)
        wake(self._writable)
