"""Streams and exchanges of JavaScript workers: what leaves when, in how many records, and what ends with what."""

import gzip
import json
from typing import Unpack

import pytest

from edge.vmm.devices.ring import Record
from tests.support.guests import Bounds, head_block
from tests.support.workers import WORKERS, RestingWorker, worker_image
from vmimage import abi

END = abi.FLAG_END


class Worker(RestingWorker):
    """A machine that is run until nothing happens soon; it keeps what it says, and of its exchanges all."""

    def __init__(self, **limits: Unpack[Bounds]) -> None:
        super().__init__(worker_image(WORKERS / "streams.js"), **limits)
        self.said: list[Record] = []

    def collect(self, credit: bool) -> bool:
        self.said += [record for record in self.machine.records if not record.stream & abi.EXCHANGE_BIT]
        return super().collect(credit)

    def begun(self) -> list[Record]:
        return [record for record in self.exchanges if record.type == abi.RECORD_SUBREQUEST]

    def ended(self) -> set[int]:
        """Exchanges that the worker gave up."""
        return {record.stream for record in self.exchanges if record.type == abi.RECORD_RESET}

    def say(
        self, exchange: Record, fields: dict[str, str] | None = None, *, body: bytes = b"", end: bool = True
    ) -> None:
        head = {"Status": "200", **(fields or {})}
        self.machine.offer(Record(abi.RECORD_HEAD, 0, exchange.stream, head_block(head)))
        self.machine.offer(Record(abi.RECORD_BODY, END if end else 0, exchange.stream, body))
        self.run()

    def leave(self, stream: int) -> None:
        self.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
        self.run()


@pytest.fixture
def worker(engine: str) -> Worker:
    return Worker()


@pytest.mark.parametrize(
    ("path", "body"), [("/text", b"text"), ("/async", b'{"a":1}'), ("/stream-at-once", b"one two")]
)
def test_what_is_there_in_one_turn_is_one_record(worker: Worker, path: str, body: bytes) -> None:
    assert bytes(worker.get(path).body) == body
    assert [(record.type, record.flags) for record in worker.said] == [(abi.RECORD_HEAD, END)]


def test_the_head_leaves_before_there_is_a_body(worker: Worker) -> None:
    stream = worker.send("/quiet")
    worker.run()
    assert [(record.type, record.flags) for record in worker.said] == [(abi.RECORD_HEAD, 0)]
    assert worker.responses[stream].status == 201


def test_what_a_turn_writes_is_one_record(worker: Worker) -> None:
    stream = worker.send("/then")
    worker.run()
    assert bytes(worker.responses[stream].body) == b"first"
    worker.get("/go")
    assert bytes(worker.responses[stream].body) == b"first" + b"".join(b"%d " % n for n in range(100))
    assert sum(record.stream == stream for record in worker.said) == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/filter", ["c", "d"]),
        ("/flush-only", ["abc"]),
        ("/many-for-one", ["a", "b", "c", "d"]),
        ("/decoder", ["\u20ac"]),
        ("/terminate", ["a", "b"]),
        ("/tee", ["a", "b"]),
        ("/tee-both", ["teed cancelled: one,two"]),
        ("/pipe-signal", ["stop", "piped cancelled: stop", "sink aborted: stop"]),
        ("/pipe-errored", ["full", "piped cancelled: full"]),
        ("/cancelled-writer", ["enough", "enough"]),
        ("/order", ["timer 1", "microtask", "timer 2"]),
    ],
)
def test_streams_pass_on_and_end_as_they_should(worker: Worker, path: str, expected: list[str]) -> None:
    assert worker.json(path) == expected


def test_an_error_of_a_transform_is_its_readers(worker: Worker) -> None:
    assert bytes(worker.get("/transform-fails").body) == b"at a"


def test_a_client_that_leaves_cancels_the_source(worker: Worker) -> None:
    stream = worker.send("/quiet")
    worker.run()
    worker.leave(stream)
    assert worker.json("/seen") == ["source cancelled: The client has left"]


def test_signals_made_of_a_requests_are_aborted_with_it(worker: Worker) -> None:
    stream = worker.send("/signal")
    worker.run()
    worker.leave(stream)
    assert worker.json("/seen") == ["aborted: AbortError"]


def test_who_reads_a_body_hears_that_its_client_has_left(worker: Worker) -> None:
    stream = worker.send("/body-left", method="POST", body=None)
    worker.push(stream, b"some")
    worker.run()
    worker.leave(stream)
    assert worker.json("/seen") == ["The client has left"]


@pytest.mark.parametrize(
    ("status", "place", "method", "fields"),
    [
        ("307", "/there", "POST", {"authorization": "secret", "cookie": "a=1", "content-type": "text/x"}),
        ("303", "/there", "GET", {"authorization": "secret", "cookie": "a=1"}),
        ("307", "http://other.test/there", "POST", {"content-type": "text/x"}),
        ("302", "http://up.test:8080/there", "GET", {}),
    ],
)
def test_credentials_do_not_follow_to_another_origin_nor_what_tells_of_a_body_without_one(
    worker: Worker, status: str, place: str, method: str, fields: dict[str, str]
) -> None:
    worker.send("/ask-moved")
    worker.run()
    worker.say(worker.begun()[0], {"Status": status, "Location": place})
    url = place if place.startswith("http") else f"http://up.test{place}"
    assert worker.begun()[1].payload == head_block({"Method": method, "URL": url, **fields, "x-own": "yes"})


