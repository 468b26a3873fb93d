"""A parent's pages for operators: metrics, health, readiness. They show, and change nothing.

Who may ask is judged as at an edge's door (`edge.operators.door`): on a Unix socket the file's mode says it, on an
address a token.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiohttp import web

from edge.common.counters import Counters, exposition
from edge.model.clients import CLIENTS
from edge.model.routes import host_name
from edge.operators.door import refused
from edge.sources.standing import Standing


class Pages:
    """All of them."""

    def __init__(
        self,
        counters: Counters,
        standings: Mapping[str, Standing],
        facts: Callable[[], dict[str, Any]],
        token: str,
        names: Collection[str] = (),
    ) -> None:
        """:param standings: of sources, by what they are for. :param facts: more of what is so at this moment.

        :param token: that a request must show; empty on a Unix socket. :param names: hosts it may be asked under.
        """
        self.draining = False
        self.token = token
        self._counters, self._standings, self._facts, self._names = counters, standings, facts, names

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=0)
        app.add_routes(
            [
                web.get("/-/metrics", self._metrics),
                web.get("/-/health", self._health),
                web.get("/-/ready", self._health),
            ]
        )
        return app

    def _admit(self, request: web.Request) -> web.Response | None:
        fields = [(name.encode().lower(), value.encode()) for name, value in request.headers.items()]
        host = host_name(request.headers.get("Host", "")) or ""
        problem = refused(fields, host, names=self._names, token=self.token)
        if problem is None:
            return None
        refusal = problem.refusal
        return web.Response(status=refusal.status, text=f"{refusal.reason}: {CLIENTS[refusal.reason].cause}\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        if (no := self._admit(request)) is not None:
            return no
        body = exposition(self._counters, dict)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _health(self, request: web.Request) -> web.Response:
        if (no := self._admit(request)) is not None:
            return no
        sources = {what: standing.states for what, standing in self._standings.items()}
        away = [what for what, states in sources.items() if states and all(s["state"] != "well" for s in states)]
        status = "draining" if self.draining else "degraded" if away else "ok"
        said = {"status": status, "away": away, "sources": sources, **self._facts()}
        return web.json_response(said, status=503 if self.draining else 200)
