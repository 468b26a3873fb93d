"""Is a database that becomes a disk whole by itself, and if it is not, does the builder say what to do?"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from origin.model.diskfile import DiskFile, pack_disk
from vmimage.disk import BLOCK_SIZE
from vmimage.errors import PublisherError


def fill(path: Path, *pragmas: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        for pragma in pragmas:
            made.execute(f"PRAGMA {pragma}")
        made.execute("CREATE TABLE t (a)")
        made.executemany("INSERT INTO t VALUES (?)", (("x" * 100,) for _ in range(200)))


def pack(path: Path, **options: int) -> DiskFile:
    pack_disk(path, "data", path.with_name("disk"), **options)  # type: ignore[arg-type]
    return DiskFile(path.with_name("disk"))


@pytest.mark.parametrize("pragmas", [(), ("journal_mode = WAL",), ("page_size = 512",), ("page_size = 65536",)])
def test_a_database_that_was_closed_is_taken_as_it_is(tmp_path: Path, pragmas: tuple[str, ...]) -> None:
    fill(tmp_path / "db", *pragmas)
    disk, data = pack(tmp_path / "db"), (tmp_path / "db").read_bytes()
    assert b"".join(disk.block(n) for n in range(disk.manifest.blocks))[: len(data)] == data


def test_a_log_beside_a_database_is_refused_and_what_empties_it_is_said(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (a)")
        with pytest.raises(PublisherError, match=r"db-wal .*PRAGMA wal_checkpoint\(TRUNCATE\)"):
            pack(tmp_path / "db")
        (tmp_path / "link").symlink_to(tmp_path / "db")
        with pytest.raises(PublisherError, match="db-wal"):
            pack(tmp_path / "link")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert (tmp_path / "db-wal").exists()
        pack(tmp_path / "db")


def test_the_journal_of_a_transaction_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "db")
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 2")
        writer.execute("BEGIN")
        writer.execute("UPDATE t SET a = a || a")
        for name in ("db", "db-journal"):
            shutil.copy(tmp_path / name, tmp_path / name.replace("db", "copy"))
    with pytest.raises(PublisherError, match="copy-journal beside it is of a transaction that has not ended"):
        pack(tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy", isolation_level=None)) as healer:
        healer.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    pack(tmp_path / "copy")


def test_a_journal_that_is_kept_and_empty_is_no_matter(tmp_path: Path) -> None:
    fill(tmp_path / "db", "journal_mode = PERSIST")
    assert (tmp_path / "db-journal").stat().st_size
    pack(tmp_path / "db")


@pytest.mark.parametrize(("kept", "said"), [(60, "cut off after 60"), (5000, "cut off after 5000")])
def test_a_database_that_is_cut_off_is_refused(tmp_path: Path, kept: int, said: str) -> None:
    fill(tmp_path / "db")
    (tmp_path / "cut").write_bytes((tmp_path / "db").read_bytes()[:kept])
    with pytest.raises(PublisherError, match=said):
        pack(tmp_path / "cut")


def test_a_header_that_is_damaged_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "db")
    data = (tmp_path / "db").read_bytes()
    (tmp_path / "db").write_bytes(data[:16] + b"\x00\x03" + data[18:])
    with pytest.raises(PublisherError, match="a page has 3 bytes"):
        pack(tmp_path / "db")


def test_a_disk_may_be_larger_than_its_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"some bytes")
    disk = pack(tmp_path / "data", size_bytes=3 * BLOCK_SIZE + 4096)
    assert (disk.manifest.disk_bytes, disk.manifest.blocks) == (3 * BLOCK_SIZE + 4096, 4)
    assert disk.block(0) == b"some bytes".ljust(BLOCK_SIZE, b"\0")
    assert [ref.wire_bytes for ref in disk.blocks][1:] == [0, 0, 0]
    with pytest.raises(PublisherError, match="of at most 4 bytes expected, it has 10"):
        pack(tmp_path / "data", size_bytes=4)


def test_an_empty_file_needs_a_size(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(PublisherError, match="an empty disk needs a size"):
        pack(tmp_path / "empty")
    assert pack(tmp_path / "empty", size_bytes=8192).manifest.disk_bytes == 8192
