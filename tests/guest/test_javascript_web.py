"""The web platform in JavaScript, by its standards: each rule is an act of workers/web.js, and here is what it gives.

Whole folders of web-platform-tests are `make wpt`; what is here stands for the kinds of rules that they hold.
"""

import json
from functools import cache

import pytest

from edge.vmm.machine.machine import Idle
from tests.support.guests import RUNS_MAX, Guest, wait_until
from tests.support.workers import WORKERS, worker_image

EXPECTED: dict[str, object] = {
    "url: setters strip tab and newline": "https://a.test:81/x#ab",
    "url: a scheme's other letters are no scheme": "http://a.test/",
    "url: one slash is relative to a base of the same scheme": "http://a.test/x/y",
    "url: file and drive letters": ["file:///d:/x", "file:///c:/z"],
    "url: opaque paths": ["data:text/plain,a b %20#c", "null"],
    "url: names that are not ASCII": ["xn--bcher-kva.example", "xn--nrs.example", "TypeError", "ab.test"],
    "url: plain, relative to a plain one": ["https://a.test:8443/p?q", "https://b.test/p", "TypeError"],
    "url: credentials": ["me", "p%40ss", "https://a.test", "a.test"],
    "url: parameters are live while they are iterated": ["a", "c"],
    "url: halves of pairs": "%EF%BF%BD=x%EF%BF%BD",
    "url: parse and canParse": [True, "http://a.test/x", False, "TypeError"],
    "urlpattern": ["12", True, False],
    "text: other encodings": [
        "e4 20ac",
        "42f",
        "d83d de00",
        "41",
        "3042",
        "4f60",
        "ac00",
        "4e00",
        "430",
        "f780",
        "3042",
    ],
    "text: labels": ["windows-1252", "windows-1252", "utf-16le", "RangeError", "RangeError", "RangeError"],
    "text: fatal in another encoding": "TypeError",
    "text: a stream of another encoding": ["", "41", "fffd"],
    "text: maximal subparts": ["fffd 41", "fffd", "fffd fffd fffd", "fffd fffd fffd"],
    "text: fatal takes U+FFFD itself": ["fffd", "TypeError"],
    "text: halves of pairs are replaced wherever text becomes bytes": [[97, 239, 191, 189, 98], [239, 191, 189], True],
    "text: encodeInto whole characters": [{"read": 1, "written": 1}, {"read": 2, "written": 4}, [97, 226, 130, 172]],
    "text: pairs that are split between chunks": [[[240, 159, 152, 128], [239, 191, 189]], ["😀"]],
    "text: streams say what they are": ["windows-1252", False, True, "utf-8"],
    "streams: a buffer of one's own": [0, [97, 98, 99, 100], [101, 102], True],
    "streams: at least so many": [1, 2, 1, 2],
    "streams: strategies count": 7,
    "streams: released readers' reads end": "TypeError",
    "streams: abort reaches the sink's signal": [True, "x"],
    "streams: pipeTo with a signal that is aborted": "AbortError",
    "streams: tee'd branches are independent": [[1], [2]],
    "streams: from anything iterable": ["a", "b"],
    "streams: iterators": [False, ["b", "c"]],
    "streams: a transform that keeps all until its end": ["ab"],
    "streams: brands": ["TypeError", "TypeError", "TypeError"],
    "headers: iterated while they change, in order": ["a=2", "b=1", "c=3", "set-cookie=x", "set-cookie=y"],
    "headers: what they are made of": [
        "TypeError",
        "TypeError",
        "TypeError",
        "TypeError",
        "TypeError",
        [["a", "b"]],
        [["x", "1"]],
    ],
    "headers: immutable ones": ["TypeError", "TypeError"],
    "request: defaults": ["cors", "same-origin", "default", "follow", "about:client", "", "", False, "half", False],
    "request: wrong values": ["TypeError", "TypeError", "TypeError", "TypeError", "TypeError"],
    "request: methods": ["POST", "patch", "PROPFIND", "TypeError", "TypeError", "TypeError", "TypeError"],
    "request: a signal of its own follows": [False, "why", "why"],
    "request: made of one whose body it takes": [True, False, "x", "TypeError"],
    "response: status text": ["", "Fine", "TypeError"],
    "response: statuses": ["RangeError", "RangeError", "RangeError", "RangeError"],
    "response: types": ["default", "error", 0, "RangeError", "TypeError"],
    "response: 204 and an empty string": [204, "TypeError", "TypeError"],
    "body: what was never there is never used": [False, "", None],
    "body: locked and disturbed": ["TypeError", False, "TypeError", True, "TypeError", "TypeError", "TypeError"],
    "body: after it was read": [True, True, "TypeError", "TypeError"],
    "body: chunks that are no bytes": ["TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError"],
    "body: clones": ["AB", "AB", "c"],
    "body: a BOM": ["A", 1],
    "body: bytes are copies": [1, 2],
    "fetch: data": [200, "text/plain;charset=utf-8", "hä", "text/plain;charset=US-ASCII", "a b", "TypeError"],
    "fetch: blobs": ["a/b", "abc", "TypeError"],
    "form: boundary text within a value": [["a", "x--By\r\n--Bz"]],
    "form: parameters in any order, quoted, escaped": [["n\r\n", 'a"".txt', "image/png", "p"]],
    "form: preamble and blanks after a boundary": [["a", ""]],
    "form: what is cut off, or is none": ["TypeError", "TypeError", "TypeError", "TypeError", "TypeError", []],
    "form: there and back": [['a\r\n"', "x\r\ny"], ["f", 'n"\r\n.txt'], ["z", "�"]],
    "form: urlencoded": [["a", "b c"], ["d", "�"]],
    "form: values": [5, "blob", "TypeError", "TypeError"],
    "blob: slices": ["bcde", "ef", "", "ab", "cdef"],
    "blob: parts and types": ["AB�1x", "text/plain;a=b", "", "TypeError", "a\nb"],
    "blob: files": [True, 1, True, "TypeError"],
    "blob: types of responses": ["text/html;a=b", ""],
    "events: attributes": [True, True, False, 0, False, "number", None, [], 2],
    "events: capture, passive, once, order": [True, "capture", "bubble", True, 2, "capture", "bubble"],
    "events: a listener that throws": ["one", "two"],
    "events: dispatched twice at once": ["InvalidStateError", "TypeError"],
    "events: handlers": ["first", True, "last"],
    "events: unhandled rejections": ["forgotten"],
    "abort: any, in order": ["ctrue", "atrue", "btrue", 7],
    "abort: timeout": ["TimeoutError", "TypeError", "TimeoutError"],
    "messages: ports": [1, True, 2],
    "messages: buffers and ports are transferred": [0, 4, 1, "DataCloneError"],
    "clone: what it keeps and refuses": [
        "n",
        3,
        True,
        [1],
        8,
        True,
        20,
        "DataCloneError",
        "DataCloneError",
        "DataCloneError",
        "DataCloneError",
        "DataCloneError",
        "DataCloneError",
    ],
    "clone: transfer": [True, 8, True, "DataCloneError", "DataCloneError", "TypeError"],
    "timers: this, order, arguments": [True, "a", "b", "huge", "TypeError"],
    "timers: of the top level": "has run",
    "console: nothing throws": ["[object console]", "TypeError"],
    "performance": [True, True, True, "TypeError"],
    "performance: marks and measures": [
        {"name": "a", "entryType": "mark", "startTime": 10, "duration": 0, "detail": {"x": [1]}},
        *(True, 5, 10, True, [1, 2, None], [0, 10]),
        *(["a", "c"], ["m"], []),
        *(["SyntaxError", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError"],),
        *("PerformanceMark", "[object PerformanceMark]", ["c"]),
    ],
    "weak references hold until the end of the job": "object",
    "interfaces say what they are": [
        "[object Headers]",
        "a:b",
        "[object Blob]",
        "[object EventTarget]",
        "[object ReadableStream]",
        "[object Response]",
        "[object AbortSignal]",
        "[object FormData]",
        "[object URLSearchParams Iterator]",
    ],
    "members are enumerable, internals are not": [True, True, False, 0],
    "errors can be given another stack": True,
}


class Worker(Guest):
    """A machine that is run until it has answered, however long its timers take."""

    def run(self, *, credit: bool = True) -> None:
        for _ in range(RUNS_MAX):
            outcome = self.machine.run()
            given = self.collect(credit)
            if isinstance(outcome, Idle) and not given:
                if all(response.ended or response.reset for response in self.responses.values()):
                    return
                assert outcome.until_ns is not None, "the worker waits for ever"
                wait_until(outcome.until_ns)
        raise AssertionError("the worker does not come to rest")


@cache
def told() -> dict[str, object]:
    """What all acts give, in one request."""
    found: dict[str, object] = json.loads(bytes(Worker(worker_image(WORKERS / "web.js"), cpu_ms=60_000).get("/").body))
    return found


@pytest.fixture(scope="module")
def worker(engine: str) -> Worker:
    return Worker(worker_image(WORKERS / "web.js"), cpu_ms=60_000)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("act", EXPECTED)
def test_acts_give_what_the_standards_say(act: str) -> None:
    assert told().get(act) == EXPECTED[act]


def test_every_act_has_its_right_value_here() -> None:
    assert set(told()) == set(EXPECTED)


@pytest.mark.parametrize("path", ["/locked-text", "/locked-stream", "/teed"])
def test_responses_that_somebody_else_reads_are_errors_at_once(worker: Worker, path: str) -> None:
    answer = worker.get(path)
    assert (answer.status, answer.ended) == (500, True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/echo", b"0123456789"), ("/echo-again", b"0123456789"), ("/byob", b"3 3 3 1 "), ("/immutable", b"TypeError")],
)
def test_bodies_of_requests_are_byte_streams(worker: Worker, path: str, expected: bytes) -> None:
    assert bytes(worker.get(path, method="POST", body=b"0123456789").body) == expected


def test_a_response_whose_chunks_are_no_bytes_is_given_up(worker: Worker) -> None:
    assert worker.get("/wrong-chunk").reset
