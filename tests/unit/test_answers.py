"""Answers of the edge's own, as bytes on a connection: what frames them, and what becomes of the connection."""

import re
from collections.abc import Sequence

import pytest

from edge.common.counters import Counters
from edge.front.answers import Answers
from edge.front.request import Request
from edge.model import flow, reasons
from edge.model.services import Service
from edge.model.streams import Stream
from edge.vmm.wire.streams import Answer
from tests.support.connections import Wire, get, post, run
from tests.support.desk import config
from tests.support.playbook import release
from vmimage.errors import OperatorError

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


SAID = Answer(1, 1, True, 1500, 250, 0, b"Status\x00200\0Via\x001.1 inner\0\0hello")


@pytest.mark.parametrize(
    ("given", "via", "timing"),
    [
        ({}, [b"1.1 inner", b"1.1 nunatak"], [b"restore;dur=1.500, guest;dur=0.250"]),
        ({"via": "edge-7:80"}, [b"1.1 inner", b"1.1 edge-7:80"], [b"restore;dur=1.500, guest;dur=0.250"]),
        ({"via": "", "server_timing": "off"}, [b"1.1 inner"], []),
    ],
)
def test_what_an_answer_of_a_guest_says_of_the_edge(
    given: dict[str, str], via: list[bytes], timing: list[bytes]
) -> None:
    async def scenario() -> None:
        wire, request, answers = await made(get("/"))
        answers.take_up(config(**given))
        answers.answer(request, Stream(Service(release("a")), "GET", b"", True, 1.0), SAID)
        head, _, body = wire.transport.written.partition(b"\r\n\r\n")
        assert re.findall(rb"\r\nVia: ([^\r]*)", head) == via
        assert re.findall(rb"\r\nServer-Timing: ([^\r]*)", head) == timing
        assert (request.status, request.head_sent, request.sent - request.head_sent) == (200, len(head) + 4, len(body))

    run(scenario)


@pytest.mark.parametrize("via", ["a b", "a:b", "a,b", "é", "x" * 65, "a:123456"])
def test_a_name_that_cannot_stand_in_via_is_told_at_the_start(via: str) -> None:
    with pytest.raises(OperatorError, match="a word or HOST:PORT"):
        config(via=via)


@pytest.mark.parametrize("found", [False, True])
def test_an_error_for_a_service_says_whether_a_machine_had_the_request(found: bool) -> None:
    async def scenario() -> None:
        wire, request, answers = await made(get("/"))
        if found:
            request.service = Service(release("a"))
        answers.refuse(request, flow.Refusal(503, "queue_full"))
        said = re.findall(rb"\r\nCache-Status: ([^\r]*)", wire.transport.written)
        assert said == ([b"nunatak; detail=queue_full"] if found else [])
        assert (request.status, request.refused) == (503, "queue_full")

    run(scenario)
