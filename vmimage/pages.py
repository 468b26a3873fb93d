"""Pages as numpy arrays: differences against a reference, and the digest that names page contents.

A set of pages is two arrays of equal length: `page_nos`, uint32, strictly increasing guest page numbers; and `pages`,
uint64 of shape (n, 512), 4 KiB a row. Whether the rows are contents or XOR differences is said where they are used.
Differences are mostly zeros, so where they are many they are packed: `PackedPages`.
"""

import hashlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmimage import abi

WORDS_PER_PAGE = abi.PAGE_SIZE // 8
MASK_WORDS: Final = WORDS_PER_PAGE // 64
MASK_BYTES: Final = MASK_WORDS * 8  # of a page

PageNos = NDArray[np.uint32]
Pages = NDArray[np.uint64]


class PackedPages(NamedTuple):
    """Rows of pages without the words that are zero.

    `masks`, uint64 of shape (n, 8): bit b of mask w says that word 64 w + b of that row is there. `words`, uint64:
    those words, row after row, as many as the masks have bits: whoever makes one of what another wrote checks that.
    """

    masks: NDArray[np.uint64]
    words: NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """Bytes that both take."""
        return self.masks.nbytes + self.words.nbytes


def page_view(buffer: object) -> Pages:
    """The memory of `buffer` (its size a multiple of a page) as rows of pages; no copy."""
    return np.frombuffer(buffer, dtype=np.uint64).reshape(-1, WORDS_PER_PAGE)  # type: ignore[call-overload, no-any-return]


def no_pages() -> tuple[PageNos, Pages]:
    """An empty set."""
    return np.empty(0, dtype=np.uint32), np.empty((0, WORDS_PER_PAGE), dtype=np.uint64)


def pack(rows: Pages) -> PackedPages:
    """The rows without their zeros."""
    there = rows != 0
    masks = np.packbits(there, axis=1, bitorder="little").view(np.uint64).reshape(-1, MASK_WORDS)
    return PackedPages(masks, rows[there])


def unpack(packed: PackedPages) -> Pages:
    """The rows with their zeros; the counterpart of `pack`."""
    rows = np.zeros((len(packed.masks), WORDS_PER_PAGE), dtype=np.uint64)
    masks = np.ascontiguousarray(packed.masks).view(np.uint8).reshape(-1, MASK_BYTES)
    rows[np.unpackbits(masks, axis=1, bitorder="little").view(bool)] = packed.words
    return rows


def difference(page_nos: PageNos, current: Pages, reference: Pages) -> tuple[PageNos, Pages]:
    """Those of `page_nos` whose rows differ, with `current ^ reference`. What is in `reference` is used up."""
    xored = np.bitwise_xor(current, reference, out=reference)
    differs = np.bitwise_or.reduce(xored, axis=1) != 0  # twice as fast as `any`
    return page_nos[differs], xored[differs]


def pages_digest(page_nos: PageNos, contents: Pages) -> str:
    """SHA-256 over the page numbers (u32, little-endian), then the page contents, as "sha256:<hex>"."""
    sha = hashlib.sha256(page_nos.astype("<u4").tobytes())
    sha.update(np.ascontiguousarray(contents).data)
    return f"sha256:{sha.hexdigest()}"
