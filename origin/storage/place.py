"""Where an object is or would be: a store and a key, as one value."""

import os
from dataclasses import dataclass
from pathlib import Path

from origin.storage.blobs import BlobStore


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a store. Where objects are files it is the path of one too (`os.fspath`)."""

    blobs: BlobStore
    key: str

    @property
    def local(self) -> Path | None:
        """The file, None in a bucket."""
        return self.blobs.local(self.key)

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rpartition("/")[2]

    def read_bytes(self) -> bytes:
        """The object. :raises FileNotFoundError: it is not there."""
        return self.blobs.get(self.key)

    def read(self) -> bytes | None:
        """The object, None when it is not there."""
        try:
            return self.blobs.get(self.key)
        except FileNotFoundError:
            return None

    def size(self) -> int | None:
        """Bytes, None when it is not there."""
        head = self.blobs.head(self.key)
        return head.size if head is not None else None

    def __fspath__(self) -> str:
        if (path := self.local) is None:
            raise TypeError(f"a store of files expected, got {self.key} in a bucket")
        return os.fspath(path)
