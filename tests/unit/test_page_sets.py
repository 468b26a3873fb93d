"""Do the loops in C find, put back and compare the same pages as those in numpy, and refuse what is not inside?"""

from typing import cast

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.vmm.memory import page_sets
from edge.vmm.memory.entry_bits import DIRTY, PRESENT, WRITABLE
from edge.vmm.memory.page_sets import Layers, PageNos, Pages
from vmimage import abi, snapshot
from vmimage.errors import FormatError
from vmimage.pages import MASK_WORDS, WORDS_PER_PAGE, PackedPages, pack, unpack
from vmimage.snapshot import DeviceState, Registers, Snapshot

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


def layer(page_nos: PageNos, seed: int) -> tuple[PageNos, PackedPages]:
    return page_nos, pack(rows(seed, len(page_nos)))


def room(count: int) -> tuple[PageNos, NDArray[np.uint64], NDArray[np.uint64]]:
    """For what differs in so many pages."""
    masks = np.zeros((count, MASK_WORDS), dtype=np.uint64)
    return np.zeros(count, dtype=np.uint32), masks, np.zeros(count * WORDS_PER_PAGE, dtype=np.uint64)


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


@given(numbers)
def test_pages_are_said_to_be_written(page_nos: PageNos) -> None:
    here = np.full(PAGES, PRESENT, dtype=np.uint64)
    there = here.copy()
    native.mark_dirty(here, page_nos)
    page_sets.mark_dirty_with_numpy(there, page_nos)
    assert here.tolist() == there.tolist()
    assert (here != PRESENT).sum() == len(page_nos)


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
        page_nos, masks, words = room(len(wanted))
        count, filled = differences(pages, wanted, base, present[: PAGES - 3], layers, page_nos, masks, words)
        found.append((page_nos[:count].tolist(), masks[:count].tolist(), words[:filled].tolist()))
    assert found[0] == found[1]
    changed = native.write_back(here, wanted, base, present[: PAGES - 3], layers, watched)
    assert changed == page_sets.write_back_with_numpy(there, wanted, base, present[: PAGES - 3], layers, watched)
    assert np.array_equal(here, there)
    assert native.differences(here, wanted, base, present[: PAGES - 3], layers, *room(len(wanted))) == (0, 0)


@given(seeds, st.integers(0, 5), st.booleans())
def test_rows_are_packed_and_unpacked(seed: int, count: int, dense: bool) -> None:
    given_rows = rows(seed, count) | np.uint64(dense)
    _, masks, words = room(count)
    filled = native.pack_into(given_rows, masks, words)
    there = pack(given_rows)
    assert (masks.tolist(), words[:filled].tolist()) == (there.masks.tolist(), there.words.tolist())
    assert np.array_equal(unpack(there), given_rows)
    assert (there.words != 0).all()


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
    entries = np.zeros(PAGES, dtype=np.uint64)
    before = pages.copy()
    chosen = page_nos if where == "pages" else FINE
    over = layer(page_nos, 2) if where == "layer" else (FINE, pack(rows(2, 1 if where == "rows" else 2)))
    with pytest.raises(ValueError, match="expected"):
        native.write_back(pages, chosen, None, present, (over,), None)
    with pytest.raises(ValueError, match="expected"):
        native.differences(pages, chosen, None, present, (over,), *room(2))
    with pytest.raises(ValueError, match="expected"):
        native.mark_dirty(entries, page_nos)
    assert np.array_equal(pages, before)
    assert not entries.any()


@pytest.mark.parametrize("kind", ["words missing", "words left over", "masks missing", "no pair"])
def test_packed_rows_that_do_not_fit_their_masks_are_refused_before_a_page_is_touched(kind: str) -> None:
    pages, present = rows(1, PAGES), np.ones(PAGES, dtype=bool)
    before = pages.copy()
    masks, words = pack(np.ones((2, WORDS_PER_PAGE), dtype=np.uint64))
    over: object = {
        "words missing": (FINE, (masks, words[1:])),
        "words left over": (FINE, (masks, np.append(words, words[:1]))),
        "masks missing": (FINE, (masks[:1], words[:WORDS_PER_PAGE])),
        "no pair": (FINE, np.ones((2, WORDS_PER_PAGE), dtype=np.uint64)),
    }[kind]
    layers = cast(Layers, (over,))
    with pytest.raises(ValueError, match="expected"):
        native.write_back(pages, FINE, None, present, layers, None)
    with pytest.raises(ValueError, match="expected"):
        native.differences(pages, FINE, None, present, layers, *room(2))
    assert np.array_equal(pages, before)


RECORD = snapshot.encode(
    Snapshot(Registers(), DeviceState(), np.array([16, 17, 20, 39], dtype=np.uint32), pack(rows(7, 4)))
)
RAW = zstandard.decompress(RECORD)
MEMORY = abi.MEMORY_MIN
places = st.integers(0, len(RAW) - 1) | st.integers(snapshot.record_size(0) - 8, min(len(RAW) - 1, 1200))
edits = st.lists(st.tuples(places, st.integers(0, 7), st.sampled_from(["flip", "cut", "grow", "drop"])), max_size=4)


@given(edits, st.sampled_from([2, 4, 4, 4]))
def test_what_the_parser_of_records_takes_is_taken_alike(changes: list[tuple[int, int, str]], version: int) -> None:
    """A record that anybody wrote is a FormatError, or what C and numpy make the same pages of."""
    raw = bytearray(RAW)
    raw[4] = version
    for place, bit, kind in changes:
        at = min(place, len(raw) - 1)
        if kind == "flip":
            raw[at] ^= 1 << bit
        elif kind == "cut":
            del raw[max(8, at) :]
        elif kind == "grow":
            raw[at:at] = bytes(1 << bit)
        else:
            del raw[max(8, at) : max(8, at) + (1 << bit)]
    try:
        state = snapshot.decode(zstandard.compress(bytes(raw), 1), memory_bytes=MEMORY)
    except FormatError:
        return
    packed = state.pages if isinstance(state.pages, PackedPages) else pack(state.pages)
    layers: Layers = ((state.page_nos, packed),)
    here = np.full((MEMORY // abi.PAGE_SIZE, WORDS_PER_PAGE), 3, dtype=np.uint64)
    there = here.copy()
    present = np.zeros(len(here), dtype=bool)
    assert native.write_back(here, state.page_nos, None, present, layers, None) == []
    assert page_sets.write_back_with_numpy(there, state.page_nos, None, present, layers, None) == []
    assert np.array_equal(here, there)
    assert np.array_equal(here[state.page_nos], state.rows)


def test_room_for_what_is_found_is_asked_for() -> None:
    pages, present = rows(1, PAGES), np.ones(PAGES, dtype=bool)
    few = np.zeros(1, dtype=np.uint32)
    with pytest.raises(ValueError, match="room"):
        native.find_dirty(np.zeros(PAGES, dtype=np.uint64), few, None, 0, False)
    enough = room(2)
    for place, too_few in enumerate(room(1)):
        with pytest.raises(ValueError, match="room"):
            native.differences(pages, FINE, None, present, (), *enough[:place], too_few, *enough[place + 1 :])
        if place:
            with pytest.raises(ValueError, match="room"):
                native.pack_into(pages[:2], *(enough[1], too_few) if place == 2 else (too_few, enough[2]))
    fixed = rows(1, PAGES)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        native.write_back(fixed, FINE, None, present, (), None)
