"""`nunatak console`: an edge's console on 127.0.0.1, for the browser of who may use the edge's Unix socket.

Whoever has an account on this machine may connect to the port, and any web page may send requests there. So it asks
for a token, as an edge on an address does, and by the same rule (`door.refused`). The token is made at the start and
never shown: the page gets it in exchange for a key that its link carries behind the #, where no server, log or Referer
sees it, and each key is good for one exchange. What passes goes to the edge as its owner's, without the browser's own
fields; the edge's audit log then names the user and this process.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from edge.common import log, unix_socket
from edge.common.listening import opening
from edge.model import flow, routes
from edge.operators import files
from edge.operators.client import Door
from edge.operators.door import refused
from edge.operators.pages import PREFIX

LOOPBACK: Final = "127.0.0.1"
SESSION: Final = PREFIX + "session"  # where a key is exchanged; edges have no such page
KEYS_MAX: Final = 16  # links that nobody has opened yet
# Of an edge's answer, what a browser is told besides its length.
PASSED: Final = ("Content-Type", "X-Nunatak-Error", "X-Request-Id", "Allow", "Retry-After", *files.SAFE)


class Bridge:
    """Passes on what the console asks for."""

    def __init__(self, edge: aiohttp.ClientSession) -> None:
        self._edge = edge
        self._token = secrets.token_urlsafe(32)
        self._keys: list[str] = []

    def link(self, port: int) -> str:
        """Another link, good for one browser."""
        self._keys = [*self._keys[1 - KEYS_MAX :], secrets.token_urlsafe(24)]
        return f"http://{LOOPBACK}:{port}{PREFIX}{files.PAGE}#key={self._keys[-1]}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request of a browser."""
        headers = [(name.lower(), value) for name, value in request.raw_headers]
        exchange = request.path == SESSION and request.method == "POST"
        public = request.method in ("GET", "HEAD") and files.is_public(request.path.removeprefix(PREFIX))
        host = routes.host_name(request.headers.get("Host", "")) or ""
        token = self._key_of(request) or self._token if exchange else self._token
        problem = refused(headers, host, names=(), token=token, public=public)
        if problem is not None:
            return _refusal(problem.refusal)
        if request.can_read_body:
            return _refusal(flow.ClientError("no_body_expected").refusal)
        if exchange:
            if token == self._token:
                return _refusal(flow.ClientError("unauthorized").refusal)
            self._keys.remove(token)
            return web.json_response({"token": self._token}, headers=files.SAFE)
        return await self._pass_on(request)

    def _key_of(self, request: web.BaseRequest) -> str:
        """The key that a request shows, of those that are good; "" for none."""
        shown = request.headers.get("Authorization", "").encode("utf-8", "replace")
        return next((key for key in self._keys if secrets.compare_digest(shown, f"Bearer {key}".encode())), "")

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.raw_path.startswith(PREFIX):
            return _refusal(flow.ClientError("no_such_page").refusal)
        response: web.StreamResponse | None = None
        try:
            url = URL(f"http://edge{request.raw_path}", encoded=True)
            async with self._edge.request(request.method, url) as answer:
                passed = {name: answer.headers[name] for name in PASSED if name in answer.headers}
                response = web.StreamResponse(status=answer.status, headers=passed)
                await response.prepare(request)
                if request.method != "HEAD":
                    async for data in answer.content.iter_any():
                        await response.write(data)
        except aiohttp.ClientError:
            if response is None:
                return _refusal(flow.ClientError("edge_away").refusal)
            if request.transport is not None:
                request.transport.abort()  # one of both has left: what has begun is visibly not whole
            return response
        await response.write_eof()
        return response


def _refusal(refusal: flow.Refusal) -> web.Response:
    text = f"{refusal.status} {refusal.reason}\n"
    return web.Response(status=refusal.status, text=text, headers={**files.SAFE, "X-Nunatak-Error": refusal.reason})


@asynccontextmanager
async def running(socket: Path, port: int) -> AsyncIterator[tuple[Bridge, int]]:
    """A bridge that serves until the block is left, and its port.

    :param socket: of the edge. :param port: 0 takes a free one.
    :raises OperatorError: the port is taken.
    """
    with unix_socket.reachable(socket) as address:
        timeout = aiohttp.ClientTimeout(total=None)  # feeds have no end
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(address), timeout=timeout, auto_decompress=False
        ) as edge:
            bridge = Bridge(edge)
            server = web.Server(bridge.handle, access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=1.0)
            await runner.setup()
            try:
                with opening("--port", LOOPBACK, port):
                    await web.TCPSite(runner, LOOPBACK, port).start()
                yield bridge, runner.addresses[0][1]
            finally:
                await runner.cleanup()


async def serve(socket: Path, port: int) -> None:
    """Serve until it is interrupted; a line on stdin is a wish for another link.

    :raises OperatorError: no edge is there, or the port is taken.
    """
    Door(socket).connect().close()  # so that a wrong path is told here and not in the browser
    async with running(socket, port) as (bridge, bound):
        log.announce(f"the console, once: {bridge.link(bound)}\nEnter: another link. Ctrl-C: end.")
        loop = asyncio.get_running_loop()

        def another() -> None:
            if sys.stdin.readline():
                log.announce(f"the console, once: {bridge.link(bound)}")
            else:
                loop.remove_reader(sys.stdin)

        with suppress(OSError, ValueError):  # stdin is a file, or closed
            loop.add_reader(sys.stdin, another)
        await asyncio.Event().wait()
