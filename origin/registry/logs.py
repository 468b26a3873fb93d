"""Logs of services, as edges send them: kept per service, bounded, read by publishers from any place on.

    logs/services/<service>/<first byte>.jsonl   lines in the order they came; the two newest files stay
    logs/edges/<edge>                            number of the last batch that this edge sent: none is taken twice; for
                                                 a token of one edge <name>.<edge>, so that another's numbers are out of
                                                 its reach

POST /logs           an edge's batch of lines, with the log token or one of its own: either lets it append, to any log
GET /logs/<service>  lines from byte `after` on, with an upload token that may; `wait` seconds if there are none

A place in a log is a count of bytes since its beginning, in the header `Nunatak-Next` of every answer; who asks for
what is gone gets what there is. A log outlives its service; one of a service that nobody knows is 404.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from origin.model.tokens import Tokens
from origin.registry.bearer import bearer
from origin.registry.log_lines import NUMBER, FolderLines, Lines
from origin.registry.refusal import OciError
from vmimage.manifest import is_name

BATCH_MAX: Final = 2 << 20  # bytes; an edge's segment is 1 MiB and one record
WAIT_MAX_S: Final = 30.0
SERVICES_MAX: Final = 100_000
_BATCH: Final = re.compile(r"([0-9a-f]{16})/([1-9][0-9]{0,17})", re.ASCII)


class Logs:
    """The logs in an origin's store."""

    def __init__(self, where: Path | Lines, token: str | None, tokens: Tokens | None = None) -> None:
        """:param where: the lines, or the folder of their files. :param token: what edges must show; None refuses it.
        :param tokens: of single edges, any of which will do as well.
        :raises OperatorError: the folder cannot be made.
        """
        self.token, self._tokens = token, tokens
        self._lines: Lines = FolderLines(where) if isinstance(where, Path) else where
        self._news: dict[str, asyncio.Event] = {}
        self._writing = asyncio.Lock()

    def routes(self, authorise: Callable[[web.Request, str], Awaitable[bool]]) -> list[web.RouteDef]:
        """For the origin's application.

        :param authorise: raises unless the request may read that service's log; whether there is such a service.
        """

        async def read(request: web.Request) -> web.Response:
            service = request.match_info["service"]
            known = await authorise(request, service)
            if not known and is_name(service) and not await asyncio.to_thread(self._lines.has, service):
                raise OciError(404, "NAME_UNKNOWN", f"no service {service}, and no log of one")
            return await self._read(request)

        return [web.post("/logs", self._take), web.get("/logs/{service}", read)]

    async def forget(self, services: Iterable[str]) -> None:
        """Delete what these services have logged; what edges still bring of them begins a new log."""
        async with self._writing:
            for service in services:
                await asyncio.to_thread(self._lines.forget, service)

    # Edges.

    async def _take(self, request: web.Request) -> web.Response:
        prefix = self._prefix(request.headers.get("Authorization", ""))
        batch = _BATCH.fullmatch(request.headers.get("Nunatak-Batch", ""))
        if batch is None:
            raise OciError(400, "UNSUPPORTED", "Nunatak-Batch: 16 hex digits/number expected")
        data = await request.content.read(BATCH_MAX + 1)
        while len(data) <= BATCH_MAX and (more := await request.content.read(BATCH_MAX + 1)):
            data += more
        if len(data) > BATCH_MAX:
            raise OciError(413, "SIZE_INVALID", f"a batch of at most {BATCH_MAX} bytes expected")
        services = lines_by_service(data)
        async with self._writing:
            taken = await asyncio.to_thread(self._lines.keep, prefix + batch[1], int(batch[2]), services)
        for service in services if taken else ():
            news = self._news.pop(service, None)
            if news is not None:
                news.set()
        return web.Response(status=204)

    def _prefix(self, authorization: str) -> str:
        """Of the names of edges that the token may send for."""
        whose = bearer(authorization, self.token, self._tokens, "edge")
        if whose is not None:
            return f"{whose.name}." if whose.name else ""
        raise OciError(401, "UNAUTHORIZED", "the origin's log token expected as Bearer, got none or another")

    # Publishers.

    async def _read(self, request: web.Request) -> web.Response:
        service = request.match_info["service"]
        after, wait = request.query.get("after", "0"), request.query.get("wait", "0")
        if not is_name(service) or not NUMBER.fullmatch(after) or not NUMBER.fullmatch(wait):
            raise OciError(400, "NAME_INVALID", "/logs/SERVICE?after=BYTE&wait=SECONDS expected")
        news = self._news.setdefault(service, asyncio.Event()) if len(self._news) < SERVICES_MAX else None
        lines, end = await asyncio.to_thread(self._lines.read, service, int(after))
        deadline = time.monotonic() + min(float(wait), WAIT_MAX_S)
        while not lines and news is not None and (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left, self._lines.poll_s or left))
            lines, end = await asyncio.to_thread(self._lines.read, service, int(after))
            news = self._news.setdefault(service, asyncio.Event())
        headers = {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store", "Nunatak-Next": str(end)}
        return web.Response(body=lines, headers=headers)


def lines_by_service(data: bytes) -> dict[str, bytes]:
    """A batch's lines by service.

    :raises OciError: a line that is not JSON with the name of a service.
    """
    services: dict[str, list[bytes]] = {}
    for line in _split(data):
        try:
            service = json.loads(line)["service"]
            if not isinstance(service, str) or not is_name(service):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            raise OciError(400, "UNSUPPORTED", "lines of JSON with a service each expected") from None
        services.setdefault(service, []).append(line + b"\n")
    return {service: b"".join(lines) for service, lines in services.items()}


def _split(data: bytes) -> Iterable[bytes]:
    """Whole lines; one that was cut off by the end of an edge is dropped."""
    return data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]
