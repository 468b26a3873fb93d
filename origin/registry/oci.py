"""An origin as an OCI registry of one repository (distribution specification 1.1; docs/reference/oci.md).

    /v2/images/blobs/<digest>                    GET, HEAD, Range, conditional
    /v2/images/manifests/<digest or tag>         GET, HEAD; PUT, and DELETE of a tag, with a token
    /v2/images/blobs/uploads/                    POST, PATCH, PUT, GET, DELETE with a token; mount
    /v2/images/tags/list  /v2/images/referrers/<digest>

Images and disks of ours are parsed when they come; other manifests are kept as they are. Content is never deleted here:
services may be rolled back to it. HEAD says that content may be named in a moment, so that `prune` spares it.
"""

import asyncio
import re
from typing import Final

from aiohttp import web

from origin.registry.answers import CHUNK_BYTES, ask, created, file, refusal
from origin.registry.artifacts import ARTIFACT_MAX, index_of, is_ours, parse_artifact
from origin.registry.audit import Audit
from origin.registry.door import Door
from origin.registry.paging import page
from origin.registry.refusal import OciError
from origin.registry.store import TAG_NAME, Store, Upload
from origin.registry.uploads import Uploads
from vmimage.manifest import BLOB_MAX, MANIFEST_MAX, MANIFEST_TYPE, REPOSITORY, digest_of, is_digest
from vmimage.oci import DOCKER_TYPES, INDEX_TYPE, media_type

NAME: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
NAME_MAX: Final = 255  # "Pulling manifests": many clients take no longer host and name together
_CHUNK: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})", re.ASCII)
_PLACE: Final = re.compile(r"(.*?)/(?:blobs|manifests|tags|referrers)(?:/.*)?", re.ASCII)
_AT: Final = f"/v2/{REPOSITORY}"


