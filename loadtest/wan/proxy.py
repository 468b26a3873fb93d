"""A TCP proxy that is a link: what goes in comes out as `link` says, in order and unchanged.

A connection is usable after one round trip, as if its handshake had gone over the link. A partition loses nothing that
TCP would not send again: while it lasts nothing comes out, connections that are asked for are not made, and what waits
goes on when it ends. A reset is a reset: both ends are told so, and what is on its way is lost.

`Proxy` is for an event loop. `Wan` runs one in a thread of its own, for who has none.
"""

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from loadtest.wan.exchanges import Exchange, Log
from loadtest.wan.fates import Fate, fate
from loadtest.wan.link import Bucket, Direction, Link

PIECE: Final = 16 << 10  # bytes read at a time
HELD_MAX: Final = 8 << 20  # bytes on their way in one direction of a connection, before no more are taken in
LOOPBACK: Final = "127.0.0.1"
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER for no time: closing is a reset (socket(7))
_R = TypeVar("_R")


class Proxy:
    """One link from an address here to another one here."""

    def __init__(self, to: tuple[str, int], link: Link) -> None:
        self.link = link
        self.log = Log()
        self.connections = 0  # so many were asked for
        self.resets = 0  # of them were lost by what the link is like, or by order
        self._to = to
        self._up, self._down = Bucket(link.rate, link.burst_bytes), Bucket(link.rate, link.burst_bytes)
        self._open = asyncio.Event()
        self._open.set()
        self._here: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str = LOOPBACK, port: int = 0) -> int:
        """Begin to take connections; the port.

        :raises OSError: the address is not to be had.
        """
        self._server = await asyncio.start_server(self._accepted, host, port, limit=PIECE)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def partitioned(self) -> bool:
        """Whether nothing passes."""
        return not self._open.is_set()

    def partition(self, on: bool = True) -> None:
        """Let nothing pass any more, or what waits and all that comes."""
        if on:
            self._open.clear()
        else:
            self._open.set()

    def change(self, link: Link) -> None:
        """Be another link, for connections that are made from now on."""
        self.link = link
        self._up, self._down = Bucket(link.rate, link.burst_bytes), Bucket(link.rate, link.burst_bytes)

    def reset_all(self) -> int:
        """Lose all connections that there are; how many."""
        here = list(self._here.values())
        for connection in here:
            connection.reset()
        self.resets += len(here)
        return len(here)

    async def close(self) -> None:
        """Take no more connections, and end those that there are."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        task = asyncio.get_running_loop().create_task(self._carry(number, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from when it is asked for to its end."""
        opened_s, link = asyncio.get_running_loop().time(), self.link
        connection = self._here[number] = _Connection(writer)
        whole = False
        try:
            await asyncio.sleep(link.rtt_s / 2)
            await self._open.wait()
            connection.far_reader, connection.far = await asyncio.open_connection(*self._to, limit=PIECE)
            await self._both(number, link, fate(link, number), opened_s, reader, connection)
            whole = True
        except* _Lost:
            self.resets += 1
        except* OSError:  # one of the ends has gone, or nobody listens at the other
            pass
        finally:
            del self._here[number]
            connection.close() if whole else connection.reset()

    async def _both(
        self,
        number: int,
        link: Link,
        ends: Fate,
        opened_s: float,
        near_reader: asyncio.StreamReader,
        connection: "_Connection",
    ) -> None:
        """Both directions, until both have ended.

        :raises BaseExceptionGroup: of _Lost or OSError: one of them did otherwise.
        """
        assert connection.far is not None
        assert connection.far_reader is not None
        up, down = (near_reader, connection.far), (connection.far_reader, connection.near)
        ready_s = opened_s + link.rtt_s
        clock = asyncio.get_running_loop().time
        came_back = 0

        def on_sent(data: bytes) -> None:
            now = clock()
            self.log.sent(number, data, now, opened_s=opened_s, waited=now < ready_s)

        def on_back(data: bytes) -> None:
            self.log.came_back(number, len(data), clock())

        async def on_leaving(data: bytes) -> None:
            nonlocal came_back
            before, came_back = came_back, came_back + len(data)
            if ends.reset_after is not None and came_back > ends.reset_after:
                raise _Lost
            if ends.stall_after is not None and before <= ends.stall_after < came_back:
                await asyncio.sleep(link.stall_s)

        async def nothing(_: bytes) -> None:
            pass

        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(up, Direction(link, self._up, ready_s), on_sent, nothing, lambda _: None))
            group.create_task(
                self._pump(down, Direction(link, self._down, ready_s), lambda _: None, on_leaving, on_back)
            )

    async def _pump(
        self,
        ends: "_Ends",
        direction: Direction,
        on_in: Callable[[bytes], None],
        on_leaving: Callable[[bytes], Coroutine[Any, Any, None]],
        on_out: Callable[[bytes], None],
    ) -> None:
        """One direction: what is read goes into the queue with its time, and out when that has come."""
        reader, writer = ends
        queue, clock = _Queue(), asyncio.get_running_loop().time

        async def take_in() -> None:
            while data := await reader.read(PIECE):
                on_in(data)
                await queue.put(direction.leave_at(len(data), clock()), data)
            await queue.put(direction.leave_at(0, clock()), b"")

        async def let_out() -> None:
            while True:
                leaves_s, data = await queue.get()
                await asyncio.sleep(leaves_s - clock())
                await on_leaving(data)
                await self._open.wait()
                if not data:
                    with suppress(OSError):  # the other end has gone already
                        writer.write_eof()
                    return
                writer.write(data)
                on_out(data)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(take_in())
            group.create_task(let_out())


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Lost(Exception):
    """The connection is lost by its fate."""


