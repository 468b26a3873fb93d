"""Whom a worker works for at this moment: a page that it shares with its supervisor, who reads it when the worker died.

A worker may end without a word: an abort in a library, a kill. What it wrote here then says on behalf of which machine
it worked, so that one service is blamed and not all that were in the worker. A worker that was taken over can write
anything: its reader believes it only for a machine that was in that worker, and blame costs a service no more than a
worker of its own.
"""

import mmap
import os
import struct
from typing import Final

from edge.vmm.kernel import host

NOBODY: Final = 0  # machine numbers begin with 1
_NUMBER: Final = struct.Struct("<I")


def new_page() -> int:
    """A memory file of one page, with nobody in it. The caller closes it."""
    fd = host.memory_file("nunatak-attribution")
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd


def read(fd: int) -> int:
    """The number of the machine that the worker works for, `NOBODY` for none."""
    data = os.pread(fd, _NUMBER.size, 0)
    return int(_NUMBER.unpack(data)[0]) if len(data) == _NUMBER.size else NOBODY


class Attribution:
    """The worker's side."""

    def __init__(self, fd: int) -> None:
        self._page = mmap.mmap(fd, mmap.PAGESIZE)
        self._slot = memoryview(self._page).cast("I")

    def set(self, machine: int) -> None:
        """From now on work is done for this machine; `NOBODY` for none."""
        self._slot[0] = machine
