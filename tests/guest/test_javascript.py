"""JavaScript workers: the platform they find, and what they may not do. One worker file, a path for each question."""

import hashlib
import json
import struct
import time
from typing import Unpack

import pytest

from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Idle
from edge.vmm.shells.shell import Image
from edge.vmm.turns.watchdog import watchdog
from origin.bake.bake import Baker
from tests.support.edges import eventually
from tests.support.guests import RUNS_MAX, Bounds, Guest, Response, head_block, wait_until
from tests.support.workers import WORKERS, baker, worker_image
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.errors import GuestError, OutOfMemory, OutOfTime, PublisherError
from vmimage.manifest import DEFAULT_TERMS

WORKER = WORKERS / "platform.js"
END = abi.FLAG_END
SOON_NS = 5_000_000_000  # what waits for longer waits for something else than its own timer


def bake(source: bytes, **env: str) -> ImageBundle:
    return baker().bake_source(source, name="worker", env=env, terms=DEFAULT_TERMS, progress=print)


def image() -> Image:
    return worker_image(WORKER, COLOUR="green")


class Worker(Guest):
    """A machine with the worker, as a real one is run: with a watchdog, and until it has answered."""

    def __init__(self, **limits: Unpack[Bounds]) -> None:
        super().__init__(image(), **limits)

    def run(self, *, credit: bool = True) -> None:
        for _ in range(RUNS_MAX):
            with watchdog().watching(self.machine.shell.engine):
                outcome = self.machine.run()
            given = self.collect(credit)
            if isinstance(outcome, Idle) and not given:
                ended = all(response.ended or response.reset for response in self.responses.values())
                if ended or outcome.until_ns is None or outcome.until_ns > time.monotonic_ns() + SOON_NS:
                    return
                wait_until(outcome.until_ns)
        raise AssertionError("the worker does not come to rest")

    def text(self, path: str, **options: object) -> str:
        return bytes(self.get(path, **options).body).decode()

    def json(self, path: str, **options: object) -> object:
        return json.loads(self.text(path, **options))


@pytest.fixture(scope="module")
def worker(engine: str) -> Worker:
    """One that answers many tests; none of those may break it."""
    return Worker()


def test_requests_and_their_urls(worker: Worker) -> None:
    assert worker.json("/query?q=a%20b&a=1&a=2") == [
        "a b",
        ["1", "2"],
        "guest.test",
        "http://guest.test/query?q=a%20b&a=1&a=2",
    ]
    assert worker.get("/no/such/path").status == 404


def test_header_fields_reach_the_handler_and_the_client(worker: Worker) -> None:
    response = worker.get("/headers", HTTP_X_GIVEN="given")
    assert (response.status, response.headers["x-got"], bytes(response.body)) == (201, "given", b"")
    assert response.headers["set-cookie"] == "b=2", "the last of two fields"


@pytest.mark.parametrize("path", ["/echo", "/pipe"])
@pytest.mark.parametrize("size", [0, 100, 300_000])
def test_bodies_come_back(worker: Worker, path: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    stream = worker.send(path, method="POST", body=None)
    position = 0
    while position < len(data):
        piece = data[position : position + min(abi.RECORD_PAYLOAD_MAX, worker.credit[stream])]
        assert piece, "credit for what was read"
        position += len(piece)
        worker.push(stream, piece)
        worker.machine.offer(Record(abi.RECORD_CREDIT, 0, stream, struct.pack("<I", 0)))
        for _ in range(3):
            with watchdog().watching(worker.machine.shell.engine):
                worker.machine.run()
            worker.collect(True)
    worker.push(stream, b"", end=True)
    worker.run()
    assert bytes(worker.responses[stream].body) == data


def test_a_form_is_parsed(worker: Worker) -> None:
    found = worker.json("/form", method="POST", body=b"a=1&b=x+y%21", CONTENT_TYPE="application/x-www-form-urlencoded")
    assert found == [["a", "1"], ["b", "x y!"]]


def test_streams_and_timers(worker: Worker) -> None:
    assert worker.text("/parts") == "".join(f"part {n}\n" for n in range(5))


def test_a_large_answer_under_credit(worker: Worker) -> None:
    assert worker.text("/large") == "0123456789abcdef" * (1 << 16)


def test_digests_are_those_of_hashlib(worker: Worker) -> None:
    expected = [hashlib.new(name, b"abc").hexdigest() for name in ("sha1", "sha256", "sha384", "sha512")]
    assert worker.json("/digest") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/base64", "aOlsbG8= hi"), ("/utf8", "grüße 🏔"), ("/abort", "AbortError"), ("/deep", "RangeError")],
)
def test_each_small_part_of_the_platform_works(worker: Worker, path: str, expected: str) -> None:
    assert worker.text(path) == expected


