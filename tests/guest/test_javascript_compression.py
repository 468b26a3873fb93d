"""CompressionStream and DecompressionStream of JavaScript workers, judged by Python's zlib."""

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.guests import Guest
from tests.support.workers import WORKERS, worker_image

WINDOWS = {"gzip": 31, "deflate": 15, "deflate-raw": -15}
FORMAT = st.sampled_from(sorted(WINDOWS))
CHUNKS = st.lists(st.one_of(st.binary(max_size=300), st.just(bytes(20_000))), max_size=5)
SETTINGS = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECE_BYTES = 8 << 10  # of a request's body; one record holds them
BOMB_BYTES = 48 << 20  # more than the machine has memory


@pytest.fixture(scope="module")
def guest(engine: str) -> Guest:
    return Guest(worker_image(WORKERS / "compression.js"), cpu_ms=600_000)


def ask(guest: Guest, task: str, stream: str, name: str, *chunks: bytes | None) -> Any:
    hexes = [None if chunk is None else chunk.hex() for chunk in chunks]
    body = json.dumps({"task": task, "stream": stream, "format": name, "chunks": hexes}).encode()
    number = guest.send("/", method="POST", body=None)
    for at in range(0, len(body), PIECE_BYTES):
        guest.push(number, body[at : at + PIECE_BYTES], end=at + PIECE_BYTES >= len(body))
        guest.run()
    return json.loads(bytes(guest.responses[number].body))


def compressed(name: str, data: bytes) -> bytes:
    state = zlib.compressobj(wbits=WINDOWS[name])
    return state.compress(data) + state.flush()


def whole(answer: Any) -> bytes:
    assert answer["end"] == "done"
    assert set(answer["writes"]) == {"done"}
    return b"".join(map(bytes.fromhex, answer["pieces"]))


@SETTINGS
@given(name=FORMAT, chunks=CHUNKS)
def test_what_goes_in_comes_out_elsewhere(guest: Guest, name: str, chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    assert zlib.decompress(whole(ask(guest, "through", "CompressionStream", name, *chunks)), WINDOWS[name]) == data


@SETTINGS
@given(name=FORMAT, chunks=CHUNKS, cut=st.integers(0))
def test_what_others_have_compressed_comes_out(guest: Guest, name: str, chunks: list[bytes], cut: int) -> None:
    data = b"".join(chunks)
    sealed = compressed(name, data)
    at = cut % len(sealed)
    assert whole(ask(guest, "through", "DecompressionStream", name, sealed[:at], b"", sealed[at:])) == data


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_what_is_refused(guest: Guest, name: str) -> None:
    sealed = compressed(name, b"text" * 100)
    for chunks in ([sealed[:-1]], [], [sealed + b"\0"], [sealed, b"\0"], [b"\xff" * 20], [sealed, sealed]):
        answer = ask(guest, "through", "DecompressionStream", name, *chunks)
        assert (answer["end"], answer["writes"][-1]) == ("TypeError", "TypeError"), chunks
    for stream in ("CompressionStream", "DecompressionStream"):
        answer = ask(guest, "through", stream, name, None)
        assert (answer["end"], answer["writes"]) == ("TypeError", ["TypeError", "TypeError"])
    if name != "deflate-raw":  # which has no sum of its own
        broken = sealed[:-6] + bytes([sealed[-6] ^ 1]) + sealed[-5:]
        assert ask(guest, "through", "DecompressionStream", name, broken)["end"] == "TypeError"


def test_formats_that_are_not_there(guest: Guest) -> None:
    for name in ("br", "GZIP", ""):
        assert ask(guest, "through", "CompressionStream", name) == "TypeError"


def test_the_reader_sets_the_pace(guest: Guest) -> None:
    """A bomb in one chunk comes a piece at a time: its write has not ended while there is more of it to be read."""
    found = ask(guest, "counted", "DecompressionStream", "gzip", compressed("gzip", bytes(BOMB_BYTES)))
    assert found["bytes"] == BOMB_BYTES
    assert found["largest"] == 32 << 10
    assert found["before"] >= found["reads"] - 2


def test_the_end_of_one_side_is_the_other_sides(guest: Guest) -> None:
    for stream in ("CompressionStream", "DecompressionStream"):
        assert ask(guest, "ended", stream, "deflate") == ["RangeError", "RangeError"]


def test_an_answer_is_compressed_on_its_way(guest: Guest) -> None:
    assert gzip.decompress(bytes(guest.get("/").body)) == b"line 0\nline 1\nline 2\n"
