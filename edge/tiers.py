"""What a cache tier does: a byte budget and an order of use. And the disk under the tiers, which holds bytes only.

`Tier` is pure; who is evicted and where to is decided by its user. `open_disk` gives a `diskcache.Cache` that neither
writes nor reads pickles, so that a file planted in the cache folder is data and never code (CVE-2025-69872).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW

Key = TypeVar("Key")
Value = TypeVar("Value")


class Tier(Generic[Key, Value]):
    """Entries of known size in order of use, the coldest first."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.touch: Callable[[Key], None] = self._entries.move_to_end  # KeyError for what is not here

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def values(self) -> Iterator[Value]:
        """Values, the coldest first."""
        return (value for value, _ in self._entries.values())

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Enter or replace as the most recently used. The budget may be passed: see `coldest`."""
        self.pop(key)
        self._entries[key] = value, size_bytes
        self.used_bytes += size_bytes

    def resize(self, key: Key, size_bytes: int) -> None:
        """Correct an entry's size, in its place in the order of use.

        :raises KeyError: it is not here.
        """
        value, before_bytes = self._entries[key]
        self._entries[key] = value, size_bytes
        self.used_bytes += size_bytes - before_bytes

    def get(self, key: Key) -> Value | None:
        """The value, now the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def size_of(self, key: Key) -> int:
        """Bytes of an entry; 0 for what is not here."""
        entry = self._entries.get(key)
        return entry[1] if entry else 0

    def pop(self, key: Key) -> Value | None:
        """Take out."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.used_bytes -= entry[1]
        return entry[0]

    def over(self, coming_bytes: int = 0) -> bool:
        """Whether the budget is passed, or would be with so many bytes more."""
        return self.used_bytes + coming_bytes > self.budget_bytes

    def coldest(self, may_go: Callable[[Value], bool] = lambda _: True) -> Key | None:
        """The least recently used entry that may go."""
        return next((key for key, (value, _) in self._entries.items() if may_go(value)), None)


# Smaller values live in the SQLite file itself: a parked C guest is about 3 KB, and a file of its own would cost it
# a 4 KiB block and two system calls. Larger than diskcache's own 32 KiB, WAL write amplification outweighs that.
DISK_MIN_FILE_BYTES: Final = 32 << 10

# Of 4 KiB, for each connection, that is, each thread and cache. diskcache takes 8,192, and maps 64 MiB: they would hold
# what the tiers in memory hold already, and were 90 MiB of an edge with 10,000 parked services.
SQLITE_CACHE_PAGES: Final = 256


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """diskcache's store for str keys and bytes values, and nothing else."""

    def put(self, key: Any) -> tuple[str, bool]:
        """A key to its column."""
        if not isinstance(key, str):
            raise TypeError(f"key of type {type(key).__name__}, str expected")
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        """A key from its column."""
        if not raw or not isinstance(key, str):
            raise ValueError("a key that is not text in the cache's index")
        return key

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> Any:
        """A value to its column or file."""
        if read or not isinstance(value, bytes):
            raise TypeError(f"value of type {type(value).__name__}, bytes expected")
        return super().store(value, read, key)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        """A value from its column or file."""
        if mode not in (MODE_RAW, MODE_BINARY):
            raise ValueError(f"a value of mode {mode} in the cache's index, bytes expected")
        fetched = super().fetch(mode, filename, value, read)
        if not isinstance(fetched, bytes):
            raise ValueError(f"a value of type {type(fetched).__name__} in the cache's index, bytes expected")
        return fetched


def open_disk(folder: Path, limit_bytes: int) -> "diskcache.Cache":
    """A least-recently-used disk cache of bytes under `folder`. Blocking: call it and its methods off the event loop.

    :raises OSError: the folder cannot be made or written.
    """
    return diskcache.Cache(
        str(folder),
        disk=BytesDisk,
        disk_min_file_size=DISK_MIN_FILE_BYTES,
        eviction_policy="least-recently-used",
        size_limit=limit_bytes,
        sqlite_cache_size=SQLITE_CACHE_PAGES,
        sqlite_mmap_size=0,
    )
