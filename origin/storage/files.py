"""Objects as files of one folder, for one process. Each appears whole under its final name, or not at all.

A file is written beside its place (`uploads/`), synced, renamed, and its folder synced. Others of the machine have no
rights to the folder: what tenants log lies in it too. The tag of an object is made of its file's number, size and time
of change, which never stands still from one state to the next.
"""

import fcntl
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from origin.storage.blobs import Changed, Data, Head, Listed, checked, require_size
from vmimage.errors import OperatorError

_OWN: Final = frozenset({"uploads", "lock"})  # names in the folder that are no objects


class Files:
    """A folder."""

    shared = False

    def __init__(self, folder: Path, *, reading: bool = False) -> None:
        """Make or open the folder, for this process alone until `close`.

        :param reading: beside the process that serves it, which may write; nothing is written here.
        :raises OperatorError: it cannot be made or written, or another process serves it.
        """
        self._folder, self.scratch = folder, folder / "uploads"
        self._placing = threading.RLock()  # a file that is put, used or removed; held for a system call or two
        self._numbers = itertools.count()  # names in uploads/; `next` is atomic
        self._lock: IO[bytes] | None = None
        if reading:
            if not folder.is_dir():
                raise OperatorError(f"the folder of a store expected at {folder}: name one that is there")
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._lock = (folder / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(exist_ok=True)
        except BlockingIOError:
            self.close()
            raise OperatorError(
                f"a store of its own expected at {folder}: another origin serves it: "
                "end that one, or name another --store"
            ) from None
        except OSError as error:
            raise OperatorError(
                f"a writable folder expected at {folder}: {error.strerror}: "
                "give this user the folder, or name another --store"
            ) from None

    def close(self) -> None:
        """Let another process serve the folder."""
        if self._lock is not None:
            self._lock.close()

    def local(self, key: str) -> Path:
        """The object's file. :raises ValueError: no key, or one of the folder's own names."""
        if checked(key).partition("/")[0] in _OWN:
            raise ValueError(f"a key of an object expected, got {key[:80]!r}")
        return self._folder / key

    def get(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        """As `BlobStore.get`."""
        with self.local(key).open("rb") as file:
            if first:
                file.seek(first)
            if last is not None:
                return file.read(max(0, last + 1 - first))
            require_size(key, max(0, os.fstat(file.fileno()).st_size - first))
            return file.read()

    def read(self, key: str) -> tuple[bytes, str] | None:
        """As `BlobStore.read`."""
        try:
            with self.local(key).open("rb") as file:
                state = os.fstat(file.fileno())
                require_size(key, state.st_size, _tag(state))
                return file.read(), _tag(os.fstat(file.fileno()))
        except FileNotFoundError:
            return None

    def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
        """As `BlobStore.put_if_absent`."""
        path = self.local(key)
        if path.exists():
            return False
        written = self._written(data)
        self._make_folder(path.parent)
        with self._placing:
            if path.exists():
                written.unlink()
                return False
            os.replace(written, path)
        _sync_folder(path.parent)
        return True

    def put(self, key: str, data: Data, content_type: str = "") -> None:
        """As `BlobStore.put`."""
        path = self.local(key)
        written = self._written(data)
        self._make_folder(path.parent)
        with self._placing:
            self._replace(written, path)
        _sync_folder(path.parent)

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        """As `BlobStore.swap`."""
        path = self.local(key)
        written = self._written(data)
        self._make_folder(path.parent)
        with self._placing:
            head = self.head(key)
            if (head.tag if head is not None else None) != old:
                written.unlink()
                raise Changed(f"{key}: it was changed meanwhile")
            self._replace(written, path)
            tag = _tag(path.stat())
        _sync_folder(path.parent)
        return tag

    def head(self, key: str) -> Head | None:
        """As `BlobStore.head`."""
        try:
            state = self.local(key).stat()
        except OSError:
            return None
        return Head(state.st_size, _tag(state), state.st_mtime)

    def delete(self, key: str) -> None:
        """As `BlobStore.delete`."""
        with self._placing:
            self.local(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[Listed]:
        """As `BlobStore.list`."""
        prefix = prefix.rstrip("/")
        yield from self._list(self.local(prefix) if prefix else self._folder, prefix)

    def _list(self, folder: Path, prefix: str) -> Iterator[Listed]:
        with suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(folder):
                key = f"{prefix}/{entry.name}" if prefix else entry.name
                if key in _OWN:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._list(Path(entry.path), key)
                    continue
                with suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    yield Listed(key, state.st_size, state.st_mtime)

    def now_s(self) -> float:
        """As `BlobStore.now_s`."""
        return time.time()

    def touch(self, key: str, least_s: float) -> int | None:
        """Let an object be as if it were written now, if it was longer ago than that; its size, None when it is not
        here.
        """
        path = self.local(key)
        with self._placing:
            try:
                state = path.stat()
                if abs(time.time() - state.st_mtime) > least_s:
                    os.utime(path)
                return state.st_size
            except OSError:
                return None

    def remove_older(self, key: str, before_s: float) -> bool:
        """Remove an object that was not written since a time; whether it is gone."""
        path = self.local(key)
        with self._placing:
            try:
                if path.stat().st_mtime >= before_s:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
            return True

    def _written(self, data: Data) -> Path:
        """A synced file in uploads/."""
        if isinstance(data, Path):
            descriptor = os.open(data, os.O_RDONLY)
            try:
                os.utime(data)  # its last piece may have come long ago
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return data
        path = self.scratch / f"{next(self._numbers)}.new"
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _replace(self, written: Path, path: Path) -> None:
        """Under the lock: what comes is newer than what it replaces, also by a clock that stands still."""
        with suppress(FileNotFoundError):
            before, now = path.stat().st_mtime_ns, written.stat().st_mtime_ns
            if before <= time.time_ns() and now <= before:
                os.utime(written, ns=(before + 1, before + 1))
        os.replace(written, path)

    def _make_folder(self, folder: Path) -> None:
        missing = list(itertools.takewhile(lambda each: not each.is_dir(), (folder, *folder.parents)))
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            _sync_folder(each.parent)


def _tag(state: os.stat_result) -> str:
    return f"{state.st_mtime_ns:x}-{state.st_size:x}-{state.st_ino:x}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
