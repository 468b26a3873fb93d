"""Does `make fuzz` do its rounds, and is a failure one that a shell sees?"""

import os
from collections import Counter
from itertools import islice

import pytest

from tests.property.fuzzing import marathon
from tests.property.fuzzing.marathon import ENGINES, PIECES, ROUND, Done, Piece


def test_a_short_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert marathon.run(cases=500, minutes=0, seed=11, jobs=2, sizes={"unicorn": 64, "http": 100, "parsers": 5}) == 0
    said = capsys.readouterr().out
    assert "seed 11" in said
    assert said.rstrip().endswith("nothing failed")
    assert all(word in said for word in ("unicorn", "http", "parsers"))


def test_no_case_comes_twice_and_all_kinds_come() -> None:
    some = list(islice(marathon.pieces(set(ROUND), PIECES), 5 * len(ROUND)))
    assert len({(piece.kind, piece.first) for piece in some}) == len(some)
    assert {piece.kind for piece in some} == set(PIECES)
    guest_code = Counter(piece.kind in ENGINES for piece in some)
    assert guest_code[True] > guest_code[False]


def test_a_failure_is_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert marathon.summary({"http": Done("http", cases=3, failures=["what it was"])}, 1.0, 1) == 1
    assert capsys.readouterr().out.rstrip().endswith("FAILED")


def _ends(piece: Piece, seed: int, until: float) -> Done:
    os._exit(3)


def test_a_process_that_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(marathon, "work", _ends)
    assert marathon.run(cases=1000, minutes=0, seed=11, jobs=1, sizes={"http": 10}) == 1
    assert "Piece(kind='http', first=0, size=10) of seed 11" in capsys.readouterr().out
