"""The disk under the tiers, which holds bytes only.

`open_disk` gives a `diskcache.Cache` that neither writes nor reads pickles, so that a file planted in the cache folder
is data and never code (CVE-2025-69872). `DiskTier` is the same as edges use it: nothing that happens to the disk is an
obstacle.
"""

import errno
import os
import re
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW

from edge.common import log
from edge.common.counters import Counters
from edge.common.private import READ_FLAGS, private_folder
from edge.content.database import is_damage
from vmimage.errors import OperatorError
from vmimage.manifest import BLOB_MAX
from vmimage.parked import RECORD_MAX

# Smaller values live in the SQLite file itself: a parked C guest is about 3 KB, and a file of its own would cost it
# a 4 KiB block and two system calls. Larger than diskcache's own 32 KiB, WAL write amplification outweighs that.
DISK_MIN_FILE_BYTES: Final = 32 << 10

# Of 4 KiB, for each connection, that is, each thread and cache. diskcache takes 8,192, and maps 64 MiB: they would hold
# what the tiers in memory hold already, and were 90 MiB of an edge with 10,000 parked services.
SQLITE_CACHE_PAGES: Final = 256

USE_NOTED_S: Final = 10.0  # between two notes that something was used: to note it takes a write, to read takes none
REOPEN_S: Final = 10.0  # between two tries to open a cache that could not be opened
VALUE_MAX: Final = max(BLOB_MAX, RECORD_MAX)  # bytes of the largest that anybody keeps
_FILE: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val", re.ASCII)  # as diskcache names them

_logger: Final = log.logger("tiers")
_Result = TypeVar("_Result")


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """diskcache's store for str keys and bytes values, and nothing else."""

    def __init__(self, directory: str, min_file_size: int = 0, pickle_protocol: int = 0) -> None:
        super().__init__(directory, min_file_size, pickle_protocol)
        self._written = threading.local()

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
        stored = super().store(value, read, key)
        if stored[2] is not None:
            self.written().append(stored[2])
        return stored

    def written(self) -> list[str]:
        """Files that this thread has written, to be forgotten when the index names them, removed when it does not."""
        names: list[str] = self._written.__dict__.setdefault("names", [])
        return names

    def _write(self, full_path: str, iterator: Any, mode: str, encoding: str | None = None) -> Any:
        try:
            return super()._write(full_path, iterator, mode, encoding)
        except OSError:  # diskcache would leave the half of it that found room
            Path(full_path).unlink(missing_ok=True)
            raise

    def remove(self, file_path: str) -> None:
        """Delete a value's file; a name that cannot be one is left alone."""
        if _FILE.fullmatch(file_path):
            super().remove(file_path)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        """A value from its column or file."""
        if mode not in (MODE_RAW, MODE_BINARY):
            raise ValueError(f"a value of mode {mode} in the cache's index, bytes expected")
        if mode == MODE_BINARY:
            if not isinstance(filename, str) or _FILE.fullmatch(filename) is None:
                raise ValueError("a file's name in the cache's index that diskcache does not give")
            return _read(os.path.join(self._directory, filename))
        fetched = super().fetch(mode, filename, value, read)
        if not isinstance(fetched, bytes):
            raise ValueError(f"a value of type {type(fetched).__name__} in the cache's index, bytes expected")
        return fetched


