"""Responses whose fields do not fit into one record, and bodies as large as a machine: they arrive, or are refused."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from edge.front.cgi import answer_head
from edge.vmm.devices.ring import Record
from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES
from origin.bake.bake import Baker
from tests.support.guests import Guest, Response, image_of
from vmimage import abi
from vmimage.manifest import DEFAULT_TERMS

HERE = Path(__file__).parent
MARK = "----mark"


@cache
def worker_image(memory_mib: int = 32) -> Image:
    baker = Baker(memory_mib << 20, next(language for language in LANGUAGES if language.name == "js"))
    source = (HERE / "workers" / "bodies.js").read_bytes()
    return baker.image(baker.bake_source(source, name="worker", env={}, terms=DEFAULT_TERMS, progress=print))


LUA = """
return function(request)
    local headers = {}
    for n = 1, tonumber(request.params.count) do headers["x-" .. n] = ("v"):rep(tonumber(request.params.size)) end
    return {headers = headers, body = ("v"):rep(tonumber(request.params.body or 0))}
end
"""


@cache
def lua_image() -> Image:
    baker = Baker(language=next(language for language in LANGUAGES if language.name == "lua"))
    return baker.image(baker.bake_source(LUA.encode(), name="page", env={}, terms=DEFAULT_TERMS, progress=print))


class Heads(Guest):
    """Keeps the blocks of answers as they came."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.heads: list[Record] = []

    def collect(self, credit: bool) -> bool:
        self.heads += [record for record in self.machine.records if record.type == abi.RECORD_HEAD]
        return super().collect(credit)


IMAGES: dict[str, Callable[[], Image]] = {
    "c": lambda: image_of(HERE / "programs" / "large_heads.c"),
    "js": worker_image,
    "lua": lua_image,
}


@pytest.mark.parametrize("language", IMAGES)
@pytest.mark.parametrize(
    ("size", "count"), [(2000, 5), (7600, 1), (20, 26), (16_300, 1), (16_384, 1), (1000, 64), (60_000, 1), (65_500, 1)]
)
def test_fields_of_up_to_64_kib_arrive(engine: str, language: str, size: int, count: int) -> None:
    guest = Heads(IMAGES[language]())
    answer = guest.get(f"/?size={size}&count={count}")
    (head,) = guest.heads
    assert answer.status == 200
    lines = answer_head(head.payload[: head.payload.index(b"\0\0") + 2]).fields.split(b"\r\n")[:-1]
    assert sum(line.startswith(b"x-") and len(line) > size for line in lines) == count


@pytest.mark.parametrize("language", IMAGES)
def test_more_is_an_error_and_never_left_out(engine: str, language: str) -> None:
    guest = Heads(IMAGES[language]())
    for size, count in ((90_000, 1), (2000, 60)):
        answer = guest.get(f"/?size={size}&count={count}")
        assert answer.status == 500
        assert not [name for name in answer.headers if name.startswith("x-")]
    assert guest.get("/?size=10&count=1").status == 200


@pytest.mark.parametrize("language", ["c", "lua"])
def test_a_body_behind_a_large_head_is_whole(engine: str, language: str) -> None:
    guest = Heads(IMAGES[language]())
    for body in (0, 1, 8_000, 16_384, 100_000):
        answer = guest.get(f"/?size=1000&count=40&body={body}")
        assert bytes(answer.body) == b"v" * body
    assert [len(head.payload) <= abi.HEAD_MAX + abi.RECORD_PAYLOAD_MAX for head in guest.heads] == [True] * 5


@pytest.mark.parametrize(
    ("path", "body"), [("/body", b"b" * 30_000), ("/stream", b"streamed"), ("/chunks", b"b" * 56_000)]
)
def test_a_worker_answers_with_both(engine: str, path: str, body: bytes) -> None:
    answer = Heads(worker_image()).get(f"{path}?size=1000&count=40")
    assert (bytes(answer.body), len(answer.headers)) == (body, 43 if path == "/body" else 42)


# Bodies.


def form(size: int) -> bytes:
    """With a note and a file."""
    file = bytes(range(256)) * (size // 256)
    disposition = f"--{MARK}\r\nContent-Disposition: form-data; name="
    head = f'{disposition}"note"\r\n\r\nhello\r\n{disposition}"file"; filename="p.jpg"\r\nContent-Type: image/jpeg'
    return head.encode() + b"\r\n\r\n" + file + f"\r\n--{MARK}--\r\n".encode()


def post(guest: Guest, path: str, body: bytes) -> Response:
    """Send a body as an edge does: no more than the guest has given credit for."""
    stream = guest.send(
        path,
        method="POST",
        body=None,
        CONTENT_TYPE=f"multipart/form-data; boundary={MARK}",
        CONTENT_LENGTH=str(len(body)),
    )
    at = 0
    while at < len(body) and not guest.responses[stream].ended:
        size = min(guest.credit[stream], abi.RECORD_PAYLOAD_MAX, len(body) - at)
        if size:
            guest.push(stream, body[at : at + size], end=at + size == len(body))
            at += size
        guest.run()
    return guest.responses[stream]


def test_a_form_is_read_with_little_of_the_time_that_a_request_has(engine: str) -> None:
    guest = Guest(worker_image())
    answer = post(guest, "/form", form(1 << 20))
    assert json.loads(bytes(answer.body)) == [1 << 20, "p.jpg", 0, 255, "hello"]


def test_a_form_of_16_mib_fits_a_machine_that_is_built_for_it(engine: str) -> None:
    guest = Guest(worker_image(64), cpu_ms=60_000)
    answer = post(guest, "/form", form(16 << 20))
    assert json.loads(bytes(answer.body)) == [16 << 20, "p.jpg", 0, 255, "hello"]


def test_a_body_that_does_not_fit_is_refused_by_name_and_the_machine_goes_on(engine: str) -> None:
    guest = Guest(worker_image(), cpu_ms=60_000)
    assert bytes(post(guest, "/whole", bytes(8 << 20)).body) == b"%d" % (8 << 20)
    assert post(guest, "/whole", bytes(16 << 20)).status == 500
    assert b"in a machine of 32 MiB: read it as a stream, or build with --memory" in guest.log
    assert bytes(post(guest, "/whole", bytes(1 << 20)).body) == b"%d" % (1 << 20)
