"""Every kind of SQLite database and statement that its manual has: modes, pages, encodings, limits, functions, damage.

What the host's SQLite says of the same statements is the right answer, where it has them too.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge.vmm.devices.disk import Disks, Drive
from edge.vmm.memory.guest_memory import GuestMemory
from origin.bake.disks import LocalDrive
from origin.model.diskfile import DiskFile, pack_disk
from tests.guest.test_sqlite import SCRATCH, SQL, Here, guest_of, on_host, run
from tests.support.guests import Guest, bake, load
from vmimage.drives import DriveRef

# SQLite is compiled by the first test that needs it.
pytestmark = pytest.mark.timeout(600)

ROWS = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) "
FILL = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, long TEXT); CREATE INDEX i ON t (name);"
    + ROWS
    + "INSERT INTO t SELECT n, 'näme ' || n, hex(zeroblob(n)) FROM c;"
)
ASK = "SELECT count(*), sum(length(long)) FROM t; SELECT id FROM t WHERE name = 'näme 7'; PRAGMA integrity_check;"
CHANGE = "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET long = name WHERE id % 2; VACUUM;"


def made(tmp_path: Path, *pragmas: str, size_bytes: int | None = None) -> DiskFile:
    """A disk with the same database as `FILL` makes."""
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as database:
        for pragma in pragmas:
            database.execute(f"PRAGMA {pragma}")
        database.executescript(FILL)
    pack_disk(tmp_path / "db", "data", tmp_path / "disk", size_bytes=size_bytes)
    return DiskFile(tmp_path / "disk")


def host(*statements: str) -> str:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        return "".join(on_host(database, sql) for sql in statements)


@pytest.mark.parametrize("kind", ["shared", "cow"])
def test_a_database_in_wal_mode_is_read_and_written(tmp_path: Path, kind: str) -> None:
    guest, here = guest_of(kind, made(tmp_path, "journal_mode = WAL", size_bytes=1 << 20))  # type: ignore[arg-type]
    assert run(guest, ASK) == host(FILL, ASK)
    assert run(guest, "PRAGMA wal_checkpoint;") == "0|-1|-1\n"
    if kind == "cow":
        assert run(guest, CHANGE + ASK) == host(FILL, CHANGE, ASK)
        assert here.flushes > 0


@pytest.mark.parametrize("page_bytes", [512, 65_536])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_pages_and_encodings(tmp_path: Path, page_bytes: int, encoding: str) -> None:
    pragmas = f"page_size = {page_bytes}", f"encoding = '{encoding}'", "auto_vacuum = FULL"
    guest, _ = guest_of("cow", made(tmp_path, *pragmas, size_bytes=4 << 20))
    about = run(guest, "PRAGMA page_size; PRAGMA encoding; PRAGMA auto_vacuum;")
    assert about == f"{page_bytes}\n{encoding}\n1\n"
    assert run(guest, ASK + CHANGE + ASK) == host(FILL, ASK, CHANGE, ASK)
    assert run(guest, ASK) == host(FILL, CHANGE, ASK), "what was written is there for the next connection"


@pytest.mark.parametrize("page_bytes", [512, 4096])
def test_a_disk_that_is_full_says_so_and_keeps_what_it_had(tmp_path: Path, page_bytes: int) -> None:
    guest, _ = guest_of("cow", made(tmp_path, f"page_size = {page_bytes}"))
    assert run(
        guest, FILL.replace("TABLE t ", "TABLE u ").replace(" i ON t", " j ON u").replace("INTO t", "INTO u")
    ) == ("error: database or disk is full\n")
    assert run(guest, ASK) == host(FILL, ASK)


def test_a_new_database_begins_on_an_empty_disk(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    pack_disk(tmp_path / "empty", "data", tmp_path / "disk", size_bytes=1 << 20)
    guest, _ = guest_of("cow", DiskFile(tmp_path / "disk"))
    assert run(guest, FILL + ASK) == host(FILL, ASK)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"GIF89a" + data, "file is not a database"),
        (lambda data: bytes(len(data)), "file is not a database"),
        (lambda data: b"short", "file is not a database"),
        (lambda data: data[:4096] + b"\xff" * 8192 + data[12288:], "database disk image is malformed"),
    ],
)
def test_what_is_no_database_is_an_error_that_says_so(tmp_path: Path, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    made(tmp_path)
    (tmp_path / "bad").write_bytes(damage((tmp_path / "db").read_bytes()))
    pack_disk(tmp_path / "bad", "data", tmp_path / "disk")
    guest, _ = guest_of("shared", DiskFile(tmp_path / "disk"))
    assert said in run(guest, "SELECT count(*) FROM t; SELECT long FROM t WHERE name = 'näme 7'")


def nested(before: str, middle: str, after: str, depth: int) -> str:
    return before * depth + middle + after * depth


# Each with the answer: the host's SQLite may be of a time when its parser could not do this.
LIMITS = {
    "terms": ("SELECT 7 WHERE " + " OR ".join(f"{n} = 998" for n in range(999)), "7"),
    "parentheses": ("SELECT " + nested("(", "1", ")", 900), "1"),
    "functions": ("SELECT " + nested("abs(", "1", ")", 490), "1"),
    "cases": ("SELECT " + nested("CASE WHEN 0 THEN 1 ELSE ", "1", " END", 480), "1"),
    "subqueries": ("SELECT * FROM " + nested("(SELECT * FROM ", "(SELECT 1)", ")", 200), "1"),
    "compound": (f"SELECT count(*) FROM ({' UNION ALL '.join(['SELECT 1'] * 500)})", "500"),
    "values": (f"SELECT 9 IN ({','.join(map(str, range(3000)))})", "1"),
    "pattern": (f"SELECT '{'a' * 4995}' LIKE '{'%a' * 4995}'", "1"),
    "json": (f"SELECT length(json('{nested('[', '', ']', 900)}'))", "1800"),
    "trigger": (
        """CREATE TABLE r (a); PRAGMA recursive_triggers = ON; CREATE TRIGGER s AFTER INSERT ON r WHEN new.a < 900
        BEGIN INSERT INTO r VALUES (new.a + 1); END; INSERT INTO r VALUES (1); SELECT count(*) FROM r;""",
        "900",
    ),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_what_the_limits_of_sqlite_allow_fits_into_a_machine(kind: str) -> None:
    guest, _ = guest_of("scratch")
    sql, answer = LIMITS[kind]
    assert run(guest, sql) == answer + "\n"


def test_beyond_its_limits_sqlite_says_which_it_was() -> None:
    guest, _ = guest_of("scratch")
    for sql, said in (
        ("SELECT 1 WHERE " + " OR ".join(f"{n} = 998" for n in range(1100)), "maximum depth 1000"),
        (f"SELECT 'a' LIKE '{'%a' * 6000}'", "pattern too complex"),
        ("SELECT * FROM " + nested("(SELECT * FROM ", "(SELECT 1)", ")", 900), "Recursion limit"),
    ):
        assert said in run(guest, sql)
        assert run(guest, "SELECT 1") == "1\n"


DATES = "'2024-01-31 03:04:05.678'"
MODIFIERS = (
    "'localtime'", "'utc'", "'+1 month'", "'-2 days'", "'start of month'", "'start of year'", "'start of day'",
    "'weekday 0'", "'+1 year', '-1 second'", "'+00:30'", "'localtime', 'utc'",
)  # fmt: skip


def test_dates_and_their_modifiers() -> None:
    guest, _ = guest_of("scratch")
    for modifier in MODIFIERS:
        sql = f"SELECT datetime({DATES}, {modifier}), strftime('%J %W %w %j %s', {DATES}, {modifier})"
        assert run(guest, sql) == host(sql), modifier
    for old in ("0001-01-01", "1899-12-31", "1969-12-31 23:59:59", "2000-02-29", "2100-03-01", "9999-12-31"):
        assert run(guest, f"SELECT datetime('{old}', 'localtime') = datetime('{old}')") == "1\n", old
    of_seconds = "datetime(1704164645, 'auto'), datetime(1704164645, 'unixepoch', 'localtime')"
    numbers = f"SELECT {of_seconds}, datetime(2460311.5, 'auto')"
    assert run(guest, numbers) == host(numbers)
    assert run(guest, f"SELECT datetime({DATES}, 'subsec'), unixepoch({DATES}, 'subsec')") == (
        "2024-01-31 03:04:05.678|1706670245.678\n"
    )
    assert run(guest, "SELECT unixepoch('now', 'localtime') BETWEEN 1600000000 AND 4000000000") == "1\n"


MATH = (
    "acos(.5) acosh(2) asin(.5) asinh(1) atan(1) atan2(1,2) atanh(.5) cos(1) cosh(1) degrees(1) exp(1) ln(10) log(100) "
    "log2(10) pow(2,.5) radians(180) sin(1) sinh(1) sqrt(2) tan(1) tanh(1) pi() sin(1e6) exp(-700) pow(10,300)"
).split()
EXACT = "ceil(1.2) floor(-1.2) trunc(-1.7) mod(7,3) sign(-2) acos(2) sqrt(-1) ln(0) pow(0,-1)".split()


def test_mathematics() -> None:
    guest, _ = guest_of("scratch")
    for call in MATH:
        assert float(run(guest, f"SELECT {call}")) == pytest.approx(float(host(f"SELECT {call}")), rel=5e-16), call
    for call in EXACT:
        assert run(guest, f"SELECT {call}").lower() == host(f"SELECT {call}").lower(), call


def test_what_distributions_switch_on_is_there() -> None:
    guest, _ = guest_of("scratch")
    have = set(run(guest, "PRAGMA compile_options").split("\n"))
    text = Path("libos/sqlite/include/sqlite_config.h").read_text()
    switched = re.findall(r"#define SQLITE_(ENABLE_\w+|SOUNDEX|USE_URI) 1", text)
    assert len(switched) > 12
    assert set(switched) <= have
    statements = (
        "CREATE VIRTUAL TABLE r USING rtree (id, a, b); INSERT INTO r VALUES (1, 0, 1), (2, 5, 6);",
        "SELECT id FROM r WHERE a < 3;",
        "CREATE VIRTUAL TABLE f USING fts4 (x); INSERT INTO f VALUES ('one two'), ('two three');",
        "SELECT x FROM f WHERE f MATCH 'two NOT one'; SELECT snippet(f) FROM f WHERE f MATCH 'three';",
        "CREATE TABLE t (a); INSERT INTO t VALUES (3), (1), (2);",
        "DELETE FROM t ORDER BY a DESC LIMIT 1; SELECT sum(a) FROM t;",
        "SELECT name FROM dbstat WHERE name = 't'; SELECT count(*) > 0 FROM sqlite_stmt;",
        """SELECT json_extract('{"a": [1, 2.5, "x"]}', '$.a[2]'), json_group_array(value) FROM json_each('[3, 4]');""",
        "SELECT soundex('robert'), \"text\";",
    )
    assert "".join(run(guest, sql) for sql in statements) == host(*statements)
    assert run(guest, "SELECT median(value) FROM json_each('[1, 2, 9]')") == "2.0\n"


def test_journal_modes_and_sorts_are_in_memory() -> None:
    guest, _ = guest_of("scratch")
    run(guest, FILL)
    said = run(guest, "PRAGMA journal_mode = WAL; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;")
    assert said == "memory\nexclusive\nmemory\n"
    for mode in ("DELETE", "TRUNCATE", "PERSIST", "MEMORY"):
        sql = f"PRAGMA journal_mode = {mode}; PRAGMA cache_size = 2; BEGIN; UPDATE t SET long = 'x'; ROLLBACK; {ASK}"
        assert run(guest, sql) == mode.lower() + "\n" + host(FILL, ASK)
    sql = "SELECT sum(n) FROM (SELECT a.id * b.id AS n FROM t a, t b ORDER BY a.long || b.id LIMIT 100);"
    assert run(guest, sql) == host(FILL, sql)
    assert (
        run(guest, "PRAGMA temp_store = FILE; CREATE TEMP TABLE p AS SELECT * FROM t; SELECT count(*) FROM p;")
        == "300\n"
    )


def test_several_databases_copies_and_their_limits(tmp_path: Path) -> None:
    disk = made(tmp_path, size_bytes=1 << 20)
    refs = [DriveRef(1 << 20, disk.manifest.digest, "cow", "data"), DriveRef(1 << 20, None, "scratch", "other")]
    image = load(bake(SQL, disks=[LocalDrive(refs[0], disk), LocalDrive(refs[1], None)]))

    class Two(Here):
        def block(self, drive: int, block_no: int) -> bytes | None:
            return super().block(drive, block_no) if drive == 0 else bytes(65_536)

    def device(memory: GuestMemory) -> Disks:
        return Disks(memory, [Drive(ref) for ref in refs], Two(disk))

    guest = Guest(image, disks=device)
    assert run(
        guest, "VACUUM INTO 'other'; ATTACH 'other' AS o; SELECT count(*) FROM o.t; PRAGMA o.integrity_check;"
    ) == ("300\nok\n")
    sql = "ATTACH 'other' AS o; BEGIN; DELETE FROM o.t WHERE id > 100; DELETE FROM main.t WHERE id <= 100; COMMIT; "
    assert run(guest, sql + "SELECT (SELECT count(*) FROM o.t) + (SELECT count(*) FROM t);") == "300\n"
    assert run(guest, "VACUUM INTO 'other';") == "error: output file already exists\n"
    assert run(guest, "ATTACH 'file:other?mode=ro' AS o; DELETE FROM o.t;") == (
        "error: attempt to write a readonly database\n"
    )
    assert run(guest, ASK.replace("7'", "107'")) == "200|" + str(2 * sum(range(101, 301))) + "\n107\nok\n"


def test_chance_is_new_in_every_machine_and_every_clone() -> None:
    guest, _ = guest_of("scratch")
    sql = "SELECT hex(randomblob(8)) || random()"
    numbers = [run(guest, sql), run(guest, sql)]
    record = guest.park()
    image = load(bake(SQL, disks=[LocalDrive(DriveRef(SCRATCH, None, "scratch", "data"), None)]))

    def device(memory: GuestMemory) -> Disks:
        return Disks(memory, [Drive(DriveRef(SCRATCH, None, "scratch", "data"))], Here(None))

    numbers += [run(Guest(image, parked=record, disks=device), sql) for _ in range(2)]
    assert len(set(numbers)) == 4
    other, _ = guest_of("scratch")
    assert run(other, "SELECT length(randomblob(1000)), length(randomblob(-1)), typeof(random())") == "1000|1|integer\n"
    assert run(other, "SELECT randomblob(2000000000)") == "error: string or blob too big\n"


def test_what_does_not_fit_into_memory_is_an_error_and_not_the_end() -> None:
    guest, _ = guest_of("scratch", cpu_ms=30_000)
    sql = ROWS + "SELECT length(a) FROM (SELECT hex(zeroblob(1000000)) || n AS a FROM c ORDER BY a)"
    assert run(guest, sql) == "error: out of memory\n"
    assert run(guest, FILL + ASK) == host(FILL, ASK)
