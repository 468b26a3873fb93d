"""The file of kept answers on disk, and of the purges that it must not forget: its form, its life, what it believes.

Answers and purges are in one SQLite file, so that no order of writes and no damage takes a purge away and leaves an
answer that is older than it. Each answer and each purge has a check by the edge's key (`edge.content.seal`); the head
has one too, and in it the sum of all purges' checks, so that none is taken out unseen.

    about    the key that the file was written under; the head: the last purge's number, the sum, and the time
    answer   see `edge.cache.rows`
    purge    by number

All of it is blocking and belongs to one thread. A batch is one transaction; one with purges is synced before it counts
as done. Where a batch that makes answers void cannot be written, nothing that the file has may be served again: it is
deleted, and a new one begun when that can be. So a file that is there has every purge that was taken.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge.cache.batches import Batch, Begun, Done, Found, Purges
from edge.cache.moments import Moment
from edge.cache.rows import PAGE_BYTES, SCHEMA, Rows
from edge.common.private import sync_folder
from edge.content.database import COMPANIONS, Damaged, connect, is_damage
from edge.content.seal import TAG_BYTES, Seal
from vmimage.errors import OperatorError

FORM: Final = 1  # of the file, as its user_version
BATCH_BYTES: Final = 1 << 20  # of records that are written together
BATCH_MAX: Final = 128  # operations, each of which touches some pages of the indices
LOG_PAGES: Final = 1000  # after which SQLite takes its log in, by itself
CACHE_PAGES: Final = 256  # as the other caches have it
PURGE_BYTES: Final = 256  # that one takes in the file, about
REOPEN_S: Final = 10.0  # between two tries to begin a file
_SHARE: Final = 16  # of the room, for each of the four things that the log may have at once
_TOTALS: Final = 1 << 8 * TAG_BYTES
_FILE: Final = "kept file 1"  # what a check is for, and the form of what is checked
_HEAD: Final = "kept head 1"
_PURGE: Final = "kept purge 1"
_SCHEMA: Final = (
    SCHEMA
    + """
    CREATE TABLE about (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE purge (number INTEGER PRIMARY KEY, what BLOB NOT NULL);
"""
)
# What a disk, or a file that was written by another hand, can do to whoever uses it.
_TROUBLE: Final = (OSError, sqlite3.Error, Damaged, ValueError, TypeError, KeyError)


class AnswerFile:
    """The file. Blocking; of one thread. It raises nothing for the disk's sake: what could not be done is said."""

    def __init__(self, path: Path, limit_bytes: int, entry_max_bytes: int, seal: Seal) -> None:
        """:param limit_bytes: of the file and its log. :param entry_max_bytes: of one answer's body."""
        share = limit_bytes // _SHARE
        self.limit_bytes = limit_bytes
        self.entry_max_bytes = min(entry_max_bytes, share)
        self.batch_bytes = min(BATCH_BYTES, share)
        self.batch_max = max(1, min(BATCH_MAX, share // (3 * PAGE_BYTES)))
        self._log_pages = max(1, min(LOG_PAGES, share // PAGE_BYTES))
        # What is not taken in yet, a batch, one answer beyond it, and pages of the indices; for large rooms what these
        # are at most, and as much again.
        log_bytes = min(4 * share, 2 * (LOG_PAGES * PAGE_BYTES + BATCH_BYTES) + self.entry_max_bytes)
        self._pages_max = (limit_bytes - log_bytes) // PAGE_BYTES
        self._path, self._seal = path, seal
        self._rows = Rows(self._pages_max, seal)
        self._database: sqlite3.Connection | None = None
        self._open_again_s = 0.0  # not before
        self._total = 0  # of the purges' checks
        self.purges, self.used_bytes = 0, 0
        self.age = 0  # how many files came before this one

    @property
    def answers(self) -> int:
        """How many there are."""
        return self._rows.count

    # Its life.

    def open(self) -> tuple[Begun, Done]:
        """Open it, or make it; what there is. What cannot be believed, or opened, is deleted."""
        done = Done()
        try:
            self._database = self._connected()
            return self._taken_in(self._database), done
        except _TROUBLE as error:
            self._fail(done, error, void=True)
        return Begun(), done

    def _connected(self) -> sqlite3.Connection:
        database = connect(self._path)
        try:
            (form,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and form != FORM:
                raise Damaged(f"form {FORM} expected, got {form}")
            database.execute(f"PRAGMA cache_size = {CACHE_PAGES}")
            database.execute(f"PRAGMA wal_autocheckpoint = {self._log_pages}")
            database.execute(f"PRAGMA journal_size_limit = {self._log_pages * PAGE_BYTES}")
            (most,) = database.execute(f"PRAGMA max_page_count = {self._pages_max}").fetchone()
            if most > self._pages_max:
                raise Damaged(
                    f"at most {self._pages_max} pages expected, got {most}: it may have less room than before"
                )
            if not tables:
                self._make(database)
        except BaseException:
            database.close()
            raise
        return database

    def _make(self, database: sqlite3.Connection) -> None:
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";")[:-1]:
            database.execute(statement)
        database.execute("INSERT INTO about VALUES ('key', ?)", (self._seal.tag(_FILE),))
        database.execute(f"PRAGMA user_version = {FORM}")
        database.execute("COMMIT")

    def _taken_in(self, database: sqlite3.Connection) -> Begun:
        about = dict(database.execute("SELECT name, value FROM about"))
        if about.get("key") != self._seal.tag(_FILE):
            raise Damaged("it was written under another key of this edge")
        self._rows.take_in(database)
        purges, total = self._read_purges(database)
        if "head" not in about:
            if purges or self.answers:
                raise Damaged("a head expected, got none")
            return Begun()
        head = self._seal.open(_HEAD, "", about["head"])
        if head is None:
            raise Damaged("its head is not what was written")
        number, expected, moment = json.loads(head)
        if total != int(expected, 16):
            raise Damaged("all purges expected, some are missing")
        self.purges, self._total = len(purges), total
        self._measure()
        return Begun(self._rows.uris(database), purges, number, Moment(*moment))

    def _read_purges(self, database: sqlite3.Connection) -> tuple[list[tuple[int, bytes]], int]:
        purges, total = [], 0
        for number, what in database.execute("SELECT number, what FROM purge ORDER BY number"):
            opened = self._seal.open(_PURGE, str(number), what)
            if opened is None:
                raise Damaged(f"purge {number} is not what was written")
            purges.append((number, opened))
            total += _tag(what)
        return purges, total % _TOTALS

    def _opened(self) -> sqlite3.Connection:
        """The file, begun anew if there is none.

        :raises OSError, sqlite3.Error: it cannot be had now.
        """
        if self._database is None:
            if time.monotonic() < self._open_again_s:
                raise OSError("the file of kept answers is not open")
            self._open_again_s = time.monotonic() + REOPEN_S
            self._delete()
            self._database = self._connected()
        return self._database

    def _files(self) -> list[Path]:
        beside = [self._path.with_name(self._path.name + suffix) for suffix in COMPANIONS]
        return [path for path in (self._path, *beside) if path.exists()]

    def _delete(self) -> None:
        """:raises OSError: what it has may come back."""
        if files := self._files():
            for path in files:
                path.unlink(missing_ok=True)
            sync_folder(self._path.parent)

    def delete(self) -> None:
        """Have no file at all, where answers are not to be kept: it knows nothing of the purges of such an edge.

        :raises OperatorError: it cannot be deleted.
        """
        try:
            self._delete()
        except OSError as error:
            raise OperatorError(f"--cache: {self._path}: {error.strerror}: it has to be deleted") from None

    def _measure(self) -> None:
        self.used_bytes = sum(path.stat().st_size for path in self._files())

    def _fail(self, done: Done, error: Exception, *, void: bool, again: bool = False) -> None:
        """Something could not be done.

        :param void: what it would have made void is not to come back. :param again: it is tried in another way first.
        """
        done.error = str(error) or type(error).__name__
        done.damaged = is_damage(error) or not isinstance(error, (OSError, sqlite3.Error))
        keeps = self._database is not None and not done.damaged and (again or not void)
        if not (keeps and self._rolled_back()):
            done.durable = self._empty(done) or not void
        done.age = self.age

    def _rolled_back(self) -> bool:
        database = self._database
        assert database is not None
        try:
            if database.in_transaction:
                database.execute("ROLLBACK")
            self._rows.take_in(database)
        except _TROUBLE:
            return False
        return True

    def _empty(self, done: Done) -> bool:
        """Have nothing, and begin a new file if that can be; whether nothing is left of the old one."""
        database, self._database = self._database, None
        if database is not None:
            self.purges, self.used_bytes, self._total = 0, 0, 0
            self._rows.forget()
            self._open_again_s = 0.0
            self.age, done.emptied = self.age + 1, True
            with suppress(sqlite3.Error):
                database.close()
        try:
            self._delete()
        except OSError:
            return False
        with suppress(*_TROUBLE):  # else it is tried again: there is no file, so nothing that must not come back
            self._opened()
        return True

    def close(self) -> None:
        """At the end."""
        if self._database is not None:
            self._database.close()
            self._database = None

    # Its use.

    def apply(self, batch: Batch) -> Done:
        """Write a batch, whole or not at all; without its answers where there is room for the rest only."""
        done = Done()
        if batch.clear:
            done.removed = batch.puts
            done.durable, done.age = self._empty(done), self.age
            return done
        before = self.purges, self._total
        try:
            self._write(self._opened(), batch, done)
        except _TROUBLE as error:
            self.purges, self._total = before
            done = Done(batch.puts)
            again = batch.voids and bool(batch.puts)
            self._fail(done, error, void=batch.voids, again=again)
            if again and not done.emptied:
                rest = self.apply(batch.without_puts())
                done.removed += rest.removed
                done.emptied, done.durable, done.age = rest.emptied, rest.durable, rest.age
        return done

    def _write(self, database: sqlite3.Connection, batch: Batch, done: Done) -> None:
        synced = batch.purges or batch.all_purges is not None
        database.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        database.execute("BEGIN IMMEDIATE")
        for operation in batch.operations:
            self._rows.carry_out(database, operation, done, puts=batch.age == self.age)
        noted = len(batch.purges) + len(batch.all_purges or ())
        self._rows.make_room(database, noted * PURGE_BYTES, done)
        if batch.all_purges is not None:
            self._compact(database, batch.all_purges)
        for number, what in batch.purges:
            self._note(database, number, what)
        head = json.dumps([batch.number, f"{self._total:x}", batch.moment]).encode("ascii")
        database.execute("INSERT OR REPLACE INTO about VALUES ('head', ?)", (self._seal.close(_HEAD, "", head),))
        database.execute("COMMIT")
        self._measure()
        done.age = self.age

    def _note(self, database: sqlite3.Connection, number: int, what: bytes) -> None:
        closed = self._seal.close(_PURGE, str(number), what)
        database.execute("INSERT INTO purge VALUES (?, ?)", (number, closed))
        self.purges += 1
        self._total = (self._total + _tag(closed)) % _TOTALS

    def _compact(self, database: sqlite3.Connection, purges: Purges) -> None:
        """Of these purges keep what some answer here is older than, and no other."""
        oldest = self._rows.oldest_run(database)
        database.execute("DELETE FROM purge")
        self.purges, self._total = 0, 0
        for number, what in purges:
            if oldest is not None and number > oldest:
                self._note(database, number, what)

    def look(self, uri: bytes, page: bytes, variant_of: Callable[[bytes], bytes]) -> Found:
        """What is there for a request; see `Rows.look`."""
        try:
            return self._rows.look(self._opened(), uri, page, variant_of)
        except _TROUBLE as error:
            found = Found()
            self._fail(found, error, void=False)
            return found


def _tag(sealed: bytes) -> int:
    return int.from_bytes(sealed[:TAG_BYTES], "little")
