"""Requests that peers forward, taken as if their clients had come here: the same front, caches, machines and limits.

An edge that shares images alone takes none: who names its members could else speak for clients there, and images are
to trust nobody. A peer says who the client is and how it came, under which name and trace the request goes, and what
it must not be answered with. It is answered here, whoever owns its service by now, or given back before anything was
done for it: so no request is forwarded twice."""

import asyncio
from typing import Final, Literal

from edge.catalogue.directory import Directory
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.front.connection import Connection
from edge.front.http import Front
from edge.front.page import Page
from edge.front.request import Request
from edge.model import routes
from edge.model.services import Service
from edge.peers.said import ELSEWHERE, parse_forwarded_by_peer
from vmimage.errors import NunatakError

MISDIRECTED: Final = 421  # RFC 9110 section 15.5.20


class Taking:
    """Those of one edge."""

    def __init__(
        self, front: Front, directory: Directory, config: EdgeConfig, tasks: Tasks, counters: Counters
    ) -> None:
        self._front, self._directory, self._tasks, self._counters = front, directory, tasks, counters
        self._loop = asyncio.get_running_loop()
        self.reconfigure(config)

    def reconfigure(self, config: EdgeConfig) -> None:
        """Go by other options from the next request on."""
        self._shares = config.share != "images"

    def take(self, request: Request, said: bytes) -> None:
        """Begin with a request. :param said: by the peer, of its client."""
        if not self._shares:
            self._give_back(request, "not-shared")
            return
        forwarded = parse_forwarded_by_peer(said)
        if forwarded is None:
            self._give_back(request, "unread")
            return
        connection = request.connection
        assert isinstance(connection, Connection)
        connection.remote, connection.reached = forwarded.remote, forwarded.reached
        request.told, request.came_at = b"", self._loop.time()
        if forwarded.void_ms is not None:
            request.not_before = request.came_at - forwarded.void_ms / 1000
        request.loops = request.loops.rpartition(",")[0]  # the peer's own, which is no edge that a guest has asked
        self._front.marks.adopt(request, forwarded.id)
        route = routes.route(request.host, request.target, self._directory.service_host)
        if route is None:
            self._give_back(request, "unknown")
            return
        kind, name = route.kind, route.name
        if kind == "nobody":
            self._give_back(request, "unknown")
            return
        known = (self._directory.by_host if kind == "host" else self._directory.by_name).get(name)
        if known is not None:
            self._begin(request, known, forwarded.image)
        else:
            request.task = self._tasks.spawn("peer", self._look_up(request, kind, name, forwarded.image))

    async def _look_up(self, request: Request, kind: Literal["host", "service"], name: str, image: str) -> None:
        try:
            service = await self._directory.find(kind, name)
        except NunatakError:
            self._give_back(request, "unknown")
            return
        request.task = None
        self._begin(request, service, image)

    def _begin(self, request: Request, service: Service, image: str) -> None:
        if self._front.draining is not None:
            self._give_back(request, "draining")
        elif service.candidate is not None:
            self._give_back(request, "release")
        elif service.release.manifest_digest != image:
            self._directory.look_now()  # one of the two is behind
            self._give_back(request, "other-image")
        else:
            self._counters.add(self._counters.peer_requests, "taken")
            self._front.take(request)

    def _give_back(self, request: Request, why: str) -> None:
        """Say that nothing was done, so that the peer may do it."""
        self._counters.add(self._counters.peer_requests, why)
        request.told, request.id = None, request.id or b"peer"
        self._front.show(request, Page(MISDIRECTED, b"", headers={ELSEWHERE.decode(): why}))
        request.connection.finished(request)

    def gone(self, request: Request) -> None:
        """The peer left before the answer was complete: its client has, or it has ended."""
        if request.connection in self._front.busy:
            self._front.gone(request)
        elif request.task is not None:
            request.task.cancel()
