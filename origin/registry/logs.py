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
import errno
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from aiohttp import web

from origin.model.tokens import Tokens
from origin.registry.bearer import bearer
from origin.registry.refusal import OciError
from vmimage.errors import OperatorError
from vmimage.manifest import is_name

BATCH_MAX: Final = 2 << 20  # bytes; an edge's segment is 1 MiB and one record
FILE_BYTES: Final = 8 << 20
READ_BYTES: Final = 1 << 20  # of one answer
WAIT_MAX_S: Final = 30.0
SERVICES_MAX: Final = 100_000
_BATCH: Final = re.compile(r"([0-9a-f]{16})/([1-9][0-9]{0,17})", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class Logs:
    """The logs in an origin's store."""

    def __init__(self, folder: Path, token: str | None, tokens: Tokens | None = None) -> None:
        """:param token: what edges must show; None refuses it.
        :param tokens: of single edges, any of which will do as well.
        :raises OperatorError: the folder cannot be made.
        """
        self._folder, self.token, self._tokens = folder, token, tokens
        self._news: dict[str, asyncio.Event] = {}
        self._writing = asyncio.Lock()
        try:
            (folder / "edges").mkdir(parents=True, exist_ok=True)
            for path in (folder, *folder.rglob("*")):  # as an earlier origin may have left them
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else 0o600)
        except OSError as error:
            raise OperatorError(
                f"a writable folder expected at {folder}: {error.strerror}: "
                "give this user the folder, or name another --store"
            ) from None

    def routes(self, authorise: Callable[[web.Request, str], Awaitable[bool]]) -> list[web.RouteDef]:
        """For the origin's application.

        :param authorise: raises unless the request may read that service's log; whether there is such a service.
        """

        async def read(request: web.Request) -> web.Response:
            service = request.match_info["service"]
            known = await authorise(request, service)
            if not known and is_name(service) and not await asyncio.to_thread(self._folder_of(service).is_dir):
                raise OciError(404, "NAME_UNKNOWN", f"no service {service}, and no log of one")
            return await self._read(request)

        return [web.post("/logs", self._take), web.get("/logs/{service}", read)]

    async def forget(self, services: Iterable[str]) -> None:
        """Delete what these services have logged; what edges still bring of them begins a new log."""
        async with self._writing:
            for service in services:
                await asyncio.to_thread(shutil.rmtree, self._folder_of(service), ignore_errors=True)

    def _folder_of(self, service: str) -> Path:
        if not is_name(service):
            raise ValueError(f"the name of a service expected, got {service[:80]!r}")
        return self._folder / "services" / service

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
            taken = await asyncio.to_thread(self._keep, prefix + batch[1], int(batch[2]), services)
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

    def _keep(self, edge: str, number: int, services: dict[str, bytes]) -> bool:
        """Append a batch; False when it is here already."""
        mark = self._folder / "edges" / edge
        if _number_in(mark) >= number:
            return False
        for service, lines in services.items():
            folder = self._folder_of(service)
            if not folder.is_dir():
                folder.mkdir(parents=True)
            files = _files(folder)
            first = files[-1] if files else 0
            path = folder / f"{first}.jsonl"
            end = first + (path.stat().st_size if files else 0)
            if end - first >= FILE_BYTES:
                path = folder / f"{end}.jsonl"
                for old in files[:-1]:
                    (folder / f"{old}.jsonl").unlink()
            _append(path, lines)
        new = mark.with_name(f"{edge}.new")
        new.write_text(str(number))
        new.replace(mark)
        return True

    # Publishers.

    async def _read(self, request: web.Request) -> web.Response:
        service = request.match_info["service"]
        after, wait = request.query.get("after", "0"), request.query.get("wait", "0")
        if not is_name(service) or not _NUMBER.fullmatch(after) or not _NUMBER.fullmatch(wait):
            raise OciError(400, "NAME_INVALID", "/logs/SERVICE?after=BYTE&wait=SECONDS expected")
        news = self._news.setdefault(service, asyncio.Event()) if len(self._news) < SERVICES_MAX else None
        lines, end = await asyncio.to_thread(self._lines, service, int(after))
        if not lines and news is not None and int(wait):
            try:
                await asyncio.wait_for(news.wait(), min(float(wait), WAIT_MAX_S))
            except TimeoutError:
                pass
            lines, end = await asyncio.to_thread(self._lines, service, int(after))
        headers = {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store", "Nunatak-Next": str(end)}
        return web.Response(body=lines, headers=headers)

    def _lines(self, service: str, after: int) -> tuple[bytes, int]:
        """Whole lines from a place on, and the place behind them."""
        folder = self._folder_of(service)
        for first in _files(folder):
            path = folder / f"{first}.jsonl"
            size = path.stat().st_size
            if after < first + size:
                start = max(after, first)
                with path.open("rb") as file:
                    file.seek(start - first)
                    data = file.read(READ_BYTES)
                data = data[: data.rfind(b"\n") + 1]
                return data, start + len(data)
        return b"", after


def _number_in(mark: Path) -> int:
    """The number of the last batch; 0 where that is not known, and then a batch may be there twice."""
    try:
        text = mark.read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return 0
    return int(text) if _NUMBER.fullmatch(text) else 0


def _append(path: Path, lines: bytes) -> None:
    """All of some lines, or nothing.

    :raises OSError: nothing, on a full disk for example.
    """
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            if file.write(lines) == len(lines):
                return
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(end)
            raise


def _files(folder: Path) -> list[int]:
    """First bytes of a log's files, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(path.stem) for path in folder.glob("*.jsonl") if path.stem.isdecimal())


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
