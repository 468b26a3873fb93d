"""Streams: how soon the first chunk of an answer that goes on is here, and how long each takes from guest to client."""

import re
import socket
import time
from typing import Final
from urllib.parse import urlsplit

from loadtest.report.rows import Row
from loadtest.scenarios.scales import Samples, Scale
from loadtest.site.checks import NotServed
from loadtest.site.site import bench_site, example

TICKS: Final = example("ticks")
HOST: Final = "ticks.test"
WARM_UP: Final = 20  # lines of a stream of its own before those that count
TIMEOUT_S: Final = 30.0
_LINE: Final = re.compile(rb"(\d{19})\n")  # nanoseconds since 1970, this century

FIRST: Final = Row("stream-first", "a stream's first chunk, from a resident machine", "ms", "lower")
CHUNK: Final = Row("stream-chunk", "a chunk of a stream, from guest to client, p50", "ms", "lower", 1)


def measure_streams(scale: Scale) -> Samples:
    """A machine that writes the time every 20 ms, read as it comes; clocks of guest and client are the host's.

    :raises NotServed: the stream ends too soon.
    """
    lines = max(WARM_UP, scale.requests // 4)
    samples: dict[Row, list[float]] = {FIRST: [], CHUNK: []}
    with bench_site() as site:
        site.publish(site.build(TICKS), "ticks", HOST)
        for count in (WARM_UP, *[lines] * scale.rounds):
            first_ms, chunks_ms = _read(site.edges[0].url, count)
            if count == lines:
                samples[FIRST].append(first_ms)
                samples[CHUNK] += chunks_ms
    return samples


def _read(url: str, lines: int) -> tuple[float, list[float]]:
    """Milliseconds from the request to the first line, and of each line since it was written."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    first_ms, chunks_ms, rest = 0.0, [], b""
    with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
        began_ns = time.time_ns()
        connection.sendall(f"GET /?lines={lines} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        while data := connection.recv(1 << 16):
            now_ns = time.time_ns()
            *whole, rest = _LINE.split(rest + data)  # what lies between, and what is written, in turn
            chunks_ms += [(now_ns - int(written)) / 1e6 for written in whole[1::2]]
            if chunks_ms and not first_ms:
                first_ms = (now_ns - began_ns) / 1e6
    if len(chunks_ms) != lines:
        raise NotServed(f"a stream of {lines} lines expected, got {len(chunks_ms)}: {rest[-200:]!r}")
    return first_ms, chunks_ms
