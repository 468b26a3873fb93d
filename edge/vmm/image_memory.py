"""A base image's memory as a sealed memfd: written once, mapped by every worker, changed by nobody."""

import fcntl
import os
from typing import Final

import numpy as np

from vmimage import abi
from vmimage.pages import PageNos, Pages

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_memfd(name: str, data: bytes) -> int:
    """A memfd that holds `data` and cannot be changed any more. The caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def base_memfd(page_nos: PageNos, contents: Pages) -> int:
    """A sparse memfd of `abi.MEMORY_MAX` bytes with these pages at their addresses, sealed. The caller closes it."""
    fd = os.memfd_create("nunatak-base", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, abi.MEMORY_MAX)
    for page_no, row in zip(page_nos.tolist(), np.ascontiguousarray(contents), strict=True):
        os.pwrite(fd, row.data, page_no * abi.PAGE_SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd
