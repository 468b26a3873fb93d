"""The edge's HTTP front with a developer's eyes: every request is logged, every failure explained to the client.

Requests go the edge's own way (`edge.front.http`, supervisor, worker); what differs is only what is said about them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from edge.common.counters import Counters
from edge.config.options import EdgeConfig
from edge.front.http import Front
from edge.front.page import Page
from edge.front.request import Request
from edge.model.flow import ClientError
from edge.model.streams import Stream
from edge.supervisor.supervisor import Supervisor
from edge.vmm.wire.streams import ENGINES, Answer
from origin.dev.local import is_own_host
from origin.dev.page import CHANGES, HEADERS, Problem, failure, run_problem
from vmimage.errors import NunatakError

# What runtimes say for a program that failed: JavaScript and Lua 500, CGI 502.
FAILED: Final = {b"500": 500, b"502": 502}
TRACE_LOOKS: Final = 20  # for the stack of a program that answers so, which comes with the answer or right behind it
LOOK_S: Final = 0.01


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
        self.held: tuple[Stream, Answer] | None = None  # an answer that may say that the program failed

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
        self.folders: Sequence[Path] = ()  # that names of its files begin in
        self.builds = 0
        self.changed = asyncio.Event()  # set and replaced with each of them
        self._say_line = say
        self._about: dict[Request, About] = {}  # of those under way

    def take(self, request: Request) -> None:
        """Begin with a request: here each has a task."""
        self.meet(request)
        request.task = self._supervisor.tasks.spawn("request", self.take_in_task(request))

    async def handle(self, request: Request) -> None:
        """One request, from its head to the last byte of its answer."""
        about = self._about[request] = About()
        method, path = request.method, request.target
        asked, _, build = path.partition("?")
        if asked == CHANGES and self._is_ours(request):
            del self._about[request]
            if build == str(self.builds):
                await self.changed.wait()
            self.show(request, Page(204, b"", headers={"Cache-Control": "no-store"}))
            return
        try:
            await self.built.wait()
            if self.broken is not None and self._is_ours(request):
                self._show(request, about, self.broken)
            else:
                await super().handle(request)
                if about.held is not None:
                    await self._answer_for(request, about, *about.held)
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
        about.guest_us, about.engine = guest_us, ENGINES[engine]
        about.tier = stream.tier

    def answer(self, request: Request, stream: Stream, said: Answer) -> None:
        """An answer that is here whole; one that may be a runtime's, for a program that failed, waits for its stack."""
        about = self._about.get(request)
        if about is None or about.held is not None or said.payload[7:10] not in FAILED or not self._is_ours(request):
            super().answer(request, stream, said)
        else:
            about.held = stream, said
            self.answering(request, stream, 0, said.guest_us, said.engine)

    async def _answer_for(self, request: Request, about: About, stream: Stream, said: Answer) -> None:
        identifier, lines, trace = request.id.decode(), self._supervisor.lines, None
        for _ in range(TRACE_LOOKS):
            await lines.settled(stream.service)
            trace = lines.traces.of(stream.service.name, (identifier,))
            if trace is not None:
                break
            await asyncio.sleep(LOOK_S)
        if trace is None:
            self.answer(request, stream, said)
            return
        asked = f"{request.method} {request.target} ({identifier})"
        self._show(request, about, failure(FAILED[said.payload[7:10]], trace, asked, self.folders))

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
        self._show(request, self._about[request], run_problem(error, image, self.folders))

    def write(self, request: Request, data: bytes) -> None:
        """The first bytes of an answer are its head and perhaps all of it."""
        about = self._about.get(request)
        if about is not None and not about.head:
            about.head = data.find(b"\r\n\r\n") + 4
            about.status = int(data[9:12])
        super().write(request, data)

    def _show(self, request: Request, about: About, problem: Problem) -> None:
        for_browser = "text/html" in request.header(b"accept")
        build = self.builds if request.method == "GET" else None
        self._caching.over(request)  # those who ask for the same go on by themselves
        about.status = problem.status
        if problem is not self.broken:  # that one was said when it came up
            about.problem = problem
        self.show(
            request,
            Page(
                problem.status,
                (problem.html(build) if for_browser else problem.text()).encode(),
                f"text/{'html' if for_browser else 'plain'}; charset=utf-8",
                {**HEADERS, **({"X-Nunatak-Error": problem.kind} if problem.kind else {})},
            ),
        )
