"""A role's file as bytes: read, signed, and python-tuf's refusals as ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp

from vmimage.errors import VerificationError
from vmimage.signed_form import use_signed_form

NOT_OURS: Final = "signed by keys of this trust root expected, is it another origin's?"

use_signed_form()

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


def load_metadata(kind: type[S], data: bytes) -> Metadata[S]:
    """Metadata of a kind, whose signatures are not checked.

    :raises VerificationError: something else.
    """
    with refusing(kind.type):
        metadata = Metadata[S].from_bytes(data)
        if not isinstance(metadata.signed, kind):
            raise VerificationError(f"{kind.type} metadata expected, got {metadata.signed.type}")
    return metadata


def sign(signed: Signed, *signers: Signer) -> bytes:
    """The file of a role."""
    metadata: Metadata[Any] = Metadata(signed)
    return sign_again(metadata, signers)


def sign_again(metadata: Metadata[Any], signers: Sequence[Signer]) -> bytes:
    """The file of a role with signatures by `signers` beside those that it has."""
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


@contextmanager
def refusing(role: str) -> Iterator[None]:
    """Turns what python-tuf raises over a role's file into our VerificationError."""
    try:
        yield
    except UnsignedMetadataError as error:
        raise VerificationError(f"{role}: {NOT_OURS}: {error}") from error
    except (RepositoryError, ValueError) as error:
        raise VerificationError(f"{role}: {str(error) or type(error).__name__}") from error
