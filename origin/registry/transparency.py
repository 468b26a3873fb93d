"""The log of snapshots: each one that edges were told of is an entry, and nothing is ever taken out of it.

Files beside the catalogue, which nobody needs to serve requests: `checkpoint` and the tiles of `vmimage.tiles`, under
`log/`. An entry is written after the timestamp that made its snapshot count, and again looked for at each turn of the
renewal, so that an origin that ended in between catches up: who audits the log gives it that long. Files come before
the checkpoint that speaks of them. What is entered follows from what counts, so several origins over one store write
the same files, and whose checkpoint comes first does not matter.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Final

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Root, Snapshot

from origin.registry.roles import Published
from origin.storage.blobs import BlobStore, Changed
from origin.storage.place import Place
from vmimage.checkpoint import CHECKPOINT_FILE, Checkpoint, Entry, open_checkpoint, parse_entry, sign_checkpoint
from vmimage.merkle import root_of
from vmimage.signed import load_metadata
from vmimage.tiles import entries_of, grown, hashes_of, outdated

LOG_FILE: Final = re.compile(
    r"checkpoint|tile/(?:entries|[0-7])/(?:x[0-9]{3}/){0,4}[0-9]{3}(?:\.p/[0-9]{1,3})?", re.ASCII
)
_FOLDER: Final = "log"
CAUGHT_UP_MAX: Final = 1000  # snapshots at once, of an origin that was long without its log


class SnapshotLog:
    """The log of one store."""

    def __init__(self, blobs: BlobStore, metadata: Callable[[str], bytes | None]) -> None:
        """:param metadata: by name, for snapshots that are not in the log yet."""
        self._blobs, self._metadata = blobs, metadata
        self._written: tuple[int, str] | None = None  # the last version, and whose key signed the checkpoint

    def read(self, name: str) -> bytes | None:
        """A file of the log, None where there is none of this name."""
        return Place(self._blobs, f"{_FOLDER}/{name}").read() if LOG_FILE.fullmatch(name) else None

    def follow(self, state: Published, signer: Signer) -> int:
        """Enter every snapshot up to the present one that is not there; how many. Blocks.

        :param signer: of checkpoints: the key that signs snapshots.
        :raises VerificationError: the log that is here is damaged, or signed by keys of no root of this origin.
        """
        key = signer.public_key.keyid
        if self._written == (state.snapshot.version, key):
            return 0
        found = self._blobs.read(f"{_FOLDER}/{CHECKPOINT_FILE}")
        before = self._opened(found[0], state) if found is not None else Checkpoint(self._name(), 0, b"")
        last = self._last(before.size)
        entries = [entry for v in self._missing(last, state.snapshot.version) if (entry := self._entry(v)) is not None]
        files = grown(before.size, [entry.encode() for entry in entries], self.read)
        size = before.size + len(entries)

        def read(name: str) -> bytes | None:
            return files.get(name) or self.read(name)

        for name, data in files.items():
            self._blobs.put(f"{_FOLDER}/{name}", data)
        after = Checkpoint(before.log, size, root_of(size, hashes_of(size, read)))
        note, tag = sign_checkpoint(after, signer), found[1] if found is not None else None
        try:
            self._blobs.swap(f"{_FOLDER}/{CHECKPOINT_FILE}", tag, note)
        except Changed:  # by another origin, which has written the same files: the next turn sees how far it got
            return 0
        for name in outdated(before.size, files):
            self._blobs.delete(f"{_FOLDER}/{name}")
        self._written = state.snapshot.version, key
        return len(entries)

    def _opened(self, note: bytes, state: Published) -> Checkpoint:
        """What this origin signed before; also by a key that the root has taken away since."""
        keys: list[Key] = []
        for version in range(state.trust.root.version, 0, -1):
            if (data := self._metadata(f"{version}.root.json")) is None:
                break
            root = load_metadata(Root, data).signed
            keys += (root.keys[keyid] for keyid in root.roles[Snapshot.type].keyids)
        return open_checkpoint(note, keys)

    def _name(self) -> str:
        """Of a log that begins here: from the first root that the origin has."""
        first = self._metadata("1.root.json") or b""
        return f"nunatak/{hashlib.sha256(first).hexdigest()[:32]}"

    def _last(self, size: int) -> int:
        """The highest version that was entered; the last entry's, since versions go up."""
        return parse_entry(entries_of(size - 1, size, self.read)[0]).version if size else 0

    def _missing(self, last: int, version: int) -> range:
        return range(max(last + 1, version - CAUGHT_UP_MAX), version + 1)

    def _entry(self, version: int) -> Entry | None:
        data = self._metadata(f"{version}.snapshot.json")
        return Entry(version, hashlib.sha256(data).hexdigest(), len(data)) if data is not None else None
