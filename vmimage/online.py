"""Short documents that an origin signs with its online snapshot key, beside the roles of TUF: one form, one check.

    {"signatures": [{"keyid": ..., "sig": <hex>}], "signed": {"_type": <kind>, ...}}

in canonical JSON, so that a document has one spelling. What is signed names its kind, so that no document passes for
one of another kind, nor for a role of TUF. Whoever has stolen the key can sign any of these: they may deny, and never
say what runs.
"""

from collections.abc import Mapping
from typing import Any, Final

from securesystemslib.signer import Signature, Signer
from tuf.api.metadata import Root, Snapshot

from vmimage.canonical import canonical_json, load_json, refuse, require_object, require_same
from vmimage.errors import FormatError
from vmimage.signed import refusing

SIGNATURES_MAX: Final = 4  # while one key takes the place of another there are two


def sign_document(kind: str, fields: Mapping[str, Any], signer: Signer) -> bytes:
    """A document of a kind that says `fields`."""
    signed = {"_type": kind, **fields}
    signature = signer.sign(canonical_json(signed))
    said = {"keyid": signature.keyid, "sig": signature.signature}
    return canonical_json({"signatures": [said], "signed": signed})


def open_document(kind: str, data: bytes, at_most: int, root: Root) -> dict[str, Any]:
    """What a document says, its signature checked; its fields are not.

    :param at_most: bytes. :param root: says whose the snapshot key is.
    :raises FormatError: too long, or not in its one form.
    :raises VerificationError: not signed by the snapshot key.
    """
    outer = require_object(kind, load_json(kind, data, at_most), {"signatures", "signed"})
    signed, listed = outer["signed"], outer["signatures"]
    if not isinstance(signed, dict) or not isinstance(listed, list) or not 0 < len(listed) <= SIGNATURES_MAX:
        refuse(kind, f"an object and 1 to {SIGNATURES_MAX} signatures", outer)
    require_same(f"{kind} _type", kind, signed.get("_type"))
    signatures: dict[str, Signature] = {}
    for entry in listed:
        said = require_object(f"{kind} signature", entry, {"keyid", "sig"})
        if not isinstance(said["keyid"], str) or not isinstance(said["sig"], str):
            refuse(f"{kind} signature", "texts", said)
        signatures[said["keyid"]] = Signature(said["keyid"], said["sig"])
    try:
        if canonical_json(outer) != data:
            raise ValueError
        payload = canonical_json(signed)
    except (ValueError, RecursionError):
        raise FormatError(f"{kind}: canonical JSON expected") from None
    with refusing(kind):
        root.verify_delegate(Snapshot.type, payload, signatures)
    return signed
