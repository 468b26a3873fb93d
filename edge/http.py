"""The HTTP front: aiohttp parses, `flow` and `cgi` decide, the supervisor answers; this carries the bytes.

An answer that comes in one frame leaves in one write. The head is made here from checked bytes rather than through
`web.Response`, whose header dictionary costs more than the rest of the request together; aiohttp is handed `SENT`, a
response that has nothing left to do.
"""

import asyncio
import os
import time
from email.utils import formatdate
from http import HTTPStatus
from itertools import count
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from edge import cgi, flow, log
from edge.admin import Admin
from edge.config import EdgeConfig
from edge.counters import Counters
from edge.flow import ClientError
from edge.services import Service
from edge.streams import Stream, wake
from edge.supervisor import Supervisor
from edge.upstreams import loops
from edge.vmm import frames
from edge.vmm.frames import Frame
from vmimage import abi
from vmimage.errors import GuestViolation, NunatakError

LINE_MAX: Final = 8190  # bytes of the request line, and of one header; what Apache and nginx take
HEADERS_MAX: Final = 100
LOOPS_MAX: Final = 8  # edges that a request may have passed through
_TIMING_BYTES: Final = frames.TIMING.size
_CACHE_STATUS: Final = {
    (tier, collapsed): (
        f"Cache-Status: nunatak; {'fwd=miss' if tier == 'origin' else 'hit'}"
        f"{'; collapsed' if collapsed else ''}; detail={tier}\r\n"
    ).encode()
    for tier in ("resident", "parked", "disk", "blob", "origin")
    for collapsed in (False, True)
}

_logger: Final = log.logger("http")


class Sent(web.StreamResponse):
    """What a handler returns that has written its answer itself. Shared: it holds nothing of a request."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing left to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing left to do."""


