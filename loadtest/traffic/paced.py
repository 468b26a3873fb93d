"""Requests by Zipf's law at a steady rate, in a process of its own: what `nunatak soak` loads an edge with.

Open loop: requests come by chance at a rate (a Poisson process), whether or not the ones before were answered, and a
time counts from when its request was due, so a slow answer is not hidden by the requests it delays. With rate 0 each
connection asks again at once: that is how much the edge can do. The connections are opened at the start and stay.

Run as `python -m loadtest.traffic.paced ORDER` (a JSON object, the fields of `Order`) it writes a line of JSON every
`every_s`, and ends when its stdin does.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from subprocess import PIPE, Popen
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import uvloop

from loadtest.traffic.tally import Tally, error_class
from loadtest.traffic.zipf import Shape, Traffic

NAME: Final = "python -m loadtest.traffic.paced"
PATIENCE_S: Final = 40.0  # for the last answers: more than an edge's own limit of 30
WAITING_MAX: Final = 20_000  # requests that found no free connection; an edge this far behind has failed

_LENGTH = re.compile(r"^\d+$")


@dataclass(frozen=True)
class Order:
    """What to do."""

    url: str
    prefix: str  # services are PREFIX-00000 and on
    shape: Shape
    rate: float  # requests a second; 0: as many as are answered
    seconds: float
    every_s: float  # between reports
    connections: int = 64
    post: float = 0.1  # share of requests that are POST
    body_bytes: int = 16_384  # largest body; sizes are spread by magnitude

    @property
    def host(self) -> str:
        """What requests name as their host: services go by their names under the address that is asked."""
        return urlsplit(self.url).netloc


class Report(NamedTuple):
    """What came since the report before."""

    at_s: float  # since the first request
    tally: Tally
    again: Mapping[str, int]  # answers by tier, of services that had answered before
    waiting: int  # requests that are due and have no connection


@contextmanager
def generator(order: Order) -> Iterator[Iterator[Report]]:
    """A generator's reports as they come; its connections last as long as the block."""
    command = [*NAME.replace("python", sys.executable, 1).split(" "), json.dumps(asdict(order))]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        try:
            yield map(_report, process.stdout)
        finally:
            process.kill()


def _report(line: bytes) -> Report:
    value = json.loads(line)
    return Report(value["at_s"], Tally.from_json(value["tally"]), value["again"], value["waiting"])


class _Connection(asyncio.Protocol):
    """One kept connection: one request at a time.

    :param on_answer: called with status, fields and error for each answer; with status 0 when the connection is lost.
    """

    def __init__(self, on_answer: Callable[["_Connection", int, dict[str, str], str], None]) -> None:
        self._on_answer = on_answer
        self._buffer = b""
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def ask(self, request: bytes) -> None:
        """Send one request."""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = fields.get("content-length", "")
        if len(rest) < int(length) if _LENGTH.match(length) else not rest.endswith(b"0\r\n\r\n"):
            return
        self._buffer = b""
        self._on_answer(self, int(status.split(" ")[1]), fields, "")

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closed:
            self._on_answer(self, 0, {}, f"no answer: {type(error).__name__ if error else 'connection closed'}")

    def close(self) -> None:
        """Leave without a word; safe to repeat."""
        self._closed = True
        self._transport.close()


class _Asked(NamedTuple):
    number: int
    group: str
    due_s: float
    met: bool  # the service had answered when this was sent


