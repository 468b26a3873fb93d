"""The key folder that `nunatak keygen` makes: private keys, the trust root, and the token for uploads.

    root.key targets.key     offline: needed again only for `nunatak renew`, before root or targets expire;
                             root-2.key and so on beside them where several sign
    publisher.key            signs what services are: where `nunatak publish` runs
    snapshot.key timestamp.key   online: where `nunatak origin` runs
    token                    the operator's secret for uploads of all tenants, and for reading all logs
    log-token                a shared secret that lets edges append to logs, and no more
    token.sha256 log-token.sha256   of these: all that `nunatak origin` needs, which compares and never shows them
    tokens                   tenants' and edges' own, see `origin.model.tokens`
    root.json                public: what edges are started with (--trust)
    targets.json             public: which publisher is trusted
    N.root.json              public: earlier roots, which edges that are older follow one by one
    ROLE.key.new             a key that `nunatak renew --replace` has made and that the origin has not taken yet

Private files have mode 0600 and are refused with any other, as ssh does it. Keys are Ed25519 in PKCS #8 PEM.
"""

import os
import secrets
import stat
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.signer import CryptoSigner

from vmimage.canonical import digest_of, is_digest
from vmimage.errors import OperatorError
from vmimage.trust import BIN_BITS, KEY_ROLES, OFFLINE_ROLES, Trust, initial_metadata, root_version, targets_version

ROOT_FILE: Final = "root.json"
TARGETS_FILE: Final = "targets.json"
TOKEN_FILE: Final = "token"
LOG_TOKEN_FILE: Final = "log-token"
HASHED: Final = ".sha256"
NEW: Final = ".new"
TOKEN_MAX: Final = 6144  # characters; the long ones are of issuers


def generate(folder: Path, now: datetime, *, signers: int = 1, threshold: int = 1, bin_bits: int = BIN_BITS) -> None:
    """Make a key folder.

    :param signers: keys of root, and of targets. :param threshold: how many of them sign.
    :param bin_bits: the catalogue has 2 ** bin_bits bins.
    :raises OperatorError: the folder has keys already, or cannot be written.
    """
    made = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
    further = {role: [CryptoSigner.generate_ed25519() for _ in range(signers - 1)] for role in OFFLINE_ROLES}
    metadata = initial_metadata(made, now, bin_bits, further, threshold)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for role, signer in made.items():
            _create(folder / f"{role}.key", signer.private_bytes, 0o600)
            for number, other in enumerate(further.get(role, ()), 2):
                _create(folder / f"{role}-{number}.key", other.private_bytes, 0o600)
        for name in (TOKEN_FILE, LOG_TOKEN_FILE):
            token = secrets.token_urlsafe(32)
            _create(folder / name, f"{token}\n".encode(), 0o600)
            _create(folder / f"{name}{HASHED}", f"{digest_of(token.encode())}\n".encode(), 0o600)
        _create(folder / TARGETS_FILE, metadata["1.targets.json"], 0o644)
        _create(folder / ROOT_FILE, metadata["1.root.json"], 0o644)
    except FileExistsError as error:
        raise OperatorError(
            f"an empty folder for new keys expected, got one with {error.filename}: "
            "name another, so that no key is overwritten"
        ) from None
    except OSError as error:
        raise OperatorError(f"keys cannot be written: {error}: name a folder that this user may write") from None


def load_signer(folder: Path, role: str, keyids: Collection[str] | None = None) -> CryptoSigner:
    """The private key of `role` (one of KEY_ROLES).

    :param keyids: those that are trusted: of the key and a new one that is to take its place, the one that is.
    :raises OperatorError: missing, readable by others, not an Ed25519 key, or not trusted.
    """
    signer = read_signer(folder / f"{role}.key")
    if keyids is None or signer.public_key.keyid in keyids:
        return signer
    new = folder / f"{role}.key{NEW}"
    if new.exists() and (made := read_signer(new)).public_key.keyid in keyids:
        return made
    raise OperatorError(
        f"{folder / f'{role}.key'}: the key that the newest root trusts for {role} expected, got another: copy it from "
        "the key folder where `nunatak renew` was run"
    )


def read_signer(path: Path) -> CryptoSigner:
    """A private key.

    :raises OperatorError: missing, readable by others, or not an Ed25519 key.
    """
    pem = read_private(path)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise OperatorError(
            f"an Ed25519 private key in PEM expected in {path}, got something else: "
            "copy it from your backup, or `nunatak renew --replace` it"
        )
    return CryptoSigner(key)


def folder_signers(folder: Path, role: str) -> list[CryptoSigner]:
    """All private keys of a role that are in a folder: ROLE.key, ROLE-2.key and so on.

    :raises OperatorError: one is readable by others, or not an Ed25519 key.
    """
    return [read_signer(path) for path in folder_keys(folder, role)]


def folder_keys(folder: Path, role: str) -> list[Path]:
    """Files of all private keys of a role that are in a folder: ROLE.key, then ROLE-2.key and so on."""
    found = (*folder.glob(f"{role}.key"), *folder.glob(f"{role}-*.key"))
    return sorted(found, key=lambda path: (len(path.name), path.name))


