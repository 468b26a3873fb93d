"""The feed by SSE, from an origin or a parent, and the log of events beside it: both over HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from edge.feed.backoff import LAST_S, SPREAD_S
from edge.feed.feed import CONNECT_S, SILENT_S
from edge.feed.relay import READ_MAX
from vmimage import sse
from vmimage.errors import OriginError, OriginTimeout, OriginUnreachable, VerificationError
from vmimage.feed import EVENT_MAX

LOG_MAX: Final = 4 << 20  # bytes of an answer of the log
LOG_S: Final = 10.0  # for all of it
_FRAME_MAX: Final = EVENT_MAX + 256
_PIECE: Final = 64 << 10

Fields = Callable[[], Mapping[str, str]]  # of each request


class _Sources:
    """The places that have a feed, in order; where one fails, the next is asked."""

    def __init__(self, urls: Sequence[str], timeout: aiohttp.ClientTimeout, fields: Fields) -> None:
        self._urls, self._timeout, self._fields = [url.rstrip("/") for url in urls], timeout, fields
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def get(self, path: str, after: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """:raises OriginError: no answer of status 200, or it broke."""
        if self._session is None:
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=jar)
        url = self._urls[self._turn % len(self._urls)] + path
        asked = {"after": str(after)} if after >= 0 else {}
        try:
            async with self._session.get(url, params=asked, headers=self._fields(), allow_redirects=False) as response:
                if response.status != 200:
                    raise OriginError(f"{url}: status 200 expected, got {response.status}")
                yield response
        except TimeoutError:
            self._turn += 1
            raise OriginTimeout(f"{url}: a sign of life expected, none in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._turn += 1
            raise OriginUnreachable(f"{url}: {str(error) or type(error).__name__}") from None
        except OriginError:
            self._turn += 1
            raise

    def leave(self) -> None:
        self._turn += 1

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class SseFeed:
    """As `Feed`."""

    def __init__(self, urls: Sequence[str], fields: Fields = dict) -> None:
        """:param urls: of parents and the origin, in the order in which they are asked."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        self._sources = _Sources(urls, timeout, fields)
        self.spread_s = SPREAD_S

    async def events(self, after: int) -> AsyncGenerator[bytes | None, None]:
        """As `Feed.events`; those after `after` come first."""
        async with self._sources.get("/feed", after) as response:
            reader = sse.Reader(_FRAME_MAX)
            yield None
            async for piece in response.content.iter_chunked(_PIECE):
                for frame in reader.take(piece):
                    yield frame.data
                if reader.retry_ms is not None:
                    self.spread_s = min(reader.retry_ms / 1e3, LAST_S)

    async def close(self) -> None:
        """As `Feed.close`."""
        await self._sources.close()


class HttpLog:
    """As `EventLog`."""

    def __init__(self, urls: Sequence[str], fields: Fields = dict) -> None:
        self._sources = _Sources(urls, aiohttp.ClientTimeout(total=LOG_S, sock_connect=CONNECT_S), fields)

    async def after(self, number: int) -> Sequence[bytes]:
        """As `EventLog.after`."""
        async with self._sources.get("/feed/log", number) as response:
            data = bytearray()
            async for piece in response.content.iter_chunked(_PIECE):
                data += piece
                if len(data) > LOG_MAX:
                    raise VerificationError(f"{response.url}: at most {LOG_MAX} bytes of events expected")
        if data.count(b"\n") > READ_MAX:  # each line costs a look and a line of the edge's log
            raise VerificationError(f"{response.url}: at most {READ_MAX} events expected")
        return bytes(data).splitlines()

    def leave(self) -> None:
        """As `EventLog.leave`."""
        self._sources.leave()

    async def close(self) -> None:
        """As `EventLog.close`."""
        await self._sources.close()