def member(text: str) -> bytes:
    """One of a gzip file, the same whenever it is made."""
    return gzip.compress(text.encode(), mtime=0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (member(""), ""),
        (member("some"), "some"),
        (member("some") + member(" more"), "some more"),
        (member("some")[:-9], "fetch failed: a compressed body broke off"),
        (member("some")[:1], "fetch failed: a compressed body broke off"),
    ],
    ids=["nothing", "an empty member", "a member", "two members", "a member without its end", "one byte"],
)
def test_a_compressed_body_is_whole_or_an_error_and_an_empty_one_is_empty(
    worker: Worker, body: bytes, text: str
) -> None:
    stream = worker.send("/ask-text")
    worker.run()
    worker.say(worker.begun()[0], {"Content-Encoding": "gzip"}, body=body)
    assert json.loads(bytes(worker.responses[stream].body)) == text


def test_a_redirect_that_is_an_error_says_so(worker: Worker) -> None:
    stream = worker.send("/ask-fixed")
    worker.run()
    worker.say(worker.begun()[0], {"Status": "302", "Location": "/there"})
    assert bytes(worker.responses[stream].body) == b"fetch failed: no redirect expected, got one"


def test_a_requests_redirects_are_its_clients(worker: Worker) -> None:
    assert bytes(worker.get("/redirect").body) == b"manual,manual,manual,follow"


# Exchanges.


def test_an_unread_exchange_ends_with_its_request(worker: Worker) -> None:
    for number in range(20):
        stream = worker.send("/ask")
        worker.run()
        worker.say(worker.begun()[-1], body=b"x" * 1000, end=False)
        assert bytes(worker.responses[stream].body) == b"200"
        assert len(worker.ended()) == number + 1
    assert not worker.machine.busy


def test_one_that_was_forgotten_does_too(worker: Worker) -> None:
    worker.get("/forget")
    assert worker.ended() == {worker.begun()[0].stream}
    assert worker.json("/seen") == ["fetch failed: the request that it was begun for has ended"]


def test_wait_until_keeps_it(worker: Worker) -> None:
    assert bytes(worker.get("/ask-kept").body) == b"now"
    worker.run()
    (exchange,) = worker.begun()
    assert not worker.ended()
    worker.say(exchange, body=b"answered")
    assert worker.json("/seen") == ["answered"]


@pytest.mark.parametrize("path", ["/stray", "/kept-late"])
def test_one_that_is_begun_after_the_answer_is_nobodys_to_end(worker: Worker, path: str) -> None:
    assert bytes(worker.get(path).body) == b"now"
    assert not worker.ended()
    worker.get("/text")
    (exchange,) = worker.begun()
    worker.say(exchange, body=b"answered")
    assert worker.json("/seen") == ["answered"]


def test_a_stray_that_nobody_reads_does_not_keep_its_place(worker: Worker) -> None:
    worker.get("/stray")
    (exchange,) = worker.begun()
    worker.machine.offer(Record(abi.RECORD_HEAD, 0, exchange.stream, head_block({"Status": "200"})))
    for _ in range(4):
        worker.machine.offer(Record(abi.RECORD_BODY, 0, exchange.stream, b"x" * abi.RECORD_PAYLOAD_MAX))
    worker.machine.run()
    worker.machine.run()
    worker.collect(True)
    assert any(record.type == abi.RECORD_CREDIT for record in worker.exchanges), "it is taken in before it is read"


def test_an_error_in_onabort_keeps_nothing_from_ending(worker: Worker) -> None:
    stream = worker.send("/onabort")
    worker.run()
    worker.leave(stream)
    assert b"in onabort" in worker.log
    assert not worker.machine.busy


def test_an_exchange_is_that_requests_whose_timer_led_to_it(worker: Worker) -> None:
    """Two requests at once: each one's exchange ends with its own client, whoever came first."""
    first, second = worker.send("/ask-late?ms=4&first"), worker.send("/ask-late?ms=1&second")
    worker.run()
    by_url = {record.payload.split(b"\0")[3].rpartition(b"&")[2]: record.stream for record in worker.begun()}
    worker.leave(second)
    assert worker.ended() == {by_url[b"second"]}
    worker.leave(first)
    assert worker.ended() == set(by_url.values())


def test_what_has_no_place_waits_for_one(worker: Worker) -> None:
    stream = worker.send("/ask-many")
    worker.run()
    assert len(worker.begun()) == abi.MAX_EXCHANGES
    for number in range(20):
        assert len(worker.begun()) == min(20, abi.MAX_EXCHANGES + number)
        worker.say(worker.begun()[number])
    assert json.loads(bytes(worker.responses[stream].body)) == [200] * 20


def test_large_answers_that_nobody_reads_make_room_for_others(worker: Worker) -> None:
    stream = worker.send("/ask-many")
    worker.run()
    for number in range(abi.MAX_EXCHANGES):
        worker.say(worker.begun()[number], body=b"x" * abi.RECORD_PAYLOAD_MAX, end=False)
    assert len(worker.begun()) == abi.MAX_EXCHANGES, "none is given up while it may still end"
    for number in range(abi.MAX_EXCHANGES):
        worker.machine.offer(Record(abi.RECORD_BODY, END, worker.begun()[number].stream, b"y"))
    worker.run()
    for number in range(abi.MAX_EXCHANGES, 20):
        worker.say(worker.begun()[number])
    assert json.loads(bytes(worker.responses[stream].body)) == [200] * 20
