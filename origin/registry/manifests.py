"""Manifests, tags and lists of referrers of an origin's repositories, over HTTP; see `origin/registry/oci.py`.

Images and disks of ours are parsed when they come; other manifests are kept as they are. A manifest that is deleted is
taken out of its repository; its bytes are `nunatak prune`'s. Images and disks of ours are never taken out of `images`:
the catalogue names them, or may go back to them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aiohttp import web

from origin.registry.answers import CHUNK_BYTES, ask, created, file, refusal
from origin.registry.artifacts import ARTIFACT_MAX, Artifact, index_of, is_ours, parse_artifact
from origin.registry.attachments import admit
from origin.registry.audit import Audit
from origin.registry.door import Door
from origin.registry.names import Submitter
from origin.registry.paging import page
from origin.registry.places import digest_in, repository_in
from origin.registry.refusal import OciError
from origin.registry.repositories import Repositories
from origin.registry.store import TAG_NAME, Store
from vmimage.manifest import MANIFEST_MAX, MANIFEST_TYPE, REPOSITORY, digest_of, is_digest
from vmimage.oci import INDEX_TYPE
from vmimage.tenancy import Book

_KEPT: Final = "images and disks stay in this repository: services may be rolled back to them; `nunatak prune` removes"


class Manifests:
    """The routes of manifests."""

    def __init__(
        self, store: Store, repositories: Repositories, door: Door, audit: Audit, book: Callable[[], Book]
    ) -> None:
        """:param book: what is published now."""
        self._store, self._repositories, self._door, self._audit = store, repositories, door, audit
        self._book = book

    def routes(self) -> list[web.RouteDef]:
        """For an application."""
        at = "/v2/{name:.+}"
        return [
            web.get(at + "/manifests/{reference}", self._get),
            web.put(at + "/manifests/{reference}", self._put),
            web.delete(at + "/manifests/{reference}", self._delete),
            web.get(at + "/tags/list", self._list_tags),
            web.get(at + "/referrers/{digest}", self._list_referrers),
        ]

    async def _get(self, request: web.Request) -> web.StreamResponse:
        name, reference = repository_in(request), request.match_info["reference"]
        tagged = await self._tagged(name, reference) if TAG_NAME.fullmatch(reference) else None
        digest = tagged or (reference if is_digest(reference) else None)
        if digest is not None and request.method == "HEAD":
            for path in (self._store.manifest_path(digest), self._store.artifact_path(digest)):
                await ask(self._store, self._store.use, path)
        if digest is not None and (size := await ask(self._store, self._store.manifest_size, digest)) is not None:
            if name == REPOSITORY or await ask(self._store, self._repositories.has, name, digest):
                return file(request, self._store.manifest_path(digest), size, MANIFEST_TYPE, digest)
        elif digest is not None and (kept := await asyncio.to_thread(self._artifact_in, name, digest)) is not None:
            artifact, size = kept
            return file(request, self._store.artifact_path(digest), size, artifact.media_type, digest)
        if ":" in reference and digest is None:
            raise OciError(400, "DIGEST_INVALID", f"sha256:<64 hex digits> expected, got {reference[:200]!r}")
        await self._require(name)
        raise OciError(404, "MANIFEST_UNKNOWN", f"no manifest {reference[:200]} in {name}")

    def _artifact_in(self, name: str, digest: str) -> tuple[Artifact, int] | None:
        return self._store.read_artifact(digest) if self._repositories.has(name, digest) else None

    async def _tagged(self, name: str, tag: str) -> str | None:
        return await ask(self._store, self._repositories.tagged, name, tag)

    async def _require(self, name: str) -> None:
        if not await ask(self._store, self._repositories.exists, name):
            raise OciError(404, "NAME_UNKNOWN", f"no repository {name[:80]}: nothing was pushed to it")

    async def _put(self, request: web.Request) -> web.Response:
        name, submitter, reference = repository_in(request), self._door.submitter(request), _reference(request)
        by_digest = is_digest(reference)
        if name != REPOSITORY:
            self._door.owner(request, name)
        elif submitter.tenant and not by_digest:
            raise OciError(403, "DENIED", "a manifest by its digest expected: tags are the operator's, not a tenant's")
        data = await _read(request, ARTIFACT_MAX)
        digest, content_type = digest_of(data), request.headers.get("Content-Type", "")
        if by_digest and digest != reference:
            raise OciError(400, "DIGEST_INVALID", f"{reference} expected, got {digest}")
        artifact = None if is_ours(data, content_type) else parse_artifact(data, digest, content_type)
        if artifact is None and len(data) > MANIFEST_MAX:
            raise OciError(413, "SIZE_INVALID", f"at most {MANIFEST_MAX} bytes of such a manifest expected")
        if artifact is not None and name == REPOSITORY and not submitter.operator:
            await asyncio.to_thread(self._admit, data, digest, submitter, artifact.subject)
        await asyncio.to_thread(self._keep, name, data, artifact)
        at = {} if name == REPOSITORY else {"repository": name}
        entry: dict[str, object] = {"what": "push", "manifest": digest, **at}
        if not by_digest:
            old = await self._tagged(name, reference)
            entry = {"what": "tag", "tag": reference, "old": old, "new": digest, **at}
        await asyncio.to_thread(self._audit.write, submitter, [entry], durable=not by_digest)
        await asyncio.to_thread(self._repositories.enter, name, digest, artifact)
        if not by_digest:
            await asyncio.to_thread(self._repositories.put_tag, name, reference, digest)
        subject = artifact.subject if artifact is not None else None
        fields = {"OCI-Subject": subject} if subject else {}
        return created(f"/v2/{name}/manifests/{digest}", digest, **fields)

    def _admit(self, data: bytes, digest: str, submitter: Submitter, subject: str | None) -> None:
        admit(data, digest, submitter, self._book(), self._store.referrers(subject) if subject is not None else ())

    def _keep(self, name: str, data: bytes, artifact: Artifact | None) -> None:
        self._repositories.require_room(name, artifact.subject if artifact is not None else None)
        if artifact is None:
            self._store.put_manifest(data)
        else:
            listed_here = artifact if name == REPOSITORY else replace(artifact, subject=None)
            self._store.put_artifact(data, listed_here)

    async def _delete(self, request: web.Request) -> web.Response:
        name, reference = repository_in(request), _reference(request)
        by_digest = is_digest(reference)
        ours = by_digest and await ask(self._store, self._store.manifest_size, reference) is not None
        if ours and name == REPOSITORY:
            return refusal(405, "UNSUPPORTED", f"{_KEPT} those that no service needs", Allow="GET, HEAD, PUT")
        self._door.owner(request, name)
        await self._require(name)
        submitter, at = self._door.submitter(request), {} if name == REPOSITORY else {"repository": name}
        if not by_digest:
            if (tagged := await self._tagged(name, reference)) is None:
                raise OciError(404, "MANIFEST_UNKNOWN", f"no tag {reference} in {name}")
            entry = {"what": "tag", "tag": reference, "old": tagged, "new": None, **at}
            await asyncio.to_thread(self._audit.write, submitter, [entry])
            await asyncio.to_thread(self._repositories.forget_tag, name, reference)
            return web.Response(status=202)
        kept = await asyncio.to_thread(self._store.read_artifact, reference)
        if not (ours or kept is not None) or not await ask(self._store, self._repositories.has, name, reference):
            raise OciError(404, "MANIFEST_UNKNOWN", f"no manifest {reference} in {name}")
        await asyncio.to_thread(self._audit.write, submitter, [{"what": "delete", "manifest": reference, **at}])
        await asyncio.to_thread(self._repositories.leave, name, reference, kept[0] if kept is not None else None)
        return web.Response(status=202)

    async def _list_tags(self, request: web.Request) -> web.Response:
        name = repository_in(request)
        await self._require(name)
        names = await asyncio.to_thread(self._repositories.tags, name)
        tags, link = page(names, f"/v2/{name}/tags/list", request.query.get("n"), request.query.get("last"))
        return web.json_response({"name": name, "tags": tags}, headers={"Link": link} if link else None)

    async def _list_referrers(self, request: web.Request) -> web.Response:
        name, digest = repository_in(request), digest_in(request.match_info["digest"])
        wanted = request.query.get("artifactType", "")
        listed = await asyncio.to_thread(self._repositories.referrers, name, digest)
        fields = {"OCI-Filters-Applied": "artifactType"} if wanted else None
        return web.Response(body=index_of(listed, wanted), content_type=INDEX_TYPE, headers=fields)


def _reference(request: web.Request) -> str:
    """A digest or a tag.

    :raises OciError: neither.
    """
    reference = request.match_info["reference"]
    if not is_digest(reference) and TAG_NAME.fullmatch(reference) is None:
        raise OciError(400, "MANIFEST_INVALID", f"a digest or tag expected, got {reference[:200]!r}")
    return reference


async def _read(request: web.Request, most: int) -> bytes:
    too_large = OciError(413, "SIZE_INVALID", f"at most {most} bytes of manifest expected")
    if (request.content_length or 0) > most:
        raise too_large
    data = bytearray()
    async for piece in request.content.iter_chunked(CHUNK_BYTES):
        data += piece
        if len(data) > most:
            raise too_large
    return bytes(data)
