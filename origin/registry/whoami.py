"""What an origin says to who asks whose a token is: what it opens, until when, and what is the most of anything."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from origin.registry.answers import Handler
from origin.registry.artifacts import ARTIFACT_MAX
from origin.registry.door import Door
from origin.registry.names import Submitter
from origin.registry.oidc import Issued
from origin.registry.repositories import MANIFESTS_MAX, REPOSITORIES_MAX
from vmimage.manifest import BLOB_MAX, MANIFEST_MAX
from vmimage.tenancy import SERVICES_MAX


def whoami(submitter: Submitter, issued: Issued | None) -> dict[str, Any]:
    """As JSON has it.

    :param issued: what the token of an issuer says; None for a token of this origin.
    """
    token: dict[str, Any] = {"kind": "named" if submitter.token else "shared", "id": submitter.token, "ends": None}
    if issued is not None:
        ends = datetime.fromtimestamp(issued.ends_s, UTC).isoformat()
        token = {"kind": "issued", "id": issued.subject, "issuer": issued.issuer, "ends": ends}
    every = submitter.operator
    return {
        "operator": every,
        "tenant": submitter.tenant or None,
        "token": token,
        "opens": {
            "services": "all" if every else f"those of tenant {submitter.tenant}",
            "repositories": "all" if every else f"{submitter.tenant} and {submitter.tenant}/...",
            "logs": "all" if every else f"those of tenant {submitter.tenant}",
            "tags of images, prune, holds, grants": every,
        },
        "most": {
            "services of a tenant with keys": SERVICES_MAX,
            "bytes of a blob": BLOB_MAX,
            "bytes of an image's manifest": MANIFEST_MAX,
            "bytes of another manifest": ARTIFACT_MAX,
            "repositories": REPOSITORIES_MAX,
            "manifests of a repository": MANIFESTS_MAX,
        },
    }


def answering(door: Door) -> Handler:
    """What answers who asks at this door."""

    async def answer(request: web.Request) -> web.StreamResponse:
        about = whoami(door.submitter(request), door.issued(request))
        return web.json_response(about, headers={"Cache-Control": "no-store"})

    return answer
