"""Carries out what `origin/publish/publish.py` and `renew.py` decide, over HTTP."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from typing import Any, Final, TypeVar

import aiohttp
import uvloop

from origin.model.elsewhere import PREFIX, Elsewhere
from origin.model.exchange import Request, Response, refuse_plain_http
from vmimage.errors import OriginError, OriginTimeout, OriginUnreachable, PublisherError
from vmimage.trust import TARGETS_MAX

CONCURRENCY: Final = 8
CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 60.0  # between two reads; an origin that checks a large batch is silent for seconds
CHUNK_BYTES: Final = 256 << 10

Progress = Callable[[int, int], None]
_Result = TypeVar("_Result")
Exchange = Generator[Sequence[Request], Sequence[Response], _Result]


def carry_out(
    exchange: Exchange[_Result],
    *,
    url: str,
    token: str | None = None,
    progress: Progress | None = None,
    plain_http: bool = False,
    registry: Elsewhere | None = None,
    within_s: float | None = None,
) -> _Result:
    """Run an exchange against the origin at `url` and return its result.

    :param token: None for what needs none, since it is public.
    :param progress: called with (bytes sent, bytes known to be sent in all) as uploads go on.
    :param plain_http: whether the token may go over a network as it is.
    :param registry: that stands in for the origin's repository `images`; None: the origin.
    :param within_s: for all of it; None where the origin is trusted not to give a byte now and then for ever.
    :raises OriginUnreachable, OriginTimeout: no connection, or silence.
    :raises OriginError, PublisherError: as the exchange decides.
    """
    if not url.startswith(("http://", "https://")):
        raise PublisherError(
            f"an origin URL starting with http:// or https:// expected, got {url!r}: write --origin so"
        )
    if token is not None:
        refuse_plain_http(url, plain_http)
    shell = _Shell(url.rstrip("/"), token, progress or (lambda done, total: None), registry)
    return uvloop.run(_in_time(shell.run(exchange), url, within_s))


async def _in_time(work: Coroutine[Any, Any, _Result], url: str, within_s: float | None) -> _Result:
    try:
        async with asyncio.timeout(within_s):
            return await work
    except TimeoutError:
        raise OriginTimeout(f"all answers of {url} within {within_s:g} seconds expected") from None


def _why(error: OSError) -> str:
    """What the system says: asyncio puts words of its own into the place, and a failed look-up has its own numbers."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def _timeout(silence_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s)


class _Shell:
    def __init__(self, url: str, token: str | None, progress: Progress, registry: Elsewhere | None) -> None:
        self._url, self._registry = url, registry
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self._progress = progress
        self._sent = self._total = 0
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def run(self, exchange: Exchange[_Result]) -> _Result:
        async with aiohttp.ClientSession(headers=self._headers) as session:
            responses: Sequence[Response] | None = None
            while True:
                try:
                    group = exchange.send(responses) if responses is not None else next(exchange)
                except StopIteration as stop:
                    result: _Result = stop.value
                    return result
                self._total += sum(len(request.body) for request in group)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        running = [tasks.create_task(self._send(session, request)) for request in group]
                except* OriginError as errors:
                    raise errors.exceptions[0] from None
                responses = [task.result() for task in running]

    async def _send(self, session: aiohttp.ClientSession, request: Request) -> Response:
        if self._registry is not None and request.path.startswith(PREFIX) and not request.here:
            async with self._slots:
                response = await asyncio.to_thread(self._registry.send, request)
            self._sent += len(request.body)
            self._progress(self._sent, self._total)
            return response
        try:
            async with (
                self._slots,
                session.request(
                    request.method,
                    self._url + request.path,
                    data=self._pieces(request.body) if request.body else None,
                    headers={"Content-Type": request.content_type, "Content-Length": str(len(request.body))},
                    allow_redirects=False,
                    timeout=_timeout(request.silence_s or SILENCE_TIMEOUT_S),
                ) as answer,
            ):
                body = bytearray()
                async for piece in answer.content.iter_chunked(CHUNK_BYTES):
                    body += piece
                    if len(body) > TARGETS_MAX:
                        raise OriginError(f"an answer of at most {TARGETS_MAX} bytes expected to {request.path}")
                return Response(answer.status, bytes(body))
        except TimeoutError as error:
            raise OriginTimeout(f"an answer of {self._url} expected: {error or 'none in time'}") from None
        except aiohttp.ClientConnectorError as error:
            raise OriginUnreachable(f"an origin expected at {self._url}: {_why(error.os_error)}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise OriginUnreachable(f"an origin expected at {self._url}: {error}") from None

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        view = memoryview(body)
        for start in range(0, len(body), CHUNK_BYTES):
            piece = view[start : start + CHUNK_BYTES]
            yield bytes(piece)
            self._sent += len(piece)
            self._progress(self._sent, self._total)
