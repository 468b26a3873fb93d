"""Small objects of an origin that change, by key: what repositories hold. Each appears whole, or not at all.

A key is words with slashes between them, below the store's folder. All methods block.
"""

import os
import re
from pathlib import Path
from typing import Final

from origin.registry.store import Store

_KEY: Final = re.compile(r"[a-z-]{1,40}(?:/[a-zA-Z0-9_][a-zA-Z0-9._!-]{0,254}){0,5}", re.ASCII)


class Notes:
    """Those of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, key: str) -> bytes | None:
        """A note, None when there is none. Raises ValueError for what cannot be a key."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes) -> None:
        """Write or replace a note, durably."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, file = self._store.new_file()
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._store.keep(temporary, path)

    def forget(self, key: str) -> bool:
        """Remove a note; whether it was there."""
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            return False
        return True

    def below(self, prefix: str) -> list[str]:
        """The last words of the keys `prefix/WORD`, sorted."""
        try:
            return sorted(entry.name for entry in os.scandir(self._path(prefix)) if entry.is_file())
        except FileNotFoundError:
            return []

    def _path(self, key: str) -> Path:
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"the key of a note expected, got {key[:80]!r}")
        return self._store.folder / key
