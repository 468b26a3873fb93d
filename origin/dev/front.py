"""The edge's HTTP front with a developer's eyes: every request is logged, every failure explained to the client.

Requests go the edge's own way (`edge.front.http`, supervisor, worker); what differs is only what is said about them.
"""

import asyncio
import time
from collections.abc import Callable

from edge.common.counters import Counters
from edge.config.options import EdgeConfig
from edge.front.http import Front
from edge.front.page import Page
from edge.front.request import Request
from edge.model.flow import ClientError
from edge.model.streams import Stream
from edge.supervisor.supervisor import Supervisor
from edge.vmm.wire import frames
from origin.dev.local import is_own_host
from origin.dev.page import HEADERS, Problem, run_problem
from vmimage.errors import NunatakError


class About:
    """What is known of one request when it is over."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.status = 0  # 0: the client left before there was one
        self.head = 0  # bytes before the body
        self.guest_us: int | None = None
        self.engine = ""
        self.tier = ""  # where the machine was: resident is warm, all else is cold
        self.problem: Problem | None = None

    def line(self, method: str, path: str, request: Request) -> str:
        """A line in the log; of an answer it counts the body's bytes, with its framing where it is chunked."""
        outcome = f"goes on at {request.target}" if request.redirected else str(self.status or "client gone")
        words = [method, path, outcome, f"{request.sent - self.head} B"]
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
        config: EdgeConfig,
        counters: Counters,
        say: Callable[[str, Problem | None], None],
    ) -> None:
        super().__init__(supervisor, config, counters)
        self.built = asyncio.Event()  # the first build has ended, well or not
        self.broken: Problem | None = None  # why the source as it is now is no program
        self._say_line = say
        self._about: dict[Request, About] = {}  # of those under way

    def take(self, request: Request) -> None:
        """Begin with a request: here each has a task."""
        request.id = self.request_id()
        self.busy.add(request.connection)
        request.task = self._supervisor.tasks.spawn("request", self.take_in_task(request))

    async def handle(self, request: Request) -> None:
        """One request, from its head to the last byte of its answer."""
        about = self._about[request] = About()
        method, path = request.method, request.target
        try:
            await self.built.wait()
            if self.broken is not None and self._is_ours(request):
                self._show(request, about, self.broken)
            else:
                await super().handle(request)
        finally:
            del self._about[request]
            self._say_line(about.line(method, path, request), about.problem)

    def _is_ours(self, request: Request) -> bool:
        """Whether it names one of this server's own hosts: under others nothing is shown, not even compilers' words."""
        route = None if request.error else self._route(request)
        return route is not None and is_own_host(route.name)

    def answering(self, request: Request, stream: Stream, status: int, guest_us: int, engine: int) -> None:
        """An answer begins."""
        about = self._about[request]
        about.guest_us, about.engine = guest_us, dict(enumerate(frames.ENGINES)).get(engine, "")
        about.tier = stream.tier

    async def explain(self, request: Request, error: NunatakError | ClientError) -> None:
        """Say what happened, with names for addresses as soon as there are any."""
        if not isinstance(error, NunatakError):  # the request itself is at fault
            await super().explain(request, error)
            return
        await self._supervisor.reports.named()
        image = None
        for service in self._supervisor.directory.by_name.values():  # there is one
            service.crashes_in_row, service.pause_until = 0, 0.0  # who develops wants to see it crash again
            held = self._supervisor.images.held.get(service.release.manifest_digest)
            image = held.manifest if held else None
        self._counters.add(self._counters.refusals, error.counter)
        self._show(request, self._about[request], run_problem(error, image))

    def write(self, request: Request, data: bytes) -> None:
        """The first bytes of an answer are its head and perhaps all of it."""
        about = self._about.get(request)
        if about is not None and not about.head:
            about.head = data.find(b"\r\n\r\n") + 4
            about.status = int(data[9:12])
        super().write(request, data)

    def _show(self, request: Request, about: About, problem: Problem) -> None:
        for_browser = "text/html" in request.header(b"accept")
        if problem is not self.broken:  # that one was said when it came up
            about.problem = problem
        self.show(
            request,
            Page(
                problem.status,
                (problem.html() if for_browser else problem.text()).encode(),
                f"text/{'html' if for_browser else 'plain'}; charset=utf-8",
                {**HEADERS, "X-Nunatak-Error": problem.kind},
            ),
        )