def make_key(path: Path) -> str:
    """Make a private key in a new file; the public key in PEM.

    :raises OperatorError: there is such a file, or it cannot be written.
    """
    if path.exists():
        raise OperatorError(
            f"a file that is not there expected, got {path}: name another, so that no key is overwritten"
        )
    key = Ed25519PrivateKey.generate()
    replace_private(path, CryptoSigner(key).private_bytes)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def new_signer(folder: Path, role: str) -> CryptoSigner:
    """A key to take the place of a role's; one that was made before and never taken is made again.

    :raises OperatorError: it cannot be written.
    """
    signer = CryptoSigner.generate_ed25519()
    replace_private(folder / f"{role}.key{NEW}", signer.private_bytes)
    return signer


def settle(folder: Path, roots: Iterable[bytes], targets: bytes | None, replaced: Iterable[str]) -> None:
    """Keep what was published: roots, targets, and new keys in the place of those that they replace.

    The keys before stay as ROLE.key.old: what they signed may have to be signed again, and they open nothing.

    :raises OperatorError: it cannot be written.
    """
    try:
        for data in roots:
            replace_file(folder / f"{root_version(data)}.{ROOT_FILE}", data)
            replace_file(folder / ROOT_FILE, data)
        if targets is not None:
            replace_file(folder / TARGETS_FILE, targets)
        for role in replaced:
            key = folder / f"{role}.key"
            os.replace(key, folder / f"{role}.key.old")
            os.replace(folder / f"{role}.key{NEW}", key)
    except OSError as error:
        raise OperatorError(
            f"a writable key folder expected, got {folder}: {error.strerror}: name one that this user may write"
        ) from None


def load_metadata(folder: Path) -> dict[str, bytes]:
    """The trust roots and the publisher's delegation, as files of a new repository: N.root.json and N.targets.json.

    :raises OperatorError: missing.
    :raises VerificationError: damaged.
    """
    root, targets = _read(folder / ROOT_FILE), _read(folder / TARGETS_FILE)
    found = {f"{root_version(root)}.root.json": root}
    for version in range(root_version(root) - 1, 0, -1):
        earlier = folder / f"{version}.{ROOT_FILE}"
        if not earlier.exists():
            break
        found[earlier.name] = _read(earlier)
    return {**dict(reversed(found.items())), f"{targets_version(targets)}.targets.json": targets}


def load_trust(folder: Path) -> Trust:
    """The trust root of the folder, verified.

    :raises OperatorError: missing.
    :raises VerificationError: damaged.
    """
    return Trust([_read(folder / ROOT_FILE)], _read(folder / TARGETS_FILE))


def load_top(folder: Path) -> tuple[bytes, bytes]:
    """Root and targets as they are.

    :raises OperatorError: missing.
    """
    return _read(folder / ROOT_FILE), _read(folder / TARGETS_FILE)


def load_token(path: Path) -> str:
    """The upload token in a file.

    :raises OperatorError: missing, readable by others, or not one word of 16 to TOKEN_MAX printable characters.
    """
    known_place = path.name != TOKEN_FILE or (path.parent / ROOT_FILE).exists()
    if known_place and not path.exists():  # what reads other files tells of a folder without any
        raise OperatorError(
            f"a token expected in {path}, there is no such file: put the one there that `nunatak token add` printed, "
            "or name another file with --token-file"
        )
    return parse_token(read_private(path), str(path))


def parse_token(data: bytes, place: str) -> str:
    """A token.

    :param place: where it was found, for messages.
    :raises OperatorError: not one word of 16 to TOKEN_MAX printable characters.
    """
    token = data.decode("ascii", "replace").strip()
    if not 16 <= len(token) <= TOKEN_MAX or not token.isascii() or not token.isprintable() or " " in token:
        raise OperatorError(
            f"one word of 16 to {TOKEN_MAX} printable characters expected as token in {place}: put one there"
        )
    return token


def load_token_hash(path: Path) -> str | None:
    """The digest of the token in a file, or in the file of that name with .sha256, which is as good to compare with.

    :return: None where there is neither.
    :raises OperatorError: as `load_token`, or no digest.
    """
    hashed = path.with_name(f"{path.name}{HASHED}")
    if path.exists():
        return digest_of(load_token(path).encode())
    if not hashed.exists():
        return None
    digest = read_private(hashed).decode("ascii", "replace").strip()
    if not is_digest(digest):
        raise OperatorError(f"sha256: and 64 hex digits expected in {hashed}: write `sha256sum` of the token")
    return digest


def read_private(path: Path) -> bytes:
    """A file that only its owner may read.

    :raises OperatorError: missing, or readable by others.
    """
    data = _read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise OperatorError(
            f"mode 0600 expected of {path}, got {mode:04o}: others may read the secret: chmod 600 {path}"
        )
    return data


def replace_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all.

    :raises OperatorError: it cannot be written.
    """
    try:
        replace_file(path, data, 0o600)
    except OSError as error:
        raise OperatorError(
            f"a writable place expected, got {path}: {error.strerror}: give this user the folder"
        ) from None


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all.

    :raises OSError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _create(new, data, mode)
        os.replace(new, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the one that was asked for
        raise
    finally:
        new.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"key folder file {path} expected: {error.strerror}: "
            "name another folder with --keys, or make one with `nunatak keygen`"
        ) from None


def _create(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
