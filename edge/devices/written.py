"""The file of pages that services wrote to their copy-on-write disks: its form, and the checks that stand in it.

Each page has a check by the edge's key (`edge.content.seal`), each overlay one over its row, and its row the sum of its
pages' checks, so that no page of an earlier flush is taken for the newest. What is done with the file, and which
overlay is in use, `edge.devices.overlays` says through `choose`.
"""

import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edge.common import log
from edge.content.database import Damaged, connect, is_damage
from edge.content.seal import TAG_BYTES, Seal
from vmimage import abi

Aside = Literal["", "another base", "another tenant", "dropped", "withdrawn", "damaged", "does not fit"]

FORM: Final = 2  # of the file, as its user_version; the one before had neither checks nor a form
TOTALS: Final = 1 << 8 * TAG_BYTES
_PAGE: Final = "written page 1"  # what a check is for, and the form of what is checked
_OVERLAY: Final = "written disk 1"
_FILE: Final = "written file 1"

_SCHEMA: Final = """
    CREATE TABLE about (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE overlay (number INTEGER PRIMARY KEY, service TEXT NOT NULL, disk TEXT NOT NULL, since INTEGER NOT NULL,
        tenant TEXT NOT NULL, base TEXT NOT NULL, aside TEXT NOT NULL, version INTEGER NOT NULL,
        pages INTEGER NOT NULL, total BLOB NOT NULL, written INTEGER NOT NULL, tag BLOB NOT NULL);
    CREATE TABLE page (overlay INTEGER, number INTEGER, data BLOB NOT NULL, tag BLOB NOT NULL,
        PRIMARY KEY (overlay, number)) WITHOUT ROWID;
"""

_logger: Final = log.logger("written")


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


class WrittenFile:
    """The file, as it is opened, read and checked."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path, self._seal = path, seal

    def connect(self) -> sqlite3.Connection:
        """Open it, or make it.

        :raises Damaged: what is there cannot be believed.
        :raises OSError, sqlite3.Error: it cannot be opened now.
        """
        database: sqlite3.Connection | None = None
        try:
            database = connect(self._path)
            (wrong,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if wrong != "ok":
                raise Damaged(wrong)
            (form,) = database.execute("PRAGMA user_version").fetchone()
            if form != FORM:
                self._begin(database, form)
            (key,) = database.execute("SELECT value FROM about WHERE name = 'key'").fetchone() or (None,)
            if key != self._seal.tag(_FILE):
                raise Damaged("it was written under another key of this edge")
        except BaseException as error:
            if database is not None:
                database.close()
            if isinstance(error, sqlite3.Error) and is_damage(error):
                raise Damaged(str(error)) from None
            raise
        return database

    def _begin(self, database: sqlite3.Connection, form: int) -> None:
        """Make the tables; what an edge without a key left is given checks, once."""
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not (form == 0 and tables == {"overlay", "page"} and self._seal.fresh):
            raise Damaged(f"form {FORM} expected, got {form}")
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
            overlay = Overlay(number, service, disk, 0, "", base, version=new_version(), written=number)
            for page, data in database.execute("SELECT number, data FROM page_before WHERE key = ?", (key,)).fetchall():
                tag = self.page_tag(number, page, data)
                database.execute("INSERT INTO page VALUES (?, ?, ?, ?)", (number, page, data, tag))
                overlay.pages, overlay.total = overlay.pages + 1, overlay.total + int.from_bytes(tag, "little")
            overlay.total %= TOTALS
            self.put_row(database, overlay)
        database.execute("DROP TABLE overlay_before")
        database.execute("DROP TABLE page_before")
        _logger.info(log.line("written_pages_adopted", overlays=len(keys)))

    def page_tag(self, overlay: int, number: int, data: bytes) -> bytes:
        """The check of a page."""
        return self._seal.tag(_PAGE, f"{overlay} {number}".encode(), data)

    def overlay_tag(self, overlay: Overlay) -> bytes:
        """The check of an overlay's row."""
        return self._seal.tag(
            _OVERLAY, *(part if isinstance(part, bytes) else str(part).encode() for part in overlay.row())
        )

    def put_row(self, database: sqlite3.Connection, overlay: Overlay) -> None:
        """Write an overlay's row."""
        row = (*overlay.row(), self.overlay_tag(overlay))
        database.execute("INSERT OR REPLACE INTO overlay VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def read(self, database: sqlite3.Connection, overlay: Overlay) -> dict[int, bytes]:
        """The pages of an overlay, all of one state.

        :raises Damaged: they are not what was written.
        """
        pages: dict[int, bytes] = {}
        total = 0
        rows = database.execute("SELECT number, data, tag FROM page WHERE overlay = ?", (overlay.number,))
        for number, data, tag in rows:
            whole = type(data) is bytes and len(data) == abi.PAGE_SIZE
            if not whole or tag != self.page_tag(overlay.number, number, data):
                raise Damaged(f"page {number} is not what was written")
            pages[number] = data
            total += int.from_bytes(tag, "little")
        if total % TOTALS != overlay.total:
            raise Damaged(f"{overlay.pages} pages of one state expected, got {len(pages)} of several")
        return pages


def new_version() -> int:
    """Names one state of an overlay and never another: 63 random bits, but never 0."""
    return secrets.randbits(63) or 1
