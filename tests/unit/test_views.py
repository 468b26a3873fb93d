"""Views of an edge with many services: what is in one, and that it keeps nobody waiting."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.common.durations import Durations
from edge.front.page import Page
from edge.model.flow import ClientError
from edge.operators import feeds
from edge.operators.feeds import Feed
from edge.operators.pages import Admin
from edge.operators.query import Query
from edge.operators.views import INTERVAL_S, SHARE, SLICE, Views, in_slices, pause_s
from edge.supervisor.supervisor import Supervisor
from tests.support.idle_edge import idle_edge

MANY = [f"s{number:05}" for number in range(10_000)]


def play(folder: Path, services: list[str], act: Callable[[Supervisor], Awaitable[None]]) -> None:
    async def run() -> None:
        async with idle_edge(folder, *services) as supervisor:
            await act(supervisor)

    asyncio.run(run())


def test_a_view_of_10000_services_describes_a_page_of_them_and_others_have_their_turns(tmp_path: Path) -> None:
    async def act(supervisor: Supervisor) -> None:
        turns = 0

        async def neighbour() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        supervisor.directory.by_name["s00042"].crashes = 3
        beside = asyncio.ensure_future(neighbour())
        views = Views(supervisor)
        view = await views.of(Query(sort="crashes", limit=20))
        beside.cancel()
        assert turns >= 2 * len(MANY) / SLICE
        assert (view["total"], len(view["services"]), view["edge"]["services"]) == (len(MANY), 20, len(MANY))
        assert [entry["service"] for entry in view["services"][:2]] == ["s00042", "s00000"]
        assert view["edge"]["by_tier"] == {"cold": len(MANY)}
        assert len(json.dumps(view)) < 40_000
        found = await views.of(Query(match="s0999", sort="name", offset=8, limit=5))
        assert (found["total"], [entry["service"] for entry in found["services"]]) == (10, ["s09998", "s09999"])

    play(tmp_path, MANY, act)


def test_a_service_is_the_same_on_all_pages(tmp_path: Path) -> None:
    async def act(supervisor: Supervisor) -> None:
        admin = Admin(supervisor, supervisor.counters, Durations(), lambda: None)

        async def page(name: str, query: str = "") -> Any:
            found = await admin.handle("GET", f"/-/{name}", query)
            assert isinstance(found, Page)
            return json.loads(found.body)

        (viewed,) = (await page("view"))["services"]
        (listed,) = (await page("services"))["services"]
        assert listed == {**viewed, "written": []} == (await page("service", "service=shop"))["service"]
        assert await page("service", "service=none") == {"service": None}
        for wrong in ("limit=0x1", "sort=size"):
            with pytest.raises(ClientError, match="bad_query"):
                await page("view", wrong)

    play(tmp_path, ["shop"], act)


def test_who_follows_gets_views_and_is_counted_for_as_long(tmp_path: Path) -> None:
    async def act(supervisor: Supervisor) -> None:
        views = Views(supervisor)
        parts = feeds.views(views, Query())
        first = await anext(parts)
        assert (first.startswith(b"event: view\ndata: {"), first.endswith(b"}\n\n"), first.count(b"\n")) == (
            True,
            True,
            3,
        )
        assert views.followers == 1
        await parts.aclose()
        assert views.followers == 0

    play(tmp_path, ["shop"], act)


def test_lines_are_events_of_one_line_whatever_is_in_them(tmp_path: Path) -> None:
    async def act(supervisor: Supervisor) -> None:
        hostile = "a\n\nevent: view\ndata: {}\r\n\u2028<script>\x1b[31m\ud83d"
        admin = Admin(supervisor, supervisor.counters, Durations(), lambda: None)
        feed = await admin.handle("GET", "/-/lines", "service=shop")
        assert isinstance(feed, Feed)
        assert (await anext(feed.parts)).startswith(b"event: following\n")
        supervisor.tails.add("shop", [hostile])
        part = await anext(feed.parts)
        assert part.isascii()
        assert (part.count(b"\n"), part.count(b"event:")) == (3, 2)
        assert json.loads(part.split(b"data: ", 1)[1])["lines"][0][1] == hostile
        await feed.parts.aclose()
        with pytest.raises(ClientError, match="bad_query"):
            await admin.handle("GET", "/-/lines", "service=../x")

    play(tmp_path, ["shop"], act)


@pytest.mark.parametrize(
    ("took_s", "followers", "expected"),
    [(0.001, 1, INTERVAL_S), (0.5, 1, 0.5 / SHARE), (0.5, 4, 2 / SHARE), (1, 0, 1 / SHARE)],
)
def test_dear_views_come_seldom_so_that_all_followers_take_a_share_of_the_loop(
    took_s: float, followers: int, expected: float
) -> None:
    assert pause_s(took_s, followers) == expected
    assert followers * took_s / pause_s(took_s, followers) <= SHARE


def test_slices_are_all_of_it_in_order() -> None:
    seen: list[int] = []
    asyncio.run(in_slices(range(3 * SLICE + 1), seen.extend))
    assert seen == list(range(3 * SLICE + 1))
