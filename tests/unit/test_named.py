"""Who is named in metrics: who gives a place up to whom, as a table."""

from collections.abc import Mapping, Sequence

import pytest

from edge.common.named import LEAD, exchanges

CASES: Sequence[tuple[str, Mapping[str, int], Mapping[str, int], int, list[tuple[str, str]]]] = (
    ("nobody waits", {"a": 5, "b": 1}, {}, 2, []),
    ("nobody is named", {}, {"x": 5}, 2, []),
    ("asked more, but not by so much", {"a": 5, "b": 4}, {"x": LEAD * 4}, 2, []),
    ("asked much more", {"a": 5, "b": 4}, {"x": LEAD * 4 + 1}, 2, [("b", "x")]),
    ("not asked at all any more", {"a": 0, "b": 0}, {"x": 1}, 2, [("a", "x")]),
    ("the strongest takes the place of the weakest", {"a": 1, "b": 9}, {"x": 50, "y": 40}, 2, [("a", "x"), ("b", "y")]),
    ("the second is too weak for the second place", {"a": 1, "b": 9}, {"x": 50, "y": 18}, 2, [("a", "x")]),
    ("only so many at once", {"a": 1, "b": 1}, {"x": 50, "y": 40}, 1, [("a", "x")]),
    ("none may change hands", {"a": 1}, {"x": 50}, 0, []),
    ("equals by their names", {"b": 1, "a": 1}, {"y": 9, "x": 9}, 1, [("a", "x")]),
)


@pytest.mark.parametrize(
    ("named", "others", "most", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_who_gives_a_place_up_to_whom(
    named: Mapping[str, int], others: Mapping[str, int], most: int, expected: list[tuple[str, str]]
) -> None:
    assert exchanges(named, others, most) == expected


def test_no_two_take_turns() -> None:
    """Once exchanged, the same weights change nothing."""
    named, others = {"a": 10, "b": 3}, {"x": 7, "y": 2}
    for leaves, enters in exchanges(named, others, 2):
        others[leaves], named[enters] = named.pop(leaves), others.pop(enters)
    assert named == {"a": 10, "x": 7}
    assert exchanges(named, others, 2) == []
