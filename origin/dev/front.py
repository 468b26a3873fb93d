"""The edge's HTTP front with a developer's eyes: every request is logged, every failure explained to the client.

Requests go the edge's own way (`edge.http`, supervisor, worker); what differs is only what is said about them.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from edge import flow
from edge.admin import Admin
from edge.config import EdgeConfig
from edge.counters import Counters
from edge.http import Front
from edge.streams import Stream
from edge.supervisor import Supervisor
from edge.vmm import frames
from origin.dev.page import HEADERS, Problem, run_problem
from vmimage.errors import NunatakError

_ABOUT: Final = "nunatak.about"  # what a request carries of itself


class About:
    """What is known of one request when it is over."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.status = 0  # 0: the client left before there was one
        self.head = 0  # bytes before the body; 0 where aiohttp makes the head
        self.size = 0  # bytes of a body that was made here
        self.guest_us: int | None = None
        self.engine = ""
        self.tier = ""  # where the machine was: resident is warm, all else is cold
        self.problem: Problem | None = None

    def line(self, method: str, path: str, sent: int) -> str:
        """The request's line in the log; of `sent` bytes it counts the body's, with its framing where it is chunked."""
        words = [method, path, str(self.status) if self.status else "client gone", f"{self.size or sent - self.head} B"]
        if self.guest_us is not None:
            words.append(f"guest {self.guest_us / 1000:.3f} ms on {self.engine}")
        if self.tier:
            words.append("warm" if self.tier == "resident" else f"cold ({self.tier})")
        words.append(f"total {(time.monotonic() - self.began) * 1000:.1f} ms")
        return "  ".join(words)


class DevFront(Front):
    """All client connections of `nunatak dev`.

    :param say: takes each request's line and, where there was one, its problem.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        admin: Admin,
        config: EdgeConfig,
        counters: Counters,
        say: Callable[[str, Problem | None], None],
    ) -> None:
        super().__init__(supervisor, admin, config, counters)
        self.built = asyncio.Event()  # the first build has ended, well or not
        self.broken: Problem | None = None  # why the source as it is now is no program
        self._say = say

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its head to the last byte of its answer."""
        about = request[_ABOUT] = About()
        try:
            await self.built.wait()
            if self.broken is not None and not request.raw_path.startswith(flow.ADMIN_PREFIX):
                return self._show(request, self.broken)
            answer = await super().handle(request)
            about.status = about.status or answer.status  # of an admin page
            return answer
        finally:
            sent = request.writer.output_size
            self._say(about.line(request.method, request.raw_path, sent), about.problem)

    def answering(self, request: web.BaseRequest, stream: Stream, status: int, guest_us: int, engine: int) -> None:
        """An answer begins."""
        about: About = request[_ABOUT]
        about.status, about.guest_us, about.engine = status, guest_us, dict(enumerate(frames.ENGINES)).get(engine, "")
        about.tier = stream.tier

    async def explain(self, request: web.BaseRequest, request_id: bytes, error: BaseException) -> web.StreamResponse:
        """Say what happened, with names for addresses as soon as there are any."""
        if not isinstance(error, NunatakError):  # the request itself is at fault
            return await super().explain(request, request_id, error)
        await self._supervisor.reports.named()
        image = None
        for service in self._supervisor.directory.by_name.values():  # there is one
            service.crashes_in_row, service.pause_until = 0, 0.0  # who develops wants to see it crash again
            held = self._supervisor.images.held.get(service.release.manifest_digest)
            image = held.manifest if held else None
        self._counters.add(self._counters.refusals, error.counter)
        return self._show(request, run_problem(error, image))

    def refuse(
        self, request: web.BaseRequest, request_id: bytes, refusal: flow.Refusal, *, close: bool = False
    ) -> web.StreamResponse:
        """The edge's own answer to what cannot be served."""
        if _ABOUT in request:
            request[_ABOUT].status = refusal.status
        return super().refuse(request, request_id, refusal, close=close)

    def _write(self, request: web.BaseRequest, data: bytes) -> None:
        """The first bytes of an answer, which are its head and perhaps all of it."""
        if _ABOUT in request and not request[_ABOUT].head:
            request[_ABOUT].head = data.find(b"\r\n\r\n") + 4
        super()._write(request, data)

    def _show(self, request: web.BaseRequest, problem: Problem) -> web.StreamResponse:
        about: About = request[_ABOUT]
        for_browser = "text/html" in request.headers.get("Accept", "")
        body = (problem.html() if for_browser else problem.text()).encode()
        about.status, about.size = problem.status, len(body)
        if problem is not self.broken:  # that one was said when it came up
            about.problem = problem
        headers = {**HEADERS, "Server": "nunatak", "X-Nunatak-Error": problem.kind}
        return web.Response(
            status=problem.status,
            body=body,
            content_type="text/html" if for_browser else "text/plain",
            charset="utf-8",
            headers=headers,
        )
