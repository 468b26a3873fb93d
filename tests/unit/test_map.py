"""Is docs/map.md what the imports are?"""

from tests.support import map as drawn


def test_the_map_is_drawn_from_the_imports_as_they_are() -> None:
    assert drawn.TARGET.read_text("utf-8") == drawn.drawing(), "`make map` draws it anew"


def test_every_room_says_what_it_is() -> None:
    rows = [line for line in drawn.drawing().splitlines() if line.startswith("| [")]
    assert rows
    assert not [row for row in rows if "|  |" in row]


def test_an_arrow_that_a_longer_way_implies_is_left_out() -> None:
    assert drawn._reduced({("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}) == {
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
    }
