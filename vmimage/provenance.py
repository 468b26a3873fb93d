"""Where an image comes from: an in-toto statement with SLSA's provenance, and the envelope in which it is signed.

The statement (https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1) says of an image by its digest with
which options, from which files, by which compiler and libraries it was built. It has no time and no machine in it: the
same build says the same, so that who builds again can compare. It is signed in a DSSE envelope by the keys that sign
what the service is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as NotSigned
from securesystemslib.signer import Key, Signer

from vmimage.attached import ATTACHED_MAX, IN_TOTO_TYPE
from vmimage.canonical import canonical_json, is_digest
from vmimage.errors import VerificationError

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:nunatak:build:1"
BUILDER: Final = "urn:nunatak:builder"
DEPENDENCIES_MAX: Final = 20_000
SIGNATURES_MAX: Final = 32


@dataclass(frozen=True)
class Provenance:
    """What a statement says."""

    image: str  # digest
    name: str  # of the image
    options: Mapping[str, Any]  # of `nunatak build`, see `origin.bake.provenance`
    materials: Mapping[str, str]  # SHA-256 by name: files of the source, packages, the compiler, the base
    builder: Mapping[str, str]  # versions by name
    bill: str = ""  # digest of the bill of materials

    def to_bytes(self) -> bytes:
        """The statement."""
        bill = (
            [{"name": "bill of materials", "digest": {"sha256": self.bill.removeprefix("sha256:")}}]
            if self.bill
            else []
        )
        materials = [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(self.materials.items())]
        definition = {
            "buildType": BUILD_TYPE,
            "externalParameters": dict(self.options),
            "resolvedDependencies": materials,
        }
        details = {"builder": {"id": BUILDER, "version": dict(self.builder)}, "byproducts": bill}
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "predicate": {"buildDefinition": definition, "runDetails": details},
                "predicateType": PREDICATE_TYPE,
                "subject": [{"name": self.name, "digest": {"sha256": self.image.removeprefix("sha256:")}}],
            }
        )


def parse_provenance(statement: bytes) -> Provenance:
    """What a statement says.

    :raises VerificationError: it is no such statement.
    """
    try:
        fields = json.loads(statement) if len(statement) <= ATTACHED_MAX else {}
        [subject] = fields["subject"]
        definition, details = (fields["predicate"][part] for part in ("buildDefinition", "runDetails"))
        dependencies, bills = definition["resolvedDependencies"], details.get("byproducts", [])
        found = Provenance(
            image=f"sha256:{subject['digest']['sha256']}",
            name=str(subject["name"]),
            options=dict(definition["externalParameters"]),
            materials={str(each["name"]): str(each["digest"]["sha256"]) for each in dependencies[:DEPENDENCIES_MAX]},
            builder={str(name): str(version) for name, version in details["builder"]["version"].items()},
            bill=f"sha256:{bills[0]['digest']['sha256']}" if bills else "",
        )
        kinds = fields["_type"], fields["predicateType"], definition["buildType"]
        if kinds != (STATEMENT_TYPE, PREDICATE_TYPE, BUILD_TYPE):
            raise ValueError
        if not is_digest(found.image) or (found.bill and not is_digest(found.bill)):
            raise ValueError
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise VerificationError("provenance: a statement of `nunatak build` expected, got another") from None
    return found


def seal(statement: bytes, signers: Iterable[Signer]) -> bytes:
    """The statement in an envelope, signed by all of these."""
    envelope = Envelope(statement, IN_TOTO_TYPE, {})
    for signer in signers:
        envelope.sign(signer)
    return canonical_json(envelope.to_dict())


def unseal(envelope: bytes, keys: Sequence[Key], threshold: int) -> bytes:
    """The statement in an envelope that `threshold` of these keys have signed.

    :raises VerificationError: it is none, or they have not.
    """
    try:
        fields = json.loads(envelope) if len(envelope) <= 2 * ATTACHED_MAX else {}
        if len(fields["signatures"]) > SIGNATURES_MAX or fields["payloadType"] != IN_TOTO_TYPE:
            raise ValueError
        opened = Envelope.from_dict(fields)
        opened.verify(list(keys), threshold)
    except NotSigned:
        raise VerificationError(
            f"provenance: signatures by {threshold} of the keys that sign the service expected, got others"
        ) from None
    except Exception:  # whatever a library makes of bytes that are no envelope
        raise VerificationError("provenance: an envelope with signatures (DSSE) expected, got something else") from None
    return bytes(opened.payload)


def differences(signed: Provenance, rebuilt: Provenance) -> list[str]:
    """What was not the same when an image was built again, a line each: what decides its bytes."""
    lines = [
        f"{name}: {signed.builder.get(name, 'none')} then, {rebuilt.builder.get(name, 'none')} now"
        for name in sorted(signed.builder.keys() | rebuilt.builder.keys())
        if signed.builder.get(name) != rebuilt.builder.get(name)
    ]
    for name in sorted(signed.materials.keys() | rebuilt.materials.keys()):
        then, now = signed.materials.get(name), rebuilt.materials.get(name)
        if then is None or now is None:
            lines.append(f"{name}: {'not used then' if then is None else 'not used now'}")
        elif then != now:
            lines.append(f"{name}: SHA-256 {then[:16]} then, {now[:16]} now")
    return lines
