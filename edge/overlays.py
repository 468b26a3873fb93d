"""What services wrote to their copy-on-write disks: pages by service and disk, in one SQLite file.

A write is one transaction, synced: after a crash all pages of a flush are there, or none. Every write raises the
overlay's version, which a parked machine's record must agree with. One thread does the work, so a load that follows a
write sees it.
"""

import asyncio
import errno
import sqlite3
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from edge.counters import Counters
from vmimage import abi
from vmimage.disk import encode_pages
from vmimage.errors import OperatorError

_SCHEMA: Final = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS overlay (key TEXT PRIMARY KEY, version INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS page (key TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (key, number))
        WITHOUT ROWID;
"""


class Overlays:
    """All overlays of this edge. `thread` must be one thread."""

    def __init__(self, path: Path, limit_bytes: int, thread: Executor, counters: Counters) -> None:
        """:raises OperatorError: the file cannot be opened, or is no such file."""
        self._thread, self._limit_bytes, self._counters = thread, limit_bytes, counters
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.executescript(_SCHEMA)
            self._versions: dict[str, int] = dict(self._database.execute("SELECT key, version FROM overlay"))
            (self._pages,) = self._database.execute("SELECT count(*) FROM page").fetchone()
        except sqlite3.Error as error:
            raise OperatorError(f"--cache: a file of written pages expected at {path}: {error}") from None

    def __len__(self) -> int:
        return len(self._versions)

    @property
    def used_bytes(self) -> int:
        """Of pages."""
        return int(self._pages) * abi.PAGE_SIZE

    def version(self, key: str) -> int:
        """How often it was written; counts from when the write was begun."""
        return self._versions.get(key, 0)

    async def load(self, key: str) -> tuple[int, bytes]:
        """Version and page set."""
        version = self.version(key)
        if not version:
            return 0, encode_pages({})
        pages = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, key)
        return version, pages

    def _read(self, key: str) -> bytes:
        return encode_pages(dict(self._database.execute("SELECT number, data FROM page WHERE key = ?", (key,))))

    def put(self, key: str, pages: Mapping[int, bytes]) -> "asyncio.Future[int]":
        """Write; when it is done, 0 or a negative errno. The version is the new one at once."""
        version = self._versions[key] = self.version(key) + 1
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, key, version, pages)

    def spoil(self, key: str) -> None:
        """A write failed: no record that counts on it is to be believed."""
        self._versions[key] = self.version(key) + 1

    def _write(self, key: str, version: int, pages: Mapping[int, bytes]) -> int:
        execute = self._database.execute
        try:
            execute("BEGIN IMMEDIATE")
            (old,) = execute("SELECT count(*) FROM page WHERE key = ?", (key,)).fetchone()
            rows = [(key, number, data) for number, data in pages.items()]
            self._database.executemany("INSERT OR REPLACE INTO page VALUES (?, ?, ?)", rows)
            (new,) = execute("SELECT count(*) FROM page WHERE key = ?", (key,)).fetchone()
            if new > old and self.used_bytes + (new - old) * abi.PAGE_SIZE > self._limit_bytes:
                execute("ROLLBACK")
                self._counters.overlays_full += 1
                return -errno.ENOSPC
            execute("INSERT OR REPLACE INTO overlay VALUES (?, ?)", (key, version))
            execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                execute("ROLLBACK")
            raise OSError(errno.EIO, str(error)) from None
        self._pages += new - old
        return 0

    def forget(self, service: str) -> None:
        """Drop all that a service wrote: it is withdrawn."""
        keys = [key for key in self._versions if key.partition("/")[0] == service]
        for key in keys:
            del self._versions[key]
        if keys:
            self._thread.submit(self._delete, keys)

    def _delete(self, keys: list[str]) -> None:
        with self._database:
            for key in keys:
                self._database.execute("DELETE FROM overlay WHERE key = ?", (key,))
                self._pages -= self._database.execute("DELETE FROM page WHERE key = ?", (key,)).rowcount

    def close(self) -> None:
        """After the thread has ended."""
        self._database.close()