class Registry:
    """The routes under /v2/."""

    def __init__(self, store: Store, door: Door, audit: Audit) -> None:
        self._store, self._door, self._audit = store, door, audit
        self._uploads = Uploads()

    def routes(self) -> list[web.RouteDef]:
        """For an application."""
        uploads = f"{_AT}/blobs/uploads"
        return [
            web.get("/v2/", self._version_check),
            web.get(_AT + "/tags/list", self._list_tags),
            web.get(_AT + "/referrers/{digest}", self._list_referrers),
            web.post(uploads + "/", self._begin_upload),
            web.get(uploads + "/{upload}", self._upload_status, allow_head=False),
            web.patch(uploads + "/{upload}", self._continue_upload),
            web.put(uploads + "/{upload}", self._finish_upload),
            web.delete(uploads + "/{upload}", self._cancel_upload),
            web.get(_AT + "/blobs/{digest}", self._get_blob),
            web.delete(_AT + "/blobs/{digest}", self._keep_content),
            web.get(_AT + "/manifests/{reference}", self._get_manifest),
            web.put(_AT + "/manifests/{reference}", self._put_manifest),
            web.delete(_AT + "/manifests/{reference}", self._delete_manifest),
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
        digest = _digest(request.match_info["digest"])
        path = self._store.blob_path(digest)
        used = request.method == "HEAD"
        size = await (ask(self._store, self._store.use, path) if used else ask(self._store, path.size))
        if size is None:
            raise OciError(404, "BLOB_UNKNOWN", f"no blob {digest}")
        return file(request, path, size, "application/octet-stream", digest)

    async def _get_manifest(self, request: web.Request) -> web.StreamResponse:
        reference = request.match_info["reference"]
        tagged = await ask(self._store, self._store.tagged, reference) if TAG_NAME.fullmatch(reference) else None
        digest = tagged or (reference if is_digest(reference) else None)
        if digest is not None and request.method == "HEAD":
            for path in (self._store.manifest_path(digest), self._store.artifact_path(digest)):
                await ask(self._store, self._store.use, path)
        if digest is not None and (size := await ask(self._store, self._store.manifest_size, digest)) is not None:
            return file(request, self._store.manifest_path(digest), size, MANIFEST_TYPE, digest)
        if digest is not None and (kept := await asyncio.to_thread(self._store.read_artifact, digest)) is not None:
            artifact, size = kept
            return file(request, self._store.artifact_path(digest), size, artifact.media_type, digest)
        if ":" in reference and digest is None:
            raise OciError(400, "DIGEST_INVALID", f"sha256:<64 hex digits> expected, got {reference[:200]!r}")
        raise OciError(404, "MANIFEST_UNKNOWN", f"no manifest {reference[:200]}")

    async def _list_tags(self, request: web.Request) -> web.Response:
        names = await asyncio.to_thread(self._store.tags)
        tags, link = page(names, f"{_AT}/tags/list", request.query.get("n"), request.query.get("last"))
        return web.json_response({"name": REPOSITORY, "tags": tags}, headers={"Link": link} if link else None)

    async def _list_referrers(self, request: web.Request) -> web.Response:
        digest = _digest(request.match_info["digest"])
        wanted = request.query.get("artifactType", "")
        listed = await asyncio.to_thread(self._store.referrers, digest)
        fields = {"OCI-Filters-Applied": "artifactType"} if wanted else None
        return web.Response(body=index_of(listed, wanted), content_type=INDEX_TYPE, headers=fields)

    # Pushing blobs.

    async def _begin_upload(self, request: web.Request) -> web.Response:
        submitter = self._door.submitter(request)
        mounted = request.query.get("mount")
        if mounted is not None and await self._has(mounted, request.query.get("from", REPOSITORY)):
            return created(f"{_AT}/blobs/{mounted}", mounted)
        upload = self._store.begin_upload()
        if "digest" in request.query:
            try:
                await _receive(request, upload)
                return await self._keep(upload, request.query["digest"])
            finally:
                upload.abandon()
        return self._progress(self._uploads.begin(submitter, upload), upload, 202)

    async def _has(self, digest: str, repository: str) -> bool:
        """Whether a blob can be mounted from there; a client that is told no uploads it."""
        return (
            repository == REPOSITORY
            and is_digest(digest)
            and await ask(self._store, self._store.use, self._store.blob_path(digest)) is not None
        )

    async def _upload_status(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        return self._progress(name, upload, 204)

    async def _continue_upload(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        await self._receive_chunk(request, name, upload)
        return self._progress(name, upload, 202)

    async def _finish_upload(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        digest = _digest(request.query.get("digest", ""))
        await self._receive_chunk(request, name, upload)
        self._uploads.take(name)
        try:
            return await self._keep(upload, digest)
        finally:
            upload.abandon()

    async def _cancel_upload(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        self._uploads.take(name)
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
        name = request.match_info["upload"]
        upload = self._uploads.find(self._door.submitter(request), name)
        if upload is None:
            raise OciError(404, "BLOB_UPLOAD_UNKNOWN", f"no upload {name[:40]!r} under way")
        return name, upload

    def _progress(self, name: str, upload: Upload, status: int) -> web.Response:
        headers = {"Location": f"{_AT}/blobs/uploads/{name}", "Docker-Upload-UUID": name}
        return web.Response(status=status, headers=headers | {"Range": f"0-{max(upload.size - 1, 0)}"})

    async def _keep(self, upload: Upload, digest: str) -> web.Response:
        await asyncio.to_thread(upload.finish, _digest(digest))
        return created(f"{_AT}/blobs/{digest}", digest)

    # Pushing manifests.

    async def _put_manifest(self, request: web.Request) -> web.Response:
        submitter = self._door.submitter(request)
        reference = request.match_info["reference"]
        by_digest = is_digest(reference)
        if submitter.tenant and not by_digest:
            raise OciError(403, "DENIED", "a manifest by its digest expected: tags are the operator's, not a tenant's")
        if not by_digest and TAG_NAME.fullmatch(reference) is None:
            raise OciError(400, "MANIFEST_INVALID", f"a digest or tag expected, got {reference[:200]!r}")
        data = await _read(request, ARTIFACT_MAX)
        digest, content_type = digest_of(data), request.headers.get("Content-Type", "")
        if by_digest and digest != reference:
            raise OciError(400, "DIGEST_INVALID", f"{reference} expected, got {digest}")
        subject = None
        if is_ours(data) and media_type(content_type) not in DOCKER_TYPES:
            if len(data) > MANIFEST_MAX:
                raise OciError(413, "SIZE_INVALID", f"at most {MANIFEST_MAX} bytes of such a manifest expected")
            await asyncio.to_thread(self._store.put_manifest, data)
        else:
            artifact = parse_artifact(data, digest, content_type)
            self._door.operator(request, "a manifest that is no image or disk of ours")
            await asyncio.to_thread(self._store.put_artifact, data, artifact)
            subject = artifact.subject
        entry: dict[str, object] = {"what": "push", "manifest": digest}
        if not by_digest:
            entry = {
                "what": "tag",
                "tag": reference,
                "old": await ask(self._store, self._store.tagged, reference),
                "new": digest,
            }
        await asyncio.to_thread(self._audit.write, submitter, [entry], durable=not by_digest)
        if not by_digest:
            await asyncio.to_thread(self._store.put_tag, reference, digest)
        fields = {"OCI-Subject": subject} if subject else {}
        return created(f"{_AT}/manifests/{digest}", digest, **fields)

    async def _delete_manifest(self, request: web.Request) -> web.Response:
        reference = request.match_info["reference"]
        if TAG_NAME.fullmatch(reference) is None:
            return await self._keep_content(request)
        self._door.operator(request, "to delete a tag")
        if (tagged := await ask(self._store, self._store.tagged, reference)) is not None:
            entry = {"what": "tag", "tag": reference, "old": tagged, "new": None}
            await asyncio.to_thread(self._audit.write, self._door.submitter(request), [entry])
        if not await asyncio.to_thread(self._store.forget_tag, reference):
            raise OciError(404, "MANIFEST_UNKNOWN", f"no tag {reference}")
        return web.Response(status=202)

    async def _keep_content(self, _: web.Request) -> web.Response:
        message = "content is not deleted: services may be rolled back to it"
        return refusal(405, "UNSUPPORTED", message, Allow="GET, HEAD, PUT")

    async def _elsewhere(self, request: web.Request) -> web.Response:
        rest = request.match_info["rest"]
        match = _PLACE.fullmatch(rest)
        name = match[1] if match else rest
        if len(name) > NAME_MAX or NAME.fullmatch(name) is None:
            raise OciError(400, "NAME_INVALID", f"the name of a repository expected, got {name[:80]!r}")
        if name == REPOSITORY and match is not None:
            raise OciError(404, "UNSUPPORTED", f"no {request.method} of /v2/{rest[:200]}")
        raise OciError(404, "NAME_UNKNOWN", f"no repository {name[:80]}: this origin has one, {REPOSITORY}")


async def _receive(request: web.Request, upload: Upload) -> None:
    if (request.content_length or 0) > BLOB_MAX - upload.size:
        raise OciError(413, "SIZE_INVALID", f"at most {BLOB_MAX} bytes of blob expected")
    async for piece in request.content.iter_chunked(CHUNK_BYTES):
        upload.write(piece)


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


def _digest(text: str) -> str:
    if not is_digest(text):
        raise OciError(400, "DIGEST_INVALID", f"sha256:<64 hex digits> expected, got {text[:200]!r}")
    return text
