"""What is attached to an image: small OCI artifacts that refer to it ("subject"), in image files and in registries.

Each has one layer, which is the thing itself, and the empty config of the image specification 1.1. Two kinds are ours:
where an image comes from (`vmimage.provenance`) and what it is made of, a bill of materials in CycloneDX.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vmimage.canonical import Blob, canonical_json, descriptor, digest_of, is_digest, load_json, refuse
from vmimage.manifest import MANIFEST_TYPE

IN_TOTO_TYPE: Final = "application/vnd.in-toto+json"
CYCLONEDX_TYPE: Final = "application/vnd.cyclonedx+json"
DSSE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"  # an in-toto statement with signatures
KINDS: Final = (IN_TOTO_TYPE, CYCLONEDX_TYPE)
SERVICE_NOTE: Final = "nunatak.service"  # annotation: the service whose image it is
CONTENT_NOTE: Final = "nunatak.content"  # annotation: digest of the thing, so that a list says what is there
PREDICATE_NOTE: Final = "in-toto.io/predicate-type"
ATTACHED_MAX: Final = 4 << 20  # bytes of the thing itself
ATTACHED_MANIFEST_MAX: Final = 16 << 10
EMPTY_CONFIG: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_NOTES_MAX: Final = 16


@dataclass(frozen=True)
class Attached:
    """One thing that refers to an image."""

    kind: str  # of KINDS
    subject: Blob  # the image's manifest
    layer: Blob
    notes: Mapping[str, str] = field(default_factory=dict)  # annotations

    def to_bytes(self) -> bytes:
        """The artifact's manifest."""
        config = Blob(_EMPTY_TYPE, digest_of(EMPTY_CONFIG), len(EMPTY_CONFIG))
        return canonical_json(
            {
                "annotations": dict(self.notes),
                "artifactType": self.kind,
                "config": {**descriptor(config), "data": "e30="},
                "layers": [descriptor(self.layer)],
                "mediaType": MANIFEST_TYPE,
                "schemaVersion": 2,
                "subject": descriptor(self.subject),
            }
        )


def attach(kind: str, subject: tuple[str, int], data: bytes, media_type: str = "", **notes: str) -> Attached:
    """Let `data` refer to an image.

    :param subject: digest and size of the image's manifest. :param media_type: of `data`; "" where it is `kind`.
    :param notes: annotations, with _ for the marks in their names that Python has not.
    """
    image, layer = Blob(MANIFEST_TYPE, *subject), Blob(media_type or kind, digest_of(data), len(data))
    return Attached(kind, image, layer, dict(notes))


def parse_attached(data: bytes) -> Attached:
    """An artifact's manifest.

    :raises FormatError: another one than `Attached.to_bytes` writes.
    """
    what = "attached"
    fields = load_json(what, data, ATTACHED_MANIFEST_MAX)
    if not isinstance(fields, dict) or fields.get("artifactType") not in KINDS:
        refuse(what, f"an artifact of type {' or '.join(KINDS)}", fields)
    layers, notes = fields.get("layers"), fields.get("annotations", {})
    if not isinstance(layers, list) or len(layers) != 1:
        refuse(what, "one layer", layers)
    named = isinstance(notes, dict) and len(notes) <= _NOTES_MAX
    if not named or not all(isinstance(each, str) for each in notes.values()):
        refuse(what, "annotations", notes)
    return Attached(fields["artifactType"], _blob(fields.get("subject")), _blob(layers[0]), notes)


def _blob(value: Any) -> Blob:
    if isinstance(value, dict):
        kind, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        named = isinstance(kind, str) and isinstance(digest, str) and is_digest(digest)
        if named and type(size) is int and 0 <= size <= ATTACHED_MAX:
            return Blob(str(kind), str(digest), size)
    refuse("attached", f"a descriptor of at most {ATTACHED_MAX} bytes", value)
