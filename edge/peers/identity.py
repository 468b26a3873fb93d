"""What an edge shows its peers: a key and a certificate of its own, made at its first start.

No authority signs it. A member of a POP is known by the SHA-256 of its certificate, which the list of members has; so
names and dates in it say nothing, and nobody but its key's owner can show it.
"""

import datetime
import hashlib
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.common.private import write_private
from vmimage.errors import OperatorError

FILE: Final = "peer.pem"  # in the cache folder: key and certificate
_BEGIN: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
# RFC 5280 section 4.1.2.5: of a certificate whose end nobody has defined.
_NEVER: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


class Identity(NamedTuple):
    """An edge's own."""

    file: Path  # with its key and its certificate, as PEM
    certificate: bytes  # DER
    sha256: str  # of that, in hexadecimal: by which peers know it


def digest_of_certificate(certificate: bytes) -> str:
    """What a list of members has of a certificate. :param certificate: as DER."""
    return hashlib.sha256(certificate).hexdigest()


def load_identity(cache: Path) -> Identity:
    """The identity in a cache folder, made if there is none.

    :raises OperatorError: the file cannot be read or written, or holds something else.
    """
    file = cache / FILE
    try:
        if not file.exists():
            write_private(file, _new())
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        serialization.load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise OperatorError(
            f"{file}: a key and a certificate expected: {error}: remove it, and name the new one to peers"
        ) from None
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Identity(file, der, digest_of_certificate(der))


def _new() -> bytes:
    """A key and its certificate, as PEM. The name is random: OpenSSL looks for who has signed by name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"nunatak-edge-{secrets.token_hex(16)}")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), _BEGIN, _NEVER)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(pem)
