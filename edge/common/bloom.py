"""Which names may be there: a counting Bloom filter (Fan et al., "Summary cache", 2000), of one size of memory."""

import mmap
import struct
from collections.abc import Iterable
from typing import Final

COUNT_MAX: Final = 255
_SLOTS: Final = struct.Struct("<QQ")


class BloomFilter:
    """Counts names of 16 bytes, digests, in memory of one size.

    It takes no for an answer only where it is one. With four bytes an entry it is wrong about one in seven that are not
    there, with eight about one in twenty; each costs a look at the disk. What was counted to 255 stays.
    """

    def __init__(self, size_bytes: int) -> None:
        # Pages that nothing was counted in take no memory: most edges' are empty for a long time.
        self._counts = mmap.mmap(-1, max(1, size_bytes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._entries = 0

    def __bool__(self) -> bool:
        """Whether anything was added that was not removed."""
        return self._entries > 0

    def __contains__(self, name: bytes) -> bool:
        first, second = self._slots(name)
        return self._counts[first] > 0 and self._counts[second] > 0

    def add(self, name: bytes) -> None:
        """One more of this name is there."""
        self.add_all((name,))

    def add_all(self, names: Iterable[bytes]) -> None:
        """So many more; in one loop, since an edge that starts has a million of them to add."""
        counts, size, slots = self._counts, len(self._counts), _SLOTS.unpack
        for name in names:
            self._entries += 1
            for slot in slots(name):
                if counts[slot % size] < COUNT_MAX:
                    counts[slot % size] += 1

    def remove(self, name: bytes) -> None:
        """One that was added is there no more."""
        self._entries -= 1
        for slot in self._slots(name):
            if 0 < self._counts[slot] < COUNT_MAX:
                self._counts[slot] -= 1

    def _slots(self, name: bytes) -> tuple[int, int]:
        first, second = _SLOTS.unpack(name)
        size = len(self._counts)
        return first % size, second % size
