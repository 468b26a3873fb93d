"""An origin as an OCI registry (distribution specification 1.1; docs/reference/oci.md).

    /v2/<name>/blobs/<digest>                    GET, HEAD, Range, conditional
    /v2/<name>/manifests/<digest or tag>         GET, HEAD; PUT and DELETE with a token: `origin/registry/manifests.py`
    /v2/<name>/blobs/uploads/                    POST, PATCH, PUT, GET, DELETE with a token; mount
    /v2/<name>/tags/list  /v2/<name>/referrers/<digest>  /v2/_catalog

Edges fetch from the repository `images`. Blobs are shared by content: what is in one repository is in all, and none is
deleted here, `nunatak prune` removes those that no manifest names. HEAD says that content may be named in a moment, so
that `prune` spares it.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from aiohttp import web

from origin.registry.answers import CHUNK_BYTES, ask, created, file, refusal
from origin.registry.audit import Audit
from origin.registry.door import Door
from origin.registry.manifests import Manifests
from origin.registry.paging import page
from origin.registry.places import digest_in, repository_in
from origin.registry.refusal import OciError
from origin.registry.repositories import Repositories, is_repository
from origin.registry.store import Store, Upload
from origin.registry.uploads import Uploads
from vmimage.manifest import BLOB_MAX, REPOSITORY, is_digest
from vmimage.tenancy import Book

_CHUNK: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})", re.ASCII)
_PLACE: Final = re.compile(r"(.*?)/(?:blobs|manifests|tags|referrers)(?:/.*)?", re.ASCII)
_AT: Final = "/v2/{name:.+}"


class Registry:
    """The routes under /v2/."""

    def __init__(self, store: Store, door: Door, audit: Audit, book: Callable[[], Book]) -> None:
        """:param book: what is published now."""
        self._store, self._door, self._audit = store, door, audit
        self._uploads = Uploads()
        self.repositories = Repositories(store)
        self._manifests = Manifests(store, self.repositories, door, audit, book)

    def routes(self) -> list[web.RouteDef]:
        """For an application."""
        uploads = f"{_AT}/blobs/uploads"
        return [
            web.get("/v2/", self._version_check),
            web.get("/v2/_catalog", self._list_repositories),
            web.get(_AT + "/blobs/{digest}", self._get_blob),
            *self._manifests.routes(),
            web.post(uploads + "/", self._begin_upload),
            web.get(uploads + "/{upload}", self._upload_status, allow_head=False),
            web.patch(uploads + "/{upload}", self._continue_upload),
            web.put(uploads + "/{upload}", self._finish_upload),
            web.delete(uploads + "/{upload}", self._cancel_upload),
            web.delete(_AT + "/blobs/{digest}", self._keep_blob),
            web.route("*", "/v2/{rest:.*}", self._elsewhere),
        ]

    def close(self) -> None:
        """Give up what is under way."""
        for upload in self._uploads:
            upload.abandon()

    # Reading.

    async def _version_check(self, request: web.Request) -> web.Response:
        """Whoever may upload is asked to log in here, as clients of registries expect; all may read without."""
        fields = {"Docker-Distribution-API-Version": "registry/2.0"}
        if self._door.opens:
            try:
                self._door.submitter(request)
            except OciError as error:
                return refusal(error.status, error.code, f"{error}; reading needs none", **fields)
        return web.json_response({}, headers=fields)

    async def _get_blob(self, request: web.Request) -> web.StreamResponse:
        name, digest = repository_in(request), digest_in(request.match_info["digest"])
        path = self._store.blob_path(digest)
        used = request.method == "HEAD"
        size = await (ask(self._store, self._store.use, path) if used else ask(self._store, path.size))
        if size is None or not (name == REPOSITORY or await ask(self._store, self.repositories.exists, name)):
            raise OciError(404, "BLOB_UNKNOWN", f"no blob {digest} in {name}")
        return file(request, path, size, "application/octet-stream", digest)

    async def _list_repositories(self, request: web.Request) -> web.Response:
        names = await asyncio.to_thread(self.repositories.names)
        shown, link = page(names, "/v2/_catalog", request.query.get("n"), request.query.get("last"))
        return web.json_response({"repositories": shown}, headers={"Link": link} if link else None)

    # Pushing blobs.

    async def _begin_upload(self, request: web.Request) -> web.Response:
        name, submitter = self._to_push(request), self._door.submitter(request)
        mounted = request.query.get("mount")
        if mounted is not None and await self._has(mounted, request.query.get("from", REPOSITORY)):
            await asyncio.to_thread(self.repositories.found, name)
            return created(f"/v2/{name}/blobs/{mounted}", mounted)
        upload = self._store.begin_upload()
        if "digest" in request.query:
            try:
                await _receive(request, upload)
                return await self._keep(name, upload, request.query["digest"])
            finally:
                upload.abandon()
        return _progress(name, self._uploads.begin(submitter, upload), upload, 202)

    def _to_push(self, request: web.Request) -> str:
        """The repository that blobs are pushed to. To `images` whoever has a token may: they are named by content."""
        name = repository_in(request)
        if name != REPOSITORY:
            self._door.owner(request, name)
        return name

    async def _has(self, digest: str, repository: str) -> bool:
        """Whether a blob can be mounted from there; a client that is told no uploads it."""
        return (
            is_digest(digest)
            and is_repository(repository)
            and await ask(self._store, self.repositories.exists, repository)
            and await ask(self._store, self._store.use, self._store.blob_path(digest)) is not None
        )

    async def _upload_status(self, request: web.Request) -> web.Response:
        upload_name, upload = self._upload(request)
        return _progress(repository_in(request), upload_name, upload, 204)

    async def _continue_upload(self, request: web.Request) -> web.Response:
        upload_name, upload = self._upload(request)
        await self._receive_chunk(request, upload_name, upload)
        return _progress(repository_in(request), upload_name, upload, 202)

    async def _finish_upload(self, request: web.Request) -> web.Response:
        upload_name, upload = self._upload(request)
        digest = digest_in(request.query.get("digest", ""))
        await self._receive_chunk(request, upload_name, upload)
        self._uploads.take(upload_name)
        try:
            return await self._keep(repository_in(request), upload, digest)
        finally:
            upload.abandon()

    async def _cancel_upload(self, request: web.Request) -> web.Response:
        upload_name, upload = self._upload(request)
        self._uploads.take(upload_name)
        upload.abandon()
        return web.Response(status=204)

    async def _receive_chunk(self, request: web.Request, name: str, upload: Upload) -> None:
        """:raises OciError: not the chunk that comes next, or not of the length that it says."""
        text = request.headers.get("Content-Range")
        match = _CHUNK.fullmatch(text) if text is not None else None
        if text is not None and (match is None or int(match[1]) != upload.size or int(match[2]) < int(match[1])):
            raise OciError(416, "BLOB_UPLOAD_INVALID", f"a chunk from {upload.size} on expected, got {text[:40]!r}")
        end = int(match[2]) + 1 if match is not None else None
        if end is not None and request.content_length not in (None, end - upload.size):
            raise OciError(400, "SIZE_INVALID", f"{end - upload.size} bytes expected, got {request.content_length}")
        await _receive(request, upload)
        if end is not None and upload.size != end:  # what came is not what was said, and cannot be taken back
            self._uploads.take(name).abandon()
            raise OciError(400, "SIZE_INVALID", f"a chunk up to {end} expected, got one up to {upload.size}")

    def _upload(self, request: web.Request) -> tuple[str, Upload]:
        self._to_push(request)
        name = request.match_info["upload"]
        upload = self._uploads.find(self._door.submitter(request), name)
        if upload is None:
            raise OciError(404, "BLOB_UPLOAD_UNKNOWN", f"no upload {name[:40]!r} under way")
        return name, upload

    async def _keep(self, name: str, upload: Upload, digest: str) -> web.Response:
        await asyncio.to_thread(self.repositories.found, name)
        await asyncio.to_thread(upload.finish, digest_in(digest))
        return created(f"/v2/{name}/blobs/{digest}", digest)

    async def _keep_blob(self, request: web.Request) -> web.Response:
        repository_in(request)
        message = "blobs are shared by all repositories: delete manifests; `nunatak prune` removes what none names"
        return refusal(405, "UNSUPPORTED", message, Allow="GET, HEAD")

    async def _elsewhere(self, request: web.Request) -> web.Response:
        rest = request.match_info["rest"]
        match = _PLACE.fullmatch(rest)
        name = match[1] if match else rest
        if not is_repository(name):
            raise OciError(400, "NAME_INVALID", f"the name of a repository expected, got {name[:80]!r}")
        if match is None:
            raise OciError(404, "NAME_UNKNOWN", f"no {request.method} of /v2/{rest[:200]}")
        raise OciError(404, "UNSUPPORTED", f"no {request.method} of /v2/{rest[:200]}")


def _progress(name: str, upload_name: str, upload: Upload, status: int) -> web.Response:
    headers = {"Location": f"/v2/{name}/blobs/uploads/{upload_name}", "Docker-Upload-UUID": upload_name}
    return web.Response(status=status, headers=headers | {"Range": f"0-{max(upload.size - 1, 0)}"})


async def _receive(request: web.Request, upload: Upload) -> None:
    if (request.content_length or 0) > BLOB_MAX - upload.size:
        raise OciError(413, "SIZE_INVALID", f"at most {BLOB_MAX} bytes of blob expected")
    async for piece in request.content.iter_chunked(CHUNK_BYTES):
        upload.write(piece)
