"""SQLite files of which this process is the only user: how they are opened, and which errors say one is damaged."""

import sqlite3
from pathlib import Path
from typing import Final

from edge.common.private import FILE_MODE

COMPANIONS: Final = ("-wal", "-shm", "-journal")  # beside a file, by suffix

# Result codes of SQLite (sqlite3.h) that say the file itself is wrong. SQLITE_ERROR is what a missing table gives.
DAMAGED: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)

# No other process has the file, so the index of the write-ahead log stays in memory: it needs no room on a full disk.
_SETTINGS: Final = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
"""


class Damaged(Exception):
    """A file, or a part of one, that cannot be believed."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a file, or make one, that nobody but this user may read. Transactions are begun and ended by statements.

    :raises OSError, sqlite3.Error: it cannot be opened; `is_damage` says whether the file is at fault.
    """
    if not path.exists():
        path.touch(FILE_MODE)
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        database.executescript(_SETTINGS)
    except BaseException:
        database.close()
        raise
    return database


def code_of(error: Exception) -> int:
    """SQLite's primary result code; 0 where there is none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the higher bytes tell kinds of it apart


def is_damage(error: Exception) -> bool:
    """Whether the file itself is at fault, and not the disk under it."""
    return isinstance(error, Damaged) or code_of(error) in DAMAGED
