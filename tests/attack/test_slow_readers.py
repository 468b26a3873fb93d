"""Clients that ask and do not read: is what is kept for all of them bounded, and are those who read answered?"""

import asyncio
from typing import Final

import pytest

from edge.common.counters import Counters
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.request import Request

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + bytes(1 << 16)
STILL = 30  # clients that do not read
UNREAD_MAX = 10 * len(ANSWER)
PATIENCE_S = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Clerk:
    """Answers at once."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.connections: Crowd[Connection] = Crowd(1000, 1 << 30, self.counters, unread_max_bytes=UNREAD_MAX)
        self.most = 0
        self.answered = 0

    def take(self, request: Request) -> None:
        request.connection.write(request, ANSWER)
        self.answered += 1
        self.most = max(self.most, self.connections.unread_bytes)
        request.connection.finished(request)

    def gone(self, request: Request) -> None:
        pass


@pytest.mark.parametrize("loops", ["asyncio", "uvloop"])
def test_who_does_not_read_goes_before_memory_does(loops: str) -> None:
    async def test() -> None:
        clerk = Clerk()
        server = await asyncio.get_running_loop().create_server(lambda: Connection(clerk, 60.0), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        still = []
        for _ in range(STILL):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(REQUEST * 500)  # answers of 32 MiB: the kernel takes a few of them
            still.append(writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while not clerk.counters.connections_unread:
            writer.write(REQUEST)
            assert await reader.readexactly(len(ANSWER)) == ANSWER
        writer.write(REQUEST)
        assert await reader.readexactly(len(ANSWER)) == ANSWER
        assert clerk.most <= UNREAD_MAX
        assert STILL > clerk.counters.connections_unread >= 1
        assert len(clerk.connections) <= STILL
        for each in (writer, *still):
            each.transport.abort()
        server.close()

    if loops == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(test(), PATIENCE_S))
    else:
        asyncio.run(asyncio.wait_for(test(), PATIENCE_S))
