"""A base image's memory as a sealed memfd: written once, mapped by every worker, changed by nobody."""

import os
from collections.abc import Iterable
from typing import Final

import numpy as np

from edge.vmm.kernel import host
from vmimage import abi
from vmimage.pages import PageNos, Pages

# Holes of fewer pages than this are written as zeros, the largest of these that adds no more than the share below: each
# range of a base is a mapping of every shell. The JavaScript base has 22 ranges without, 5 with 63 pages of zeros.
GAPS_CLOSED: Final = (16, 8, 4, 2)
ZEROS_SHARE: Final = 4  # one page of zeros for so many of the base, or ZEROS_MIN
ZEROS_MIN: Final = 16


def sealed_memfd(name: str, data: bytes) -> int:
    """A memfd that holds `data` and cannot be changed any more. The caller closes it."""
    fd = host.memory_file(name)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    host.seal(fd)
    return fd


def base_memfd(page_nos: PageNos, contents: Pages) -> int:
    """A sparse memfd of `abi.MEMORY_MAX` bytes with these pages at their addresses, sealed. The caller closes it."""
    return base_memfd_of(page_nos, [(page_nos, contents)])


def base_memfd_of(page_nos: PageNos, slices: Iterable[tuple[PageNos, Pages]]) -> int:
    """The same of slices of those pages, each held only until it is written; whatever they raise, no memfd is left."""
    fd = host.memory_file("nunatak-base")
    try:
        os.ftruncate(fd, abi.MEMORY_MAX)
        for numbers, contents in slices:
            for page_no, row in zip(numbers.tolist(), np.ascontiguousarray(contents), strict=True):
                os.pwrite(fd, row.data, page_no * abi.PAGE_SIZE)
        for page_no, count in _gaps(page_nos):
            os.pwrite(fd, bytes(count * abi.PAGE_SIZE), page_no * abi.PAGE_SIZE)
        host.seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _gaps(page_nos: PageNos) -> list[tuple[int, int]]:
    """Holes to close: their first page, and of how many pages they are."""
    missing = np.diff(page_nos.astype(np.int64)) - 1
    for most in GAPS_CLOSED:
        chosen = (missing > 0) & (missing < most)
        if missing[chosen].sum() <= max(ZEROS_MIN, len(page_nos) // ZEROS_SHARE):
            return list(zip((page_nos[:-1][chosen] + 1).tolist(), missing[chosen].tolist(), strict=True))
    return []
