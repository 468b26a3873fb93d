"""A parent over HTTP, as an origin is asked by edges:

    /v2/                                         200
    /v2/images/blobs/<digest>                    GET, HEAD, Range; given on while it comes, see `coming`
    /v2/images/manifests/<digest>                GET, HEAD, Range; tags are the origin's
    /tuf/<name>.json                             GET, HEAD, conditional

Nothing can be put here. What there is beside it, the feed of events, is given to `Parent.app` as routes.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Final

from aiohttp import web

from edge.common.counters import Counters
from edge.common.fetching import Missing
from edge.common.pace import Pace
from edge.feed.sending import Sending
from edge.parent.blobs import Blobs, Found, Kind, type_of
from edge.parent.hops import answered, is_circle, onward
from edge.parent.metadata import FRESH_S, TIMESTAMP, Metadata
from edge.parent.ranges import part_of
from vmimage.errors import OriginBusy, OriginError
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY, is_digest

BODY_MAX: Final = 1 << 10  # of requests, which need none
FOR_EVER: Final = "max-age=31536000, immutable"  # RFC 8246
_TYPE: Final = re.compile(r"application/[a-z0-9.+-]{1,100}", re.ASCII)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The fields that requests carry to sources: those of the request for whose sake a source is asked.
_fields: ContextVar[Mapping[str, str]] = ContextVar("fields")


def fields_onward() -> Mapping[str, str]:
    """Fields of a request to a source, within the task of the request that it is for."""
    return _fields.get({})


class Parent:
    """What a parent answers."""

    def __init__(self, blobs: Blobs, metadata: Metadata, identity: str, counters: Counters) -> None:
        """:param identity: that no other parent has, for CDN-Loop."""
        self._blobs, self._metadata, self._identity, self._counters = blobs, metadata, identity, counters
        self._sending = Sending()  # files of the catalogue

    def app(self, more: Iterable[web.AbstractRouteDef] = ()) -> web.Application:
        """The aiohttp application.

        :param more: routes of others, which are under the same rules.
        """
        app = web.Application(middlewares=[self._hop], client_max_size=BODY_MAX)
        app.add_routes(
            [
                web.get("/v2/", self._version),
                web.get(f"/v2/{REPOSITORY}/{{kind:blobs|manifests}}/{{digest}}", self._content),
                web.get("/tuf/{name}", self._file),
                *more,
            ]
        )
        return app

    @web.middleware
    async def _hop(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request that goes round in a circle, and turn what a handler raises into an answer."""
        loop, via = (", ".join(request.headers.getall(name, ())) for name in ("CDN-Loop", "Via"))
        if is_circle(loop, self._identity):
            self._count("other", "loop")
            return _refusal(508, "DENIED", "this request has been here before: parents are each other's sources")
        _fields.set(onward(loop, via, self._identity))
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _refusal(error.status, "UNSUPPORTED" if error.status == 405 else "NAME_UNKNOWN", error.reason)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        digest, kind = request.match_info["digest"], _kind(request.match_info["kind"])
        if not is_digest(digest):
            what = "tags are the origin's" if kind == "manifests" else "no digest"
            return _refusal(404, "MANIFEST_UNKNOWN" if kind == "manifests" else "DIGEST_INVALID", what)
        head = request.method == "HEAD"
        try:
            found = await self._blobs.find(kind, digest, whole=head)
        except OriginError as error:
            return self._failed(kind, error, "BLOB_UNKNOWN" if kind == "blobs" else "MANIFEST_UNKNOWN")
        self._count(kind, found.how.partition(";")[0] + ("; collapsed" if "collapsed" in found.how else ""))
        with self._blobs.in_use(found.held):
            return await self._send(request, kind, digest, found)

    async def _send(self, request: web.Request, kind: Kind, digest: str, found: Found) -> web.StreamResponse:
        headers = {
            "Content-Type": _media_type(found.held.data) if kind == "manifests" else "application/octet-stream",
            "Docker-Content-Digest": digest,
            "Cache-Control": FOR_EVER,
            "Accept-Ranges": "bytes",
            **answered(found.before, found.how),
        }
        try:
            part = part_of(request.headers.get("Range", ""), found.size)
        except ValueError:
            return _refusal(416, "SIZE_INVALID", "no such part", {"Content-Range": f"bytes */{found.size}"})
        first, end = (0, found.size) if part is None else part
        if part is not None:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{found.size}"
        response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
        response.content_length = end - first
        await response.prepare(request)
        if request.method != "HEAD":
            await self._write(request, response, kind, found, first, end)
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, kind: Kind, found: Found, first: int, end: int
    ) -> None:
        """All of it, to who takes it at a rate that can be borne with.

        Where it is taken too slowly, or does not all come, the connection is broken off.
        """
        pace = Pace(end - first)
        try:
            async for piece in found.pieces(first, end):
                async with pace.taking():
                    await response.write(piece)
                self._counters.parent_bytes += len(piece)
            async with pace.taking():
                await response.write_eof()
            return
        except TimeoutError:
            pass
        except OriginError:
            self._count(kind, "broken off")
        if request.transport is not None:
            request.transport.abort()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name, anew = request.match_info["name"], "no-cache" in request.headers.get("Cache-Control", "")
        try:
            found = await self._metadata.find(name, anew=anew)
        except OriginError as error:
            return self._failed("metadata", error, "NAME_UNKNOWN")
        self._count("metadata", found.how.partition(";")[0])
        lasts = f"max-age={FRESH_S:g}" if name == TIMESTAMP else FOR_EVER
        headers = {"Cache-Control": lasts, "ETag": found.etag, **answered("", found.how)}
        if request.headers.get("If-None-Match") == found.etag:
            return web.Response(status=304, headers=headers)
        response = web.StreamResponse(headers={"Content-Type": "application/json", **headers})
        answer = await self._sending.send(request, response, found.data)
        self._counters.parent_bytes += len(found.data) if answer is response else 0
        return answer

    def _failed(self, kind: str, error: OriginError, code: str) -> web.Response:
        """What is said where no source gives something: no more than that, since the words are the sources'."""
        self._count(kind, type_of(error))
        if isinstance(error, Missing):
            return _refusal(404, code, "no source has it")
        if isinstance(error, OriginBusy):
            wait_s = {"Retry-After": str(max(1, round(error.wait_s)))}
            return _refusal(503, "TOOMANYREQUESTS", "there is no room, or the sources are busy", wait_s)
        return _refusal(error.http_status, "UNKNOWN", f"no source gives it: {error.counter}")

    def _count(self, kind: str, result: str) -> None:
        self._counters.add(self._counters.parent_requests, (kind, result))


def _kind(text: str) -> Kind:
    return "blobs" if text == "blobs" else "manifests"


def _media_type(manifest: bytes) -> str:
    """What a manifest says that it is, if it says so in a way that fits a field."""
    try:
        said = json.loads(manifest)["mediaType"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return MANIFEST_TYPE
    return said if isinstance(said, str) and _TYPE.fullmatch(said) else MANIFEST_TYPE


def _refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error body as registries have it ("Error Codes")."""
    body = {"errors": [{"code": code, "message": message}]}
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})