class Connection(RequestHandler):
    """aiohttp's side of one client connection, with our answer to what does not parse."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A malformed request, or a defect of ours."""
        front = self._manager
        assert isinstance(front, Front)
        if status >= 500:
            _logger.error(log.line("internal_error", path=request.raw_path), exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        reason = "bad_request" if status < 500 else "internal"
        front.refuse(request, front.request_id(), flow.Refusal(status, reason), close=True)
        return front.closing


class Front(web.Server):
    """All client connections."""

    def __init__(self, supervisor: Supervisor, admin: Admin, config: EdgeConfig, counters: Counters) -> None:
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": config.keepalive_timeout,
            "max_line_size": LINE_MAX,
            "max_field_size": LINE_MAX,
            "max_headers": HEADERS_MAX,
            "lingering_time": 2.0,  # seconds to swallow a body nobody reads, so that the client can read our answer
            "auto_decompress": False,  # bodies are the guest's business
        }
        super().__init__(self.handle, handler_cancellation=True)
        self.port = 0  # set when bound
        self.keeping: Final = Sent(keep_alive=True)
        self.closing: Final = Sent(keep_alive=False)
        self.busy: set[RequestHandler] = set()  # connections with a request in flight
        self._draining: asyncio.Future[None] | None = None  # done when none is left
        self.directory: Final = supervisor.directory
        self._supervisor, self._admin, self._config, self._counters = supervisor, admin, config, counters
        self._by_host, self._by_name = supervisor.directory.by_host, supervisor.directory.by_name
        self._id_prefix = os.urandom(6).hex()
        self._ids = count(1)
        self._date = b""
        self._date_second = 0

    def __call__(self) -> RequestHandler:
        """A connection (the protocol factory)."""
        return Connection(self, loop=self._loop, **self._options)

    def request_id(self) -> bytes:
        """A name for one request, unique among edges."""
        return b"%b-%x" % (self._id_prefix.encode(), next(self._ids))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its head to the last byte of its answer."""
        request_id = self.request_id()
        connection = request.protocol
        self.busy.add(connection)
        service: Service | None = None
        try:
            route = flow.route(request.headers.get("Host"), request.raw_path)
            if route is None:
                raise ClientError(400, "bad_request")
            if route.kind == "admin":
                return await self._admin.handle(request, route)
            service = (self._by_host if route.kind == "host" else self._by_name).get(route.name)
            if service is None:
                service = await self._supervisor.directory.find(
                    "host" if route.kind == "host" else "service", route.name
                )
            return await self._serve(request, request_id, route, service)
        except (ClientError, NunatakError) as error:
            if isinstance(error, GuestViolation):  # found here; what ends a machine is logged with its end
                _logger.warning(log.line("answer_refused", service=service.name if service else "", reason=error))
            return await self.explain(request, request_id, error)
        finally:
            self.busy.discard(connection)
            if self._draining is not None and not self.busy:
                wake(self._draining)

    async def _serve(
        self, request: web.BaseRequest, request_id: bytes, route: flow.Route, service: Service
    ) -> web.StreamResponse:
        passed = loops(request.headers.get("CDN-Loop"))
        if passed >= LOOPS_MAX:
            raise ClientError(508, "loop")
        method, length, body = request.method, None, b""
        whole = not request.body_exists
        if not whole:
            length = request.content_length
            if length is not None and length > self._config.max_body:
                raise ClientError(413, "body_too_large")
        block = cgi.request_block(
            route,
            method,
            request.version,
            request.raw_headers,
            self.port,
            request.remote or "",
            request_id,
            length,
        )
        if not whole:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # the answer proper has not begun
            if length is not None and len(block) + length <= abi.RECORD_PAYLOAD_MAX:
                body, whole = await self._small_body(request, length), True
        stream = Stream(service, method, block + body if body else block, whole, self._loop.time())
        if passed:
            stream.loops = passed
        self._supervisor.submit(stream)
        sender = None
        try:
            if not whole:
                sender = self._loop.create_task(self._send_body(request, stream))
            frame = await stream.answer
            if stream.ended:
                return self._answer(request, request_id, stream, frame)
            return await self._answer_in_parts(request, request_id, stream, frame)
        except asyncio.CancelledError:
            if stream.state == "cut":  # we broke the connection
                self._counters.cut_answers += 1
            else:
                self._counters.clients_gone += 1
            raise
        finally:
            if sender is not None:
                sender.cancel()
            if stream.state in ("waiting", "asked", "answering"):
                self._supervisor.abandon(stream)

    async def _small_body(self, request: web.BaseRequest, length: int) -> bytes:
        try:
            async with asyncio.timeout(self._config.request_timeout):
                return await request.content.readexactly(length)
        except TimeoutError:
            raise ClientError(408, "client_silent") from None
        except (asyncio.IncompleteReadError, web.RequestPayloadError):
            raise ClientError(400, "bad_body") from None

    async def _send_body(self, request: web.BaseRequest, stream: Stream) -> None:
        """Pass a body on while the answer is awaited."""
        total, ended = 0, False
        try:
            while not ended:
                data = await request.content.readany()
                ended = not data  # an end is an empty read, so END travels in a frame of its own
                total += len(data)
                if total > self._config.max_body:
                    raise ClientError(413, "body_too_large")
                await stream.send_body(data, end=ended)
        except web.RequestPayloadError:
            self._supervisor.abandon(stream, ClientError(400, "bad_body"))
        except ClientError as error:
            self._supervisor.abandon(stream, error)

    # For those who build on this front (`nunatak dev`).

    async def explain(self, request: web.BaseRequest, request_id: bytes, error: BaseException) -> web.StreamResponse:
        """Answer in place of a service that could not."""
        return self.refuse(request, request_id, flow.refusal(error))

    def answering(self, request: web.BaseRequest, stream: Stream, status: int, guest_us: int, engine: int) -> None:
        """An answer begins; `engine` is a place in `frames.ENGINES`."""

    # Answers.

    def _head(
        self, request: web.BaseRequest, request_id: bytes, stream: Stream, timing: bytes, answer: cgi.AnswerHead
    ) -> bytes:
        """Status line and fields, without the blank line and what frames the body."""
        keep = self._keeps(request)
        restore_us, guest_us, engine = frames.TIMING.unpack(timing)
        self.answering(request, stream, answer.status, guest_us, engine)
        trip = stream.trip
        self._counters.answers[stream.tier] = self._counters.answers.get(stream.tier, 0) + 1
        return b"%b%b%b%bServer-Timing: %brestore;dur=%.3f, guest;dur=%.3f\r\nX-Request-Id: %b\r\n%b" % (
            cgi.STATUS_LINES[answer.status],
            self.date(),
            answer.fields,
            _CACHE_STATUS[stream.tier, stream.collapsed],
            b"" if trip is None else b"fetch;dur=%.3f, verify;dur=%.3f, " % (trip.fetch_s * 1e3, trip.verify_s * 1e3),
            restore_us / 1000,
            guest_us / 1000,
            request_id,
            b"" if keep and request.version == (1, 1) else _connection(keep),
        )

    async def drain(self, timeout_s: float) -> None:
        """Close connections: the idle ones now, the others with their answer. Waits for those, but only so long."""
        self._draining = self._loop.create_future()
        for connection in self.connections:
            if connection not in self.busy:
                connection.close()
        if self.busy:
            await asyncio.wait([self._draining], timeout=timeout_s)

    def _keeps(self, request: web.BaseRequest) -> bool:
        return request.keep_alive and self._draining is None

    def date(self) -> bytes:
        """The Date and Server lines, made once a second."""
        now = int(time.time())
        if now != self._date_second:
            self._date_second = now
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\nServer: nunatak\r\n".encode()
        return self._date

    def _answer(self, request: web.BaseRequest, request_id: bytes, stream: Stream, frame: Frame) -> web.StreamResponse:
        """An answer that is here whole, nearly always in one frame: one write."""
        payload = frame.payload
        block, start = cgi.split_block(payload, _TIMING_BYTES)
        answer = cgi.answer_head(block)
        body = payload[start:]
        if stream.parts:
            body = b"".join((body, *stream.parts))
        size = len(body)
        no_body = cgi.without_body(request.method, answer.status)
        if answer.content_length is not None and answer.content_length != size and not (no_body and size == 0):
            raise GuestViolation(f"a body of {answer.content_length} bytes expected, got {size}")
        head = self._head(request, request_id, stream, payload[:_TIMING_BYTES], answer)
        length = size if answer.content_length is None else answer.content_length
        if answer.status != 204 and not (no_body and length == 0):
            head += b"Content-Length: %d\r\n" % length
        self._write(request, b"%b\r\n%b" % (head, b"" if no_body else body))
        return self.keeping if self._keeps(request) else self.closing

    async def _answer_in_parts(
        self, request: web.BaseRequest, request_id: bytes, stream: Stream, frame: Frame
    ) -> web.StreamResponse:
        """An answer whose body follows in frames: as they come, as fast as the client reads."""
        writer = request.writer
        block, start = cgi.split_block(frame.payload, _TIMING_BYTES)
        answer = cgi.answer_head(block)
        head = self._head(request, request_id, stream, frame.payload[:_TIMING_BYTES], answer)
        no_body = cgi.without_body(request.method, answer.status)
        left, close = answer.content_length, not self._keeps(request)
        if left is not None:
            head += b"Content-Length: %d\r\n" % left
        elif not no_body:
            if request.version >= (1, 1):
                head += b"Transfer-Encoding: chunked\r\n"
                writer.enable_chunking()
            else:
                close = True  # the end of the connection is the end of the body
        transport = request.transport
        if transport is None:
            return self.closing
        stream.abort = transport.abort
        self._write(request, head + b"\r\n")
        part: bytes | None = frame.payload[start:]
        first = True  # bytes in the HEAD's own frame are outside the window
        try:
            while part is not None:
                if left is not None:
                    left -= len(part)
                    if left < 0 and not no_body:
                        raise GuestViolation(f"a body of {answer.content_length} bytes expected, got more")
                if part and not no_body:
                    await writer.write(part)
                if not first:
                    stream.took(len(part), self._loop.time())
                first = False
                part = await stream.next_part()
            if left and not no_body:
                raise GuestViolation(f"a body of {answer.content_length} bytes expected, got {left} less")
            if not no_body:
                await writer.write_eof()
        except NunatakError as error:
            self._counters.cut_answers += 1
            _logger.warning(log.line("answer_cut", service=stream.service.name, id=request_id.decode(), reason=error))
            transport.abort()
            return self.closing
        except ConnectionError:
            self._counters.cut_answers += stream.state == "cut"  # we broke the connection while a part was on its way
            return self.closing
        return self.closing if close else self.keeping

    def refuse(
        self, request: web.BaseRequest, request_id: bytes, refusal: flow.Refusal, *, close: bool = False
    ) -> web.StreamResponse:
        """The edge's own answer to what cannot be served; of the cause it names only the counter."""
        status, reason, retry_after_s, limit = refusal
        self._counters.add(self._counters.refusals, reason)
        keep = self._keeps(request) and not close
        body = b"%d %b, request %b\n" % (status, HTTPStatus(status).phrase.encode(), request_id)
        lines = [
            b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode()),
            self.date(),
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % len(body),
            b"X-Request-Id: %b\r\nX-Nunatak-Error: %b\r\n" % (request_id, reason.encode()),
            b"X-Nunatak-Limit: %b\r\n" % limit.encode() if limit else b"",
            b"Retry-After: %d\r\n" % retry_after_s if retry_after_s else b"",
            b"" if keep and request.version == (1, 1) else _connection(keep),
            b"\r\n",
            b"" if request.method == "HEAD" else body,
        ]
        self._write(request, b"".join(lines))
        return self.keeping if keep else self.closing

    def _write(self, request: web.BaseRequest, data: bytes) -> None:
        transport = request.transport
        if transport is not None:  # else the client is gone
            transport.write(data)
            request.writer.output_size += len(data)


def _connection(keep: bool) -> bytes:
    return b"Connection: keep-alive\r\n" if keep else b"Connection: close\r\n"
