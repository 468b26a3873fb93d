"""The loops over a machine's pages: which were written, putting back what they shall hold, and what differs from it.

`same_words` is one over what tells of pages, their table entries.

What pages shall hold is said by a base's memory and by layers over it, an image's and a parked machine's: page numbers
that increase, and for each a packed row that is XORed. A loop takes a few microseconds in C (`_page_sets.c`, built with
the package where there is a compiler) and some ten times that with numpy, as below; tests compare the two.

Rules for callers: page numbers increase, and lie inside of memory.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.vmm.memory.entry_bits import DIRTY, WRITABLE
from vmimage.pages import MASK_WORDS, WORDS_PER_PAGE, PackedPages, difference, unpack
from vmimage.pages import PageNos as PageNos
from vmimage.pages import Pages as Pages
from vmimage.pages import pack as pack_with_numpy

Layers: TypeAlias = tuple[tuple[PageNos, PackedPages], ...]
Mask: TypeAlias = NDArray[np.bool_]  # of pages, by number; false for those beyond its end


def find_dirty_with_numpy(
    entries: NDArray[np.uint64], found: PageNos, skip: PageNos | None, first_bare: int, changeable: bool
) -> int:
    """Write the numbers of the pages whose entries say that they were written into `found`; how many they are.

    :param skip: numbers to leave out.
    :param changeable: only those that the guest may write, and all below `first_bare`.
    """
    dirty = entries & np.uint64(DIRTY) != 0
    if changeable:
        dirty[first_bare:] &= entries[first_bare:] & np.uint64(WRITABLE) != 0
    if skip is not None:
        dirty[skip] = False
    numbers = dirty.nonzero()[0]
    found[: len(numbers)] = numbers
    return len(numbers)


def mark_dirty_with_numpy(entries: NDArray[np.uint64], page_nos: PageNos) -> None:
    """Have the entries of these pages say that they were written."""
    entries[page_nos] |= np.uint64(DIRTY)


def write_back_with_numpy(
    pages: Pages, page_nos: PageNos, base: Pages | None, present: Mask, layers: Layers, watched: Mask | None
) -> list[int]:
    """Make these pages what base and layers say; the numbers of `watched` pages that held something else."""
    rows = contents(page_nos, base, present, layers)
    changed: list[int] = []
    if watched is not None:
        inside = page_nos < len(watched)
        inside[inside] = watched[page_nos[inside]]
        looked_at = page_nos[inside]
        changed = looked_at[(pages[looked_at] != rows[inside]).any(axis=1)].tolist()
    pages[page_nos] = rows
    return changed


def differences_with_numpy(
    pages: Pages,
    page_nos: PageNos,
    base: Pages | None,
    present: Mask,
    layers: Layers,
    found: PageNos,
    masks: NDArray[np.uint64],
    words: NDArray[np.uint64],
) -> tuple[int, int]:
    """Write the numbers of those of the pages that differ from base and layers into `found`, and how, packed.

    :param masks: shape (n, 8), with room for all pages. :param words: the same, 512 a page.
    :return: how many pages and words were written.
    """
    numbers, xored = difference(page_nos, pages[page_nos], contents(page_nos, base, present, layers))
    packed = pack_with_numpy(xored)
    found[: len(numbers)], masks[: len(numbers)], words[: len(packed.words)] = numbers, *packed
    return len(numbers), len(packed.words)


def pack_into_with_numpy(rows: Pages, masks: NDArray[np.uint64], words: NDArray[np.uint64]) -> int:
    """Write the rows packed; how many words that are.

    :param masks: shape (n, 8), with room for all rows. :param words: the same, 512 a row.
    """
    packed = pack_with_numpy(rows)
    masks[: len(rows)], words[: len(packed.words)] = packed
    return len(packed.words)


def same_words_with_numpy(these: NDArray[np.uint64], those: NDArray[np.uint64], ignored: int) -> bool:
    """Whether all are alike, but for some bits."""
    differ = np.bitwise_or.reduce(np.bitwise_xor(these, those))
    return int(differ) & ~ignored == 0


def pack(rows: Pages) -> PackedPages:
    """The rows without their zeros, as `vmimage.pages.pack` makes them, in a copy; never in two that are as large."""
    if not IN_C:
        return pack_with_numpy(rows)
    masks = np.empty((len(rows), MASK_WORDS), dtype=np.uint64)
    words = np.empty(rows.size, dtype=np.uint64)
    count = pack_into(rows, masks, words)
    if 2 * count > rows.size:
        words.resize(count, refcheck=False)
        return PackedPages(masks, words)
    return PackedPages(masks, words[:count].copy())  # a few words at the head of a large hole would keep it open


def contents(page_nos: PageNos, base: Pages | None, present: Mask, layers: Layers) -> Pages:
    """What these pages shall hold: the base's, zeros where it has none, under the layers."""
    rows = np.zeros((len(page_nos), WORDS_PER_PAGE), dtype=np.uint64)
    if base is not None:
        held = page_nos < len(present)
        held[held] = present[page_nos[held]]
        rows[held] = base[page_nos[held]]
    for numbers, packed in layers:
        xored = unpack(packed)
        places = np.searchsorted(numbers, page_nos)
        inside = places < len(numbers)
        inside[inside] = numbers[places[inside]] == page_nos[inside]
        rows[inside] ^= xored[places[inside]]
    return rows


try:
    from edge.vmm.memory._page_sets import differences as differences
    from edge.vmm.memory._page_sets import find_dirty as find_dirty
    from edge.vmm.memory._page_sets import mark_dirty as mark_dirty
    from edge.vmm.memory._page_sets import pack_into as pack_into
    from edge.vmm.memory._page_sets import same_words as same_words
    from edge.vmm.memory._page_sets import write_back as write_back

    IN_C = True
except ImportError:
    find_dirty, mark_dirty, same_words = find_dirty_with_numpy, mark_dirty_with_numpy, same_words_with_numpy
    write_back, differences, pack_into = write_back_with_numpy, differences_with_numpy, pack_into_with_numpy
    IN_C = False