def test_structured_clone_copies_what_it_can(worker: Worker) -> None:
    assert worker.json("/clone") == [True, True, 5, True, "/x/g"]


def test_a_redirect_has_its_status_and_location(worker: Worker) -> None:
    response = worker.get("/redirect")
    assert (response.status, response.headers["location"]) == (303, "http://other.test/x")


def test_settings_of_the_image_reach_the_handler(worker: Worker) -> None:
    assert worker.json("/env") == {"COLOUR": "green"}


def test_the_top_level_has_no_secrets(worker: Worker) -> None:
    refusal = "Disallowed operation called within global sc"
    assert worker.json("/early") == {"random": "allowed", "uuid": refusal, "timer": "allowed"}


def test_nothing_of_the_bridge_is_left_to_be_found(worker: Worker) -> None:
    assert worker.json("/globals") == []


@pytest.mark.parametrize(
    ("path", "said"),
    [("/throw", "boom"), ("/reject", "late"), ("/nothing", "did not resolve to 'Response'")],
)
def test_errors_are_500_and_told_with_their_line(path: str, said: str) -> None:
    worker = Worker()
    response = worker.get(path)
    assert (response.status, bytes(response.body)) == (500, b"Internal Server Error")
    assert said in worker.log.decode()
    if path != "/nothing":
        assert "worker.js:" in worker.log.decode()
    assert worker.get("/plain").status == 200


def test_what_goes_on_after_the_answer() -> None:
    worker = Worker()
    assert worker.text("/later") == "now"

    def said() -> bool:
        worker.text("/plain")
        return 'after the answer { a: [ 1, "b" ] }' in worker.log.decode()

    eventually(said, "what it does 1 ms later")


def test_an_unhandled_rejection_is_told() -> None:
    worker = Worker()
    assert worker.text("/unhandled") == "ok"
    worker.text("/plain")
    assert "unhandled rejection: Error: forgotten" in worker.log.decode()


def test_fetch_over_an_exchange() -> None:
    worker = Worker()
    stream = worker.send("/fetch?url=http://up.test/x")
    worker.run()
    begun = worker.exchanges[-1]
    assert begun.payload == head_block({"Method": "GET", "URL": "http://up.test/x", "x-own": "yes"})
    head = head_block({"Status": "203", "X-Answer": "42"})
    worker.machine.offer(Record(abi.RECORD_HEAD, 0, begun.stream, head))
    worker.machine.offer(Record(abi.RECORD_BODY, END, begun.stream, b"from upstream"))
    worker.run()
    response: Response = worker.responses[stream]
    assert (response.status, response.headers["x-answer"], bytes(response.body)) == (203, "42", b"from upstream")


def test_fetch_that_fails_is_a_type_error() -> None:
    worker = Worker()
    stream = worker.send("/fetch-fails?url=http://up.test/x")
    worker.run()
    worker.machine.offer(Record(abi.RECORD_RESET, 0, worker.exchanges[-1].stream, b"connection refused"))
    worker.run()
    assert bytes(worker.responses[stream].body) == b"TypeError: fetch failed: connection refused"


def test_a_client_that_leaves_is_no_harm() -> None:
    worker = Worker()
    stream = worker.send("/large")
    worker.run(credit=False)
    worker.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
    worker.run()
    assert not worker.machine.busy
    assert worker.text("/plain") == "plain"


