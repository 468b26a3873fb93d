"""A victim beside bad neighbours on one edge: what its p99 is alone, and what a neighbour makes of it.

The victim is a small page, asked for at a steady rate by one client: what a visitor feels. Some neighbours want the
processor, others make the edge work: lines, exchanges, flushes, blocks, memory, heads. The neighbours' clients are
processes of their own at the lowest priority, so that on a machine of few cores they take only what nobody else wants:
it is the edge that is measured. Rounds take every case in turn, since a machine's speed drifts within minutes.

Run as `python -m loadtest.scenarios.fairness URL CONNECTIONS HEADS` this module is a neighbour's client; it ends when
its stdin does, and says how many answers it had.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from loadtest.report.rows import Row
from loadtest.site.checks import NotServed, require
from loadtest.site.fetch import Client
from loadtest.site.site import Site, example

READ_BYTES: Final = 1 << 20
VISITS_PER_S: Final = 40.0  # of the victim's one client
SETTLE_S: Final = 0.5  # until a neighbour's requests are all there
LARGE_BYTES: Final = 48 << 20  # of the disk whose blocks are wanted: half as much again as a worker's cache of blocks
OWN_BYTES: Final = 4 << 20  # of the disk that is flushed
UPSTREAM: Final = "http://192.0.2.1"  # of nobody (RFC 5737); the edge refuses it when an exchange gets so far
HEAD_FIELDS: Final = 12  # of a pipelined request, of 1,000 bytes each: nearly what a head may have


@dataclass(frozen=True)
class Neighbour:
    """What a neighbour's clients ask for, on how many connections at once, again and again.

    Each is a service of its own, named as its case: what is left of one does not keep the next from what it does.
    """

    title: str
    path: str
    connections: int
    program: str = "neighbour"  # of the examples
    heads: int = 0  # large requests that each connection sends behind its first, without waiting


NEIGHBOURS: Final[Mapping[str, Neighbour | None]] = {
    "alone": None,
    "spinner": Neighbour("a spinner", "/spin?ms=150", 1),
    "queue": Neighbour("a queue", "/spin?ms=5", 1000),
    # Two of 50 MiB under way are 100 MiB.
    "flood": Neighbour("a flood", "/flood?mib=50", 2),
    "lines": Neighbour("one that logs empty lines", "/lines", 2, "neighbour_floods"),
    "exchanges": Neighbour("one that begins and drops exchanges", "/exchanges", 2, "neighbour_floods"),
    "flushes": Neighbour("one that flushes its disk", "/flushes", 2, "neighbour_floods"),
    "blocks": Neighbour("one that reads a large disk", "/blocks", 2, "neighbour_floods"),
    "memory": Neighbour("one that writes to all its memory", "/memory", 1, "neighbour_floods"),
    "heads": Neighbour("300 connections with pipelined heads", "/sleep?ms=100", 300, heads=9),
}


def measure_neighbours(rounds: int, requests: int, rate: float, workers: int = 2) -> dict[str, list[list[float]]]:
    """The victim's times to the first byte in milliseconds, sorted, by case and round.

    :param requests: of the victim in each case of a round. :param rate: of them per second.
    :raises NotServed: the victim got another answer than its page.
    """
    found: dict[str, list[list[float]]] = {case: [] for case in NEIGHBOURS}
    with tempfile.TemporaryDirectory(prefix="nunatak-fair-") as folder, Site(Path(folder), workers=workers) as site:
        url = site.edges[0].url
        site.publish(site.build(example("hello")), "victim")
        publish_neighbours(site, NEIGHBOURS)
        with Client(url) as client:
            for service in (*(case for case, neighbour in NEIGHBOURS.items() if neighbour), "victim"):
                require(client.get(f"/~service/{service}/"), service)
            _visit(client, requests // 4, rate)  # the first turns fill caches
            for _ in range(rounds):
                for case, neighbour in NEIGHBOURS.items():
                    with _beside(f"{url}/~service/{case}", neighbour):
                        found[case].append(_visit(client, requests, rate))
    return found


def publish_neighbours(site: Site, neighbours: Mapping[str, Neighbour | None]) -> None:
    """Build and publish them, with all that they need, each under the name of its case."""
    data = {"large": os.urandom(LARGE_BYTES), "own": bytes(OWN_BYTES)}
    disks = {name: _disk(site, name, contents) for name, contents in data.items()}
    options = ["--memory", "64MiB", "--log-rate", "16MiB", "--upstream", UPSTREAM]
    options += ["--disk", f"large={disks['large']}:shared", "--disk", f"own={disks['own']}:cow"]
    images = {
        "neighbour": site.build(example("neighbour"), "--cpu-ms", "60000"),
        "neighbour_floods": site.build(example("neighbour_floods"), "--cpu-ms", "60000", *options),
    }
    for case, neighbour in neighbours.items():
        if neighbour is not None:
            floods = neighbour.program == "neighbour_floods"
            site.publish(images[neighbour.program], case, disks=list(disks.values()) if floods else [])


def _disk(site: Site, name: str, data: bytes) -> Path:
    raw, disk = site.folder / f"{name}.raw", site.folder / f"{name}.disk"
    raw.write_bytes(data)
    site.run("disk", "build", str(raw), "-o", str(disk))
    raw.unlink()
    return disk


def measure_fairness(rounds: int, requests: int) -> dict[Row, list[float]]:
    """The victim's tail beside each of its neighbours, against its tail alone; see `measure_neighbours`."""
    return rows(measure_neighbours(rounds, requests, VISITS_PER_S))


