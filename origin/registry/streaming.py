"""Answers that are objects of a bucket: in parts, the next ones fetched while one is sent; ranges and conditions."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import LooseHeaders

from origin.storage.place import Place

PART_BYTES: Final = 1 << 20
AHEAD: Final = 4  # parts under way at once for one answer


class ObjectResponse(web.StreamResponse):
    """An object, whole or a range of it (RFC 9110, sections 13 and 14), as `aiohttp.web.FileResponse` is a file."""

    def __init__(self, path: Place, size: int, headers: LooseHeaders) -> None:
        """:param path: of what never changes under its key; the last segment of that is the entity tag."""
        super().__init__(headers=headers)
        self._path, self._size, self._etag = path, size, path.name

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it. An object that is gone before its first byte was sent is 404."""
        self.etag = self._etag
        self.headers[hdrs.ACCEPT_RANGES] = "bytes"
        if self._is_had(request):
            self.set_status(304)
            return await self._without_body(request)
        first, last = 0, self._size - 1
        try:
            wanted = request.http_range if self._is_range_wanted(request) else slice(None)
        except ValueError:
            return await self._unsatisfiable(request)
        if wanted.start is not None or wanted.stop is not None:
            first, last, _ = wanted.indices(self._size)
            last -= 1
            if first > last or first >= self._size:
                return await self._unsatisfiable(request)
            self.set_status(206)
            self.headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/{self._size}"
        self.content_length = last - first + 1
        if request.method == "HEAD" or last < first:
            return await self._without_body(request)
        parts = self._parts(first, last)
        try:
            start = await anext(parts)
        except FileNotFoundError:
            self.set_status(404)
            self.content_length = 0
            return await self._without_body(request)
        writer = await super().prepare(request)
        await self.write(start)
        async for part in parts:
            await self.write(part)
        await self.write_eof()
        return writer

    def _is_had(self, request: web.BaseRequest) -> bool:
        known = request.if_none_match
        return known is not None and any(each.value in (self._etag, "*") for each in known)

    def _is_range_wanted(self, request: web.BaseRequest) -> bool:
        condition = request.headers.get(hdrs.IF_RANGE)
        return condition is None or condition == f'"{self._etag}"'

    async def _unsatisfiable(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.set_status(416)
        self.headers[hdrs.CONTENT_RANGE] = f"bytes */{self._size}"
        self.content_length = 0
        return await self._without_body(request)

    async def _without_body(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        writer = await super().prepare(request)
        await self.write_eof()
        return writer

    async def _parts(self, first: int, last: int) -> AsyncIterator[bytes]:
        """The bytes, in order."""
        under_way: deque[asyncio.Future[bytes]] = deque()
        loop = asyncio.get_running_loop()
        starts = iter(range(first, last + 1, PART_BYTES))
        try:
            while True:
                while len(under_way) < AHEAD and (start := next(starts, None)) is not None:
                    end = min(start + PART_BYTES - 1, last)
                    fetch = loop.run_in_executor(None, self._path.blobs.get, self._path.key, start, end)
                    under_way.append(fetch)
                if not under_way:
                    return
                yield await under_way.popleft()
        finally:
            for each in under_way:
                each.cancel()
