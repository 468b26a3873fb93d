"""Manifests of others, as clients of registries make them."""

import json
from typing import Any

from vmimage.manifest import MANIFEST_TYPE, digest_of

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


def descriptor(data: bytes, type_: str) -> dict[str, Any]:
    return {"mediaType": type_, "digest": digest_of(data), "size": len(data)}


def artifact(kind: str, *, subject: bytes | None = None, layers: tuple[bytes, ...] = (), **more: Any) -> bytes:
    """A manifest of an artefact, as `oras attach` makes it."""
    content: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": kind,
        "config": descriptor(EMPTY, EMPTY_TYPE),
        "layers": [descriptor(layer, kind) for layer in layers],
    }
    if subject is not None:
        content["subject"] = descriptor(subject, MANIFEST_TYPE)
    return json.dumps(content | more).encode()