class _Generator:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._traffic = Traffic(order.shape)
        self._dice = random.Random(f"{order.shape.seed} arrivals")
        self._idle: deque[_Connection] = deque()
        self._asked: dict[_Connection, _Asked] = {}
        self._waiting: deque[float] = deque()  # when they were due
        self._met: set[int] = set()
        self._tally, self._again = Tally(), Counter[str]()
        self._began = self._until = 0.0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """All of the order."""
        for _ in range(self._order.connections):
            self._idle.append(await self._connect())
        self._began = time.perf_counter()
        self._until = self._began + self._order.seconds
        reports = asyncio.create_task(self._report())
        if self._order.rate:
            await self._arrive()
        else:
            for _ in range(self._order.connections):
                self._due(time.perf_counter())
            await asyncio.sleep(self._order.seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while self._asked or self._waiting:
                    self._changed.clear()
                    await self._changed.wait()
        now = time.perf_counter()
        for asked in self._asked.values():
            self._tally.record(asked.group, (now - asked.due_s) * 1e3, {}, "no answer in time")
        reports.cancel()
        self._write()
        os.close(sys.stdout.fileno())
        await asyncio.to_thread(sys.stdin.buffer.read)  # whoever looks at the last report sees the connections too

    async def _connect(self) -> _Connection:
        parts = urlsplit(self._order.url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._answered), parts.hostname or "", parts.port or 80
        )
        return connection

    async def _arrive(self) -> None:
        due = self._began
        while (due := due + self._dice.expovariate(self._order.rate)) < self._until:
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            self._due(due)

    def _due(self, due_s: float) -> None:
        if self._idle:
            self._ask(due_s)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append(due_s)
        else:
            self._tally.record("unsent", 0.0, {}, "not sent: the edge is too far behind")

    def _ask(self, due_s: float) -> None:
        order = self._order
        number, group = self._traffic.pick(time.perf_counter() - self._began)
        posting = self._dice.random() < order.post
        body = b"x" * int(order.body_bytes ** self._dice.random()) if posting else b""
        head = (
            f"{'POST' if posting else 'GET'} /~service/{order.prefix}-{number:05d}/ HTTP/1.1\r\nHost: {order.host}\r\n"
        )
        if posting:
            head += f"Content-Length: {len(body)}\r\n"
        connection = self._idle.popleft()  # the one that has rested for longest: none is closed for being idle
        self._asked[connection] = _Asked(number, group, due_s, number in self._met)
        connection.ask(head.encode() + b"\r\n" + body)

    def _answered(self, connection: _Connection, status: int, fields: dict[str, str], error: str) -> None:
        now = time.perf_counter()
        asked = self._asked.pop(connection, None)
        if asked is not None:
            error = error or error_class(status, fields, f"{self._order.prefix}-{asked.number:05d}")
            tier = self._tally.record(asked.group, (now - asked.due_s) * 1e3, fields, error)
            if asked.met:
                self._again[tier] += 1
            if not error:
                self._met.add(asked.number)
        if status and fields.get("connection", "").lower() != "close":
            self._idle.append(connection)
        else:
            connection.close()
            if connection in self._idle:
                self._idle.remove(connection)
            task = asyncio.ensure_future(self._connect())
            task.add_done_callback(self._reconnected)
        if self._order.rate == 0 and now < self._until:
            self._waiting.append(now)
        self._serve_waiting()
        self._changed.set()

    def _reconnected(self, done: "asyncio.Future[_Connection]") -> None:
        if not done.cancelled() and done.exception() is None:
            self._idle.append(done.result())
            self._serve_waiting()
        elif not self._idle and not self._asked:
            raise SystemExit(f"{NAME}: nobody answers at {self._order.url}")

    def _serve_waiting(self) -> None:
        while self._waiting and self._idle:
            self._ask(self._waiting.popleft())

    async def _report(self) -> None:
        number = 0
        while True:
            number += 1
            await asyncio.sleep(max(0.0, self._began + number * self._order.every_s - time.perf_counter()))
            self._write()

    def _write(self) -> None:
        value: dict[str, Any] = {"at_s": time.perf_counter() - self._began, "waiting": len(self._waiting)}
        value |= {"tally": self._tally.to_json(), "again": self._again}
        self._tally, self._again = Tally(), Counter()
        print(json.dumps(value), flush=True)


def _main(text: str) -> None:
    fields = json.loads(text)
    uvloop.run(_Generator(Order(**{**fields, "shape": Shape(**fields["shape"])})).run())


if __name__ == "__main__":
    _main(sys.argv[1])