def _read(path: str) -> bytes:
    """A value's file, of which only the name is known.

    :raises ValueError: something else than a file is there, which could have no end, or one that no value fills.
    """
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ValueError("a file expected in the cache, got a symbolic link") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > VALUE_MAX:
            raise ValueError(f"a file of at most {VALUE_MAX} bytes expected in the cache, got {status.st_size}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


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


class DiskTier:
    """A disk cache of bytes that is never an obstacle. Blocking; may be called from several threads.

    What cannot be read is not there, what cannot be written is not kept, a damaged index is made anew: counted and
    logged, never raised. A cache that cannot be opened, on a full disk for example, is tried again later.
    """

    def __init__(
        self, folder: Path, limit_bytes: int, counters: Counters, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """:param clock: seconds, which tell when a cache that could not be opened is tried again.

        :raises OperatorError: the folder cannot be made, or belongs to another user.
        """
        self._folder, self._limit_bytes, self._counters = folder, limit_bytes, counters
        self._name = folder.name
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: Any = None
        self._open_again_s = 0.0  # not before
        self._failing = ""
        private_folder(folder)
        self.keys()

    def get(self, key: str) -> bytes | None:
        """The bytes that are kept under a key."""
        try:
            return self._use("read", lambda cache: _get(cache, key), None)
        except ValueError as error:  # no bytes: planted, or damaged
            self._counters.disk_bad += 1
            _logger.warning(log.line("disk_bad", cache=self._name, key=key, error=error))
            self.delete(key)
            return None

    def put(self, key: str, value: bytes) -> bool:
        """Keep; whether it could be."""
        return self.put_all({key: value})

    def put_all(self, values: Mapping[str, bytes]) -> bool:
        """Keep all or none of several; whether they could be."""

        def write(cache: Any) -> bool:
            with cache.transact():
                for key, value in values.items():
                    cache.set(key, value)
            return True

        return self._use("write", write, False)

    def delete(self, key: str) -> None:
        """Drop."""
        self._use("delete", lambda cache: cache.delete(key), False)

    def clear(self) -> int:
        """Drop everything; how many there were."""
        return self._use("delete", lambda cache: int(cache.clear()), 0)

    def keys(self) -> set[str]:
        """All keys that can be read."""

        def read(cache: Any) -> set[str]:
            rows = cache._sql("SELECT key FROM Cache WHERE raw = 1")
            return {key for (key,) in rows if isinstance(key, str)}

        return self._use("read", read, set[str]())

    def __len__(self) -> int:
        return self._use("read", lambda cache: len(cache), 0)

    def close(self) -> None:
        """Before the end of the process."""
        with self._lock, suppress(sqlite3.Error):
            if self._cache is not None:
                self._cache.close()
                self._cache = None
            self._open_again_s = float("inf")

    def _use(self, what: str, work: Callable[[Any], _Result], otherwise: _Result) -> _Result:
        cache = None
        try:
            cache = self._opened()
            if cache is None:
                return otherwise
            cache.disk.written().clear()
            result = work(cache)
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            self._note(what, error)
            if cache is not None:
                _undo(cache)
            if is_damage(error):
                self._make_anew(cache, error)
            return otherwise
        self._failing = ""
        return result

    def _opened(self) -> Any:
        """The cache, None while it cannot be had."""
        if self._cache is not None:
            return self._cache
        with self._lock:
            if self._cache is None and self._clock() >= self._open_again_s:
                self._open_again_s = self._clock() + REOPEN_S
                try:
                    self._cache = self._open_checked()
                except (OSError, sqlite3.Error, diskcache.Timeout) as error:
                    if not is_damage(error):
                        raise
                    self._cache = self._open_anew(error)
                except Exception as error:  # settings in the index that diskcache takes, and stumbles over
                    self._cache = self._open_anew(error)
            return self._cache

    def _open_checked(self) -> Any:
        index = self._folder / diskcache.core.DBNAME
        if index.is_symlink() or (index.exists() and not index.is_file()):
            raise ValueError("something else than a file in the place of the index")
        cache = open_disk(self._folder, self._limit_bytes)
        usual = {**diskcache.core.DEFAULT_SETTINGS, **diskcache.core.METADATA}
        for name, value in cache._sql("SELECT key, value FROM Settings").fetchall():
            if name in usual and not isinstance(value, type(usual[name])):
                raise ValueError(f"the setting {name} in the index: {value!r:.80}")
        # Pages of the index that opening did not touch; of one of 100,000 records this takes a tenth of a second.
        cache._sql("SELECT count(*), sum(length(key)) FROM Cache").fetchall()
        return cache

    def _make_anew(self, cache: Any, error: Exception) -> None:
        with self._lock:
            if self._cache is not cache or cache is None:
                return  # another thread was first
            self._cache = None
            with suppress(OSError, sqlite3.Error, diskcache.Timeout, OperatorError):
                cache.close()
                self._cache = self._open_anew(error)

    def _open_anew(self, error: Exception) -> Any:
        """An empty cache in place of a damaged one: what was in it can be had again, or was a machine to start anew."""
        self._counters.caches_rebuilt += 1
        _logger.error(log.line("cache_rebuilt", cache=self._name, folder=self._folder, error=error))
        shutil.rmtree(self._folder, ignore_errors=True)
        private_folder(self._folder)
        return open_disk(self._folder, self._limit_bytes)

    def _note(self, what: str, error: Exception) -> None:
        self._counters.add(self._counters.storage_errors, self._name)
        said = f"{what}: {str(error) or type(error).__name__}"
        if said != self._failing:
            _logger.error(
                log.line("cache_failed", cache=self._name, what=what, error=str(error) or type(error).__name__)
            )
        self._failing = said


def _get(cache: Any, key: str) -> bytes | None:
    """What diskcache's `get` gives, with no transaction: with one, readers wait for each other, and for each write."""
    columns = "rowid, access_time, mode, filename, value"
    rows = cache._sql(f"SELECT {columns} FROM Cache WHERE key = ? AND raw = 1", (key,)).fetchall()
    if not rows:
        return None
    ((row, used, mode, filename, value),) = rows
    try:
        found: bytes = cache.disk.fetch(mode, filename, value, False)
    except FileNotFoundError:  # deleted a moment ago
        return None
    now = time.time()
    if not isinstance(used, float) or not 0 <= now - used < USE_NOTED_S:
        with suppress(sqlite3.OperationalError, diskcache.Timeout):  # a full disk may have no room for that
            cache._sql("UPDATE Cache SET access_time = ? WHERE rowid = ?", (now, row))
    return found


def _undo(cache: Any) -> None:
    """Leave no transaction open, and no file that the index does not name."""
    with suppress(OSError, sqlite3.Error, diskcache.Timeout):
        connection = cache._con
        if connection.in_transaction:
            connection.rollback()
    for name in cache.disk.written():
        cache.disk.remove(name)
    cache.disk.written().clear()
