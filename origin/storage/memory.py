"""Objects in memory, gone with the process: a bucket for tests and trials, with its own clock if one is given."""

import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from origin.storage.blobs import Changed, Data, Head, Listed, checked, require_size


class Memory:
    """A bucket. Several origins of one process may have it."""

    shared = True

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """:param clock: seconds since 1970."""
        self._clock, self._numbers = clock, itertools.count(1)
        self._objects: dict[str, tuple[bytes, str, float]] = {}
        self._changing = threading.Lock()
        self._scratch = tempfile.TemporaryDirectory(prefix="nunatak-")
        self.scratch = Path(self._scratch.name)

    def close(self) -> None:
        """It stays for others who have it."""

    def local(self, key: str) -> None:
        """As `BlobStore.local`."""

    def get(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        """As `BlobStore.get`."""
        data, _, _ = self._objects.get(checked(key)) or _missing(key)
        if last is None:
            require_size(key, len(data) - first)
            return data[first:]
        return data[first : last + 1]

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `BlobStore.read`."""
        found = self._objects.get(checked(key))
        if found is None:
            return None
        require_size(key, len(found[0]), found[1])
        return found[:2]

    def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
        """As `BlobStore.put_if_absent`."""
        with self._changing:
            if checked(key) in self._objects:
                return False
            self._write(key, data)
            return True

    def put(self, key: str, data: Data, content_type: str = "") -> None:
        """As `BlobStore.put`."""
        with self._changing:
            self._write(checked(key), data)

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        """As `BlobStore.swap`."""
        with self._changing:
            found = self._objects.get(checked(key))
            if (found[1] if found is not None else None) != old:
                raise Changed(f"{key}: it was changed meanwhile")
            return self._write(key, data)

    def head(self, key: str) -> Head | None:
        """As `BlobStore.head`."""
        found = self._objects.get(checked(key))
        return Head(len(found[0]), found[1], found[2]) if found is not None else None

    def delete(self, key: str) -> None:
        """As `BlobStore.delete`."""
        with self._changing:
            self._objects.pop(checked(key), None)

    def list(self, prefix: str) -> Iterator[Listed]:
        """As `BlobStore.list`."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        with self._changing:
            found = [
                Listed(key, len(data), at) for key, (data, _, at) in self._objects.items() if key.startswith(start)
            ]
        return iter(found)

    def now_s(self) -> float:
        """As `BlobStore.now_s`."""
        return self._clock()

    def copied(self) -> "Memory":
        """Another bucket with what is in this one now."""
        other = Memory(self._clock)
        with self._changing:
            other._objects, other._numbers = dict(self._objects), itertools.count(next(self._numbers))
        return other

    def _write(self, key: str, data: Data) -> str:
        tag = str(next(self._numbers))
        self._objects[key] = data if isinstance(data, bytes) else data.read_bytes(), tag, self._clock()
        return tag


def _missing(key: str) -> tuple[bytes, str, float]:
    raise FileNotFoundError(f"no object {key}")
