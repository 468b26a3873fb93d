"""Views of an edge: itself in a few numbers, and some of its services. What a view costs the event loop is bounded.

All services are looked at for a view, a slice in a turn of the loop, one view at a time; who follows views gets them
the less often the more they cost and the more follow, so that all together take no more than a share of the loop.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, TypeVar

from edge.model.services import Service
from edge.operators.overview import overview
from edge.operators.query import Query, Row
from edge.operators.rows import describe, memory_of, tier_of
from edge.supervisor.supervisor import Supervisor

SLICE: Final = 500  # services at a time: some 1.5 ms
FRESH_S: Final = 1.0  # a look at all services is good for all who ask so soon after it
INTERVAL_S: Final = 2.0  # between two views of who follows, at least
SHARE: Final = 0.1  # of the event loop's time, for all who follow views

T = TypeVar("T")


def pause_s(took_s: float, followers: int) -> float:
    """How long to wait for the next view.

    :param took_s: time of the event loop that the last one took. :param followers: how many wait like this.
    """
    return max(INTERVAL_S, took_s * max(1, followers) / SHARE)


async def in_slices(items: Sequence[T], each: Callable[[Sequence[T]], None]) -> float:
    """Do something with all items, some at a time, and let others have their turn between; how long it took itself."""
    took_s = 0.0
    for start in range(0, len(items), SLICE):
        began = time.perf_counter()
        each(items[start : start + SLICE])
        took_s += time.perf_counter() - began
        await asyncio.sleep(0)
    return took_s


class Views:
    """Makes them."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.followers = 0
        self._supervisor = supervisor
        self._turn = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._rows: list[Row] = []
        self._rows_at = -FRESH_S

    async def of(self, query: Query) -> dict[str, Any]:
        """One view."""
        view, _ = await self._made(query)
        return view

    async def follow(self, query: Query) -> AsyncGenerator[dict[str, Any], None]:
        """One view after the other, for as long as somebody wants them."""
        self.followers += 1
        try:
            while True:
                view, took_s = await self._made(query)
                yield view
                await asyncio.sleep(pause_s(took_s, self.followers))
        finally:
            self.followers -= 1

    async def _made(self, query: Query) -> tuple[dict[str, Any], float]:
        async with self._turn:
            took_s = 0.0
            if self._loop.time() - self._rows_at >= FRESH_S:
                took_s += await self._look()
            best: list[Row] = []
            total = 0

            def choose(rows: Sequence[Row]) -> None:
                nonlocal best, total
                wanted = [row for row in rows if query.wants(row)]
                total += len(wanted)
                best = query.first(best, wanted)

            took_s += await in_slices(self._rows, choose)
            began, now = time.perf_counter(), self._loop.time()
            chosen = best[query.offset : query.offset + query.limit]
            view = {
                "edge": overview(self._supervisor, Counter(row.tier for row in self._rows), now),
                "query": query._asdict(),
                "total": total,
                "services": [describe(self._supervisor, row.service, now) for row in chosen],
            }
            return view, took_s + time.perf_counter() - began

    async def _look(self) -> float:
        """At all services anew."""
        rows: list[Row] = []
        now = self._loop.time()
        services = list(self._supervisor.directory.by_name.values())
        took_s = await in_slices(services, lambda some: rows.extend(self._row(service, now) for service in some))
        self._rows, self._rows_at = rows, now
        return took_s

    def _row(self, service: Service, now: float) -> Row:
        supervisor, release = self._supervisor, service.release
        figures = supervisor.window.of(service, now)
        return Row(
            service.name,
            (service.name, *release.hosts, release.owner),
            tier_of(supervisor, service),
            service.name in supervisor.holds.names,
            supervisor.quarantine.place(service).kind == "quarantine",
            figures.rate,
            figures.p99_ms or 0.0,
            memory_of(supervisor, service),
            service.requests,
            len(service.queue),
            service.crashes,
            service,
        )
