"""Whatever is parsed gives a value that round-trips or an error of ours, in bounded memory.

What once failed is in `fuzzing/corpus/parsers` and comes first; HTTP requests begin with `fuzzing/corpus/http`.
"""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.property.fuzzing import http_heads, parsers
from tests.property.fuzzing.parsers import ParserFailure, Target
from tests.property.fuzzing.targets import targets
from vmimage.errors import FormatError

SEED = 1
CASES = 2_000
SLOW = {"archive": 200, "elf": 60}  # milliseconds each
HTTP_CASES = 5_000
TARGETS = targets()

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_each_parser_gives_a_value_or_an_error_of_ours(target: Target) -> None:
    for path in parsers.kept(target):
        parsers.try_one(target, path.read_bytes(), measured=True)
    ends = parsers.run(target, SEED, 0, SLOW.get(target.name, CASES))
    assert ends["value"] > 0  # else no change is small enough to get through
    assert not target.raises or ends.total() > ends["value"]


def test_corpus_belongs_to_parsers_that_there_are() -> None:
    assert {path.name for path in parsers.CORPUS.glob("*")} <= {http_heads.NAME, *(target.name for target in TARGETS)}


def test_every_request_of_the_corpus_is_taken_or_refused_as_it_says() -> None:
    async def all_of_them() -> None:
        for word, count, data in http_heads.corpus():
            outcome = http_heads.check(data, random.Random(SEED))
            assert (len(outcome.requests), outcome.refused) == (count, word == "refuse"), (data, outcome)

    assert len(http_heads.corpus()) > 40
    asyncio.run(all_of_them())


def test_http_heads_that_once_failed() -> None:
    for path in (parsers.CORPUS / http_heads.NAME).glob("*"):
        http_heads.try_one(path.read_bytes())


def test_mutated_heads_of_http_are_taken_or_refused() -> None:
    ends = http_heads.run(SEED, 0, HTTP_CASES)
    assert min(ends[word] for word in ("refused", "1 taken", "2 taken", "3 taken")) > HTTP_CASES // 200


# Does it see what it is there to see?


def _value(data: bytes) -> bytes:
    return data


def _raise(data: bytes) -> bytes:
    raise IndexError(data)


def _take_memory(data: bytes) -> int:
    return len(bytearray(parsers.PEAK_BYTES + parsers.PEAK_FACTOR * len(data) + 1))


@pytest.mark.parametrize(
    ("parse", "holds", "why"),
    [
        (_raise, True, "IndexError"),
        (_value, False, "round-trips"),
        (_take_memory, True, "bytes of memory"),
    ],
)
def test_a_parser_that_does_not_hold(parse: Callable[[bytes], object], holds: bool, why: str) -> None:
    target = Target("bad", lambda rng: rng.randbytes(8), parse, (FormatError,), lambda _data, _value: holds)
    with pytest.raises(ParserFailure, match=why) as caught:
        parsers.run(target, SEED, 0, 1)
    assert caught.value.data.hex() in str(caught.value)


def test_pieces_that_make_a_difference_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.front.connection import Connection

    feed = Connection.data_received
    monkeypatch.setattr(Connection, "data_received", lambda self, data: feed(self, data.replace(b"a.test", b"b.test")))

    async def one() -> None:
        http_heads.check(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", random.Random(SEED))

    with pytest.raises(ParserFailure, match="byte by byte"):
        asyncio.run(one())
