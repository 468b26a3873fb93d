"""Answers on their way to be kept, and requests that wait for one: no tenant takes all of the room for either."""

import asyncio
from collections.abc import Callable
from typing import Any

from edge.cache.asked import Asked
from edge.cache.purges import Purges
from edge.cache.responses import Responses
from edge.cache.storing import Wish
from edge.common.counters import Counters
from edge.front.caching import FILLING_SHARE, Caching
from edge.front.fills import Fill, UnderWay
from edge.front.nobody import Nobody
from edge.front.reached import DIRECTLY
from edge.front.request import Request

BUDGET = 1 << 20
PART = 1000  # bytes


def fill(tenant: str, target: str = "/") -> Fill:
    return Fill(Asked("GET", (), tenant, "digest", "h.test", target), tenant, 0, None)


def play(story: Callable[[], None]) -> None:
    async def told() -> None:
        story()

    asyncio.run(told())


def test_bodies_that_never_end_keep_no_other_tenant_from_having_answers_kept() -> None:
    def story() -> None:
        responses = Responses(BUDGET, BUDGET // 8, Purges(), Counters())
        front: Any = None  # nothing is written
        caching = Caching(front, responses, Counters(), Wish())

        def filling(tenant: str) -> Request:
            request = Request(Nobody("192.0.2.1", DIRECTLY))
            request.fill = fill(tenant)
            caching.part_came(request, bytes(PART))
            return request

        greedy = [filling("greedy") for _ in range(BUDGET // FILLING_SHARE // PART + 1)]
        kept = [request for request in greedy if request.fill is not None]
        assert BUDGET // FILLING_SHARE // 2 < len(kept) * PART < BUDGET // FILLING_SHARE, "it has most, and not all"
        assert filling("other").fill is not None
        for request in kept:
            caching.over(request)
        assert filling("greedy").fill is not None, "the room is free again"

    play(story)


def test_crowds_of_one_tenant_leave_room_for_who_waits_for_another() -> None:
    def story() -> None:
        under_way, mine, other = UnderWay(BUDGET), fill("greedy"), fill("other")
        waited: list[bool] = []
        under_way.begin(mine, (mine.asked.key, ()))
        under_way.begin(other, (other.asked.key, ()))
        while under_way.wait(mine, PART, waited.append):
            pass
        assert under_way.wait(other, PART, waited.append)

    play(story)
