"""What services wrote to their copy-on-write disks: pages by service and disk, in one SQLite file.

A write is one transaction, synced: after a crash all pages of a flush are there, or none. Each page, and each overlay
over all of its pages, has a check by the edge's key (`edge.seal`); what fails it is kept aside and never served. Every
write gives the overlay a new version, which a parked machine's record must agree with. One thread does the work, so a
load that follows a write sees it.

An overlay belongs to a service, a disk and the version of the service *since* which its pages are kept, which the
catalogue signs. A new base of the same `since` takes the pages over; another `since` begins with none. What is out of
use then is kept aside: counted, shown, and deleted only when a write needs its room, the oldest first.

Nothing here stops an edge: a file that is damaged is renamed and a new one begun; one that cannot be opened now is
tried again when a service needs it. Until then services with such disks are refused: their pages are not known.
"""

import asyncio
import errno
import secrets
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edge import log
from edge.counters import Counters
from edge.private import FILE_MODE, set_aside
from edge.seal import TAG_BYTES, Seal
from edge.threads import submit
from vmimage import abi
from vmimage.disk import encode_pages
from vmimage.errors import OperatorError, Unavailable

Aside = Literal["", "another base", "another tenant", "dropped", "damaged", "does not fit"]

FORM: Final = 2  # of the file, as its user_version; the one before had neither checks nor a form
REOPEN_S: Final = 10.0  # between two tries to open a file that could not be opened
_TOTALS: Final = 1 << 8 * TAG_BYTES
_DAMAGED: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_PAGE: Final = "written page 1"  # what a check is for, and the form of what is checked
_OVERLAY: Final = "written disk 1"
_FILE: Final = "written file 1"

