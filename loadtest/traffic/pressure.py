"""Throughput: many connections asking for one page as fast as they are answered.

`wrk` does it when the machine has it: one thread of C takes little from the server beside it. Without it a Python
client in a process of its own does, which takes more; both sides of a comparison get the same one, and results name it.
Run as `python -m loadtest.traffic.pressure URL CONNECTIONS SECONDS [HOST]` this module is that client.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from loadtest.site.checks import NotServed

GRACE_S: Final = 30.0  # for a client to start and to give its figures, beyond the time it measures

_UNIT_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_RATE = re.compile(r"Requests/sec:\s*([0-9.]+)")
_MEDIAN = re.compile(r"50%\s+([0-9.]+)(us|ms|s)")
_TAIL = re.compile(r"99%\s+([0-9.]+)(us|ms|s)")
_REQUESTS = re.compile(r"(\d+) requests in")
_REFUSED = re.compile(r"Non-2xx or 3xx responses:\s*(\d+)")
_BROKEN = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Pressure:
    """What came out: answers, per second too, latencies in milliseconds, answers that were not 2xx or did not come."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def client_name() -> str:
    """The client that `press` uses on this machine."""
    return "wrk -t1" if shutil.which("wrk") else "python -m loadtest.traffic.pressure"


def press(
    url: str, *, host: str = "", connections: int = 32, seconds: float = 3.0, script: Path | None = None
) -> Pressure:
    """Ask `url` for `seconds` over `connections` kept connections.

    :param host: the name to ask by; that of the URL if empty. :param script: for wrk, in Lua: which requests to make.
    :raises FileNotFoundError: a script, and no wrk to run it.
    :raises subprocess.SubprocessError: the client failed or did not end.
    """
    if shutil.which("wrk") or script:
        # wrk takes whole seconds only.
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
        command += ["-H", f"Host: {host}"] if host else []
        command += ["-s", str(script), url] if script else [url]
        return _parse_wrk(_output(command, seconds))
    command = [sys.executable, "-m", "loadtest.traffic.pressure", url, str(connections), str(seconds), host]
    return Pressure(**json.loads(_output(command, seconds)))


def _output(command: list[str], seconds: float) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S, check=True).stdout


def _parse_wrk(said: str) -> Pressure:
    rate, median, tail = _RATE.search(said), _MEDIAN.search(said), _TAIL.search(said)
    count = _REQUESTS.search(said)
    if rate is None or median is None or tail is None or count is None:
        raise ValueError(f"wrk's figures expected, got {said!r}")
    refused, broken = _REFUSED.search(said), _BROKEN.search(said)
    return Pressure(
        requests=int(count.group(1)),
        requests_per_s=float(rate.group(1)),
        p50_ms=float(median.group(1)) * _UNIT_MS[median.group(2)],
        p99_ms=float(tail.group(1)) * _UNIT_MS[tail.group(2)],
        errors=(int(refused.group(1)) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0),
    )


class _Asker(asyncio.Protocol):
    """One connection: sends the request again as soon as a whole answer is there. Knows Content-Length only."""

    def __init__(self, request: bytes, until: float, latencies: list[float]) -> None:
        self.errors = 0
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._latencies = latencies
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head)
        if length is not None and len(rest) < int(length.group(1)):
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        self.errors += not head.startswith(b"HTTP/1.1 2")
        self._buffer = b""
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.errors += time.perf_counter() < self._until
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def _press(url: str, connections: int, seconds: float, host: str = "") -> Pressure:
    parts = urlsplit(url)
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {host or parts.netloc}\r\n\r\n".encode()
    latencies: list[float] = []
    start = time.perf_counter()
    loop = asyncio.get_running_loop()
    askers = []
    for _ in range(connections):
        _, asker = await loop.create_connection(
            lambda: _Asker(request, start + seconds, latencies), parts.hostname or "", parts.port or 80
        )
        askers.append(asker)
    await asyncio.gather(*(asker.done for asker in askers))
    elapsed = time.perf_counter() - start
    latencies.sort()
    return Pressure(
        requests=len(latencies),
        requests_per_s=len(latencies) / elapsed,
        p50_ms=latencies[len(latencies) // 2] * 1e3 if latencies else 0.0,
        p99_ms=latencies[len(latencies) * 99 // 100] * 1e3 if latencies else 0.0,
        errors=sum(asker.errors for asker in askers),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_press(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])))))


def require_clean(pressure: Pressure, what: str) -> Pressure:
    """The pressure, under which nothing failed.

    :raises NotServed: something did.
    """
    if pressure.errors or not pressure.requests_per_s:
        raise NotServed(f"{what}: answers without errors expected, got {pressure}")
    return pressure
