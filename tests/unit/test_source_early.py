"""Are connections to a source there before they are wanted, as many as are missing, and not again and again?"""

import asyncio
from typing import Any

import aiohttp

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.sources.early import AGAIN_S, CONNECTIONS, Readiness, connect
from tests.support.sources import Scripted


class Server:
    """It counts connections, and says nothing but a short answer to each request."""

    def __init__(self) -> None:
        self.accepted = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._changed.set()
        self._writers.append(writer)
        while (await reader.readline()).startswith(b"GET"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def have(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.accepted < count:
                self._changed.clear()
                await self._changed.wait()


async def _get(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        assert await response.text() == "ok"


def test_missing_connections_are_made_and_then_used() -> None:
    async def play() -> None:
        async with Server() as server, aiohttp.ClientSession() as session:
            await _get(session, server.url)
            await connect(session, server.url, 3)
            await server.have(3)
            await connect(session, server.url, 3)
            await asyncio.gather(*(_get(session, server.url) for _ in range(3)))
            assert server.accepted == 3, "the first was idle, and none was made twice"

    asyncio.run(play())


def test_what_cannot_be_made_fails_in_silence() -> None:
    async def play() -> None:
        async with aiohttp.ClientSession() as session:
            await connect(session, "http://127.0.0.1:1", 2)

    asyncio.run(play())


class Connecting(Scripted):
    """A source that notes when it is told to connect."""

    def __init__(self) -> None:
        super().__init__("one", "ok")
        self.told: list[int] = []

    async def connect(self, count: int) -> None:
        self.told.append(count)


def test_many_look_ups_make_connections_once_in_a_while_and_other_sources_are_left_alone() -> None:
    async def play() -> None:
        now, tasks, source = [100.0], Tasks(Counters()), Connecting()
        readiness = Readiness(tasks, lambda: now[0])
        other: Any = Scripted("two", "ok")
        readiness.expect(other)
        for _ in range(50):
            readiness.expect(source)
        await asyncio.sleep(0)
        assert source.told == [CONNECTIONS]
        now[0] += AGAIN_S
        readiness.expect(source)
        await asyncio.sleep(0)
        assert source.told == [CONNECTIONS] * 2
        await tasks.close()

    asyncio.run(play())
