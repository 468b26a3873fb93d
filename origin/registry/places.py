"""What the path of a request to a registry names: a repository and a digest, checked."""

from aiohttp import web

from origin.registry.refusal import OciError
from origin.registry.repositories import is_repository
from vmimage.manifest import is_digest


def repository_in(request: web.Request) -> str:
    """The repository of a request.

    :raises OciError: none can be called so.
    """
    name = request.match_info["name"]
    if not is_repository(name):
        raise OciError(400, "NAME_INVALID", f"the name of a repository expected, got {name[:80]!r}")
    return name


def digest_in(text: str) -> str:
    """A digest.

    :raises OciError: it is none, or one of another algorithm.
    """
    if not is_digest(text):
        raise OciError(400, "DIGEST_INVALID", f"sha256:<64 hex digits> expected, got {text[:200]!r}")
    return text
