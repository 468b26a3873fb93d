"""Words of the OCI distribution specification 1.1 that both ends of a registry use: media types, and why it refuses.

Nothing here sends a request. What our own manifests say is `vmimage.manifest`'s and `vmimage.disk`'s business.
"""

import json
from typing import Final

from vmimage.manifest import MANIFEST_TYPE
from vmimage.text import plain

INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_TYPES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        DOCKER_MANIFEST_TYPE,
        DOCKER_INDEX_TYPE,
    }
)
ACCEPT: Final = f"{MANIFEST_TYPE}, {INDEX_TYPE}"  # "Pulling manifests": a client says what it takes
REASON_MAX: Final = 500  # characters of another party's words in one of our lines
ERRORS_SHOWN: Final = 3


def media_type(content_type: str) -> str:
    """The type in a Content-Type field, without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def reason(body: bytes) -> str:
    """Why a registry refuses, as one line: what its error body says ("Error Codes"), empty where it says nothing."""
    try:
        errors = json.loads(body)["errors"]
        said = [_one(error) for error in errors[:ERRORS_SHOWN]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return plain("; ".join(filter(None, said)))[:REASON_MAX]


def _one(error: dict[str, object]) -> str:
    code, message, detail = str(error.get("code") or ""), str(error.get("message") or ""), error.get("detail")
    said = f"{code}: {message}" if code and message else code or message
    return f"{said}. {detail}" if isinstance(detail, str) and detail else said  # others have objects there
