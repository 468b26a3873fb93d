"""An origin far away, by order and not by time: answers of a round trip come when all that it should carry was asked.

`Rounds` stands between an edge and its origin. It is told what each round trip should carry; requests of a round are
held until all of them are here, then answered. So an edge that asks one after the other what it could ask at once gets
no answer, however fast or slow the machine is; and one that asks for more than a round has is found out too.
"""

import asyncio
import http.client
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

PATIENCE_S: Final = 20.0  # with what does not come, before the test fails
KINDS: Final = {
    "bin": r"/tuf/\d+\.bin-",
    "tenant": r"/tuf/\d+\.tenant-",
    "manifest": r"/manifests/",
    "blob": r"/blobs/",
}


@dataclass
class Round:
    """What a round trip carries.

    :param asks: how many requests of each kind. :param connections: so many are there when it is over, at least.
    """

    asks: dict[str, int]
    connections: int = 1
    seen: Counter[str] = field(default_factory=Counter)


class Rounds:
    """A server for one edge, in a thread of its own; requests of no kind are passed on at once."""

    def __init__(self, origin: str, rounds: Sequence[Round]) -> None:
        self.rounds = list(rounds)
        self.over = 0  # rounds that were answered
        self.unexpected: list[str] = []  # paths of requests that no round waited for
        self.connections = 0
        self._origin = origin.removeprefix("http://")
        self._changed: asyncio.Condition
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()

        async def begin() -> int:
            self._changed = asyncio.Condition()
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            return int(self._server.sockets[0].getsockname()[1])

        self.url = f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(begin(), self._loop).result()}"
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._changed:
            self.connections += 1
            self._changed.notify_all()
        try:
            while head := await _head(reader):
                method, path, headers, body = head
                await self._hold(path)
                answer = await asyncio.to_thread(self._ask, method, path, headers, body)
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _hold(self, path: str) -> None:
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, path)), "")
        if not kind:
            return
        async with self._changed:
            number = self.over
            if number >= len(self.rounds) or self.rounds[number].seen[kind] >= self.rounds[number].asks.get(kind, 0):
                self.unexpected.append(path)
                return
            one = self.rounds[number]
            one.seen[kind] += 1
            if dict(one.seen) == one.asks and self.connections >= one.connections:
                self.over += 1
            self._changed.notify_all()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while self.over <= number:
                        await self._changed.wait()
                        if dict(one.seen) == one.asks and self.connections >= one.connections and self.over == number:
                            self.over += 1
                            self._changed.notify_all()
            except TimeoutError:
                self.unexpected.append(f"{path}: alone, with {dict(one.seen)} and {self.connections} connections")

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._origin, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body or None, {k: v for k, v in headers.items() if k != "host"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        fields = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("content-length", "connection", "date")]
        lines = [f"HTTP/1.1 {answer.status} X", *(f"{k}: {v}" for k, v in fields)]
        if answer.status != 304:
            lines.append(f"Content-Length: {len(data)}")
        return "\r\n".join([*lines, "", ""]).encode() + data


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes] | None:
    """A request, whole; None at the end."""
    line = await reader.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split()
    headers: dict[str, str] = {}
    while (field_line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = field_line.partition(":")
        headers[name.lower()] = value.strip()
    return method, path, headers, await reader.readexactly(int(headers.get("content-length", 0)))
