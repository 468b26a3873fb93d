"""Answers of the edge's own, as bytes on a connection: what frames them, and what becomes of the connection."""

import re
from collections.abc import Sequence

import pytest

from edge.common.counters import Counters
from edge.front.answers import Answers
from edge.front.request import Request
from edge.model import flow, reasons
from tests.support.connections import Wire, get, post, run

WAITS = post("Content-Length: 5", "Expect: 100-continue")


async def made(data: bytes) -> tuple[Wire, Request, Answers]:
    wire = Wire()
    wire.feed(data)
    return wire, wire.taken[0], Answers(Counters())


def test_100_is_sent_once_and_to_who_waits() -> None:
    async def scenario() -> None:
        wire, request, answers = await made(WAITS)
        answers.ask_for_body(request)
        assert wire.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (request.expects_continue, request.sent) == (False, 0)
        wire.feed(b"hello")
        answers.refuse(request, flow.Refusal(503, "unavailable"))
        assert b"Connection: close" not in wire.transport.written, "the body is here, so the next request is known"

    run(scenario)


@pytest.mark.parametrize("sent", [b"h", b"hello"])
def test_who_sends_already_needs_no_100(sent: bytes) -> None:
    async def scenario() -> None:
        wire, request, answers = await made(WAITS + sent)
        answers.ask_for_body(request)
        assert wire.transport.written == b""

    run(scenario)


def test_no_100_follows_an_answer() -> None:
    async def scenario() -> None:
        wire, request, answers = await made(WAITS)
        answers.refuse(request, flow.Refusal(503, "unavailable"))
        answers.ask_for_body(request)
        assert re.findall(rb"HTTP/1.1 (\d+)", wire.transport.written) == [b"503"]
        assert b"\r\nConnection: close\r\n" in wire.transport.written

    run(scenario)


REFUSALS: Sequence[flow.Refusal] = (
    flow.Refusal(400, "bad_request"),
    flow.Refusal(401, "unauthorized"),
    flow.Refusal(405, "method_refused"),
    flow.Refusal(431, "head_too_large", 0, "field=8190"),
    flow.Refusal(503, "backing_off", 3),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.status))
def test_a_refusal_of_HEAD_is_that_of_GET_without_its_body(refusal: flow.Refusal) -> None:
    async def scenario() -> None:
        heads = []
        for method in (b"GET", b"HEAD"):
            wire, request, answers = await made(get("/").replace(b"GET", method))
            answers.refuse(request, refusal)
            head, _, body = wire.transport.written.partition(b"\r\n\r\n")
            assert body == (reasons.page(refusal, request.id) if method == b"GET" else b"")
            heads.append(re.sub(rb"\r\nDate: [^\r]*", b"", head))
        assert heads[0] == heads[1]
        assert (b"\r\nWWW-Authenticate: " in heads[0]) is (refusal.status == 401)
        assert (b"\r\nAllow: " in heads[0]) is (refusal.status == 405)
        assert (b"\r\nX-Nunatak-Limit: field=8190\r\n" in heads[0]) is (refusal.status == 431)
        assert (b"\r\nRetry-After: 3\r\n" in heads[0]) is (refusal.status == 503)

    run(scenario)
