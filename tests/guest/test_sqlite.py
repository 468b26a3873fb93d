"""SQLite over disks says what the host's SQLite says: inserts, indexes, joins, transactions, on both engines."""

import random
import sqlite3
from pathlib import Path
from typing import Unpack

import pytest

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.shells.shell import Image
from origin.bake.disks import LocalDrive
from origin.model.diskfile import DiskFile, pack_disk
from tests.support.guests import PROGRAMS, Bounds, Guest, bake, load
from vmimage.drives import DriveKind, DriveRef

SQL = PROGRAMS / "sql"
SCRATCH = 8 << 20
PIECE = 16000  # of a request's body


class Here:
    """Every block is at hand; what is flushed is counted."""

    def __init__(self, disk: DiskFile | None) -> None:
        self.disk = disk
        self.flushes = 0

    def block(self, drive: int, block_no: int) -> bytes | None:
        return self.disk.block(block_no) if self.disk else bytes(65536)

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        raise AssertionError("everything is here")

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        self.flushes += 1
        done(0)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        raise AssertionError("no log")


def guest_of(kind: DriveKind, disk: DiskFile | None = None, **limits: Unpack[Bounds]) -> tuple[Guest, Here]:
    ref = DriveRef(disk.manifest.disk_bytes if disk else SCRATCH, disk.manifest.digest if disk else None, kind, "data")
    image: Image = load(bake(SQL, disks=[LocalDrive(ref, disk)]))
    here = Here(disk)

    def device(memory: GuestMemory) -> Disks:
        return Disks(memory, [Drive(ref)], here)

    return Guest(image, disks=device, **limits), here


def run(guest: Guest, sql: str) -> str:
    stream, body = guest.send("/", method="POST", body=None), sql.encode()
    for start in range(0, len(body), PIECE):
        guest.push(stream, body[start : start + PIECE], end=start + PIECE >= len(body))
        guest.run()
    answer = guest.responses[stream]
    assert answer.ended
    return answer.body.decode()


def on_host(database: sqlite3.Connection, sql: str) -> str:
    """The same on the host, statement by statement, in the guest's spelling."""
    lines, statement = [], ""
    for part in sql.split(";"):
        statement += part + ";"
        if not sqlite3.complete_statement(statement):
            continue
        for row in database.execute(statement):
            lines.append("|".join("NULL" if value is None else str(value) for value in row) + "\n")
        statement = ""
    return "".join(lines)


