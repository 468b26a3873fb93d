"""Client connections without sockets: the same bytes whole, byte by byte and in pieces are the same requests."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from edge.common.counters import Counters
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.request import Request
from tests.property.fuzzing import mutate
from tests.property.fuzzing.mutate import Rng
from tests.property.fuzzing.parsers import ParserFailure
from tests.support.connections import Transport

CORPUS: Final = Path(__file__).parent / "corpus" / "http"
KEEPALIVE_S: Final = 3600.0
NAME: Final = "http"


@dataclass(frozen=True)
class Seen:
    """One request as whoever answers it sees it.

    Why it is refused is not compared: of two things that are wrong with a head, pieces decide which is seen first.
    """

    method: str
    target: str
    version: tuple[int, int]
    host: str | None
    headers: tuple[tuple[bytes, bytes], ...]
    content_length: int | None
    chunked: bool
    body: bytes
    refused: bool


@dataclass(frozen=True)
class Outcome:
    """All requests of a connection, and what became of it."""

    requests: tuple[Seen, ...]
    closed: bool

    @property
    def refused(self) -> bool:
        """Whether the last of them was."""
        return bool(self.requests) and self.requests[-1].refused


class _Taker:
    """Answers each request when all of it is here, or it is refused."""

    def __init__(self, held_max_bytes: int) -> None:
        self.connections: Crowd[Connection] = Crowd(1000, held_max_bytes, Counters())
        self.seen: list[Seen] = []
        self.current: Request | None = None

    def take(self, request: Request) -> None:
        assert self.current is None, "a request is taken while another one is answered"
        self.current = request

    def gone(self, request: Request) -> None:
        self.current = None

    def answer(self) -> bool:
        """Answer what can be; whether something was."""
        request = self.current
        if request is None or not (request.complete or request.error is not None):
            return False
        self.current = None
        refused = request.error is not None
        if refused:
            request.keep_alive = False
        self.seen.append(
            Seen(
                *(
                    request.method if request.target else "",
                    request.target,
                    request.version,
                    request.host,
                    tuple(request.headers),
                ),
                *(request.content_length, request.chunked, b"" if refused else request.body(), refused),
            )
        )
        request.connection.finished(request)
        return True


def feed(data: bytes, cuts: list[int], held_max_bytes: int = 1 << 30) -> Outcome:
    """What a connection makes of bytes that come in pieces. A loop must be running.

    :param held_max_bytes: for all connections; past it they are not read on.
    """
    taker, transport = _Taker(held_max_bytes), Transport()
    connection = Connection(taker, KEEPALIVE_S)
    connection.connection_made(transport)  # type: ignore[arg-type]
    edges = [0, *cuts, len(data)]
    for start, end in pairwise(edges):
        if transport.closed:
            break
        if end > start:
            connection.data_received(data[start:end])
        while taker.answer():
            pass
    connection.connection_lost(None)
    return Outcome(tuple(taker.seen), transport.closed)


def check(data: bytes, rng: Rng) -> Outcome:
    """One input in five ways.

    :raises ParserFailure: they differ, or something came of it that must not.
    """
    try:
        whole = feed(data, [])
        ways = {
            "byte by byte": list(range(1, len(data))),
            "in two": [rng.randrange(len(data) + 1)],
            "in pieces": sorted(rng.randrange(len(data) + 1) for _ in range(5)),
        }
        for name, cuts in ways.items():
            if (other := feed(data, cuts)) != whole:
                raise ParserFailure(NAME, f"{name} it is {other}, and whole {whole}", data)
        if (other := feed(data, ways["in pieces"], held_max_bytes=0)) != whole:
            raise ParserFailure(NAME, f"where too much is held it is {other}, and else {whole}", data)
    except ParserFailure:
        raise
    except Exception as error:
        raise ParserFailure(NAME, f"no exception expected, got {error!r}", data) from error
    for place, request in enumerate(whole.requests):
        if request.refused and place + 1 < len(whole.requests):
            raise ParserFailure(NAME, "nothing behind what was refused expected", data)
        if not request.refused and not _is_sound(request):
            raise ParserFailure(NAME, f"a request that can be passed on expected, got {request}", data)
    return whole


def try_one(data: bytes) -> Outcome:
    """One input by itself, in pieces that are always the same.

    :raises ParserFailure: see `check`.
    """

    async def one() -> Outcome:
        return check(data, random.Random(NAME))

    return asyncio.run(one())


def _is_sound(request: Seen) -> bool:
    """One line a field, one way to say where the body ends, and as much of it."""
    text = b"".join(name + value for name, value in request.headers) + request.target.encode()
    hosts = [name for name, _ in request.headers if name.lower() == b"host"]
    lengths = [value for name, value in request.headers if name.lower() == b"content-length"]
    framed = not (request.chunked and lengths) and len(lengths) <= 1 and len(hosts) <= 1
    right = request.chunked or len(request.body) == (request.content_length or 0)
    return framed and right and not any(byte in text for byte in b"\r\n\0") and bool(request.method)


def corpus() -> list[tuple[str, int, bytes]]:
    """What is to become of each, how many requests are taken, and the bytes."""
    found = []
    for path in (CORPUS / "valid.txt", CORPUS / "smuggling.txt"):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                word, count, text = line.split(" ", 2)
                found.append((word, int(count), text.encode("latin-1").decode("unicode_escape").encode("latin-1")))
    return found


def make(rng: Rng, good: list[bytes], seeds: list[bytes]) -> bytes:
    """Requests of the corpus one behind the other, good ones, then changed ones."""
    before = [rng.choice(good) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    changed = [mutate.data(rng, rng.choice(seeds), seeds) for _ in range(rng.choice((1, 1, 2)))]
    return b"".join((*before, *changed))[:4096]


def run(seed: int, first: int, count: int) -> Counter[str]:
    """Inputs of a seed; how they ended.

    :raises ParserFailure: see `check`.
    """
    seeds, ends = [data for _, _, data in corpus()], Counter[str]()
    good = [data for word, _, data in corpus() if word == "ok"]

    async def all_of_them() -> None:
        for number in range(first, first + count):
            rng = random.Random(f"{NAME}:{seed}:{number}")
            outcome = check(make(rng, good, seeds), rng)
            ends["refused" if outcome.refused else f"{min(len(outcome.requests), 3)} taken"] += 1

    asyncio.run(all_of_them())
    return ends
