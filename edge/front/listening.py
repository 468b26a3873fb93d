"""Where connections come from: an address and port, every address of the machine, a Unix socket; opened or handed over.

Errors are the operator's to fix, so each says what was wanted, what the system said, and what would help.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge.common import unix_socket
from edge.common.listening import opening, shown, to_bind
from edge.config.listeners import Listener
from edge.front.reached import PLAIN_PORT

UNIX_BACKLOG: Final = 128  # at least: who finds a Unix socket's backlog full is refused at once, and not asked to wait

Connect = Callable[[int], asyncio.BaseProtocol]  # makes the protocol of a connection that came to this port


@dataclass(frozen=True)
class Bound:
    """A listener that takes connections."""

    servers: Sequence[Any]  # asyncio.Server, or uvloop's, which is none of it by inheritance
    listeners: list[tuple[str, int]]  # addresses and ports; none for a Unix socket
    where: str  # for people and programs: a URL, or unix:PATH
    file: tuple[Path, unix_socket.File] | None = None  # of a Unix socket that an edge has opened

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

    def remove_file(self) -> None:
        """Leave no Unix socket behind, where an edge has opened it and nobody has it now."""
        if self.file is not None:
            unix_socket.remove(*self.file)


async def bind(connect: Connect, wanted: Listener, option: str, backlog: int) -> Bound:
    """Take connections from now on.

    :param wanted: with a place to open. :param option: that said where.
    :raises OperatorError: not there.
    """
    loop, at = asyncio.get_running_loop(), wanted.at
    assert at is not None
    if isinstance(at, Path):
        backlog = max(backlog, UNIX_BACKLOG)
        listener = unix_socket.listen(at, mode=wanted.mode, user=wanted.user, group=wanted.group, backlog=backlog)
        server = await loop.create_unix_server(partial(connect, PLAIN_PORT), sock=listener, backlog=backlog)
        return Bound([server], [], f"unix:{at}", _file(at))
    host, port = at
    known = [port]
    to_known = lambda: connect(known[0])  # noqa: E731  # the same for both ways
    with opening(option, host, port):
        if wanted.both:
            server = await loop.create_server(to_known, sock=_of_both_families(host, port), backlog=backlog)
        else:
            server = await loop.create_server(to_known, to_bind(host), port, backlog=backlog)
    sockets: Sequence[socket.socket] = server.sockets  # a list in uvloop, whatever asyncio's types say
    listeners = [bound.getsockname()[:2] for bound in sockets]
    known[0] = listeners[0][1]  # of port 0 nobody knew it before
    name = to_bind(host) or listeners[0][0]
    return Bound([server], listeners, f"http://{shown(name)}:{listeners[0][1]}")


def _of_both_families(host: str, port: int) -> socket.socket:
    """A socket of IPv6 that takes connections of IPv4 too."""
    opened = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


async def take_over(
    connect: Connect, given: Sequence[socket.socket], wanted: Listener, backlog: int, *, ours: bool = False
) -> Bound:
    """Take connections from now on, on sockets that listen already: a service manager's, or those of an edge before.

    :param given: at least one. :param wanted: what the option says, which names a Unix socket that an edge has opened.
    :param ours: an edge has opened them, so that mode and owner of a Unix socket are the option's.
    :raises OperatorError: these cannot be set.
    """
    loop = asyncio.get_running_loop()
    servers: list[Any] = []
    listeners: list[tuple[str, int]] = []
    where = []
    file = None
    for listening in given:
        if listening.family == socket.AF_UNIX:
            name = os.fsdecode(listening.getsockname())
            if isinstance(wanted.at, Path) and name.startswith(unix_socket.THROUGH):
                name = str(wanted.at)
                if ours:
                    unix_socket.permit(wanted.at, mode=wanted.mode, user=wanted.user, group=wanted.group)
                    file = _file(wanted.at)
            where.append(f"unix:{name}")
            to_it = partial(connect, PLAIN_PORT)
            server: Any = await loop.create_unix_server(to_it, sock=listening, backlog=backlog)
        else:
            host, port = listening.getsockname()[:2]
            listeners.append((host, port))
            where.append(f"http://{shown(host)}:{port}")
            server = await loop.create_server(partial(connect, port), sock=listening, backlog=backlog)
        servers.append(server)
    return Bound(servers, listeners, where[0], file)


def _file(path: Path) -> tuple[Path, unix_socket.File] | None:
    file = unix_socket.file_of(path)
    return (path, file) if file is not None else None
