"""Visitors of a fleet while something is done to it: steady requests to each edge, and a tally of what they got.

Each visitor is a thread with one connection to one edge, asks for the hosts in turn, and comes from another network
each time, so that what is decided by visitor is decided anew. A time is a wall clock's, from when a request was sent.
"""

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

from loadtest.site.fetch import Answer, Client

NETWORKS: Final = 1 << 16  # of /24 that visitors come from: 16 bits of 10.0.0.0/8


class Visit(NamedTuple):
    """One request and what came of it."""

    at_s: float  # of time.monotonic, when the answer was there
    edge: str
    host: str
    status: int  # 0: no answer
    error: str  # the edge's word for it, or the exception's class
    version: str  # that the edge names, where a release is under way
    ms: float


@dataclass(frozen=True)
class Crowd:
    """Who asks for what."""

    edges: Mapping[str, str]  # URLs by name
    hosts: Sequence[str]
    rate: float  # requests a second to each edge


class Visitors:
    """Those of a crowd, from `with` to its end."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd, self._ending = crowd, threading.Event()
        self._lock, self._visits = threading.Lock(), list[Visit]()
        self._numbers = itertools.count(1)
        self._threads = [
            threading.Thread(target=self._visit, args=(name, url), name=f"visitor of {name}", daemon=True)
            for name, url in crowd.edges.items()
        ]
        self.rate = crowd.rate  # may be changed at any time

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def taken(self) -> list[Visit]:
        """The visits since the last time this was called."""
        with self._lock:
            taken, self._visits = self._visits, []
        return taken

    def _visit(self, edge: str, url: str) -> None:
        with Client(url) as client:
            due = time.monotonic()
            for host in itertools.cycle(self._crowd.hosts):
                due = max(due + 1 / self.rate, time.monotonic() - 1)
                if self._ending.wait(max(0.0, due - time.monotonic())):
                    return
                number = next(self._numbers) * 40_503 % NETWORKS  # odd: each network once before any again
                address = f"10.{number >> 8}.{number & 255}.1"
                began = time.perf_counter()
                try:
                    answer = client.request("GET", "/", host=host, headers={"X-Forwarded-For": address})
                    visit = _visit_of(edge, host, answer)
                except (OSError, http.client.HTTPException) as error:
                    spent_ms = (time.perf_counter() - began) * 1e3
                    visit = Visit(time.monotonic(), edge, host, 0, type(error).__name__, "", spent_ms)
                with self._lock:
                    self._visits.append(visit)


def _visit_of(edge: str, host: str, answer: Answer) -> Visit:
    version = answer.headers.get("x-nunatak-version", "")
    return Visit(time.monotonic(), edge, host, answer.status, answer.error, version, answer.total_ms)


def failed(visits: Sequence[Visit]) -> Counter[str]:
    """What went wrong, by host and the edge's word for it."""
    return Counter(f"{visit.host}: {visit.error or visit.status}" for visit in visits if visit.status != 200)
