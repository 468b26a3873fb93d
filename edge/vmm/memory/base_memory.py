"""A base image's memory in a worker, and guest RAM over it: what every shell of that base starts from.

RAM is anonymous memory; only the ranges that the base has are mapped from its memory file, privately. So nothing that a
guest touches elsewhere ever lands in the file: a file shared by all workers would keep it for as long as the base is
held. Ranges are taken once, when the base comes, before any guest has run. Those that are too many to be mapped are
copied into RAM instead.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.vmm.memory.page_sets import contents
from vmimage import abi
from vmimage.pages import PageNos, Pages, no_pages, page_view

# Of a base that are mapped; each takes two of the 65,530 mappings that Linux lets a process have (vm.max_map_count), so
# a thousand shells fit whatever a publisher's base looks like. The bases of libOS and languages have 3 to 7.
EXTENTS_MAX: Final = 24

_PAGE: Final = max(mmap.PAGESIZE, abi.PAGE_SIZE)  # that the host maps: a guest's, or several of them
CLOSED: Final = -1  # in place of a descriptor
_MAP_FIXED: Final = 0x10  # the same number on Linux and macOS
_MAP_FAILED: Final = ctypes.c_void_p(-1).value

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_int64)

Extent = tuple[int, int]  # first byte, and one past the last


class BaseMemory:
    """A base image's memory, by its sealed memory file."""

    def __init__(self, fd: int | None) -> None:
        """:param fd: memfd of `abi.MEMORY_MAX` bytes, raw memory at its addresses, from now on this object's; `None`
        for zero memory.
        :raises ValueError: it has another size.
        """
        self.fd = fd
        self.extents: Sequence[Extent] = ()  # that RAM maps; besides these and `strays` all is zero
        self.strays: PageNos = no_pages()[0]  # pages that it has outside of them
        self.present: NDArray[np.bool_] = np.zeros(abi.MEMORY_MAX // abi.PAGE_SIZE, dtype=bool)
        self.pages: Pages | None = None  # by number; only those that are present may be read: the others stay holes
        if fd is None:
            return
        if os.fstat(fd).st_size != abi.MEMORY_MAX:
            raise ValueError(f"base memfd of {abi.MEMORY_MAX} bytes expected, got {os.fstat(fd).st_size}")
        self.pages = page_view(mmap.mmap(fd, abi.MEMORY_MAX, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
        found = list(_data_extents(fd))
        for start, end in found:
            self.present[start // abi.PAGE_SIZE : end // abi.PAGE_SIZE] = True
        largest = sorted(found, key=lambda extent: extent[0] - extent[1])
        self.extents = tuple(sorted(largest[:EXTENTS_MAX]))
        strays = [np.arange(s // abi.PAGE_SIZE, e // abi.PAGE_SIZE, dtype=np.uint32) for s, e in largest[EXTENTS_MAX:]]
        if strays:
            self.strays = np.sort(np.concatenate(strays))

    def contents(self, page_nos: PageNos) -> Pages:
        """A copy of those pages; pages that the base does not have are zero and stay holes."""
        return contents(page_nos, self.pages, self.present, ())

    def within(self, memory_bytes: int) -> tuple[Sequence[Extent], PageNos]:
        """Extents and strays of a machine with so much memory, which may be less than the base's."""
        extents = [(start, min(end, memory_bytes)) for start, end in self.extents if start < memory_bytes]
        return extents, self.strays[self.strays < memory_bytes // abi.PAGE_SIZE]

    def close(self) -> None:
        """No RAM is made over it any more; what was made stays as it is."""
        fd, self.fd = self.fd, CLOSED
        if fd is not None and fd != CLOSED:
            os.close(fd)


def map_ram(base: BaseMemory, memory_bytes: int) -> mmap.mmap:
    """Private memory with the base's contents, but for its strays; it holds no descriptor.

    :raises OSError: the host has no memory or no mappings left.
    :raises ValueError: the base is closed.
    """
    if base.fd == CLOSED:
        raise ValueError("a base that is not closed expected")
    ram = mmap.mmap(-1, memory_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if base.fd is None:
        return ram
    address = ctypes.addressof(ctypes.c_char.from_buffer(ram))
    protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
    for start, end in base.within(memory_bytes)[0]:
        if _libc.mmap(address + start, end - start, protection, flags, base.fd, start) == _MAP_FAILED:
            number = ctypes.get_errno()
            raise OSError(number, f"mmap: {os.strerror(number)}")
    return ram


def _data_extents(fd: int) -> Iterable[Extent]:
    """Byte ranges of a sparse file that hold data, in whole pages."""
    position, size = 0, os.fstat(fd).st_size
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:  # ENXIO: no data past `position`
            return
        position = -(-os.lseek(fd, start, os.SEEK_HOLE) // _PAGE) * _PAGE
        yield start // _PAGE * _PAGE, min(position, size)
