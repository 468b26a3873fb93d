"""What services wrote to their copy-on-write disks: pages by service and disk, in one SQLite file.

A write is one transaction, synced: after a crash all pages of a flush are there, or none. Each page, and each overlay
over all of its pages, has a check by the edge's key (`edge.content.seal`); what fails it is kept aside and never
served. Every write gives the overlay a new version, which a parked machine's record must agree with. One thread does
the work, so a load that follows a write sees it.

An overlay belongs to a service, a disk and the version of the service *since* which its pages are kept, which the
catalogue signs. A new base of the same `since` takes the pages over; another `since` begins with none. What is out of
use then is kept aside: counted, shown, and deleted only when a write needs its room, the oldest first.

Nothing here stops an edge: a file that is damaged is renamed and a new one begun; one that cannot be opened now is
tried again when a service needs it. Until then services with such disks are refused: their pages are not known.
"""

import asyncio
import errno
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from typing import Final

from edge.common import log
from edge.common.counters import Counters
from edge.common.private import set_aside
from edge.common.threads import submit
from edge.content.database import COMPANIONS, Damaged, code_of, is_damage
from edge.content.seal import Seal
from edge.devices.written import TOTALS, Aside, Overlay, WrittenFile, choose, new_version
from vmimage import abi
from vmimage.disk import encode_pages
from vmimage.errors import OperatorError, Unavailable

PAGES_AT_ONCE: Final = 64  # that are copied, checked and written together
REOPEN_S: Final = 10.0  # between two tries to open a file that could not be opened

_logger: Final = log.logger("overlays")


