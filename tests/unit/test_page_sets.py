"""Do the loops in C find, put back and compare the same pages as those in numpy, and refuse what is not inside?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vmm.memory import page_sets
from edge.vmm.memory.entry_bits import DIRTY, PRESENT, WRITABLE
from edge.vmm.memory.page_sets import Layers, PageNos, Pages
from vmimage.pages import WORDS_PER_PAGE

native = pytest.importorskip("edge.vmm.memory._page_sets", reason="built without a C compiler")

PAGES = 40
numbers = st.sets(st.integers(0, PAGES - 1)).map(lambda found: np.array(sorted(found), dtype=np.uint32))
seeds = st.integers(0, 1 << 32)


def rows(seed: int, count: int) -> Pages:
    """Mostly zeros, as differences are; some rows zero altogether."""
    dice = np.random.default_rng(seed)
    found = np.zeros((count, WORDS_PER_PAGE), dtype=np.uint64)
    for row in found:
        for place in dice.integers(0, WORDS_PER_PAGE, dice.integers(0, 4)):
            row[place] = dice.integers(0, 1 << 60)
    return found


def layer(page_nos: PageNos, seed: int) -> tuple[PageNos, Pages]:
    return page_nos, rows(seed, len(page_nos))


@given(st.lists(st.sampled_from([0, PRESENT, PRESENT | WRITABLE]), min_size=1, max_size=PAGES), numbers, numbers)
def test_pages_that_were_written_are_found(kinds: list[int], dirty: PageNos, skip: PageNos) -> None:
    entries = np.array(kinds, dtype=np.uint64)
    entries[dirty[dirty < len(entries)]] |= np.uint64(DIRTY)
    skip = skip[skip < len(entries)]
    for changeable in (False, True):
        for skipped in (None, skip):
            here, there = np.zeros(len(entries), dtype=np.uint32), np.zeros(len(entries), dtype=np.uint32)
            count = native.find_dirty(entries, here, skipped, 4, changeable)
            assert count == page_sets.find_dirty_with_numpy(entries, there, skipped, 4, changeable)
            assert here[:count].tolist() == there[:count].tolist()


@given(numbers, numbers, numbers, numbers, seeds, st.booleans())
def test_pages_are_put_back_and_compared(
    wanted: PageNos, one: PageNos, two: PageNos, holes: PageNos, seed: int, over_zeros: bool
) -> None:
    base = None if over_zeros else rows(seed + 1, PAGES - 3)  # as of a base that is smaller than the machine
    present = np.ones(PAGES, dtype=bool)
    present[holes] = False
    layers: Layers = (layer(one, seed + 2), layer(two, seed + 3))
    watched = np.arange(PAGES - 5) % 3 == 0
    here = rows(seed, PAGES)
    there = here.copy()
    found = []
    for differences, pages in ((native.differences, here), (page_sets.differences_with_numpy, there)):
        page_nos, differ = np.zeros_like(wanted), np.zeros((len(wanted), WORDS_PER_PAGE), dtype=np.uint64)
        count = differences(pages, wanted, base, present[: PAGES - 3], layers, page_nos, differ)
        found.append((page_nos[:count].tolist(), differ[:count].tolist()))
    assert found[0] == found[1]
    changed = native.write_back(here, wanted, base, present[: PAGES - 3], layers, watched)
    assert changed == page_sets.write_back_with_numpy(there, wanted, base, present[: PAGES - 3], layers, watched)
    assert np.array_equal(here, there)
    page_nos, differ = np.zeros_like(wanted), np.zeros((len(wanted), WORDS_PER_PAGE), dtype=np.uint64)
    assert native.differences(here, wanted, base, present[: PAGES - 3], layers, page_nos, differ) == 0


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=20), st.integers(0, 19), st.integers(0, 63), st.booleans())
def test_words_that_differ_in_what_counts_are_told_apart(words: list[int], at: int, bit: int, ignored: bool) -> None:
    these = np.array(words, dtype=np.uint64)
    those = these.copy()
    those[at : at + 1] ^= np.uint64(1 << bit)
    expected = ignored or at >= len(words)
    for same in (native.same_words, page_sets.same_words_with_numpy):
        assert same(these, these, 0)
        assert same(these, those, 1 << bit if ignored else 0) == expected
    with pytest.raises(ValueError, match="as many"):
        native.same_words(these, np.zeros(len(words) + 1, dtype=np.uint64), 0)


OUTSIDE = np.array([1, PAGES], dtype=np.uint32)
DISORDER = np.array([2, 1], dtype=np.uint32)
FINE = np.array([1, 2], dtype=np.uint32)


@pytest.mark.parametrize("page_nos", [OUTSIDE, DISORDER], ids=["outside", "disorder"])
@pytest.mark.parametrize("where", ["pages", "layer", "rows"])
def test_numbers_that_are_no_pages_are_refused_before_a_page_is_touched(page_nos: PageNos, where: str) -> None:
    pages, present = rows(1, PAGES), np.ones(PAGES, dtype=bool)
    before = pages.copy()
    chosen = page_nos if where == "pages" else FINE
    over = (page_nos, rows(2, 2)) if where == "layer" else (FINE, rows(2, 1 if where == "rows" else 2))
    found, differ = np.zeros(2, dtype=np.uint32), np.zeros((2, WORDS_PER_PAGE), dtype=np.uint64)
    with pytest.raises(ValueError, match="expected"):
        native.write_back(pages, chosen, None, present, (over,), None)
    with pytest.raises(ValueError, match="expected"):
        native.differences(pages, chosen, None, present, (over,), found, differ)
    assert np.array_equal(pages, before)


def test_room_for_what_is_found_is_asked_for() -> None:
    pages, present = rows(1, PAGES), np.ones(PAGES, dtype=bool)
    few = np.zeros(1, dtype=np.uint32)
    with pytest.raises(ValueError, match="room"):
        native.find_dirty(np.zeros(PAGES, dtype=np.uint64), few, None, 0, False)
    with pytest.raises(ValueError, match="room"):
        native.differences(pages, FINE, None, present, (), few, np.zeros((2, WORDS_PER_PAGE), dtype=np.uint64))
    fixed = rows(1, PAGES)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        native.write_back(fixed, FINE, None, present, (), None)
