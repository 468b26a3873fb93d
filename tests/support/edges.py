"""What the tests of an edge share: its metrics, its raw socket, and a wait for what it will do by itself."""

import asyncio
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server

PATIENCE_S = 20.0  # for what happens in milliseconds on an idle machine


def metrics(edge: Server) -> dict[str, float]:
    """Every sample: "name" or "name{label}" (the label's value) without the prefix."""
    found = {}
    for family in text_string_to_metric_families(admin(edge, "metrics").body.decode()):
        for sample in family.samples:
            label = next(iter(sample.labels.values()), None)
            name = sample.name.removeprefix("nunatak_")
            found[name if label is None else f"{name}{{{label}}}"] = sample.value
    return found


def admin(edge: Server, page: str, method: str = "GET") -> Answer:
    """One of an edge's operators' pages."""
    with Client(edge.admin_url) as client:
        return client.request(method, f"/-/{page}")


def raw(edge: Server, data: bytes, *, until: bytes | None = None) -> bytes:
    """Send bytes; what comes back until the edge closes, or until these bytes are there."""
    parts = urlsplit(edge.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        got = b""
        while (until is None or until not in got) and (more := connection.recv(1 << 16)):
            got += more
        return got


def eventually(happened: Callable[[], bool], what: str) -> None:
    """Wait for something that has no event to wait for.

    :raises AssertionError: not in PATIENCE_S.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE_S} s"
        time.sleep(0.02)


async def until(happened: Callable[[], bool], what: str) -> None:
    """The same in a loop, whose other tasks go on.

    :raises AssertionError: not in PATIENCE_S.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE_S} s"
        await asyncio.sleep(0.01)
