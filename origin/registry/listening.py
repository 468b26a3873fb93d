"""Where an origin listens: an address and port, or a Unix socket that a proxy on the same machine connects to."""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from vmimage.errors import OperatorError

SOCKET_MODE: Final = 0o666  # whoever may enter its folder, as an address is for all of a machine; changes need a token
EVERYWHERE: Final = "*"  # all addresses of both families
PATH_MAX: Final = 107  # octets in an address (unix(7))
_REMEDIES: Final = {
    errno.EACCES: ": ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in a systemd unit)",
    errno.EADDRINUSE: ": another process listens there (ss -ltnp says which): end it, or name another port",
    errno.EADDRNOTAVAIL: ": no interface of this machine has that address: name one of its own (ip address), or *",
}
_PROBE_S: Final = 1.0  # a listener answers a connection at once, its queue being the kernel's


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
        try:
            await web.SockSite(runner, _unix_listener(host)).start()
        except OSError as error:
            raise OperatorError(f"--listen unix:{host}: {error.strerror or error}") from None
        return f"unix:{host}"
    try:
        await web.TCPSite(runner, None if host == EVERYWHERE else host, port).start()
    except OSError as error:
        raise OperatorError(f"--listen {host}:{port}: {_why(error)}") from None
    return _place(runner.addresses[0])


async def take_over(runner: web.AppRunner, given: Sequence[socket.socket]) -> str:
    """Take connections from now on, on sockets that a service manager has opened; the first, as people are told.

    :param given: at least one, listening.
    """
    for each in given:
        await web.SockSite(runner, each).start()
    return _place(given[0].getsockname())


def _place(bound: str | tuple[str, int]) -> str:
    if isinstance(bound, str):
        return f"unix:{bound}"
    return f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"


def unlisten(host: str | Path) -> None:
    """Leave no socket behind."""
    if isinstance(host, Path):
        host.unlink(missing_ok=True)


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno is None:
        return f"{error.strerror or error}: name an address, or a name that this machine knows"
    return os.strerror(error.errno) + _REMEDIES.get(error.errno, "")


def _unix_listener(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > PATH_MAX:
        raise OperatorError(f"--listen unix:{path}: a path of at most {PATH_MAX} octets expected: name a shorter one")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
    except OSError:
        listener.close()
        raise
    return listener


def _clear(path: Path) -> None:
    """Remove the socket of an origin that has ended; nothing else.

    :raises OperatorError: somebody listens there, or it is no socket.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OperatorError(
                f"--listen unix:{path}: a socket or nothing expected there, found another file: name another path"
            )
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # nobody has it any more
            return
        except (BlockingIOError, TimeoutError):
            pass  # its queue is full: somebody is there
    raise OperatorError(
        f"--listen unix:{path}: another process listens there: end it (ss -lxp says which), or name another path"
    )
