"""Where an edge listens: an address and port, every address of the machine, or a Unix socket.

Errors are the operator's to fix, so each says what was wanted, what the system said, and what would help.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.common import unix_socket
from vmimage.errors import OperatorError

EVERYWHERE: Final = "*"  # all addresses of both families
PUBLIC_MODE: Final = 0o666  # whoever may enter the socket's folder, as an address is for all of a machine
UNIX_BACKLOG: Final = 128  # at least: who finds a Unix socket's backlog full is refused at once, and not asked to wait
PLAIN_PORT: Final = 80  # of what comes over a Unix socket, where the client names no other
_REMEDIES: Final = {
    errno.EACCES: ": ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in a systemd unit)",
    errno.EADDRINUSE: ": another process listens there (ss -ltnp says which): end it, or name another port",
    errno.EADDRNOTAVAIL: ": no interface of this machine has that address: name one of its own (ip address), or *",
}


@dataclass(frozen=True)
class Bound:
    """A listener that takes connections."""

    servers: Sequence[Any]  # asyncio.Server, or uvloop's, which is none of it by inheritance
    listeners: list[tuple[str, int]]  # addresses and ports; none for a Unix socket
    where: str  # for people and programs: a URL, or unix:PATH

    @property
    def port(self) -> int:
        """Of the first address."""
        return self.listeners[0][1] if self.listeners else PLAIN_PORT

    @property
    def descriptors(self) -> list[int]:
        """Of the sockets, for who is to listen on them next; open until `close`."""
        return [listening.fileno() for server in self.servers for listening in server.sockets]

    def close(self) -> None:
        """Take no more connections. Who has the sockets too finds those that were not taken."""
        for server in self.servers:
            server.close()


async def bind(
    connect: Callable[[], asyncio.BaseProtocol], at: Path | tuple[str, int], option: str, backlog: int, mode: int
) -> Bound:
    """Take connections from now on.

    :param connect: makes the protocol of one. :param option: that said where. :param mode: of a Unix socket's file.
    :raises OperatorError: not there.
    """
    loop = asyncio.get_running_loop()
    if isinstance(at, Path):
        backlog = max(backlog, UNIX_BACKLOG)
        listener = unix_socket.listen(at, mode=mode, backlog=backlog)
        return Bound([await loop.create_unix_server(connect, sock=listener, backlog=backlog)], [], f"unix:{at}")
    host, port = at
    try:
        server = await loop.create_server(connect, None if host == EVERYWHERE else host, port, backlog=backlog)
    except OSError as error:
        raise OperatorError(f"{option} {_shown(host)}:{port}: {_why(error)}") from error
    sockets: Sequence[socket.socket] = server.sockets  # a list in uvloop, whatever asyncio's types say
    listeners = [bound.getsockname()[:2] for bound in sockets]
    name = listeners[0][0] if host == EVERYWHERE else host
    return Bound([server], listeners, f"http://{_shown(name)}:{listeners[0][1]}")


async def take_over(
    connect: Callable[[], asyncio.BaseProtocol],
    given: Sequence[socket.socket],
    at: Path | tuple[str, int],
    backlog: int,
) -> Bound:
    """Take connections from now on, on sockets that listen already: a service manager's, or those of an edge before.

    :param given: at least one. :param at: what the option says, which names a Unix socket that an edge has opened.
    """
    loop = asyncio.get_running_loop()
    servers: list[Any] = []
    listeners: list[tuple[str, int]] = []
    where = []
    for listening in given:
        if listening.family == socket.AF_UNIX:
            name = os.fsdecode(listening.getsockname())
            opened_by_an_edge = isinstance(at, Path) and name.startswith(unix_socket.THROUGH)
            where.append(f"unix:{at if opened_by_an_edge else name}")
            servers.append(await loop.create_unix_server(connect, sock=listening, backlog=backlog))
        else:
            host, port = listening.getsockname()[:2]
            listeners.append((host, port))
            where.append(f"http://{_shown(host)}:{port}")
            servers.append(await loop.create_server(connect, sock=listening, backlog=backlog))
    return Bound(servers, listeners, where[0])


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}: an address, or a name that this machine knows, expected"
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno) + _REMEDIES.get(error.errno, "")
