"""A client connection by itself, on a transport that records, with a clerk that answers when a test says so."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from edge.common.counters import Counters
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.request import Request
from tests.support.memory import alive

KEEPALIVE_S = 60.0


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.reading, self.closed, self.aborted = True, False, False

    def write(self, data: bytes) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1234) if name == "peername" else None

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Clerk:
    """Takes requests; a test says when they are answered."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.connections: Crowd[Connection] = Crowd(1000, 1 << 30, Counters())
        self.taken: list[Request] = []
        self.left: list[Request] = []
        self._at_once = at_once

    def take(self, request: Request) -> None:
        self.taken.append(request)
        if self._at_once:
            self.answer(request)

    def answer(self, request: Request, keep: bool | None = None) -> None:
        request.keep_alive = request.keep_alive if keep is None else keep
        request.connection.write(request, request.target.encode() + b";")
        request.connection.finished(request)

    def gone(self, request: Request) -> None:
        self.left.append(request)


class Wire:
    """A connection, its transport and who takes its requests."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.clerk, self.transport = Clerk(at_once=at_once), Transport()
        self.connection = Connection(self.clerk, KEEPALIVE_S)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.feed = self.connection.data_received

    @property
    def taken(self) -> list[Request]:
        return self.clerk.taken

    def requests(self) -> list[Request]:
        """All that there are in memory: taken, waiting or arriving."""
        return [request for request in alive(Request) if request.connection is self.connection]


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test can put forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(test())


async def later(seconds: float) -> None:
    """What is due until then is done."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.ahead_s += seconds
    for _ in range(3):
        await asyncio.sleep(0)


def get(target: str = "/", *fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join((f"GET {target} HTTP/{version}", "Host: a.test", *fields, "", "")).encode()


def post(*fields: str) -> bytes:
    return "\r\n".join(("POST /p HTTP/1.1", "Host: a.test", *fields, "", "")).encode()
