"""The origin over HTTP: an OCI registry of one repository, and the TUF catalogue beside it.

    /v2/images/blobs/<digest>  /v2/images/manifests/<digest or tag>     GET, HEAD, Range, conditional
    /v2/images/blobs/uploads/  PUT /v2/images/manifests/<reference>     with "Authorization: Bearer <token>"
    /tuf/<file>.json                                                    GET, HEAD, conditional
    POST /tuf/roles            {role: signed metadata as text, ...}     with the token; all of them or none

Errors are the JSON of the OCI distribution specification 1.1. What may be published, `origin/registry/roles.py`
decides; what is durable, `origin/registry/store.py` guarantees. Blocking work runs in threads, one change of the
catalogue at a time.
"""

import asyncio
import contextlib
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web

from origin.model.exchange import TIMESTAMP_FILE
from origin.model.tokens import Tokens
from origin.registry.bearer import bearer
from origin.registry.hosts import one_host
from origin.registry.logs import Logs
from origin.registry.names import Submitter
from origin.registry.refusal import OciError
from origin.registry.roles import Files, Online, Published, accept, first_roles, outdated, renew, renew_after, resume
from origin.registry.store import TAG_NAME, Store, Upload
from origin.registry.uploads import Uploads
from vmimage.errors import FormatError, NunatakError, OperatorError, VerificationError
from vmimage.manifest import BLOB_MAX, MANIFEST_MAX, MANIFEST_TYPE, REPOSITORY, digest_of, is_digest
from vmimage.trust import Trust, parse_target, service_path

ROLES_BODY_MAX: Final = 160 << 20  # bytes: 256 bins of 1,000 entries of 450 bytes, quoted once more
CHUNK_BYTES: Final = 256 << 10
SMALL_FILE: Final = 64 << 10  # bytes, up to which a file is read at once
_CONDITIONS: Final = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
FOR_EVER: Final = "max-age=31536000, immutable"  # RFC 8246
SHUTDOWN_S: Final = 10.0  # what requests under way get to finish

