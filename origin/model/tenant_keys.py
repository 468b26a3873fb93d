"""The key folder of a tenant, and what the operator is told of it.

    tenant.key tenant-2.key ...   private: the tenant's own, or those of them that are here
    tenant.json                   public, the card: its name, its keys in PEM, and how many of them sign
    root.json targets.json        of the origin's operator, see `origin.keys`
    token                         for uploads, of the operator (`nunatak token add --tenant NAME`)

The operator adds a tenant by its card. The identifiers of keys are worked out from the keys, and never read.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from origin.keys import ROOT_FILE, TARGETS_FILE, read_signer, replace_file, replace_private
from vmimage.errors import OperatorError
from vmimage.tenants import KEYS_MAX, is_tenant_name

CARD_FILE: Final = "tenant.json"
CARD_MAX: Final = 64 << 10  # bytes


@dataclass(frozen=True)
class Card:
    """Who a tenant is: what its operator must know."""

    tenant: str
    keys: tuple[SSlibKey, ...]
    threshold: int = 1  # of these keys sign what it publishes

    def to_bytes(self) -> bytes:
        """As a file."""
        said = {"tenant": self.tenant, "threshold": self.threshold, "keys": [_pem(key) for key in self.keys]}
        return json.dumps(said, indent=1).encode() + b"\n"


def _pem(key: SSlibKey) -> str:
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key(signer: CryptoSigner) -> SSlibKey:
    """The public key of a signer."""
    return SSlibKey.from_crypto(load_pem_private_key(signer.private_bytes, None).public_key())


def parse_card(data: bytes) -> Card:
    """A card from a file.

    :raises OperatorError: it is none.
    """
    try:
        said: Any = json.loads(data) if len(data) <= CARD_MAX else None
        tenant, threshold, pems = said["tenant"], said["threshold"], said["keys"]
        keys = [load_pem_public_key(pem.encode()) for pem in pems[: KEYS_MAX + 1]]
        if said.keys() != {"keys", "tenant", "threshold"} or not all(isinstance(k, Ed25519PublicKey) for k in keys):
            raise ValueError
        known = {key.keyid: key for key in map(SSlibKey.from_crypto, keys)}
        named = isinstance(tenant, str) and is_tenant_name(tenant)
        if not named or type(threshold) is not int or not 1 <= threshold <= len(known) == len(keys) <= KEYS_MAX:
            raise ValueError
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, UnsupportedAlgorithm):
        raise OperatorError(
            f"the card of a tenant ({CARD_FILE} of `nunatak tenant keygen`) named by a-z 0-9 _ -, with 1 to {KEYS_MAX} "
            "Ed25519 keys expected, got something else: ask the tenant for it"
        ) from None
    return Card(tenant, tuple(known.values()), threshold)


def generate(folder: Path, tenant: str, signers: int, threshold: int, trust: Path | None) -> Card:
    """Make the key folder of a tenant.

    :param signers: how many keys. :param threshold: how many of them sign. :param trust: a folder with the public files
        of the origin's operator; None: they are put there later.
    :raises OperatorError: a name that no tenant can have, the folder has keys already, or cannot be written; or the
        public files are not there.
    """
    if not is_tenant_name(tenant):
        raise OperatorError(f"--tenant: 1 to 63 of a-z 0-9 _ - expected, got {tenant!r}")
    if not 1 <= threshold <= signers <= KEYS_MAX:
        raise OperatorError(f"1 to {KEYS_MAX} keys, and no higher threshold, expected, got {threshold} of {signers}")
    if (folder / CARD_FILE).exists() or any(folder.glob("*.key")):
        raise OperatorError(f"an empty folder for new keys expected, got {folder}, which has some: name another")
    made = [CryptoSigner.generate_ed25519() for _ in range(signers)]
    card = Card(tenant, tuple(public_key(signer) for signer in made), threshold)
    public = [(name, _public(trust / name)) for name in (ROOT_FILE, TARGETS_FILE)] if trust else []
    try:
        with _made_whole(folder) as place:
            for number, signer in enumerate(made, 1):
                replace_private(place / ("tenant.key" if number == 1 else f"tenant-{number}.key"), signer.private_bytes)
            for name, data in (*public, (CARD_FILE, card.to_bytes())):
                replace_file(place / name, data)
    except OSError as error:
        raise OperatorError(f"keys cannot be written: {error}: name a folder that this user may write") from None
    return card


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """Where to write what a folder shall have: a folder that is not there yet appears with all of it, or not at all."""
    if folder.exists():
        yield folder
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    staged.mkdir(mode=0o700)
    try:
        yield staged
        os.rename(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _public(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"--trust: a file of the origin's operator expected at {path}: {error.strerror}: name a folder with "
            f"{ROOT_FILE} and {TARGETS_FILE}"
        ) from None


def is_tenants(folder: Path) -> bool:
    """Whether it is the key folder of a tenant, and not that of an operator."""
    return (folder / CARD_FILE).exists()


def load_card(path: Path) -> Card:
    """A card.

    :param path: of the file, or of the folder that it is in.
    :raises OperatorError: missing, or none.
    """
    try:
        with (path / CARD_FILE if path.is_dir() else path).open("rb") as file:
            return parse_card(file.read(CARD_MAX + 1))
    except OSError as error:
        raise OperatorError(
            f"the card of a tenant, {CARD_FILE}, expected at {path}: {error.strerror}: name that file, or the key "
            "folder that `nunatak tenant keygen` made"
        ) from None


def load_signers(folder: Path) -> tuple[str, tuple[Signer, ...]]:
    """The tenant whose folder it is, and the signers of the keys that are here.

    :raises OperatorError: as `load_card`; or a key is missing, readable by others, or not an Ed25519 key.
    """
    card = load_card(folder)
    paths = sorted(folder.glob("tenant*.key"))
    if not paths:
        raise OperatorError(f"tenant.key expected in {folder}, not there: copy it from your backup")
    return card.tenant, tuple(read_signer(path) for path in paths)
