"""Kept answers as rows of a SQLite file: put, looked up, dropped, and evicted, so that the file stays in its room.

Each row has a check by the edge's key over its record and what it is found by. `number` is the order in which answers
came from memory; what makes room is the oldest of the tenant that has most, so nobody falls below an equal part while
he uses it. All of it is blocking, in transactions of the caller.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from edge.cache.batches import Done, Drop, DropUri, Found, Operation, Put
from edge.cache.places import Place
from edge.content.seal import Seal

PAGE_BYTES: Final = 4096
ROW_BYTES: Final = 256  # what an answer takes beside its record: a row, and its entries in two indices
URI_MAX: Final = 256  # answers of one URI: all variants of all its pages; the oldest goes
EVICTED_AT_ONCE: Final = 16
SPARE_PAGES: Final = 8  # for one row: a level more of each tree, and the head, at worst
_ANSWER: Final = "kept answer 1"  # what a check is for, and the form of what is checked

SCHEMA: Final = """
    CREATE TABLE answer (id INTEGER PRIMARY KEY, uri BLOB NOT NULL, page BLOB NOT NULL, variant BLOB NOT NULL,
        vary BLOB NOT NULL, tenant TEXT NOT NULL, number INTEGER NOT NULL, run INTEGER NOT NULL, size INTEGER NOT NULL,
        record BLOB NOT NULL);
    CREATE UNIQUE INDEX answer_place ON answer (uri, page, variant);
    CREATE INDEX answer_order ON answer (tenant, number, run, size);
"""
_HERE: Final = "uri = ? AND page = ? AND variant = ?"


class Rows:
    """The rows, and what is known of them beside the file."""

    def __init__(self, pages_max: int, seal: Seal) -> None:
        """:param pages_max: of the whole file, of 4 KiB each."""
        self._pages_max, self._seal = pages_max, seal
        self.forget()

    def forget(self) -> None:
        """There is no file any more."""
        self._by_tenant: dict[str, int] = {}  # bytes
        self.count, self._next = 0, 1

    def take_in(self, database: sqlite3.Connection) -> None:
        """Know what there is, from the file itself."""
        totals = "SELECT tenant, sum(size), count(*), max(number) FROM answer GROUP BY tenant"
        rows = database.execute(totals).fetchall()
        self._by_tenant = {tenant: size for tenant, size, _, _ in rows}
        self.count = sum(count for _, _, count, _ in rows)
        self._next = 1 + max((number for *_, number in rows), default=0)

    def uris(self, database: sqlite3.Connection) -> list[bytes]:
        """One for each answer."""
        return [uri for (uri,) in database.execute("SELECT uri FROM answer INDEXED BY answer_place")]

    def oldest_run(self, database: sqlite3.Connection) -> int | None:
        """Of all answers, the number of the last purge before the first of their runs; None where there are none."""
        (oldest,) = database.execute("SELECT min(run) FROM answer INDEXED BY answer_order").fetchone()
        return None if oldest is None else int(oldest)

    def carry_out(self, database: sqlite3.Connection, operation: Operation, done: Done, *, puts: bool) -> None:
        """Do what is ordered.

        :param puts: answers may be put.
        """
        match operation:
            case Put(place=place):
                if not (puts and self._put(database, operation, done)):
                    done.removed.append(place.uri)
            case Drop(place, vary):
                where = "uri = ? AND page = ? AND (variant = ? OR vary != ?)"
                self._remove(database, where, (*place, vary), done)
            case DropUri(uri):
                self._remove(database, "uri = ?", (uri,), done)

    def look(
        self, database: sqlite3.Connection, uri: bytes, page: bytes, variant_of: Callable[[bytes], bytes]
    ) -> Found:
        """What is there for a request.

        :param variant_of: the variant's digest, by the fields that the page's answers depend on.
        """
        of_page = "SELECT vary FROM answer WHERE uri = ? AND page = ? LIMIT 1"
        row = database.execute(of_page, (uri, page)).fetchone()
        if row is None:
            return Found()
        found, place = Found(vary=row[0]), Place(uri, page, variant_of(row[0]))
        row = database.execute(f"SELECT run, record FROM answer WHERE {_HERE}", place).fetchone()
        if row is not None:
            found.data = self._seal.open(_ANSWER, _name(place, row[0]), row[1])
            found.refused = found.data is None
        return found

    def make_room(self, database: sqlite3.Connection, size: int, done: Done) -> None:
        """Delete what left memory longest ago, of the tenant that has most, until so many bytes fit."""
        wanted = size // PAGE_BYTES + SPARE_PAGES
        while self._by_tenant and pages_used(database) + wanted > self._pages_max:
            most = max(self._by_tenant, key=self._by_tenant.__getitem__)
            oldest = "id IN (SELECT id FROM answer WHERE tenant = ? ORDER BY number LIMIT ?)"
            done.evicted += self._remove(database, oldest, (most, EVICTED_AT_ONCE), done)

    def _put(self, database: sqlite3.Connection, put: Put, done: Done) -> bool:
        """Whether there is one answer more for it."""
        number, self._next = self._next, self._next + 1
        if put.known and database.execute(f"UPDATE answer SET number = ? WHERE {_HERE}", (number, *put.place)).rowcount:
            return False
        record = self._seal.close(_ANSWER, _name(put.place, put.run), put.make())
        size = len(record) + ROW_BYTES
        self._remove(database, _HERE, put.place, done)
        self._make_room_at(database, put.place.uri, done)
        self.make_room(database, size, done)
        columns = "uri, page, variant, vary, tenant, number, run, size, record"
        row = (*put.place, put.vary, put.tenant, number, put.run, size, record)
        database.execute(f"INSERT INTO answer ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._by_tenant[put.tenant] = self._by_tenant.get(put.tenant, 0) + size
        self.count += 1
        done.written += 1
        return True

    def _make_room_at(self, database: sqlite3.Connection, uri: bytes, done: Done) -> None:
        (there,) = database.execute("SELECT count(*) FROM answer WHERE uri = ?", (uri,)).fetchone()
        if there >= URI_MAX:
            oldest = "id IN (SELECT id FROM answer WHERE uri = ? ORDER BY number LIMIT 1)"
            done.evicted += self._remove(database, oldest, (uri,), done)

    def _remove(self, database: sqlite3.Connection, where: str, values: Sequence[Any], done: Done) -> int:
        """Delete answers; how many there were."""
        rows = database.execute(f"DELETE FROM answer WHERE {where} RETURNING uri, tenant, size", values).fetchall()
        for uri, tenant, size in rows:
            done.removed.append(uri)
            left = self._by_tenant[tenant] - size
            if left > 0:
                self._by_tenant[tenant] = left
            else:
                del self._by_tenant[tenant]
        self.count -= len(rows)
        return len(rows)


def pages_used(database: sqlite3.Connection) -> int:
    """Pages of the file that hold something."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free)


def _name(place: Place, run: int) -> str:
    """What a record's check is over beside it. A row of another place, or whose `run` was changed, fails it."""
    return f"{b''.join(place).hex()} {run}"
