"""Where private keys are that sign root and targets: in a file, in the environment, on a token, or with a service.

    FILE                         Ed25519 in PKCS #8 PEM, mode 0600
    env:NAME                     the same text in an environment variable
    hsm:ID?label=TOKEN           PKCS #11, an elliptic key of NIST's with this identifier (2 if none is said);
                                 PYKCS11LIB names the maker's library, the PIN is asked for, or in NUNATAK_PIN
    gcpkms:, awskms:, azurekms:  a key service, with the credentials that its own library finds

The last two are securesystemslib's signers (its documentation has the addresses), each of which needs a library of its
own (extra `hsm` brings that of PKCS #11). They are named with the identifier of their key, which says whose they are:
KEYID=hsm:2
"""

import getpass
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    CryptoSigner,
    HSMSigner,
    Key,
    SecretsHandler,
    Signature,
    Signer,
    SSlibKey,
)

from origin.keys import read_signer
from vmimage.errors import OperatorError

ENVIRONMENT: Final = "env:"
PIN: Final = "NUNATAK_PIN"


def signer(source: str, known: Iterable[Key]) -> Signer:
    """What signs by the key at `source`.

    :param known: public keys that may be meant by an identifier.
    :raises OperatorError: there is none, or it cannot be used here.
    """
    keyid, equals, address = source.partition("=")
    if equals and ":" in address and "/" not in keyid:
        return _remote(keyid, address, known)
    if source.startswith(ENVIRONMENT):
        return _from_environment(source.removeprefix(ENVIRONMENT))
    path = Path(source)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise OperatorError(f"the file of a private key expected at {source}, found {found}: name another")
    return read_signer(path)


class _Remote(Signer):
    """One whose device or service is asked only when something is signed, and may be away then."""

    def __init__(self, signer: Signer, address: str) -> None:
        self._signer, self._address = signer, address

    @property
    def public_key(self) -> Key:
        """Of the key that it signs by."""
        return self._signer.public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        """As the signer's own scheme says."""
        return cls(Signer.from_priv_key_uri(priv_key_uri, public_key, secrets_handler), priv_key_uri)

    def sign(self, payload: bytes) -> Signature:
        """:raises OperatorError: the device or service does not sign."""
        with _said(self._address):
            return self._signer.sign(payload)


def _from_environment(name: str) -> Signer:
    try:
        key = load_pem_private_key(os.environ[name].encode(), None)
    except (KeyError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise OperatorError(
            f"an Ed25519 private key in PEM expected in the variable {name}, got something else or none: "
            "export it with the text of the file"
        )
    return CryptoSigner(key)


def _remote(keyid: str, address: str, known: Iterable[Key]) -> Signer:
    found = {key.keyid: key for key in known if key.keyid.startswith(keyid)}
    if len(found) != 1:
        raise OperatorError(f"the identifier of a key expected before =, got {keyid!r}: `nunatak keys list` has them")
    if address.partition(":")[0] not in SIGNER_FOR_URI_SCHEME:
        raise OperatorError(
            f"one of {', '.join(sorted(SIGNER_FOR_URI_SCHEME))} expected, got {address!r}: name a key by one of these"
        )
    [key] = found.values()
    with _said(address):
        return _Remote(Signer.from_priv_key_uri(address, key, _ask), address)


def public_key(address: str) -> SSlibKey:
    """The public key of a private one on a token.

    :raises OperatorError: no address of one, or there is none, or it cannot be used here.
    """
    found = urlsplit(address)
    if found.scheme != HSMSigner.SCHEME or not (found.path.isdigit() or not found.path):
        raise OperatorError(f"hsm:ID?label=TOKEN expected, got {address!r}: name a key on a token so")
    label = dict(parse_qsl(found.query)).get("label")
    with _said(address):
        _, key = HSMSigner.import_(int(found.path) if found.path else None, label, _ask)
    return key


@contextmanager
def _said(address: str) -> Iterator[None]:
    """What libraries of token makers and services raise, in our words."""
    try:
        yield
    except (UnsupportedLibraryError, ImportError) as error:
        raise OperatorError(f"{address}: its library expected here: {error}: install it for this Python") from None
    except Exception as error:  # they have no common class
        raise OperatorError(
            f"{address}: a key that can sign expected: {str(error) or type(error).__name__}: "
            "see whether it is there, and whether this user may use it"
        ) from None


def _ask(what: str) -> str:
    return os.environ.get(PIN) or getpass.getpass(f"{what}: ")
