"""Requests that are over: what is told of them, to whom, and how often; and what they are known by."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from edge.model.services import Service
from edge.model.streams import Stream
from tests.support.connections import run
from tests.support.desk import Desk, taken
from tests.support.playbook import release


def test_a_request_is_told_once_and_only_to_who_listens() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.telling.tell(desk.met())
        stop = desk.telling.listen(desk.told.append)
        assert desk.told == [], "it was over before anybody listened"
        request = desk.met()
        await asyncio.sleep(0.002)
        request.status, request.head_sent, request.sent = 200, 100, 142
        desk.telling.tell(request)
        desk.telling.tell(request, whole=False)
        [said] = desk.told
        assert (said.method, said.host, said.target, said.version) == ("GET", "a.test", "/page?a=1", (1, 1))
        assert (said.status, said.whole, said.sent_bytes, said.body_bytes) == (200, True, 142, 42)
        assert (said.id, said.client, said.trace) == (request.id.decode(), "192.0.2.1", None)
        assert (said.service, said.tenant, said.release, said.tier, said.cache, said.run) == ("", "", 0, "", "", None)
        assert said.duration_s >= 0.001
        stop()
        desk.telling.tell(desk.met())
        assert len(desk.told) == 1

    run(scenario)


def test_what_the_edge_asks_for_itself_is_not_told() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.telling.listen(desk.told.append)
        request = taken()
        request.refreshes = True
        desk.telling.begin(request)
        desk.telling.tell(request)
        assert desk.told == []

    run(scenario)


def test_a_listener_that_fails_is_a_mistake_of_ours_and_no_clients() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.telling.listen(lambda finished: finished.run.engine)  # type: ignore[arg-type,union-attr]
        desk.telling.tell(desk.met())
        assert desk.counters.task_failures == {"finished": 1}

    run(scenario)


PROXY = {"trusted_proxies": "192.0.2.0/24"}


@pytest.mark.parametrize(
    ("given", "fields", "kept"),
    [
        (PROXY, ["X-Request-Id: Ab.1_-z"], True),
        (PROXY, ["X-Request-ID: " + "a" * 64], True),
        ({}, ["X-Request-Id: abc"], False),
        ({"trusted_proxies": "198.51.100.0/24"}, ["X-Request-Id: abc"], False),
        (PROXY, [], False),
        (PROXY, ["X-Request-Id:"], False),
        (PROXY, ["X-Request-Id: " + "a" * 65], False),
        (PROXY, ["X-Request-Id: a b"], False),
        (PROXY, ["X-Request-Id: a)"], False),
        (PROXY, ["X-Request-Id: \xe9"], False),
        (PROXY, ["X-Request-Id: abc", "X-Request-Id: abc"], False),
    ],
)
def test_an_identifier_is_a_trusted_proxys_or_ours(given: dict[str, str], fields: Sequence[str], kept: bool) -> None:
    async def scenario() -> None:
        desk = Desk(**given)
        request = desk.met(*fields)
        said = fields[0].partition(": ")[2].encode() if kept else b""
        assert request.id == said if kept else request.id.startswith(desk.marks.id_of(taken())[:13])
        assert desk.met().id != request.id

    run(scenario)


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "fields", "trace_id", "flags", "state"),
    [
        (PROXY, [f"traceparent: {PARENT}", "tracestate: a=1", "TraceState: b=2"], PARENT[3:35], "01", "a=1,b=2"),
        ({}, [f"Traceparent: {PARENT}", "tracestate: a=1"], PARENT[3:35], "00", "a=1"),
        (PROXY, [f"traceparent: {PARENT}", f"traceparent: {PARENT}", "tracestate: a=1"], None, "02", ""),
        (PROXY, ["traceparent: 00", "tracestate: a=1"], None, "02", ""),
        (PROXY, ["tracestate: a=1"], None, "02", ""),
    ],
)
def test_a_guest_is_told_of_the_trace(
    given: dict[str, str], fields: Sequence[str], trace_id: str | None, flags: str, state: str
) -> None:
    async def scenario() -> None:
        desk = Desk(**given)
        request = desk.met(*fields)
        parts = desk.marks.variables(request).decode().split("\0")
        said = dict(zip(parts[0::2], parts[1::2], strict=False))
        version, trace, span, sampled = said["HTTP_TRACEPARENT"].split("-")
        assert (version, sampled, said.get("HTTP_TRACESTATE", "")) == ("00", flags, state)
        assert trace == trace_id if trace_id else trace != PARENT[3:35]
        assert (len(trace), len(span), span != PARENT[36:52]) == (32, 16, True)
        assert desk.marks.variables(request).decode().split("\0") == parts, "it is asked twice, perhaps"
        assert desk.marks.known_trace_of(request) is request.trace

    run(scenario)


def test_no_trace_is_made_for_nobody() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert desk.marks.known_trace_of(desk.met()) is None
        named = desk.marks.known_trace_of(desk.met(f"traceparent: {PARENT}"))
        assert named is not None
        assert (named.trace_id.decode(), named.parent_id.decode()) == (PARENT[3:35], PARENT[36:52])

    run(scenario)


def counted(desk: Desk) -> list[str]:
    """The labels of what the histogram has counted."""
    return re.findall(r"_count\{(.*)\} 1$", desk.telling.durations.text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("what", "whole", "labels"),
    [
        ({"status": 200, "cache": "hit"}, True, 'service="",result="hit",tier="",status="2xx"'),
        ({"status": 421, "refused": "unknown_service"}, True, 'service="",result="edge",tier="",status="4xx"'),
        ({"status": 200, "cache": "hit"}, False, 'service="",result="cut",tier="",status="2xx"'),
        ({"status": 200, "cache": "hit", "cut": "guest"}, True, 'service="",result="cut",tier="",status="2xx"'),
        ({}, False, 'service="",result="gone",tier="",status=""'),
    ],
)
def test_how_long_it_took_is_counted_though_nobody_listens(what: dict[str, Any], whole: bool, labels: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        request = desk.met()
        for name, value in what.items():
            setattr(request, name, value)
        desk.telling.tell(request, whole=whole)
        desk.telling.tell(request)
        assert counted(desk) == [labels]

    run(scenario)


@pytest.mark.parametrize(
    ("what", "cut_by", "said"),
    [
        ({"status": 200}, "", [False]),
        ({"status": 500}, "", [True]),
        ({"status": 200}, "guest_silent", [True]),
        ({"status": 200, "cut": "guest_violation"}, "", [True]),
        ({"status": 502, "refused": "guest_violation"}, "", [True]),
        *(({"status": 200}, reason, []) for reason in ("client_silent", "body_too_large", "worker_lost")),
        *(({"status": 503, "refused": reason}, "", []) for reason in ("sockets_full", "on_hold", "memory_pressure")),
    ],
)
@pytest.mark.parametrize("answered", [True, False])
def test_what_comes_of_a_request_is_said_of_its_version_unless_it_is_others_doing(
    answered: bool, what: dict[str, Any], cut_by: str, said: list[bool]
) -> None:
    async def scenario() -> None:
        desk, heard = Desk(), list[bool]()
        service = Service(release("a"))
        service.observe = lambda failed, ms, address: heard.append(failed)
        request = desk.met()
        request.service, request.last = service, Stream(service, "GET", b"", True, 0.0)
        if answered:
            request.last.cost, request.last.cut_by = (0, 0, 0), cut_by
        for name, value in what.items():
            setattr(request, name, value)
        desk.telling.tell(request, whole=not cut_by)
        failed_at_all = what["status"] >= 500  # else nobody has answered: its client left
        assert heard == (said if answered or failed_at_all else [])

    run(scenario)


def test_where_traces_are_recorded_a_kept_answer_has_one_too() -> None:
    async def scenario() -> None:
        desk = Desk(traces="http://127.0.0.1:1/v1/traces", trace_ratio="1")
        desk.telling.listen(desk.told.append)
        request = desk.met()
        request.status, request.cache = 200, "hit"
        desk.telling.tell(request)
        trace = desk.told[0].trace
        assert trace is not None
        assert f'trace_id="{trace.trace_id.decode()}"' in desk.telling.durations.text(exemplars=True)

    run(scenario)


@pytest.mark.parametrize(("given", "recorded"), [(PROXY, True), ({}, False)])
def test_a_trace_that_is_recorded_is_an_example_of_its_time(given: dict[str, str], recorded: bool) -> None:
    async def scenario() -> None:
        desk = Desk(**given)
        request = desk.met(f"traceparent: {PARENT}")
        desk.marks.trace_of(request)  # as a guest is told
        request.status = 200
        desk.telling.tell(request)
        assert (f'trace_id="{PARENT[3:35]}"' in desk.telling.durations.text(exemplars=True)) is recorded

    run(scenario)
