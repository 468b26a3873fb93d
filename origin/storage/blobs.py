"""What an origin asks of a store: objects by key, each whole or absent, and one winner where several write.

    key         segments of letters, digits, `.`, `_`, `-` and `=`, joined by `/`: "blobs/sha256/ab/ab12..."
    tag         of one state of an object, as the store says it; compared, never read. Some make it of the bytes alone:
                what is swapped is never written as it was before, or it does not matter that it was
    changed_s   when an object was last written, seconds since 1970 by the clock of the store

What is read whole is of a bounded size, which is known before its bytes are fetched: others may write to a bucket. How
much an object of a key may have, `size_max` says, and no caller.

All methods block and may be called from several threads. After a return what was written outlives a crash. An object
that is not there is FileNotFoundError where its bytes were wanted; a store that does not answer, or takes nothing
more, is another OSError: what was asked for may have happened, and may be asked for again.
"""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from vmimage.feed import EVENT_MAX
from vmimage.manifest import BLOB_MAX, MANIFEST_TYPE
from vmimage.trust import SNAPSHOT_MAX, TARGETS_MAX

KEY_MAX: Final = 512  # bytes; S3 has 1,024 with the prefix
FOR_EVER: Final = "max-age=31536000, immutable"  # RFC 8246
REVALIDATED: Final = "no-cache"
_KEY: Final = re.compile(r"[A-Za-z0-9._=-]+(?:/[A-Za-z0-9._=-]+)*", re.ASCII)
_VERSIONED: Final = re.compile(r"tuf/[0-9]+\.|log/tile/|(?:blobs|manifests|artifacts)/", re.ASCII)
_TYPES: Final = {
    "blobs": "application/octet-stream",
    "manifests": MANIFEST_TYPE,
    "tuf": "application/json",
    "feed": "application/json",
}

_SIZES: Final = {  # bytes of an object that is read whole
    "blobs": BLOB_MAX,
    "manifests": 4 << 20,  # "Pushing manifests" of the OCI distribution specification 1.1
    "artifacts": 4 << 20,
    "tuf": max(SNAPSHOT_MAX, TARGETS_MAX),
    "feed": EVENT_MAX,
    # What follows names all bins of a catalogue, or all content that is removed at once.
    "changes": 256 << 20,
    "audit": 256 << 20,
    "prune": 256 << 20,
}
_SIZE: Final = 16 << 20  # of all others: documents of heart-beats and files of the log of snapshots are the largest

Data = bytes | Path  # a file is one in the `scratch` of the store, and may be taken away


class Head(NamedTuple):
    """What is known of an object without its bytes."""

    size: int  # bytes
    tag: str
    changed_s: float


class Listed(NamedTuple):
    """An object among others."""

    key: str
    size: int  # bytes
    changed_s: float


class NoAnswer(OSError):
    """A bucket gave no answer that can be used. What it said is for its operator, in the log, and not for all who ask.

    :param detail: what it said.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(errno.EIO, "the bucket gave no answer that can be used; the log of the origin says which")
        self.detail = detail


class TooLarge(OSError):
    """An object has more bytes than one of its key may have. None of them was read, or not all.

    :param tag: of its state, as `BlobStore.read` has it; empty where only bytes were asked for.
    """

    def __init__(self, key: str, size: int, tag: str = "") -> None:
        super().__init__(errno.EFBIG, f"{key}: at most {size_max(key)} bytes expected in the store, got {size}")
        self.tag = tag


class Changed(Exception):
    """Somebody else wrote the object first: read it again, and decide again."""


class BlobStore(Protocol):
    """Objects by key."""

    shared: bool  # other processes, on other machines, may write to it at the same time
    scratch: Path  # a folder of this machine for what is on its way in

    def get(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        """Bytes from `first` to `last`, both included, of an object; fewer where it ends before.

        :param last: None: to its end.
        :raises FileNotFoundError: it is not there.
        :raises TooLarge: there are too many to its end.
        """

    def read(self, key: str) -> tuple[bytes, str] | None:
        """An object with the tag that it has with these bytes; None when it is not there.

        :raises TooLarge: it has too many.
        """

    def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
        """Write an object that is not there; whether this call did. Of several at once, one does.

        A call whose answer was lost on the way says False although it did: who must know compares the bytes.
        """

    def put(self, key: str, data: Data, content_type: str = "") -> None:
        """Write an object, whatever is there: for bytes that follow from their key, or where the last one decides."""

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        """Write an object that still is in the state of this tag, None for one that is not there; its new tag.

        :raises Changed: it is not. A call whose answer was lost may say so although it wrote.
        """

    def head(self, key: str) -> Head | None:
        """What is known of an object; None when it is not there."""

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose keys begin with these whole segments ("tuf" or "tuf/"), in any order.

        What comes or goes meanwhile may be among it or not. For work in the background alone.
        """

    def local(self, key: str) -> Path | None:
        """The file of this machine that an object is, whether it is there or not; None where objects are no files."""

    def now_s(self) -> float:
        """The time by the clock that `changed_s` goes by."""

    def close(self) -> None:
        """Let go of it."""


def checked(key: str) -> str:
    """The key.

    :raises ValueError: it is none.
    """
    if len(key) > KEY_MAX or _KEY.fullmatch(key) is None or any(each in (".", "..") for each in key.split("/")):
        raise ValueError(f"a key of an object expected, got {key[:80]!r}")
    return key


def content_type_of(key: str) -> str:
    """With which type an object is served by whoever serves the bucket, unless its writer knows a better one."""
    return _TYPES.get(key.partition("/")[0], "application/octet-stream")


def cache_control_of(key: str) -> str:
    """For how long others may keep an object: for ever, where it never changes under its key."""
    return FOR_EVER if is_immutable(key) else REVALIDATED


def is_immutable(key: str) -> bool:
    """Whether an object, once it is there, is never another under this key."""
    return _VERSIONED.match(key) is not None


def size_max(key: str) -> int:
    """Bytes of an object of this key that are read at once where no end is named."""
    return _SIZES.get(key.partition("/")[0].partition(".")[0], _SIZE)


def require_size(key: str, size: int, tag: str = "") -> None:
    """:raises TooLarge: an object of this key has more bytes than it may have."""
    if size > size_max(key):
        raise TooLarge(key, size, tag)


def size_of(data: Data) -> int:
    """Bytes."""
    return len(data) if isinstance(data, bytes) else os.stat(data).st_size