def workload(dice: random.Random) -> list[str]:
    """After speedtest1's: ordered and unordered inserts, indexes, ranges, joins, updates, deletes, rollbacks."""
    numbers = list(range(1, 1500))
    dice.shuffle(numbers)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    rows = [f"({n}, {dice.randrange(100_000)}, '{dice.choice(words)} {dice.choice(words)} {n}')" for n in numbers]
    return [
        "CREATE TABLE t1 (a INTEGER PRIMARY KEY, b INTEGER, c TEXT); CREATE TABLE t2 (x INTEGER, y TEXT);",
        "BEGIN; " + "".join(f"INSERT INTO t1 VALUES {row};" for row in rows[:500]) + " COMMIT;",
        "BEGIN; INSERT INTO t1 VALUES " + ",".join(rows[500:1000]) + "; COMMIT;",
        "SELECT count(*), sum(b), min(c), max(c) FROM t1;",
        "BEGIN; INSERT INTO t1 VALUES " + ",".join(rows[1000:]) + "; ROLLBACK; SELECT count(*) FROM t1;",
        "CREATE INDEX i1 ON t1 (b); CREATE INDEX i2 ON t1 (c);",
        "SELECT a, b FROM t1 WHERE b BETWEEN 20000 AND 30000 ORDER BY b, a LIMIT 40;",
        "SELECT c FROM t1 WHERE c LIKE 'seven%' ORDER BY c LIMIT 30;",
        "INSERT INTO t2 SELECT a, upper(c) FROM t1 WHERE b % 3 = 0; SELECT count(*) FROM t2;",
        "SELECT t1.a, t2.y FROM t1 JOIN t2 ON t1.a = t2.x WHERE t1.b < 9000 ORDER BY t1.a LIMIT 30;",
        "UPDATE t1 SET b = b * 2, c = c || ' more' WHERE a % 5 = 0; SELECT sum(b), sum(length(c)) FROM t1;",
        "DELETE FROM t1 WHERE a % 7 = 0; SELECT count(*), group_concat(a) FROM t1 WHERE a < 60;",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 300) SELECT sum(n * n) FROM r;",
        "SELECT b % 10 AS k, count(*), round(avg(b), 3) FROM t1 GROUP BY k HAVING count(*) > 5 ORDER BY k;",
        "SELECT a, rank() OVER (ORDER BY b DESC) AS r FROM t1 ORDER BY r, a LIMIT 10;",
        "CREATE VIRTUAL TABLE f USING fts5 (c); INSERT INTO f SELECT c FROM t1 ORDER BY a;",
        "SELECT c FROM f WHERE f MATCH 'nine OR ten' ORDER BY rank, rowid LIMIT 10;",
        "CREATE TABLE w (k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;",
        "INSERT INTO w SELECT c, count(*) FROM t1 GROUP BY c;",
        "INSERT INTO w SELECT c, 1 FROM t1 WHERE true ON CONFLICT (k) DO UPDATE SET n = n + 10; SELECT sum(n) FROM w;",
        "REPLACE INTO w VALUES ('zzz', 1), ('zzz', 2); SELECT count(*), max(k) FROM w;",
        "UPDATE w SET n = n + 1 WHERE k LIKE 'two%' RETURNING k, n;",
        "CREATE TABLE log (a, b);",
        "CREATE TRIGGER g AFTER UPDATE OF b ON t1 BEGIN INSERT INTO log VALUES (old.b, new.b); END;",
        "UPDATE t1 SET b = b + 1 WHERE a < 50; SELECT sum(b - a) FROM log;",
        "CREATE VIEW v AS SELECT a, b % 7 AS m FROM t1; SELECT m, count(*) FROM v GROUP BY m ORDER BY m;",
        "CREATE INDEX i3 ON t1 (b % 7) WHERE a > 100; SELECT count(*) FROM t1 WHERE b % 7 = 3 AND a > 100;",
        "SELECT count(*) FROM t1 x JOIN t1 y ON x.a = y.a + 1 JOIN t2 ON t2.x = y.a LEFT JOIN log ON log.a = x.b;",
        "SELECT a FROM t1 x WHERE b = (SELECT max(b) FROM t1 y WHERE y.c = x.c) AND a % 97 = 0 ORDER BY a LIMIT 10;",
        "SAVEPOINT s; DELETE FROM t1; SAVEPOINT u; INSERT INTO t1 VALUES (1, 2, 'x'); ROLLBACK TO s; RELEASE s;",
        "SELECT count(*) FROM t1; ANALYZE; REINDEX; SELECT count(*) > 0 FROM sqlite_stat1;",
        "ALTER TABLE t1 RENAME COLUMN c TO words; ALTER TABLE t1 ADD COLUMN d DEFAULT 5; SELECT sum(d) FROM t1;",
        "ALTER TABLE t1 DROP COLUMN d; ALTER TABLE t1 RENAME COLUMN words TO c;",
        "SELECT json_group_object(k, n) FROM (SELECT k, n FROM w ORDER BY k LIMIT 5);",
        "SELECT sum(length(hex(randomblob(8)))) FROM t1;",
        "SELECT count(*) FROM (SELECT b FROM t1 EXCEPT SELECT x FROM t2);",
        "SELECT a, sum(b) OVER (ORDER BY a ROWS 2 PRECEDING) FROM t1 ORDER BY a LIMIT 8;",
        "DROP TABLE t2; VACUUM; PRAGMA integrity_check;",
        "SELECT printf('%.12g %.6e', 1.0 / 3, 1e300 * 10), abs(-7), CAST('12.5abc' AS REAL), hex(zeroblob(3));",
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_workload_gives_what_it_gives_on_the_host(seed: int) -> None:
    guest, _ = guest_of("scratch")
    with sqlite3.connect(":memory:", isolation_level=None) as host:
        for sql in workload(random.Random(seed)):
            assert run(guest, sql) == on_host(host, sql), sql[:200]


def database(tmp_path: Path) -> DiskFile:
    with sqlite3.connect(tmp_path / "db", isolation_level=None) as made:
        made.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        made.executemany("INSERT INTO t VALUES (?, ?)", ((n, f"row {n}" * 20) for n in range(3000)))
    made.close()
    pack_disk(tmp_path / "db", "data", tmp_path / "disk")
    return DiskFile(tmp_path / "disk")


def test_a_shared_database_is_read_only(tmp_path: Path) -> None:
    guest, _ = guest_of("shared", database(tmp_path))
    assert run(guest, "SELECT count(*), sum(length(b)) FROM t; PRAGMA integrity_check;") == "3000|457800\nok\n"
    assert run(guest, "INSERT INTO t VALUES (-1, 'x');") == "error: attempt to write a readonly database\n"


def test_a_copy_on_write_database_is_flushed_at_each_commit(tmp_path: Path) -> None:
    guest, here = guest_of("cow", database(tmp_path))
    assert run(guest, "INSERT INTO t VALUES (-1, 'x'); UPDATE t SET b = 'y' WHERE a = 1500;") == ""
    assert here.flushes == 2
    run(guest, "BEGIN; DELETE FROM t; ROLLBACK;")
    assert run(guest, "SELECT count(*) FROM t; SELECT b FROM t WHERE a IN (-1, 1500); PRAGMA integrity_check;") == (
        "3001\nx\ny\nok\n"
    )


def test_no_database_but_on_disks(tmp_path: Path) -> None:
    guest, _ = guest_of("shared", database(tmp_path))
    assert run(guest, "ATTACH 'other' AS o;").startswith("error: unable to open database: other")
    assert run(guest, "SELECT load_extension('x');").startswith("error: ")