class Overlays:
    """All overlays of this edge. `thread` must be one thread."""

    def __init__(self, path: Path, limit_bytes: int, thread: Executor, seal: Seal, counters: Counters) -> None:
        """:raises OperatorError: the file is damaged, and cannot be renamed."""
        self._path, self._thread, self._limit_bytes = path, thread, limit_bytes
        self._file, self._counters = WrittenFile(path, seal), counters
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
                self._database = self._begin()
            except Damaged as error:
                aside = set_aside(self._path, *COMPANIONS)
                self._counters.add(self._counters.overlays_set_aside, "file damaged")
                hint = "services begin with their disks as published; nothing was deleted"
                _logger.error(log.line("written_pages_damaged", error=error, kept_as=aside, hint=hint))
                self._database = self._begin()
        except (OSError, sqlite3.Error) as error:
            self._counters.add(self._counters.storage_errors, "written")
            _logger.error(log.line("written_pages_not_opened", path=self._path, error=error))
        except Damaged as error:
            raise OperatorError(
                f"--cache: a file of written pages expected at {self._path}: {error}: make room, or name another folder"
            ) from None

    def _begin(self) -> sqlite3.Connection:
        database = self._file.connect()
        try:
            self._take_in(database)
        except BaseException as error:
            database.close()
            if isinstance(error, ValueError) or (isinstance(error, sqlite3.Error) and is_damage(error)):
                raise Damaged(str(error)) from None
            raise
        return database

    def _take_in(self, database: sqlite3.Connection) -> None:
        self._overlays.clear()
        self._by_disk.clear()
        for *columns, tag in database.execute("SELECT * FROM overlay"):
            number, service, disk, since, tenant, base, aside, version, pages, total, written = columns
            overlay = Overlay(number, service, disk, since, tenant, base, aside, version, pages, written=written)
            overlay.total = int.from_bytes(total, "little") if isinstance(total, bytes) else 0
            self._enter(overlay)
            self._order = max(self._order, written if isinstance(written, int) else 0)
            if tag != self._file.overlay_tag(overlay):  # no column of it is to be believed
                counted = database.execute("SELECT count(*) FROM page WHERE overlay = ?", (number,)).fetchone()
                overlay.pages, overlay.version = counted[0], 1
                overlay.since, overlay.written = 0, 0
                self._lay_aside(overlay, "damaged", keep=False)
        self._next = max(self._overlays, default=0) + 1
        (self._pages,) = database.execute("SELECT count(*) FROM page").fetchone()

    def _enter(self, overlay: Overlay) -> None:
        self._overlays[overlay.number] = overlay
        self._by_disk.setdefault(overlay.service, {}).setdefault(overlay.disk, []).append(overlay)

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

    @property
    def names(self) -> set[str]:
        """Services that have written something which is here, in use or aside."""
        return {overlay.service for overlay in self._overlays.values() if overlay.version}

    def leave(self, service: str, disks: Collection[str] = (), reason: Aside = "dropped") -> None:
        """Keep aside what a service wrote to disks that it has no more: all but these."""
        for disk, found in self._by_disk.get(service, {}).items():
            for overlay in found if disk not in disks else ():
                if overlay.version and not overlay.aside:
                    self._lay_aside(overlay, reason)

    def _carry(self, overlay: Overlay, tenant: str, base: str) -> None:
        if overlay.version and overlay.base != base:
            overlay.version = new_version()
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
            self._file.put_row(database, noted)

    async def load(self, key: int) -> tuple[int, bytes] | None:
        """Version and page set; None for what was not what had been written, and is kept aside now."""
        version = self.version(key)
        if not version:
            return 0, encode_pages({})
        try:
            pages = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, key)
        except (Damaged, sqlite3.DatabaseError) as error:
            _logger.error(log.line("overlay_damaged", key=key, error=error))
            self.set_aside(key, "damaged")
            return None
        return version, pages

    def _read(self, key: int) -> bytes:
        overlay = self._overlays.get(key)
        if overlay is None:
            raise Damaged("it was deleted a moment ago")
        return encode_pages(self._file.read(self._opened(), overlay))

    def put(self, key: int, pages: Iterable[tuple[int, bytes]]) -> "asyncio.Future[int]":
        """Write; when it is done, 0 or a negative errno. The version is the new one at once.

        :param pages: numbers and 4096 bytes each, no number twice; read in the thread.
        """
        loop = asyncio.get_running_loop()
        overlay = self._overlays.get(key)
        if overlay is None:  # it was aside, and its room was needed, while an old machine finished its requests
            gone: asyncio.Future[int] = loop.create_future()
            gone.set_result(-errno.EIO)
            return gone
        version = overlay.version = new_version()
        about = (overlay.tenant, overlay.base, overlay.aside, version)
        return loop.run_in_executor(self._thread, self._write, loop, overlay, about, pages)

    def spoil(self, key: int) -> None:
        """A write failed: no record that counts on it is to be believed."""
        if key in self._overlays:
            self._overlays[key].version = new_version()

    def _write(
        self,
        loop: asyncio.AbstractEventLoop,
        overlay: Overlay,
        about: tuple[str, str, Aside, int],
        pages: Iterable[tuple[int, bytes]],
    ) -> int:
        database, key = self._opened(), overlay.number
        new = Overlay(key, overlay.service, overlay.disk, overlay.since, *about)
        new.pages, new.total, new.written = overlay.pages, overlay.total, self._order + 1
        dropped: dict[int, int] = {}
        try:
            database.execute("BEGIN IMMEDIATE")
            rest = iter(pages)
            while some := dict(islice(rest, PAGES_AT_ONCE)):
                between = (key, min(some), max(some))
                old = dict(
                    database.execute(
                        "SELECT number, tag FROM page WHERE overlay = ? AND number BETWEEN ? AND ?", between
                    )
                )
                tags = {number: self._file.page_tag(key, number, data) for number, data in some.items()}
                for number, tag in tags.items():
                    before = int.from_bytes(old[number], "little") if number in old else 0
                    new.total = (new.total - before + int.from_bytes(tag, "little")) % TOTALS
                    new.pages += number not in old
                rows = [(key, number, data, tags[number]) for number, data in some.items()]
                database.executemany("INSERT OR REPLACE INTO page VALUES (?, ?, ?, ?)", rows)
            grown = new.pages - overlay.pages
            if grown > 0:
                dropped = self._make_room(database, grown, key)
                if (self._pages + grown - sum(dropped.values())) * abi.PAGE_SIZE > self._limit_bytes:
                    database.execute("ROLLBACK")
                    self._counters.overlays_full += 1
                    return -errno.ENOSPC
            self._file.put_row(database, new)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            self._counters.add(self._counters.storage_errors, "written")
            raise OSError(errno.ENOSPC if code_of(error) == sqlite3.SQLITE_FULL else errno.EIO, str(error)) from None
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

    def forget(self, service: str, disks: Collection[str]) -> None:
        """Delete all that a service wrote to these disks: it is withdrawn, and its publisher wants that."""
        mine = [overlay for overlay in self._overlays.values() if overlay.service == service]
        gone = [overlay for overlay in mine if overlay.disk in disks]
        for overlay in gone:
            del self._overlays[overlay.number]
            if overlay.version:
                self._say_dropped(overlay, overlay.pages, "withdrawn")
        for disk in disks:
            self._by_disk.get(service, {}).pop(disk, None)
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