NOBODY: Final = Submitter()
_LOG = logging.getLogger(__name__)
_RANGE: Final = re.compile(r"(\d{1,15})-(\d{1,15})", re.ASCII)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Origin:
    """The state of a running origin: its store and what its catalogue says now."""

    def __init__(
        self,
        store: Store,
        metadata: dict[str, bytes],
        online: Online,
        *,
        token: str | None,
        logs: Logs | None = None,
        tokens: Tokens | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Resume what the store holds, or found it with `metadata` ("1.root.json", "1.targets.json").

        :param token: the operator's: what uploads of all tenants must show; None refuses them.
        :param tokens: of tenants, for uploads of their own.
        :param logs: where edges' logs go; None takes none.
        :raises OperatorError: the store belongs to other keys.
        """
        trust = Trust([metadata["1.root.json"]], metadata["1.targets.json"])
        self._store, self._online, self._token, self._clock = store, online, token, clock
        self._logs, self._tokens = logs, tokens
        self._changing = threading.Lock()
        self._uploads = Uploads()
        state = resume(trust, store.read_metadata)
        if state is None:
            for name, data in metadata.items():
                store.write_metadata(name, data)
            files, state = first_roles(trust, metadata["1.targets.json"], online, clock())
        else:
            files, state = renew(state, online, clock())
        self._write(files)
        self._state: Published = self._as_stored(state)

    def make_app(self) -> web.Application:
        """The aiohttp application, with the loop that renews the timestamp."""
        app = web.Application(middlewares=[self._answer_errors, one_host], client_max_size=ROLES_BODY_MAX)
        at = f"/v2/{REPOSITORY}"
        uploads = f"{at}/blobs/uploads"
        app.add_routes(
            [
                web.get("/v2/", self._version_check),
                web.get(at + "/tags/list", self._list_tags),
                web.post(uploads + "/", self._begin_upload),
                web.get(uploads + "/{upload}", self._upload_status, allow_head=False),
                web.patch(uploads + "/{upload}", self._continue_upload),
                web.put(uploads + "/{upload}", self._finish_upload),
                web.delete(uploads + "/{upload}", self._cancel_upload),
                web.get(at + "/blobs/{digest}", self._get_blob),
                web.get(at + "/manifests/{reference}", self._get_manifest),
                web.put(at + "/manifests/{reference}", self._put_manifest),
                web.post("/tuf/roles", self._submit_roles),
                web.get("/tuf/{name}", self._get_metadata),
            ]
        )
        if self._logs is not None:
            app.add_routes(self._logs.routes(self._authorise_reader))
        app.cleanup_ctx.append(self._renewing)
        return app

    def change_tokens(self, token: str | None, log_token: str | None) -> None:
        """Ask for these from now on: uploads for the first, edges' logs for the second; None refuses them all."""
        self._token = token
        if self._logs is not None:
            self._logs.token = log_token

    def publish_roles(self, submitted: dict[str, bytes], submitter: Submitter = NOBODY) -> None:
        """Check and publish newly signed bins, durably. Blocks.

        :raises VerificationError: as `roles.accept`; nothing has changed.
        """
        with self._changing:
            sizes, now = self._store.manifest_size, self._clock()
            files, state = accept(self._state, submitted, sizes, self._online, now, submitter)
            self._advance(files, state)

    def renew(self) -> None:
        """Sign a fresh timestamp, durably. Blocks."""
        with self._changing:
            self._advance(*renew(self._state, self._online, self._clock()))

    def _advance(self, files: Files, state: Published) -> None:
        try:
            self._write(files)
        except OSError:
            # How far the files got decides what edges may have seen.
            self._state = resume(self._state.trust, self._store.read_metadata) or self._state
            raise
        self._state = self._as_stored(state)
        for name in outdated(files):
            self._store.forget_metadata(name)

    def _as_stored(self, state: Published) -> Published:
        """With its bins on disk, and no longer in memory."""
        return replace(state, read=self._store.read_metadata, held={})

    def _write(self, files: Files) -> None:
        for name, data in files:
            self._store.write_metadata(name, data)

    async def _renewing(self, _: web.Application) -> AsyncIterator[None]:
        """Renew in a thread of its own, for as long as the application runs."""
        stop = threading.Event()

        def renew_again() -> None:
            while not stop.wait(renew_after(self._online).total_seconds()):
                try:
                    self.renew()
                except OSError as error:  # a full disk: edges go on with what they have; the next turn may succeed
                    _LOG.error("timestamp not renewed: %s", error)
                except Exception:  # whatever it is, the next turn may succeed, and without it every edge stops
                    _LOG.exception("timestamp not renewed")

        thread = threading.Thread(target=renew_again, name="renew", daemon=True)
        thread.start()
        yield
        stop.set()
        await asyncio.to_thread(thread.join)
        for upload in self._uploads:
            upload.abandon()

    # Reading.

    async def _version_check(self, _: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    async def _get_blob(self, request: web.Request) -> web.StreamResponse:
        digest = _digest(request.match_info["digest"])
        size = self._store.blob_size(digest)
        if size is None:
            raise OciError(404, "BLOB_UNKNOWN", f"no blob {digest}")
        return _file(request, self._store.blob_path(digest), size, "application/octet-stream", digest)

    async def _get_manifest(self, request: web.Request) -> web.StreamResponse:
        reference = request.match_info["reference"]
        tagged = self._store.tagged(reference) if TAG_NAME.fullmatch(reference) else None
        digest = tagged or (reference if is_digest(reference) else None)
        size = self._store.manifest_size(digest) if digest else None
        if digest is None or size is None:
            raise OciError(404, "MANIFEST_UNKNOWN", f"no manifest {reference[:200]}")
        return _file(request, self._store.manifest_path(digest), size, MANIFEST_TYPE, digest)

    async def _get_metadata(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        try:
            path = self._store.metadata_path(name)
        except ValueError:
            path = None
        if path is None or not path.is_file():
            raise OciError(404, "NAME_UNKNOWN", f"no metadata {name[:200]}")
        if name == TIMESTAMP_FILE:  # whoever polls it revalidates
            headers = {"Cache-Control": "no-cache", "Content-Type": "application/json"}
            return web.FileResponse(path, headers=headers)
        headers = {"Cache-Control": FOR_EVER, "Content-Type": "application/json"}
        return _contents(request, path, path.stat().st_size, headers)  # versioned: never changes once it counts

    async def _list_tags(self, _: web.Request) -> web.Response:
        return web.json_response({"name": REPOSITORY, "tags": self._store.tags()})

    # Pushing.

    async def _begin_upload(self, request: web.Request) -> web.Response:
        submitter = self._authorise(request)
        upload = self._store.begin_upload()
        if "digest" in request.query:
            try:
                await _receive(request, upload)
                return await self._keep(upload, request.query["digest"])
            finally:
                upload.abandon()
        return self._progress(self._uploads.begin(submitter, upload), upload, 202)

    async def _upload_status(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        return self._progress(name, upload, 204)

    async def _continue_upload(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        chunk = request.headers.get("Content-Range")
        match = _RANGE.fullmatch(chunk) if chunk is not None else None
        if chunk is not None and (match is None or int(match[1]) != upload.size):
            raise OciError(416, "BLOB_UPLOAD_INVALID", f"a chunk from {upload.size} on expected, got {chunk[:40]!r}")
        await _receive(request, upload)
        return self._progress(name, upload, 202)

    async def _finish_upload(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        self._uploads.take(name)
        try:
            await _receive(request, upload)
            return await self._keep(upload, request.query.get("digest", ""))
        finally:
            upload.abandon()

    async def _cancel_upload(self, request: web.Request) -> web.Response:
        name, upload = self._upload(request)
        self._uploads.take(name)
        upload.abandon()
        return web.Response(status=204)

    async def _put_manifest(self, request: web.Request) -> web.Response:
        submitter = self._authorise(request)
        reference = request.match_info["reference"]
        if submitter.tenant and not is_digest(reference):
            raise OciError(403, "DENIED", "a manifest by its digest expected: tags are the operator's, not a tenant's")
        if not is_digest(reference) and TAG_NAME.fullmatch(reference) is None:
            raise OciError(400, "MANIFEST_INVALID", f"a digest or tag expected, got {reference[:200]!r}")
        if (request.content_length or 0) > MANIFEST_MAX:
            raise OciError(413, "SIZE_INVALID", f"at most {MANIFEST_MAX} bytes of manifest expected")
        data = await request.read()
        if is_digest(reference) and digest_of(data) != reference:
            raise OciError(400, "DIGEST_INVALID", f"{reference} expected, got {digest_of(data)}")
        manifest = await asyncio.to_thread(self._store.put_manifest, data)
        if not is_digest(reference):
            await asyncio.to_thread(self._store.put_tag, reference, manifest.digest)
        return _created(f"/v2/{REPOSITORY}/manifests/{manifest.digest}", manifest.digest)

    async def _submit_roles(self, request: web.Request) -> web.Response:
        submitter = self._authorise(request)
        try:
            body = json.loads(await request.read())
            submitted = {str(role): text.encode() for role, text in body.items()}
        except (ValueError, RecursionError, AttributeError):
            raise OciError(400, "MANIFEST_INVALID", "a JSON object of role metadata as text expected") from None
        await asyncio.to_thread(self.publish_roles, submitted, submitter)
        return web.json_response({"roles": sorted(submitted)}, status=201)

    def _authorise(self, request: web.Request) -> Submitter:
        """On whose behalf a request is made, by the token that it shows."""
        if self._token is None and self._tokens is None:
            raise OciError(403, "DENIED", "this origin takes no uploads: it was started without a token")
        whose = bearer(request.headers.get("Authorization", ""), self._token, self._tokens, "tenant")
        if whose is not None:
            return Submitter(whose, operator=not whose)
        raise OciError(401, "UNAUTHORIZED", "the origin's upload token expected as Bearer, got none or another")

    async def _authorise_reader(self, request: web.Request, service: str) -> None:
        """Whether a request may read what a service has logged."""
        submitter = self._authorise(request)
        if not submitter.tenant:
            return
        target = await asyncio.to_thread(self._state.find, service_path(service))
        if target is None or parse_target(target.path, target).tenant != submitter.tenant:
            raise OciError(403, "DENIED", f"a service of tenant {submitter.tenant}, whose token was shown, expected")

    def _upload(self, request: web.Request) -> tuple[str, Upload]:
        name = request.match_info["upload"]
        upload = self._uploads.find(self._authorise(request), name)
        if upload is None:
            raise OciError(404, "BLOB_UPLOAD_UNKNOWN", f"no upload {name[:40]!r} under way")
        return name, upload

    def _progress(self, name: str, upload: Upload, status: int) -> web.Response:
        headers = {"Location": f"/v2/{REPOSITORY}/blobs/uploads/{name}", "Docker-Upload-UUID": name}
        return web.Response(status=status, headers=headers | {"Range": f"0-{max(upload.size - 1, 0)}"})

    async def _keep(self, upload: Upload, digest: str) -> web.Response:
        await asyncio.to_thread(upload.finish, _digest(digest))
        return _created(f"/v2/{REPOSITORY}/blobs/{digest}", digest)

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except OciError as error:
            return _refusal(error.status, error.code, str(error))
        except FormatError as error:
            return _refusal(400, "DIGEST_INVALID" if "blob" in request.path else "MANIFEST_INVALID", str(error))
        except VerificationError as error:
            return _refusal(409 if error.http_status == 409 else 400, "MANIFEST_INVALID", str(error))
        except NunatakError as error:
            return _refusal(error.http_status, "UNKNOWN", str(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            code = {404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 413: "SIZE_INVALID"}.get(error.status, "UNKNOWN")
            return _refusal(error.status, code, error.reason)


async def serve(origin: Origin, host: str, port: int, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let requests under way finish.

    :param ready: called once with the URL that is listened on.
    :raises OperatorError: the address cannot be listened on.
    """
    runner = web.AppRunner(origin.make_app(), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise OperatorError(f"a free address expected, got {host}:{port}: {error.strerror}") from None
        bound = runner.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        ready(f"http://{name}:{bound[1]}")
        await stop.wait()
    finally:
        await runner.cleanup()


async def _receive(request: web.Request, upload: Upload) -> None:
    if (request.content_length or 0) > BLOB_MAX - upload.size:
        raise OciError(413, "SIZE_INVALID", f"at most {BLOB_MAX} bytes of blob expected")
    async for piece in request.content.iter_chunked(CHUNK_BYTES):
        upload.write(piece)


def _digest(text: str) -> str:
    if not is_digest(text):
        raise OciError(400, "DIGEST_INVALID", f"sha256:<64 hex digits> expected, got {text[:200]!r}")
    return text


def _file(request: web.Request, path: Path, size: int, content_type: str, digest: str) -> web.StreamResponse:
    headers = {"Content-Type": content_type, "Docker-Content-Digest": digest, "Cache-Control": FOR_EVER}
    if request.method == "HEAD":  # publishers ask thousands of these; FileResponse would open the file in a thread
        return web.Response(headers=headers | {"Content-Length": str(size), "Accept-Ranges": "bytes"})
    return _contents(request, path, size, headers)


def _contents(request: web.Request, path: Path, size: int, headers: dict[str, str]) -> web.StreamResponse:
    """A file that never changes. A small one at once: a thread for its opening takes as long as all else."""
    if size <= SMALL_FILE and not any(name in request.headers for name in _CONDITIONS):
        with contextlib.suppress(OSError):  # gone meanwhile
            return web.Response(body=path.read_bytes(), headers=headers | {"Accept-Ranges": "bytes"})
    return web.FileResponse(path, chunk_size=CHUNK_BYTES, headers=headers)


def _created(location: str, digest: str) -> web.Response:
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _refusal(status: int, code: str, message: str) -> web.Response:
    headers = {"WWW-Authenticate": 'Bearer realm="nunatak"'} if status == 401 else None
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)