def rows(found: Mapping[str, list[list[float]]]) -> dict[Row, list[float]]:
    """One p99 a round for each case, and its ratio to that round's p99 alone."""
    samples: dict[Row, list[float]] = {}
    alone = [_p99(times) for times in found["alone"]]
    for case, by_round in found.items():
        tails = [_p99(times) for times in by_round]
        neighbour = NEIGHBOURS[case]
        title = "victim alone" if neighbour is None else f"victim beside {neighbour.title}"
        samples[Row(f"fair-{case}-p50", f"{title}: p50", "ms", "lower")] = [t[len(t) // 2] for t in by_round]
        samples[Row(f"fair-{case}-p99", f"{title}: p99", "ms", "lower")] = tails
        if case != "alone":
            ratios = [tail / quiet for tail, quiet in zip(tails, alone, strict=True)]
            samples[Row(f"fair-{case}-ratio", f"{title}: p99 as a multiple of that alone", "x", "lower", 2)] = ratios
    return samples


def _p99(times: list[float]) -> float:
    return times[len(times) * 99 // 100]


def _visit(client: Client, requests: int, rate: float) -> list[float]:
    """Ask at a steady rate; the wait before a late request counts for none but itself."""
    times = []
    for _ in range(requests):
        answer = require(client.get("/~service/victim/"), "victim", ("resident",))
        times.append(answer.first_byte_ms)
        time.sleep(max(0.0, 1 / rate - answer.total_ms / 1e3))
    return sorted(times)


@contextmanager
def _beside(url: str, neighbour: Neighbour | None) -> Iterator[None]:
    if neighbour is None:
        yield
        return
    numbers = map(str, (neighbour.connections, neighbour.heads))
    command = [sys.executable, "-m", "loadtest.scenarios.fairness", url + neighbour.path, *numbers]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            process.stdout.readline()  # all have asked
            time.sleep(SETTLE_S)
            yield
            if process.poll() is not None:
                raise NotServed(f"a neighbour that goes on expected, its client ended with {process.returncode}")
        finally:
            process.stdin.close()
            answers = process.stdout.read()
            process.wait()
    if not int(answers or 0):
        raise NotServed(f"a neighbour that is served expected, {neighbour.title} had no answer")


async def _bother(url: str, connections: int, heads: int) -> None:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    begin = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode()
    large = begin + b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(HEAD_FIELDS)) + b"\r\n"
    last = begin + b"Connection: close\r\n\r\n"
    requests = begin + b"\r\n" + large * heads + last if heads else last
    answered = 0

    async def again() -> None:
        nonlocal answered
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=READ_BYTES)
                writer.write(requests)
                answered += (await reader.read(READ_BYTES)).startswith(b"HTTP/1.1 200 ")
                while await reader.read(READ_BYTES):
                    pass
                writer.close()

    askers = [asyncio.create_task(again()) for _ in range(connections)]
    await asyncio.sleep(0.2)
    print("asked", flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    for asker in askers:
        asker.cancel()
    print(answered, flush=True)


if __name__ == "__main__":
    os.nice(19)
    uvloop.run(_bother(sys.argv[1], *map(int, sys.argv[2:])))