# No other process has the file, so the index of the write-ahead log stays in memory: it needs no room on a full disk.
_SETTINGS: Final = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
"""
_SCHEMA: Final = """
    CREATE TABLE about (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE overlay (number INTEGER PRIMARY KEY, service TEXT NOT NULL, disk TEXT NOT NULL, since INTEGER NOT NULL,
        tenant TEXT NOT NULL, base TEXT NOT NULL, aside TEXT NOT NULL, version INTEGER NOT NULL,
        pages INTEGER NOT NULL, total BLOB NOT NULL, written INTEGER NOT NULL, tag BLOB NOT NULL);
    CREATE TABLE page (overlay INTEGER, number INTEGER, data BLOB NOT NULL, tag BLOB NOT NULL,
        PRIMARY KEY (overlay, number)) WITHOUT ROWID;
"""

_logger: Final = log.logger("overlays")


@dataclass(eq=False, slots=True)
class Overlay:
    """What one service wrote to one disk."""

    number: int
    service: str
    disk: str
    since: int  # version of the service with which its pages began; 0: before versions were noted
    tenant: str  # whose the service was; "": before that was noted
    base: str  # digest of the disk's manifest
    aside: Aside = ""
    version: int = 0  # names this state; 0: never written
    pages: int = 0  # as far as they are on disk: the thread's
    total: int = 0  # sum of the pages' checks: the thread's
    written: int = 0  # order of the last writes: the thread's

    def row(self) -> tuple[Any, ...]:
        """Its columns, without the check."""
        total = self.total.to_bytes(TAG_BYTES, "little")
        return (
            *(self.number, self.service, self.disk, self.since, self.tenant, self.base),
            *(self.aside, self.version, self.pages, total, self.written),
        )


class _Damaged(Exception):
    """Pages or a file that cannot be believed."""


def choose(found: Sequence[Overlay], since: int | None, tenant: str, base: str) -> Overlay | None:
    """Which of a service's overlays of a disk is in use.

    :param tenant: whose the service is: a name that was given up may be another's now, and its pages are not.
    :param since: what the catalogue says; None: nothing, and then only pages of the very same base are right.
    """
    usable = [overlay for overlay in found if overlay.aside not in ("damaged", "does not fit")]
    usable = [overlay for overlay in usable if overlay.tenant in ("", tenant)]
    same = [overlay for overlay in usable if overlay.since == (since or 0)]
    pool = [overlay for overlay in same if not overlay.aside] or same
    exact = next((overlay for overlay in (same if since is None else pool) if overlay.base == base), None)
    if exact is not None or since is None:
        return exact
    return max(pool, key=lambda overlay: overlay.written, default=None)


class Overlays:
    """All overlays of this edge. `thread` must be one thread."""

    def __init__(self, path: Path, limit_bytes: int, thread: Executor, seal: Seal, counters: Counters) -> None:
        """:raises OperatorError: the file is damaged, and cannot be renamed."""
        self._path, self._thread, self._limit_bytes = path, thread, limit_bytes
        self._seal, self._counters = seal, counters
        self._database: sqlite3.Connection | None = None
        self._overlays: dict[int, Overlay] = {}
        self._by_disk: dict[str, dict[str, list[Overlay]]] = {}  # by service, then by disk
        self._next = 1
        self._pages = 0
        self._order = 0
        self._open_again_s = 0.0  # not before
        self._open()

    # The file.

    @property
    def is_open(self) -> bool:
        """Whether what was written is known."""
        return self._database is not None

    async def ready(self) -> None:
        """Have the file open.

        :raises Unavailable: it cannot be opened now.
        """
        if self._database is None and time.monotonic() >= self._open_again_s:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        if self._database is None:
            raise Unavailable(f"a file of written pages expected at {self._path}: it cannot be opened now")

    def _open(self) -> None:
        if self._database is not None:
            return
        self._open_again_s = time.monotonic() + REOPEN_S
        try:
            try:
                self._database = self._connect()
            except _Damaged as error:
                aside = set_aside(self._path, "-wal", "-shm", "-journal")
                self._counters.add(self._counters.overlays_set_aside, "file damaged")
                hint = "services begin with their disks as published; nothing was deleted"
                _logger.error(log.line("written_pages_damaged", error=error, kept_as=aside, hint=hint))
                self._database = self._connect()
        except (OSError, sqlite3.Error) as error:
            self._counters.add(self._counters.storage_errors, "written")
            _logger.error(log.line("written_pages_not_opened", path=self._path, error=error))
        except _Damaged as error:
            raise OperatorError(f"--cache: a file of written pages expected at {self._path}: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._path.touch(FILE_MODE)
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            database.executescript(_SETTINGS)
            (wrong,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if wrong != "ok":
                raise _Damaged(wrong)
            (form,) = database.execute("PRAGMA user_version").fetchone()
            if form != FORM:
                self._begin(database, form)
            (key,) = database.execute("SELECT value FROM about WHERE name = 'key'").fetchone() or (None,)
            if key != self._seal.tag(_FILE):
                raise _Damaged("it was written under another key of this edge")
            self._take_in(database)
        except sqlite3.Error as error:
            database.close()
            if _code(error) in _DAMAGED:
                raise _Damaged(str(error)) from None
            raise
        except BaseException:
            database.close()
            raise
        return database

    def _begin(self, database: sqlite3.Connection, form: int) -> None:
        """Make the tables; what an edge without a key left is given checks, once."""
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not (form == 0 and tables == {"overlay", "page"} and self._seal.fresh):
            raise _Damaged(f"form {FORM} expected, got {form}")
        with database:
            database.execute("BEGIN IMMEDIATE")
            for table in sorted(tables):
                database.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
            for statement in _SCHEMA.split(";")[:-1]:
                database.execute(statement)
            if tables:
                self._adopt(database)
            database.execute("INSERT INTO about VALUES ('key', ?)", (self._seal.tag(_FILE),))
            database.execute(f"PRAGMA user_version = {FORM}")

    def _adopt(self, database: sqlite3.Connection) -> None:
        keys = database.execute("SELECT key FROM overlay_before ORDER BY rowid").fetchall()
        for number, (key,) in enumerate(keys, start=1):
            service, _, rest = key.partition("/")
            disk, _, base = rest.rpartition("@")
            overlay = Overlay(number, service, disk, 0, "", base, version=_new_version(), written=number)
            for page, data in database.execute("SELECT number, data FROM page_before WHERE key = ?", (key,)).fetchall():
                tag = self._page_tag(number, page, data)
                database.execute("INSERT INTO page VALUES (?, ?, ?, ?)", (number, page, data, tag))
                overlay.pages, overlay.total = overlay.pages + 1, overlay.total + int.from_bytes(tag, "little")
            overlay.total %= _TOTALS
            self._put_row(database, overlay)
        database.execute("DROP TABLE overlay_before")
        database.execute("DROP TABLE page_before")
        _logger.info(log.line("written_pages_adopted", overlays=len(keys)))

    def _take_in(self, database: sqlite3.Connection) -> None:
        self._overlays.clear()
        self._by_disk.clear()
        for *columns, tag in database.execute("SELECT * FROM overlay"):
            number, service, disk, since, tenant, base, aside, version, pages, total, written = columns
            overlay = Overlay(number, service, disk, since, tenant, base, aside, version, pages, written=written)
            overlay.total = int.from_bytes(total, "little") if isinstance(total, bytes) else 0
            self._enter(overlay)
            self._order = max(self._order, written if isinstance(written, int) else 0)
            if tag != self._overlay_tag(overlay):  # no column of it is to be believed
                counted = database.execute("SELECT count(*) FROM page WHERE overlay = ?", (number,)).fetchone()
                overlay.pages, overlay.version = counted[0], 1
                overlay.since, overlay.written = 0, 0
                self._lay_aside(overlay, "damaged", keep=False)
        self._next = max(self._overlays, default=0) + 1
        (self._pages,) = database.execute("SELECT count(*) FROM page").fetchone()

    def _enter(self, overlay: Overlay) -> None:
        self._overlays[overlay.number] = overlay
        self._by_disk.setdefault(overlay.service, {}).setdefault(overlay.disk, []).append(overlay)

    def _page_tag(self, overlay: int, number: int, data: bytes) -> bytes:
        return self._seal.tag(_PAGE, f"{overlay} {number}".encode(), data)

    def _overlay_tag(self, overlay: Overlay) -> bytes:
        return self._seal.tag(
            _OVERLAY, *(part if isinstance(part, bytes) else str(part).encode() for part in overlay.row())
        )

    def _put_row(self, database: sqlite3.Connection, overlay: Overlay) -> None:
        row = (*overlay.row(), self._overlay_tag(overlay))
        database.execute("INSERT OR REPLACE INTO overlay VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    # What there is.

    def __len__(self) -> int:
        return sum(overlay.version != 0 for overlay in self._overlays.values())

    @property
    def used_bytes(self) -> int:
        """Of pages."""
        return self._pages * abi.PAGE_SIZE

    def aside(self) -> list[Overlay]:
        """Those out of use."""
        return [overlay for overlay in self._overlays.values() if overlay.aside]

    @property
    def services(self) -> int:
        """How many services have pages of their own here."""
        return len({overlay.service for overlay in self._overlays.values() if overlay.version and not overlay.aside})

    def describe(self, service: str) -> list[dict[str, object]]:
        """What a service has written, for the operator."""
        return [
            {"disk": o.disk, "base": o.base, "since": o.since, "bytes": o.pages * abi.PAGE_SIZE, "aside": o.aside}
            for o in self._overlays.values()
            if o.service == service and o.version
        ]

    def version(self, key: int) -> int:
        """Names the state that the newest write begun will give; 0: never written."""
        overlay = self._overlays.get(key)
        return overlay.version if overlay is not None else 0

    # Use.

    def find(self, service: str, disk: str, since: int | None, tenant: str, base: str) -> int:
        """The overlay in use now, its key; the pages of an earlier base go over to it, all others are kept aside.

        :param since: as the catalogue says; for this and the others see `choose`.
        """
        found = self._by_disk.get(service, {}).get(disk, ())
        chosen = choose(found, since, tenant, base)
        for overlay in found:
            if overlay is not chosen and not overlay.aside and overlay.version:
                whose = overlay.tenant in ("", tenant)
                same = overlay.since == (since or 0)
                self._lay_aside(overlay, "another tenant" if not whose else "another base" if same else "dropped")
        if chosen is None:
            number, self._next = self._next, self._next + 1
            chosen = Overlay(number, service, disk, since or 0, tenant, base)
            self._enter(chosen)
        elif chosen.base != base or chosen.aside or chosen.tenant != tenant:
            self._carry(chosen, tenant, base)
        return chosen.number

    def leave(self, service: str, disks: Collection[str]) -> None:
        """Keep aside what a service wrote to disks that it has no more: all but these."""
        for disk, found in self._by_disk.get(service, {}).items():
            for overlay in found if disk not in disks else ():
                if overlay.version and not overlay.aside:
                    self._lay_aside(overlay, "dropped")

    def _carry(self, overlay: Overlay, tenant: str, base: str) -> None:
        if overlay.version and overlay.base != base:
            overlay.version = _new_version()
            self._counters.overlays_carried += 1
            about = {"service": overlay.service, "disk": overlay.disk, "pages": overlay.pages}
            _logger.info(log.line("overlay_carried_over", **about, before=overlay.base, now=base))
        overlay.base, overlay.tenant, overlay.aside = base, tenant, ""
        self._note(overlay)

    def set_aside(self, key: int, reason: Aside) -> None:
        """Take out of use what cannot be served; nothing of it is deleted."""
        if key in self._overlays:
            self._lay_aside(self._overlays[key], reason)

    def _lay_aside(self, overlay: Overlay, reason: Aside, *, keep: bool = True) -> None:
        overlay.aside = reason
        self._counters.add(self._counters.overlays_set_aside, reason)
        about = {"service": overlay.service, "disk": overlay.disk, "base": overlay.base, "pages": overlay.pages}
        _logger.warning(log.line("overlay_set_aside", **about, reason=reason))
        if keep:
            self._note(overlay)

    def _note(self, overlay: Overlay) -> None:
        """Let the file say what has changed of an overlay but its pages."""
        if overlay.version:
            changed = (overlay.number, overlay.tenant, overlay.base, overlay.aside, overlay.version)
            submit(self._thread, "note overlay", self._write_note, *changed)

    def _write_note(self, number: int, tenant: str, base: str, aside: Aside, version: int) -> None:
        database, overlay = self._opened(), self._overlays.get(number)
        if overlay is None or not overlay.pages:
            return
        (known,) = database.execute("SELECT count(*) FROM overlay WHERE number = ?", (number,)).fetchone()
        if known:
            noted = Overlay(number, overlay.service, overlay.disk, overlay.since, tenant, base, aside, version)
            noted.pages, noted.total, noted.written = overlay.pages, overlay.total, overlay.written
            self._put_row(database, noted)

    async def load(self, key: int) -> tuple[int, bytes] | None:
        """Version and page set; None for what was not what had been written, and is kept aside now."""
        version = self.version(key)
        if not version:
            return 0, encode_pages({})
        try:
            pages = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, key)
        except (_Damaged, sqlite3.DatabaseError) as error:
            _logger.error(log.line("overlay_damaged", key=key, error=error))
            self.set_aside(key, "damaged")
            return None
        return version, pages

    def _read(self, key: int) -> bytes:
        overlay = self._overlays.get(key)
        if overlay is None:
            raise _Damaged("it was deleted a moment ago")
        pages: dict[int, bytes] = {}
        total = 0
        rows = self._opened().execute("SELECT number, data, tag FROM page WHERE overlay = ?", (key,))
        for number, data, tag in rows:
            if type(data) is not bytes or len(data) != abi.PAGE_SIZE or tag != self._page_tag(key, number, data):
                raise _Damaged(f"page {number} is not what was written")
            pages[number] = data
            total += int.from_bytes(tag, "little")
        if total % _TOTALS != overlay.total:
            raise _Damaged(f"{overlay.pages} pages of one state expected, got {len(pages)} of several")
        return encode_pages(pages)

    def put(self, key: int, pages: Mapping[int, bytes]) -> "asyncio.Future[int]":
        """Write; when it is done, 0 or a negative errno. The version is the new one at once."""
        loop = asyncio.get_running_loop()
        overlay = self._overlays.get(key)
        if overlay is None:  # it was aside, and its room was needed, while an old machine finished its requests
            gone: asyncio.Future[int] = loop.create_future()
            gone.set_result(-errno.EIO)
            return gone
        version = overlay.version = _new_version()
        about = (overlay.tenant, overlay.base, overlay.aside, version)
        return loop.run_in_executor(self._thread, self._write, loop, overlay, about, pages)

    def spoil(self, key: int) -> None:
        """A write failed: no record that counts on it is to be believed."""
        if key in self._overlays:
            self._overlays[key].version = _new_version()

    def _write(
        self,
        loop: asyncio.AbstractEventLoop,
        overlay: Overlay,
        about: tuple[str, str, Aside, int],
        pages: Mapping[int, bytes],
    ) -> int:
        database, key = self._opened(), overlay.number
        new = Overlay(key, overlay.service, overlay.disk, overlay.since, *about)
        new.pages, new.total, new.written = overlay.pages, overlay.total, self._order + 1
        dropped: dict[int, int] = {}
        try:
            database.execute("BEGIN IMMEDIATE")
            for number, data in pages.items():
                old = database.execute(
                    "SELECT tag FROM page WHERE overlay = ? AND number = ?", (key, number)
                ).fetchone()
                tag = self._page_tag(key, number, data)
                before = int.from_bytes(old[0], "little") if old else 0
                new.total = (new.total - before + int.from_bytes(tag, "little")) % _TOTALS
                new.pages += not old
                database.execute("INSERT OR REPLACE INTO page VALUES (?, ?, ?, ?)", (key, number, data, tag))
            grown = new.pages - overlay.pages
            if grown > 0:
                dropped = self._make_room(database, grown, key)
                if (self._pages + grown - sum(dropped.values())) * abi.PAGE_SIZE > self._limit_bytes:
                    database.execute("ROLLBACK")
                    self._counters.overlays_full += 1
                    return -errno.ENOSPC
            self._put_row(database, new)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            self._counters.add(self._counters.storage_errors, "written")
            raise OSError(errno.ENOSPC if _code(error) == sqlite3.SQLITE_FULL else errno.EIO, str(error)) from None
        overlay.pages, overlay.total, overlay.written = new.pages, new.total, new.written
        self._order = new.written
        self._pages += grown - sum(dropped.values())
        if dropped:
            loop.call_soon_threadsafe(self._forget_dropped, dropped)
        return 0

    def _make_room(self, database: sqlite3.Connection, grown: int, key: int) -> dict[int, int]:
        """Delete what is kept aside but `key`, the oldest first, until so many pages more fit; pages by overlay."""
        dropped: dict[int, int] = {}
        over = (self._pages + grown) * abi.PAGE_SIZE - self._limit_bytes
        aside = "SELECT number FROM overlay WHERE aside != '' AND number != ? ORDER BY written"
        for (number,) in database.execute(aside, (key,)).fetchall() if over > 0 else ():
            dropped[number] = database.execute("DELETE FROM page WHERE overlay = ?", (number,)).rowcount
            database.execute("DELETE FROM overlay WHERE number = ?", (number,))
            over -= dropped[number] * abi.PAGE_SIZE
            if over <= 0:
                break
        return dropped

    def _forget_dropped(self, dropped: Mapping[int, int]) -> None:
        for number, pages in dropped.items():
            overlay = self._overlays.pop(number, None)
            if overlay is None:
                continue
            of_disk = self._by_disk.get(overlay.service, {}).get(overlay.disk, [])
            of_disk[:] = [other for other in of_disk if other is not overlay]
            self._say_dropped(overlay, pages, "room for newer")

    def _say_dropped(self, overlay: Overlay, pages: int, reason: str) -> None:
        self._counters.add(self._counters.overlay_pages_dropped, reason, pages)
        about = {"service": overlay.service, "disk": overlay.disk, "base": overlay.base, "pages": pages}
        _logger.warning(log.line("overlay_deleted", **about, reason=reason))

    def forget(self, service: str) -> None:
        """Drop all that a service wrote: it is withdrawn."""
        gone = [overlay for overlay in self._overlays.values() if overlay.service == service]
        for overlay in gone:
            del self._overlays[overlay.number]
            if overlay.version:
                self._say_dropped(overlay, overlay.pages, "withdrawn")
        self._by_disk.pop(service, None)
        if gone:
            submit(self._thread, "delete overlays", self._delete, [overlay.number for overlay in gone])

    def _delete(self, keys: list[int]) -> None:
        database = self._opened()
        pages = 0
        with database:
            database.execute("BEGIN IMMEDIATE")
            for key in keys:
                database.execute("DELETE FROM overlay WHERE number = ?", (key,))
                pages += database.execute("DELETE FROM page WHERE overlay = ?", (key,)).rowcount
        self._pages -= pages

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise OSError(errno.EIO, "the file of written pages is not open")
        return self._database

    def close(self) -> None:
        """After the thread has ended."""
        if self._database is not None:
            self._database.close()


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where there is none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the higher bytes tell kinds of it apart


def _new_version() -> int:
    """Names one state of an overlay and never another: 63 random bits, but never 0."""
    return secrets.randbits(63) or 1