class _Queue:
    """Pieces with their times, of at most HELD_MAX bytes."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()

    async def put(self, leaves_s: float, data: bytes) -> None:
        while self._bytes and self._bytes + len(data) > HELD_MAX:
            await self._change()
        self._pieces.append((leaves_s, data))
        self._bytes += len(data)
        self._changed.set()

    async def get(self) -> tuple[float, bytes]:
        while not self._pieces:
            await self._change()
        leaves_s, data = self._pieces.popleft()
        self._bytes -= len(data)
        self._changed.set()
        return leaves_s, data

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Connection:
    """Both ends of one connection, to be closed or reset."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.far_reader: asyncio.StreamReader | None = None

    def reset(self) -> None:
        for writer in (self.near, self.far):
            if writer is not None:
                with suppress(OSError):
                    end: socket.socket = writer.get_extra_info("socket")
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def close(self) -> None:
        for writer in (self.near, self.far):
            if writer is not None:
                writer.close()


class Wan:
    """A link in a thread of its own, for tests and scenarios that have no event loop.

    :param to: "HOST:PORT", or a URL of one.
    """

    def __init__(self, to: str, link: Link) -> None:
        host, _, port = to.removeprefix("http://").rstrip("/").rpartition(":")
        self._to = (host, int(port))
        self._link = link
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wan", daemon=True)
        self._proxy: Proxy
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()

        async def begin() -> int:
            self._proxy = Proxy(self._to, self._link)
            return await self._proxy.listen()

        self.url = f"http://{LOOPBACK}:{self._do(begin())}"
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._do(self._proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def partition(self, on: bool = True) -> None:
        """As `Proxy.partition`; done when this returns."""
        self._call(lambda: self._proxy.partition(on))

    def change(self, link: Link) -> None:
        """As `Proxy.change`."""
        self._call(lambda: self._proxy.change(link))

    def reset_all(self) -> int:
        """As `Proxy.reset_all`."""
        return self._call(lambda: self._proxy.reset_all())

    def taken(self) -> list[Exchange]:
        """The exchanges since the last time this was called; the link begins a new log."""

        def take() -> list[Exchange]:
            log, self._proxy.log = self._proxy.log, Log()
            return log.exchanges

        return self._call(take)

    @property
    def connections(self) -> int:
        """So many were asked for."""
        return self._call(lambda: self._proxy.connections)

    @property
    def resets(self) -> int:
        """So many were lost."""
        return self._call(lambda: self._proxy.resets)

    def _call(self, work: "Callable[[], _R]") -> "_R":
        async def do() -> _R:
            return work()

        return self._do(do())

    def _do(self, work: "Coroutine[Any, Any, _R]") -> "_R":
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
