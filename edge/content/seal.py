"""The edge's own key, and the keyed check that it puts on what it keeps on disk: parked machines and written pages.

What was edited there, taken from another name or written under another key fails the check. An older value of the same
name passes it: that is the business of whoever keeps versions. The key is 32 random bytes in a file of mode 0600 beside
the databases, never in one.

    key        in use
    key.new    made, while what an earlier edge left without checks is being given some: see `Seal.settle`
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from edge.common import log
from edge.common.private import set_aside, sync_folder, write_private
from vmimage.errors import OperatorError
from vmimage.parked import ParkedRecord, is_sealed

KEY_BYTES: Final = 32
TAG_BYTES: Final = 32
_NEW: Final = ".new"

_logger: Final = log.logger("seal")


class Seal:
    """Keyed checks by one key. BLAKE2b (RFC 7693) with a key and, as its personalisation, what the check is for."""

    def __init__(self, key: bytes, *, fresh: bool = True, path: Path | None = None) -> None:
        """:param fresh: no earlier process of this edge has used the key.
        :param path: of the key's file while it is not settled.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {KEY_BYTES} bytes expected, got {len(key)}")
        self._key, self._path = key, path
        self.fresh = fresh

    def tag(self, purpose: str, *parts: bytes) -> bytes:
        """The check over `parts`, each with its length.

        :param purpose: at most 16 ASCII characters, another for each kind of thing.
        """
        check = hashlib.blake2b(digest_size=TAG_BYTES, key=self._key, person=purpose.encode("ascii"))
        for part in parts:
            check.update(len(part).to_bytes(8, "little"))
            check.update(part)
        return check.digest()

    def close(self, purpose: str, name: str, data: bytes) -> bytes:
        """`data` as it is kept under `name`."""
        return self.tag(purpose, name.encode(), data) + data

    def open(self, purpose: str, name: str, kept: bytes) -> bytes | None:
        """What `close` was given under this name; None for anything else."""
        data = kept[TAG_BYTES:]
        return data if hmac.compare_digest(kept[:TAG_BYTES], self.tag(purpose, name.encode(), data)) else None

    def close_record(self, record: ParkedRecord) -> bytes:
        """A parked record as it is kept, the check in its own place."""
        return record.to_bytes(self._key)

    def sealed_record(self, data: bytes) -> bool:
        """Whether the check in a parked record's bytes is ours."""
        return is_sealed(data, self._key)

    def settle(self) -> None:
        """What an earlier edge left without checks has been dealt with: from now on nothing without one is believed.

        :raises OperatorError: the key cannot be put in its place.
        """
        if self._path is not None:
            try:
                os.replace(self._path.with_name(self._path.name + _NEW), self._path)
                sync_folder(self._path.parent)
            except OSError as error:
                raise OperatorError(
                    f"--cache: a key expected at {self._path}: {error.strerror}: make room, or name another folder"
                ) from None
        self._path, self.fresh = None, False


def new_seal() -> Seal:
    """With a key that is kept nowhere: for what ends with this process."""
    return Seal(secrets.token_bytes(KEY_BYTES))


def load_seal(path: Path) -> Seal:
    """The key in a file; a new one, not settled yet, where there is none that can be used.

    :raises OperatorError: it can be neither read nor written.
    """
    new = path.with_name(path.name + _NEW)
    try:
        key = _read(path)
        if key is not None and len(key) == KEY_BYTES:
            return Seal(key, fresh=False)
        if key is not None:
            aside = set_aside(path)
            _logger.error(log.line("key_damaged", bytes=len(key), expected=KEY_BYTES, kept_as=aside))
        key = _read(new)
        if key is None or len(key) != KEY_BYTES:
            key = secrets.token_bytes(KEY_BYTES)
            write_private(new, key)
        return Seal(key, path=path)
    except OSError as error:
        raise OperatorError(
            f"--cache: a key expected at {path}: {error.strerror}: give this user the folder, or name another"
        ) from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
