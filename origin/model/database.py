"""Whether a file that becomes a disk is an SQLite database that is whole by itself: file format 1.3, 3 and 4.

A disk is one file. What a database has beside it, a write-ahead log or the journal of a transaction that did not end,
stays behind, and with it what was written last. Other files are nobody's business here.
"""

import struct
from pathlib import Path
from typing import Final

from vmimage.errors import PublisherError

_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = struct.Struct(
    ">16sH6xII60xI"
)  # magic, page size, change counter, pages, the counter that those are of
_HEADER_BYTES: Final = 100
_WAL_HEADER_BYTES: Final = 32
_WAL_MAGIC: Final = (0x377F0682, 0x377F0683)
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_PAGE_MIN, _PAGE_MAX = 512, 65_536


def check_database(source: Path) -> None:
    """Refuse a database that would lose something on its way into a disk.

    :raises PublisherError: it is cut off, or its log or journal lies beside it; the message says what to do.
    :raises OSError: a file cannot be read.
    """
    with source.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC):
        return
    _check_length(source, header)
    for path in {source, source.resolve()}:
        _check_log(path, Path(f"{path}-wal"))
        _check_journal(path, Path(f"{path}-journal"))


def _check_length(source: Path, header: bytes) -> None:
    size = source.stat().st_size
    if len(header) < _HEADER_BYTES:
        raise PublisherError(
            f"disk: {source}: an SQLite database expected, it is cut off after {size} bytes: copy it again"
        )
    _, page_bytes, counter, pages, counter_of_pages = _HEADER.unpack(header[: _HEADER.size])
    page_bytes = _PAGE_MAX if page_bytes == 1 else page_bytes
    if not _PAGE_MIN <= page_bytes <= _PAGE_MAX or page_bytes & (page_bytes - 1):
        raise PublisherError(
            f"disk: {source}: an SQLite database expected, its header is damaged: a page has {page_bytes} bytes: "
            "copy it again"
        )
    if counter == counter_of_pages and size < pages * page_bytes:
        raise PublisherError(
            f"disk: {source}: an SQLite database of {pages * page_bytes} bytes expected, it is cut off after "
            f"{size}: copy it again"
        )


def _check_log(source: Path, log: Path) -> None:
    start = _start(log, _WAL_HEADER_BYTES + 1)
    if len(start) > _WAL_HEADER_BYTES and int.from_bytes(start[:4], "big") in _WAL_MAGIC:
        raise PublisherError(
            f"disk: {source} is in WAL mode and {log.name} beside it may hold changes that are not in it yet: close it "
            f"in every program, or run: sqlite3 {source} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        )


def _check_journal(source: Path, journal: Path) -> None:
    if _start(journal, len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC:
        raise PublisherError(
            f"disk: {source}: {journal.name} beside it is of a transaction that has not ended: wait for who "
            f"writes, or roll it back: sqlite3 {source} 'SELECT count(*) FROM sqlite_schema'"
        )


def _start(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return b""