def test_clones_never_agree(engine: str) -> None:
    first, second = Worker(), Worker()
    assert first.json("/random") != second.json("/random")
    record = first.park()
    clones = [Guest(image(), parked=record) for _ in range(2)]
    texts = {bytes(clone.get("/random").body) for clone in (*clones, first)}
    assert len(texts) == 3


def test_what_it_remembers_is_parked_with_it() -> None:
    worker = Worker()
    assert [worker.text("/count") for _ in range(3)] == ["1", "2", "3"]
    assert bytes(Guest(image(), parked=worker.park()).get("/count").body) == b"4"


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("/loop", (OutOfTime,)),
        ("/promises", (OutOfTime,)),
        ("/regex", (OutOfTime,)),
        ("/memory", (OutOfMemory, OutOfTime)),
        ("/string", (OutOfMemory, OutOfTime)),
    ],
)
def test_hostile_workers_meet_their_limits(path: str, errors: tuple[type[GuestError], ...], engine: str) -> None:
    worker = Worker(cpu_ms=400)
    try:
        response = worker.get(path)
    except errors:
        pass
    else:  # the engine itself said that there is no memory
        assert path in ("/memory", "/string")
        assert response.status == 500
        assert "out of memory" in worker.log.decode() or "RangeError" in worker.log.decode()
    assert Worker().text("/plain") == "plain"


def test_patched_prototypes_harm_only_their_own_worker() -> None:
    worker = Worker()
    assert worker.text("/patch") == "patched"
    assert worker.text("/plain") == "plain", "the platform keeps what it needs of the language for itself"
    assert Worker().text("/plain") == "plain"


def test_a_small_worker_makes_a_small_image_and_a_small_record() -> None:
    """A small worker's image is a small part of its base's, and what it parks is less than 32 KiB."""
    bundle = bake(b"export default { fetch() { return new Response('hello'); } };")
    base = baker().base.manifest
    assert bundle.manifest.snapshot.size < 0.03 * base.snapshot.size
    guest = Guest(baker().image(bundle))
    for _ in range(20):
        assert guest.get("/").status == 200
    assert len(guest.park()) < 32 << 10


CYCLES = b"""
const parameters = new URL("http://a.test/?kept=1").searchParams;
export default { fetch(request) {
  const url = new URL(request.url), ring = [Array.from({ length: 50 }, (_, id) => ({ id, name: `item ${id}` }))];
  ring.push({ ring, parameters: url.searchParams });
  return Response.json({ q: url.searchParams.get("q"), kept: parameters.get("kept") });
} };
"""


def test_cycles_that_requests_leave_are_collected_before_they_fill_a_record() -> None:
    guest = Guest(baker().image(bake(CYCLES)), cpu_ms=60_000)
    sizes = []
    for _ in range(3):
        for number in range(150):
            answer = guest.get(f"/?q={number}")
            assert json.loads(bytes(answer.body)) == {"q": str(number), "kept": "1"}
        guest = Guest(baker().image(bake(CYCLES)), parked=(record := guest.park()), cpu_ms=60_000)
        sizes.append(len(record))
    assert max(sizes) < 32 << 10


def test_the_same_source_gives_the_same_image() -> None:
    source = WORKER.read_bytes()
    assert bake(source).manifest.digest == bake(source).manifest.digest
    assert baker().base.manifest.digest == Baker(language=baker().language, fresh=True).base.manifest.digest


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"export default {", "SyntaxError"),
        (b"throw new Error('early')", "early"),
        (b"export const x = 1;", "export default"),
        (b"import x from 'lodash'; export default x;", "bundle it first"),
        (b"await new Promise(() => {}); export default {fetch() {}}", "top level waits"),
    ],
)
def test_what_is_no_worker_is_refused_with_its_error(source: bytes, said: str) -> None:
    told: list[str] = []
    with pytest.raises(PublisherError) as caught:
        baker().bake_source(source, name="bad", env={}, terms=DEFAULT_TERMS, progress=told.append)
    assert said in str(caught.value) + "".join(told)
