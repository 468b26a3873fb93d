"""The key folder that `nunatak keygen` makes: private keys, the trust root, and the token for uploads.

    root.key targets.key     offline: needed again only to change keys or before root.json expires
    publisher.key            signs what services are: where `nunatak publish` runs
    snapshot.key timestamp.key   online: where `nunatak origin` runs
    token                    the operator's secret for uploads of all tenants, and for reading all logs
    log-token                a shared secret that lets edges append to logs, and no more
    tokens                   tenants' and edges' own, see `origin.model.tokens`
    root.json                public: what edges are started with (--trust)
    targets.json             public: which publisher is trusted

Private files have mode 0600 and are refused with any other, as ssh does it. Keys are Ed25519 in PKCS #8 PEM.
"""

import os
import secrets
import stat
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from vmimage.errors import OperatorError
from vmimage.trust import KEY_ROLES, Trust, initial_metadata

ROOT_FILE: Final = "root.json"
TARGETS_FILE: Final = "targets.json"
TOKEN_FILE: Final = "token"
LOG_TOKEN_FILE: Final = "log-token"


def generate(folder: Path, now: datetime) -> None:
    """Make a key folder.

    :raises OperatorError: the folder has keys already, or cannot be written.
    """
    signers = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
    metadata = initial_metadata(signers, now)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for role, signer in signers.items():
            _create(folder / f"{role}.key", signer.private_bytes, 0o600)
        _create(folder / TOKEN_FILE, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)
        _create(folder / LOG_TOKEN_FILE, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)
        _create(folder / TARGETS_FILE, metadata["1.targets.json"], 0o644)
        _create(folder / ROOT_FILE, metadata["1.root.json"], 0o644)
    except FileExistsError as error:
        raise OperatorError(f"an empty folder for new keys expected, got one with {error.filename}") from None
    except OSError as error:
        raise OperatorError(f"keys cannot be written: {error}") from None


def load_signer(folder: Path, role: str) -> CryptoSigner:
    """The private key of `role` (one of KEY_ROLES).

    :raises OperatorError: missing, readable by others, or not an Ed25519 key.
    """
    path = folder / f"{role}.key"
    pem = read_private(path)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise OperatorError(f"an Ed25519 private key in PEM expected in {path}, got something else")
    return CryptoSigner(key)


def load_metadata(folder: Path) -> dict[str, bytes]:
    """The trust root and the publisher's delegation, as files of a new repository.

    :raises OperatorError: missing.
    """
    return {"1.root.json": _read(folder / ROOT_FILE), "1.targets.json": _read(folder / TARGETS_FILE)}


def load_trust(folder: Path) -> Trust:
    """The trust root of the folder, verified.

    :raises OperatorError: missing.
    :raises VerificationError: damaged.
    """
    metadata = load_metadata(folder)
    return Trust([metadata["1.root.json"]], metadata["1.targets.json"])


def load_token(path: Path) -> str:
    """The upload token in a file.

    :raises OperatorError: missing, readable by others, or not one word of 16 to 256 printable characters.
    """
    token = read_private(path).decode("ascii", "replace").strip()
    if not 16 <= len(token) <= 256 or not token.isascii() or not token.isprintable() or " " in token:
        raise OperatorError(f"one word of 16 to 256 printable characters expected as token in {path}")
    return token


def read_private(path: Path) -> bytes:
    """A file that only its owner may read.

    :raises OperatorError: missing, or readable by others.
    """
    data = _read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise OperatorError(f"mode 0600 expected of {path}, got {mode:04o}: others may read the secret")
    return data


def replace_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all.

    :raises OperatorError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            _create(new, data, 0o600)
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise OperatorError(f"a writable place expected, got {path}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"key folder file {path} expected (nunatak keygen makes it): {error.strerror}") from None


def _create(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
