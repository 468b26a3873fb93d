"""Requests that an operator follows: which of them, how they are told, and what becomes of who reads slowly."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.common.durations import Durations
from edge.common.following import WAITING_MAX
from edge.front.request import Request
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.operators import feeds
from edge.operators.pages import Admin
from edge.operators.tail import TEXT_MAX, Requests, Wanted
from edge.operators.tail_cli import line
from tests.support.connections import run
from tests.support.desk import Desk
from tests.support.idle_edge import idle_edge
from tests.support.playbook import release


@pytest.mark.parametrize(
    ("query", "statuses", "methods", "client"),
    [
        ("service=shop", (), [], False),
        ("service=shop&status=&method=&client=0", (), [], False),
        ("service=shop&status=404", ((404, 404),), [], False),
        ("service=shop&status=5xx,%20400-403,gone", ((500, 599), (400, 403), (0, 0)), [], False),
        ("service=shop&method=GET,QUERY&client=1", (), ["GET", "QUERY"], True),
    ],
)
def test_what_may_be_followed(
    query: str, statuses: Sequence[tuple[int, int]], methods: Sequence[str], client: bool
) -> None:
    assert Wanted.parse(query) == Wanted("shop", tuple(statuses), frozenset(methods), client)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "service=",
        "service=../x",
        "status=404",
        "service=shop&service=blog",
        "service=shop&tenant=x",
        "service=shop&client=2",
        *(
            f"service=shop&status={text}"
            for text in (
                "xx",
                "0xx",
                "5x",
                "44",
                "4044",
                "404-",
                "-404",
                ",",
                "Gone",
                "4xx,",
                "9xx",
                "600",
                "400-999",
                "499-400",
            )
        ),
        *(f"service=shop&method={text}" for text in ("G%20T", ",", "GET,", "M" * 33, "get", "FOO", "TRACE")),
        "service=shop&status=" + ",".join(["404"] * 17),
        "service=shop&status=" + "4" * 1024,
    ],
)
def test_what_may_not(query: str) -> None:
    with pytest.raises(ClientError, match="bad_query"):
        Wanted.parse(query)


def ended(desk: Desk, *, service: str = "shop", status: int = 200, target: str = "/page", **given: Any) -> Request:
    request = desk.met()
    request.service, request.status, request.target = Service(release(service)), status, target
    for name, value in given.items():
        setattr(request, name, value)
    desk.telling.tell(request)
    return request


async def somebody() -> bool:
    """There is such a service."""
    return True


def data_of(part: bytes) -> Any:
    return json.loads(part.split(b"data: ", 1)[1])


def test_who_follows_gets_what_is_wanted_of_one_service_while_it_does() -> None:
    async def scenario() -> None:
        desk = Desk()
        followed = Requests(desk.telling)
        parts = feeds.requests(followed, Wanted.parse("service=shop&status=2xx,gone&method=GET"), somebody)
        assert await anext(parts) == b'event: following\ndata: {"service":"shop","known":true}\n\n'
        hit = ended(desk, cache="hit", sent=142, head_sent=100)
        ended(desk, service="blog")
        ended(desk, status=404)
        ended(desk, method="POST")
        gone = ended(desk, status=0)
        said = data_of(await anext(parts))
        assert said["lost"] == 0
        assert [each["id"] for each in said["requests"]] == [hit.id.decode(), gone.id.decode()]
        first = said["requests"][0]
        assert (first["cache"], first["tier"], first["body_bytes"], first["status"]) == ("hit", None, 42, 200)
        assert "client" not in first
        await parts.aclose()
        assert not desk.telling.is_heard

    run(scenario)


def test_addresses_are_told_to_who_asks_for_them() -> None:
    async def scenario() -> None:
        desk = Desk()
        parts = feeds.requests(Requests(desk.telling), Wanted.parse("service=shop&client=1"), somebody)
        await anext(parts)
        ended(desk)
        assert data_of(await anext(parts))["requests"][0]["client"] == "192.0.2.1"
        await parts.aclose()

    run(scenario)


def test_who_reads_slowly_loses_the_oldest_and_holds_little() -> None:
    async def scenario() -> None:
        desk = Desk()
        followed = Requests(desk.telling)
        with followed.follow(Wanted("shop")) as slow, followed.follow(Wanted("shop")) as quick:
            for number in range(WAITING_MAX + 3):
                ended(desk, target=f"/{number}?{'x' * 5000}")
                await quick.next()
            waiting, lost = await slow.next()
            assert (len(waiting), lost, waiting[0].target[:4]) == (WAITING_MAX, 3, "/3?x")
            assert {len(each.target) for each in waiting} == {TEXT_MAX}

    run(scenario)


def test_the_page_is_one_that_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with idle_edge(tmp_path) as supervisor:
            admin = Admin(supervisor, supervisor.counters, Durations(), lambda: None, Requests(Desk().telling))
            found = await admin.handle("GET", "/-/requests", "service=shop")
            assert isinstance(found, feeds.Feed)
            assert (await anext(found.parts)).startswith(b"event: following\n")
            await found.parts.aclose()
            for method, query, wrong in (("GET", "service=..", "bad_query"), ("POST", "", "method_not_allowed")):
                with pytest.raises(ClientError, match=wrong):
                    await admin.handle(method, "/-/requests", query)
            alone = Admin(supervisor, supervisor.counters, Durations(), lambda: None)
            with pytest.raises(ClientError, match="no_such_page"):
                await alone.handle("GET", "/-/requests", "service=a")

    run(scenario)


TOLD = {
    "time": "2026-11-26T20:15:01.123+00:00",
    "status": 200,
    "whole": True,
    "method": "GET",
    "ms": 1.25,
    "id": "a-1",
    "host": "shop.test",
    "target": "/a?b",
    "cache": "miss",
    "tier": "resident",
    "error": None,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "200 GET 1.25 ms miss resident a-1 shop.test/a?b"),
        ({"client": "192.0.2.1"}, "200 GET 1.25 ms miss resident a-1 192.0.2.1 shop.test/a?b"),
        ({"cache": "hit", "tier": None}, "200 GET 1.25 ms hit a-1 shop.test/a?b"),
        ({"status": 504, "error": "guest_silent"}, "504 GET 1.25 ms guest_silent a-1 shop.test/a?b"),
        ({"status": 0, "whole": False, "cache": None, "tier": None}, "gone GET 1.25 ms - a-1 shop.test/a?b"),
        ({"whole": False}, "200 cut GET 1.25 ms miss resident a-1 shop.test/a?b"),
        ({"target": "/\x1b[2J\u202e"}, "200 GET 1.25 ms miss resident a-1 shop.test/\ufffd[2J\ufffd"),
    ],
)
def test_a_request_as_a_line(changes: dict[str, Any], words: str) -> None:
    time, *rest = line({**TOLD, **changes}).split()
    assert (time[2::3][:2], time[-3:], " ".join(rest)) == ("::", "123", words)
