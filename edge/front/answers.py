"""Answers as bytes: a guest's, checked, in one write or in parts; and the edge's own.

Heads are made here from checked bytes: a dictionary of headers would cost more than the rest of a request together.
"""

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from mypy_extensions import mypyc_attr

from edge.cache import status
from edge.common import log
from edge.common.counters import Counters
from edge.config.headers import HeaderOptions
from edge.front import cgi, heads
from edge.front.caching import Caching
from edge.front.kept_answers import said_fields
from edge.front.page import Page
from edge.front.request import Request
from edge.front.told import told_to_peer
from edge.model import flow, reasons
from edge.model.streams import Stream
from edge.vmm.wire.streams import Answer
from vmimage.errors import GuestViolation, NunatakError

_logger: Final = log.logger("http")


@mypyc_attr(allow_interpreted_subclasses=True)
class Answers:
    """Writes answers on the connections that they are for."""

    def __init__(self, counters: Counters) -> None:
        self.draining: asyncio.Future[None] | None = None  # once set, a connection ends with its answer
        self._loop = asyncio.get_running_loop()
        self._counters = counters
        self.caching: Caching | None = None  # of those who answer for services
        self.via = b""  # a whole line of answers that are passed on, or none
        self._timing = True
        self._date = b""
        self._date_second = 0

    def take_up(self, config: HeaderOptions) -> None:
        """Go by other options from the next answer on."""
        self.via = b"Via: 1.1 %b\r\n" % config.via.encode() if config.via else b""
        self._timing = config.server_timing == "on"

    # For those who build on this (`nunatak dev`).

    def answering(self, request: Request, stream: Stream, status: int, guest_us: int, engine: int) -> None:
        """An answer begins; `engine` is a place in `streams.ENGINES`."""

    # Answers of guests.

    def sent_elsewhere(self, request: Request, stream: Stream, target: str) -> bool:
        """A program names another path to answer for this one: whether it is asked."""
        return False

    def took_socket(self, request: Request, stream: Stream, said: Answer) -> bool:
        """Whether a program takes the socket that it was offered with the request."""
        return False

    def _cached(
        self, request: Request, stream: Stream, answer: cgi.AnswerHead, block: bytes, body: bytes | None
    ) -> bool:
        """Let caching know of an answer; whether it has answered with another."""
        if request.told is not None:
            request.told = told_to_peer(request, self._loop.time() - request.came_at, said_fields(block))
        if request.fill is None or self.caching is None:
            return False
        return self.caching.came(request, stream, answer, block, body)

    def _head(self, request: Request, stream: Stream, said: Answer, answer: cgi.AnswerHead) -> bytes:
        """Status line and fields, without the blank line and what frames the body."""
        self.answering(request, stream, answer.status, said.guest_us, said.engine)
        self._counters.answers[stream.tier] = self._counters.answers.get(stream.tier, 0) + 1
        return b"%b%b%b%b%b%b%b%b%bX-Request-Id: %b\r\n%b" % (
            cgi.STATUS_LINES[answer.status],
            self.date(),
            answer.fields,
            request.version_line,
            request.told or b"",
            stream.before,
            status.forwarded(request.forward, stream.tier, stream.collapsed, request.kept_ttl_s, request.not_kept),
            self._timing_line(stream, said) if self._timing and stream.source is None else b"",
            self.via,
            request.id,
            self.connection_line(request),
        )

    def _timing_line(self, stream: Stream, said: Answer) -> bytes:
        """What this answer's own image and machine took. Nothing in it has been waiting for others' turns or room."""
        load = stream.load
        return b"Server-Timing: %brestore;dur=%.3f, guest;dur=%.3f\r\n" % (
            b"" if load is None else b"fetch;dur=%.3f, verify;dur=%.3f, " % (load.fetch_s * 1e3, load.verify_s * 1e3),
            said.restore_us / 1000,
            said.guest_us / 1000,
        )

    def connection_line(self, request: Request) -> bytes:
        """What becomes of the connection, where the version does not say so already."""
        # Who waits for 100 may not know of this answer in time: whether a body or a request follows, nobody can tell.
        if self.draining is not None or (request.expects_continue and not request.complete):
            request.keep_alive = False
        if not request.keep_alive:
            return b"Connection: close\r\n"
        return b"" if request.version == (1, 1) else b"Connection: keep-alive\r\n"

    def date(self) -> bytes:
        """The Date and Server lines, made once a second."""
        now = int(time.time())
        if now != self._date_second:
            self._date_second = now
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\nServer: nunatak\r\n".encode()
        return self._date

    def answer(self, request: Request, stream: Stream, said: Answer) -> None:
        """An answer that is here whole, nearly always in one frame: one write."""
        if request.offer is not None and self.took_socket(request, stream, said):
            return
        payload = said.payload
        block, start = cgi.split_block(payload)
        answer = cgi.answer_head(block, request.on_service_host)
        if answer.local and self.sent_elsewhere(request, stream, answer.local):
            return
        body = payload[start:]
        if stream.parts:
            body = b"".join((body, *stream.parts))
        size = len(body)
        no_body = cgi.without_body(request.method, answer.status)
        if answer.content_length is not None and answer.content_length != size and not (no_body and size == 0):
            raise GuestViolation(f"a body of {answer.content_length} bytes expected, got {size}")
        if self._cached(request, stream, answer, block, body):
            return
        head = self._head(request, stream, said, answer)
        length = cgi.length_line(request.method, answer.status, answer.content_length, size)
        self.begin(request, answer.status, b"%b%b\r\n" % (head, length), b"" if no_body else body)

    async def answer_in_parts(self, request: Request, stream: Stream, said: Answer) -> None:
        """An answer whose body follows in frames: as they come, as fast as the client reads.

        It may return before the guest is at its end, who is to be told so then: `stream.state` says it.
        """
        block, start = cgi.split_block(said.payload)
        answer = cgi.answer_head(block, request.on_service_host)
        if self._cached(request, stream, answer, block, None):
            return
        no_body = cgi.without_body(request.method, answer.status)
        left, chunked = answer.content_length, False
        if left is None and not no_body:
            chunked = request.version >= (1, 1)
            if not chunked:
                request.keep_alive = False  # the end of the connection is the end of the body
        head = self._head(request, stream, said, answer)
        head += cgi.length_line(request.method, answer.status, left, None)
        if chunked:
            head += b"Transfer-Encoding: chunked\r\n"
        stream.abort = request.connection.abort
        self.begin(request, answer.status, head + b"\r\n")
        if no_body:
            return  # it ends with its head, however long the guest would go on
        part: bytes | None = said.payload[start:]
        first = True  # bytes in the HEAD's own frame are outside the window
        try:
            while part is not None:
                if left is not None:
                    left -= len(part)
                    if left < 0:
                        raise GuestViolation(f"a body of {answer.content_length} bytes expected, got more")
                if part:
                    if request.fill is not None and self.caching is not None:
                        self.caching.part_came(request, part)
                    self.write(request, b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                    stream.since, stream.reads = self._loop.time(), False
                    await request.connection.drained()
                    stream.reads = True
                if not first:
                    stream.took(len(part), self._loop.time())
                first = False
                part = await stream.next_part()
            if left:
                raise GuestViolation(f"a body of {answer.content_length} bytes expected, got {left} less")
            if chunked:
                self.write(request, b"0\r\n\r\n")
            if request.fill is not None and self.caching is not None:
                self.caching.all_came(request)
        except NunatakError as error:
            self._counters.cut_answers += 1
            request.cut = stream.cut_by or flow.refusal(error).reason
            _logger.warning(log.line("answer_cut", service=stream.service.name, id=request.id.decode(), reason=error))
            request.connection.abort()
        except ConnectionError:
            self._counters.cut_answers += stream.state == "cut"  # we broke the connection while a part was on its way
        finally:
            if request.fill is not None and self.caching is not None:
                self.caching.over(request)

    # The edge's own.

    def ask_for_body(self, request: Request) -> None:
        """Send 100 (Continue) to a client that waits for it, unless its body or our answer is under way."""
        if not (request.sent or request.complete or request.holds_body):
            request.connection.write(request, b"HTTP/1.1 100 Continue\r\n\r\n")
            request.sent = 0  # the answer proper has not begun
            request.expects_continue = False

    def allowed(self, request: Request) -> bytes:
        """The methods that a 405 names."""
        return heads.ALLOWED

    def refuse(self, request: Request, refusal: flow.Refusal) -> None:
        """The edge's own answer to what cannot be served; of the cause it says what the table of reasons has."""
        code, reason, retry_after_s, limit = refusal
        if not request.complete:
            request.keep_alive = False  # its body is not worth waiting for
        self._counters.add(self._counters.refusals, reason)
        request.refused, request.limit = reason, limit
        stream = request.last
        self._say(
            request,
            code,
            reasons.page(refusal, request.id),
            b"Content-Type: text/plain; charset=utf-8\r\n",
            b"X-Request-Id: %b\r\nX-Nunatak-Error: %b\r\n" % (request.id, reason.encode()),
            status.refused(request.forward, reason, asked=stream is not None and stream.machine is not None)
            if request.service is not None
            else b"",
            request.version_line,
            b"X-Nunatak-Limit: %b\r\n" % limit.encode() if limit else b"",
            b"WWW-Authenticate: Bearer\r\n" if code == 401 else b"",
            b"Allow: %b\r\n" % self.allowed(request) if code == 405 else b"",
            b"Retry-After: %d\r\n" % retry_after_s if retry_after_s else b"",
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" if code == 426 else b"",
        )

    def show(self, request: Request, page: Page) -> None:
        """A page of the edge's own."""
        fields = b"".join(f"{name}: {value}\r\n".encode() for name, value in page.headers.items())
        self._say(request, page.status, page.body, b"Content-Type: %b\r\n" % page.content_type.encode(), fields)

    def _say(self, request: Request, code: int, body: bytes, *fields: bytes) -> None:
        lines = (b"HTTP/1.1 %d %b\r\n" % (code, HTTPStatus(code).phrase.encode()), self.date(), *fields)
        length = b"Content-Length: %d\r\n" % len(body)
        head = b"".join((*lines, length, self.connection_line(request), b"\r\n"))
        self.begin(request, code, head, b"" if request.method == "HEAD" else body)

    def begin(self, request: Request, code: int, head: bytes, body: bytes = b"") -> None:
        """Send the head of an answer, and what is here of its body."""
        request.status, request.head_sent = code, len(head)
        if request.began:
            request.answered_at = time.monotonic()
        self.write(request, head + body if body else head)

    def write(self, request: Request, data: bytes) -> None:
        """Send bytes of an answer."""
        request.connection.write(request, data)
