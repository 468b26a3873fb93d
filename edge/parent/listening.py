"""Where a parent takes connections, and how many at once.

aiohttp takes as many as come, and waits for the first request of each without end; here there is a bound for both.
"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from edge.common import unix_socket
from edge.common.listening import opening, to_bind, url_of

FIRST_S: Final = 15.0  # for the first request of a connection
BACKLOG: Final = 1024
SHUTDOWN_S: Final = 10.0  # what requests under way get to finish


class _Refusing(asyncio.Protocol):
    """A connection that is not taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class Door:
    """One listener with an application behind it."""

    def __init__(self, app: web.Application, most: int, refused: Callable[[], None] = lambda: None) -> None:
        """:param most: connections at once. :param refused: is called for each that is too many."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False)
        self._most, self._refused = most, refused
        self._silent: set[Any] = set()  # new connections that have had no request yet
        self._servers: list[asyncio.Server] = []
        self._path: Path | None = None
        self._file: unix_socket.File | None = None
        app.middlewares.insert(0, self._note)

    async def listen(self, option: str, at: Path | tuple[str, int], given: list[socket.socket] | None = None) -> str:
        """Take connections from now on; where, as people and programs are told.

        :param given: sockets that listen already, in place of `at`.
        :raises OperatorError: it cannot be listened on.
        """
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        if given:
            for each in given:
                self._servers.append(await loop.create_server(self._connection, sock=each))
        elif isinstance(at, Path):
            bound = unix_socket.listen(at)  # for its owner alone
            self._path, self._file = at, unix_socket.file_of(at)
            self._servers.append(await loop.create_unix_server(self._connection, sock=bound))
            return f"unix:{at}"
        else:
            with opening(option, *at):
                self._servers.append(await loop.create_server(self._connection, to_bind(at[0]), at[1], backlog=BACKLOG))
        return url_of(self._servers[0].sockets[0].getsockname())

    async def close(self) -> None:
        """Take no more connections, finish what is under way."""
        for server in self._servers:
            server.close()
        if self._path is not None and self._file is not None:
            unix_socket.remove(self._path, self._file)
        await self._runner.cleanup()

    @web.middleware
    async def _note(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        response: web.StreamResponse = await handler(request)
        return response

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self._most:
            self._refused()
            return _Refusing()
        made = server()
        self._silent.add(made)
        asyncio.get_running_loop().call_later(FIRST_S, self._look, made)
        return made

    def _look(self, connection: Any) -> None:
        """End a connection that has said nothing yet."""
        if connection in self._silent:
            self._silent.discard(connection)
            if connection.transport is not None:
                connection.transport.abort()
