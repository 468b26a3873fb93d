"""Services on hold: kept in a file that outlives the edge, and never forgotten in silence."""

import json
from pathlib import Path

import pytest

from edge.supervisor.holds import FILE_MAX, HOLDS_MAX, Holds
from tests.support.room import files_up_to
from vmimage.errors import OperatorError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "holds.json"


def test_what_is_held_is_held_by_the_next_edge(path: Path) -> None:
    holds = Holds(path)
    assert (len(holds), holds.names) == (0, set())
    holds.add("shop", 1000.0)
    holds.add("shop", 2000.0)
    holds.add("blog", 3000.0)
    after = Holds(path)
    assert (list(after), after.names, after.since("shop"), after.since("none")) == (
        ["blog", "shop"],
        {"blog", "shop"},
        1000.0,
        None,
    )
    after.discard("shop")
    after.discard("none")
    assert list(Holds(path)) == ["blog"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_asks_at_each_request_sees_changes(path: Path) -> None:
    holds = Holds(path)
    names = holds.names
    holds.add("shop", 1.0)
    assert "shop" in names
    holds.discard("shop")
    assert not names


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"holds": ["shop"]}',
        b'{"holds": {"shop": "yesterday"}}',
        b'{"holds": {"../x": 1}}',
        b'{"holds": {"shop": 1}',
        b"\xff",
        b"[" * 100_000,
        b'{"holds": {}}' + b" " * FILE_MAX,
        b'{"holds": {%b}}' % b",".join(b'"s%d": 1' % number for number in range(HOLDS_MAX + 1)),
    ],
    ids=range(11),
)
def test_a_file_that_cannot_be_used_is_said_and_not_overlooked(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(OperatorError, match=r"holds\.json: .*delete it"):
        Holds(path)
    assert path.read_bytes() == data


def test_there_is_a_bound(path: Path) -> None:
    path.write_text(json.dumps({"holds": {f"s{number}": 1 for number in range(HOLDS_MAX)}}))
    holds = Holds(path)
    holds.add("s1", 2.0)
    with pytest.raises(OperatorError, match="at most 1000"):
        holds.add("one-more", 2.0)
    assert len(holds) == len(Holds(path)) == HOLDS_MAX


def test_what_the_disk_does_not_take_changes_nothing(path: Path) -> None:
    holds = Holds(path)
    holds.add("shop", 1.0)
    with files_up_to(0), pytest.raises(OSError, match=r"too large|No space"):
        holds.add("blog", 2.0)
    assert list(holds) == list(Holds(path)) == ["shop"]
