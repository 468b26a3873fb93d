"""What a log says of itself: a checkpoint (https://c2sp.org/tlog-checkpoint) in a signed note, and its entries.

    <name of the log>
    <number of entries>
    <root hash, base64>

    — <name> <base64 of four bytes that name the key, and the signature>

The key is the one that signs snapshots, as the newest root says. An entry is canonical JSON: a snapshot's version, its
length and its SHA-256.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer

from vmimage.canonical import canonical_json
from vmimage.errors import VerificationError
from vmimage.merkle import HASH_BYTES

CHECKPOINT_FILE: Final = "checkpoint"
CHECKPOINT_MAX: Final = 4096  # bytes
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9./-]{0,127}", re.ASCII)
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ED25519: Final = b"\x01"
_OTHER: Final = b"\xff"
_DASH: Final = "\N{EM DASH} "
_SIGNATURES_MAX: Final = 16


@dataclass(frozen=True)
class Checkpoint:
    """How many entries a log has, and the root over them."""

    log: str
    size: int
    root: bytes


@dataclass(frozen=True, order=True)
class Entry:
    """A snapshot that was published."""

    version: int
    sha256: str
    length: int  # bytes

    def encode(self) -> bytes:
        """As it stands in the log."""
        return canonical_json({"length": self.length, "sha256": self.sha256, "version": self.version})


def parse_entry(data: bytes) -> Entry:
    """An entry.

    :raises VerificationError: something else, or in another spelling.
    """
    try:
        fields = json.loads(data)
        entry = Entry(fields["version"], fields["sha256"], fields["length"])
        numbers = type(entry.version) is int and type(entry.length) is int and entry.version > 0
        if not numbers or _HEX.fullmatch(entry.sha256) is None or entry.encode() != data:
            raise ValueError
    except (ValueError, TypeError, LookupError, RecursionError):
        raise VerificationError(f"log: an entry with version, length and SHA-256 expected, got {data[:80]!r}") from None
    return entry


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """The note."""
    text = f"{checkpoint.log}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n".encode()
    signature = bytes.fromhex(signer.sign(text).signature)
    named = base64.b64encode(_key_hash(checkpoint.log, signer.public_key) + signature).decode()
    return text + f"\n{_DASH}{checkpoint.log} {named}\n".encode()


def open_checkpoint(note: bytes, keys: Iterable[Key]) -> Checkpoint:
    """What a note says that one of `keys` has signed.

    :raises VerificationError: malformed, or signed by none of them.
    """
    if len(note) > CHECKPOINT_MAX:
        raise VerificationError(f"checkpoint: at most {CHECKPOINT_MAX} bytes expected, got {len(note)}")
    text, blank, signatures = note.rpartition(b"\n\n")
    checkpoint = _parse(text + b"\n") if blank else None
    if checkpoint is None:
        raise VerificationError("checkpoint: a signed note of a log expected, got something else")
    known = {_key_hash(checkpoint.log, key): key for key in keys}
    for line in signatures.decode("utf-8", "replace").splitlines()[:_SIGNATURES_MAX]:
        if _is_signed(line, checkpoint.log, known, text + b"\n"):
            return checkpoint
    raise VerificationError("checkpoint: signed by the key for snapshots expected, is it another origin's?")


def _parse(text: bytes) -> Checkpoint | None:
    try:
        log, size, root, *_ = text.decode().split("\n")
        decoded = base64.b64decode(root, validate=True)
    except (UnicodeDecodeError, ValueError):
        return None
    good = _NAME.fullmatch(log) and _SIZE.fullmatch(size) and len(decoded) == HASH_BYTES
    return Checkpoint(log, int(size), decoded) if good else None


def _is_signed(line: str, log: str, keys: dict[bytes, Key], text: bytes) -> bool:
    dash, name, encoded = [*line.split(" "), "", ""][:3]
    try:
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return False
    key = keys.get(data[:4])
    if f"{dash} " != _DASH or name != log or key is None:
        return False
    try:
        key.verify_signature(Signature(key.keyid, data[4:].hex()), text)
    except UnverifiedSignatureError:
        return False
    return True


def _key_hash(name: str, key: Key) -> bytes:
    """The four bytes by which a note names a key (https://c2sp.org/signed-note); of Ed25519 as everybody has them."""
    if key.scheme == "ed25519":
        named = _ED25519 + bytes.fromhex(key.keyval["public"])
    else:
        named = _OTHER + f"nunatak/{key.scheme}\n{key.keyid}".encode()
    return hashlib.sha256(f"{name}\n".encode() + named).digest()[:4]
