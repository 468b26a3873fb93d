"""Where an origin listens: an address and port, or a Unix socket that a proxy on the same machine connects to."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from edge.common import unix_socket
from edge.common.listening import opening, to_bind, url_of
from vmimage.errors import OperatorError

SOCKET_MODE: Final = 0o666  # whoever may enter its folder, as an address is for all of a machine; changes need a token
BACKLOG: Final = 128  # of a Unix socket: who finds it full is refused at once


def parse_listen(text: str) -> tuple[str | Path, int]:
    """Host and port of `--listen`; the path of a Unix socket, and 0.

    :raises OperatorError: neither.
    """
    if text.startswith("unix:") and not text.endswith(("/", ":")):
        return Path(text.removeprefix("unix:")), 0
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    named = bool(bare) and not set(bare) & set("[]/") and (":" in bare) == bracketed
    if not named or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise OperatorError(f"--listen: ADDR:PORT ([ADDR]:PORT for IPv6) or unix:PATH expected, got {text!r}")
    return bare, int(port)


async def listen(runner: web.AppRunner, host: str | Path, port: int) -> str:
    """Take connections from now on; where, as people and programs are told.

    :param host: a name or address, or the path of a Unix socket.
    :raises OperatorError: not there.
    """
    if isinstance(host, Path):
        await web.SockSite(runner, unix_socket.listen(host, mode=SOCKET_MODE, backlog=BACKLOG)).start()
        return f"unix:{host}"
    with opening("--listen", host, port):
        await web.TCPSite(runner, to_bind(host), port).start()
    return _place(runner.addresses[0])


async def take_over(runner: web.AppRunner, given: Sequence[socket.socket]) -> str:
    """Take connections from now on, on sockets that a service manager has opened; the first, as people are told.

    :param given: at least one, listening.
    """
    for each in given:
        await web.SockSite(runner, each).start()
    return _place(given[0].getsockname())


def _place(bound: str | tuple[str, int]) -> str:
    return f"unix:{bound}" if isinstance(bound, str) else url_of(bound)


def unlisten(host: str | Path) -> None:
    """Leave no socket behind."""
    if isinstance(host, Path):
        host.unlink(missing_ok=True)
