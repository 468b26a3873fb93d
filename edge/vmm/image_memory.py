"""A base image's memory as a sealed memfd: written once, mapped by every worker, changed by nobody."""

import os
from collections.abc import Iterable

import numpy as np

from edge.vmm import host
from vmimage import abi
from vmimage.pages import PageNos, Pages


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
        host.seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd
