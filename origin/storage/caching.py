"""A bucket with a little of it in memory: parts of objects that never change, so that what many ask for at once, as
edges ask for a new image, is fetched from the bucket once.

What may change, what is said of an object (`head`) and what is there (`list`) is asked of the bucket each time.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from origin.storage.blobs import BlobStore, Data, Head, Listed, is_immutable

PART_BYTES: Final = 1 << 20  # parts as long as this, from a multiple of it on, are kept; and objects no larger
KEPT_BYTES: Final = 128 << 20


_Part = tuple[str, int, int | None]  # key, first and last byte as they were asked for


class Cached:
    """A store around another."""

    def __init__(self, inner: BlobStore, limit_bytes: int = KEPT_BYTES) -> None:
        self.shared, self.scratch = inner.shared, inner.scratch
        self._inner, self._limit = inner, limit_bytes
        self._parts: OrderedDict[_Part, bytes] = OrderedDict()  # the oldest use first
        self._of_key: dict[str, set[_Part]] = {}
        self._bytes = 0
        self._fetching: dict[_Part, threading.Lock] = {}
        self._changing = threading.Lock()

    def get(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        """As `BlobStore.get`."""
        part = (key, first, last)
        aligned = first % PART_BYTES == 0 and (last is None or last - first < PART_BYTES)
        if not is_immutable(key) or not aligned:
            return self._inner.get(key, first, last)
        if (data := self._find(part)) is not None:
            return data
        with self._changing:
            fetching = self._fetching.setdefault(part, threading.Lock())
        try:
            with fetching:  # who comes later finds it
                if (data := self._find(part)) is None:
                    data = self._inner.get(key, first, last)
                    self._keep(part, data)
                return data
        finally:
            with self._changing:
                self._fetching.pop(part, None)

    def _find(self, part: _Part) -> bytes | None:
        with self._changing:
            data = self._parts.get(part)
            if data is not None:
                self._parts.move_to_end(part)
            return data

    def _keep(self, part: _Part, data: bytes) -> None:
        if len(data) > PART_BYTES:
            return
        with self._changing:
            if part in self._parts:
                return
            self._parts[part] = data
            self._bytes += len(data)
            self._of_key.setdefault(part[0], set()).add(part)
            while self._bytes > self._limit:
                self._drop(next(iter(self._parts)))

    def _forget(self, key: str) -> None:
        """What this process writes anew, or removes."""
        with self._changing:
            for part in [*self._of_key.get(key, ())]:
                self._drop(part)

    def _drop(self, part: _Part) -> None:
        self._bytes -= len(self._parts.pop(part))
        parts = self._of_key[part[0]]
        parts.discard(part)
        if not parts:
            del self._of_key[part[0]]

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `BlobStore.read`."""
        return self._inner.read(key)

    def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
        """As `BlobStore.put_if_absent`."""
        return self._inner.put_if_absent(key, data, content_type)

    def put(self, key: str, data: Data, content_type: str = "") -> None:
        """As `BlobStore.put`."""
        self._forget(key)
        self._inner.put(key, data, content_type)

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        """As `BlobStore.swap`."""
        self._forget(key)
        return self._inner.swap(key, old, data)

    def head(self, key: str) -> Head | None:
        """As `BlobStore.head`."""
        return self._inner.head(key)

    def delete(self, key: str) -> None:
        """As `BlobStore.delete`."""
        self._forget(key)
        self._inner.delete(key)

    def list(self, prefix: str) -> Iterator[Listed]:
        """As `BlobStore.list`."""
        return self._inner.list(prefix)

    def local(self, key: str) -> Path | None:
        """As `BlobStore.local`."""
        return self._inner.local(key)

    def now_s(self) -> float:
        """As `BlobStore.now_s`."""
        return self._inner.now_s()

    def close(self) -> None:
        """As `BlobStore.close`."""
        self._inner.close()
