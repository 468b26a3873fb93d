"""Signed metadata that publishers send, as an origin reads it from a request. Decisions without I/O."""

import json
from typing import Any

from origin.registry.refusal import OciError
from vmimage.manifest import MANIFEST_MAX, is_digest


def parse_roles(body: bytes) -> dict[str, bytes]:
    """Metadata by role.

    :raises OciError: something else.
    """
    return _roles(_json(body))


def parse_check(body: bytes) -> tuple[dict[str, bytes], dict[str, int]]:
    """The same, and the bytes of manifests that would be sent before it, by digest.

    :raises OciError: something else.
    """
    content = _json(body)
    if (
        not isinstance(content, dict)
        or content.keys() != {"coming", "roles"}
        or not isinstance(content["coming"], dict)
    ):
        raise OciError(400, "MANIFEST_INVALID", "a JSON object of roles, and of manifests that would come, expected")
    coming = content["coming"]
    for digest, size in coming.items():
        if not is_digest(digest) or type(size) is not int or not 0 < size <= MANIFEST_MAX:
            raise OciError(400, "MANIFEST_INVALID", f"digests and 1 to {MANIFEST_MAX} bytes of manifests expected")
    return _roles(content["roles"]), coming


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise OciError(400, "MANIFEST_INVALID", "JSON expected") from None


def _roles(content: Any) -> dict[str, bytes]:
    try:
        return {str(role): text.encode() for role, text in content.items()}
    except (ValueError, AttributeError):
        raise OciError(400, "MANIFEST_INVALID", "a JSON object of role metadata as text expected") from None
