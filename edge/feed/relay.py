"""Events on their way to whoever follows a feed, by SSE: the same at an origin and at a parent.

    GET /feed?after=SEQ       the events after that number, then each that comes; without `after` those that come
    GET /feed/log?after=SEQ   the events after that number that are there, a line each, at most READ_MAX

Numbers and signatures pass as they are. What one who follows can cost is bounded: how many there are, and what waits
for each; who reads too slowly is dropped, comes again, and finds what it has missed by its number. A client address has
a share of the places, and of the bytes that are sent of older events. A frame goes to all in one turn of the loop: one
write each, no task, no queue.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11

from edge.common.fair_room import FairRoom, party_of
from edge.feed.sending import Sending, busy, write
from vmimage import sse
from vmimage.terms import COUNT_MAX

CLIENTS_MAX: Final = 4096  # who follow at once; of one address, which may be a proxy's, up to three quarters of them
WAITING_MAX: Final = 256 << 10  # bytes that wait for one of them
ALIVE_S: Final = 5.0  # between two signs of life
SPREAD_MS: Final = 6000  # over which those whose stream broke are to come again
READ_MAX: Final = 500  # events of one answer of the log
SEQ_HEADER: Final = "Nunatak-Feed"  # the number of the last event there is

Numbered = tuple[int, bytes]  # an event as it is sent
Read = Callable[[int], Awaitable[Sequence[Numbered]]]


class Relay:
    """All who follow one feed here."""

    def __init__(self, read: Read, clients_max: int = CLIENTS_MAX) -> None:
        """:param read: the events after a number that are there, oldest first, at most READ_MAX."""
        self._read, self._places, self._sending = read, FairRoom(clients_max), Sending()
        self._clients: set[_Client] = set()
        self._entering = 0  # who are being given what they have missed
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self.last = 0  # number of the last event
        self.dropped = 0  # who read too slowly

    def __len__(self) -> int:
        return len(self._clients) + self._entering

    def routes(self) -> list[web.RouteDef]:
        """For an application."""
        return [web.get("/feed", self.follow, allow_head=False), web.get("/feed/log", self.log)]

    def announce(self, number: int, data: bytes) -> None:
        """Send an event to all, after it is where `read` finds it. One that is not newer than the last is known."""
        if number > self.last:
            self.pass_on(number, data)

    def pass_on(self, number: int, data: bytes) -> None:
        """Send an event to all, whatever its number: of a source that may have begun anew."""
        self.last = number
        self._send(sse.frame(number, data))

    def close(self) -> None:
        """Send all away, and take nobody any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for client in list(self._clients):
            client.end()

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Give one who follows what it has missed, and then what comes, until it leaves or reads too slowly."""
        after = _number(request.query.get("after") or request.headers.get("Last-Event-ID"), -1)
        party = party_of(request.remote or "")
        if self._closed or not self._places.take(party):
            return busy()
        try:
            return await self._follow(request, after)
        finally:
            self._places.give(party)

    async def _follow(self, request: web.Request, after: int) -> web.StreamResponse:
        headers = {"Content-Type": sse.TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        self._entering += 1
        try:
            await response.prepare(request)
            await response.write(sse.retry(SPREAD_MS))
            if after >= 0:
                await self._catch_up(request, response, after)
            client = _Client(request, response.chunked)
            self._clients.add(client)
        except ConnectionError:
            return response
        finally:
            self._entering -= 1
        self._keep_alive()
        try:
            await client.ended.wait()
        finally:
            self._clients.discard(client)
        return response

    async def _catch_up(self, request: web.Request, response: web.StreamResponse, after: int) -> None:
        """What comes meanwhile is in the log before it is announced, so a last look behind it misses nothing.

        :raises ConnectionError: the client is gone, takes it too slowly, or there is no room for it.
        """
        empty = 0
        while empty < 2:
            events = await self._read(after)
            frames = [sse.frame(number, data) for number, data in events]
            async with self._sending.taken(request, sum(map(len, frames))) as there_is_room:
                if not there_is_room:
                    raise ConnectionResetError("no room for what it has missed")
                await write(request, response, frames)
            after = events[-1][0] if events else after
            if not events and after >= self.last:
                return
            empty = 0 if events else empty + 1

    async def log(self, request: web.Request) -> web.StreamResponse:
        """The events after a number."""
        events = await self._read(_number(request.query.get("after"), 0))
        headers = {
            "Content-Type": "application/x-ndjson",
            "Cache-Control": "no-store",
            SEQ_HEADER: str(max([self.last, *(number for number, _ in events)])),
        }
        body = b"".join(data + b"\n" for _, data in events)
        return await self._sending.send(request, web.StreamResponse(headers=headers), body)

    def _send(self, data: bytes) -> None:
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        for client in list(self._clients):
            self.dropped += client.send(chunk if client.chunked else data)

    def _keep_alive(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(ALIVE_S, self._say_alive)

    def _say_alive(self) -> None:
        self._timer = None
        self._send(sse.ALIVE)
        if self._clients:
            self._keep_alive()


class _Client:
    """One who follows."""

    def __init__(self, request: web.Request, chunked: bool) -> None:
        self._transport, self.chunked = request.transport, chunked
        self.ended = asyncio.Event()

    def send(self, data: bytes) -> bool:
        """Write; whether it had to be dropped, since it does not read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self.end()
            return False
        transport.write(data)
        if transport.get_write_buffer_size() <= WAITING_MAX:
            return False
        transport.abort()
        self.end()
        return True

    def end(self) -> None:
        """It follows no more."""
        self.ended.set()


def _number(text: str | None, default: int) -> int:
    """:raises HTTPBadRequest: no number."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > COUNT_MAX:
        raise web.HTTPBadRequest(text="after=SEQ expected\n")
    return int(text)
