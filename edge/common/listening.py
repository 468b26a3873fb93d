"""Why a server cannot listen where it was told to, in words that help whoever told it.

For listeners of edges, parents and origins, whichever library opens the socket; Unix sockets are opened by
`unix_socket`, which says so itself.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vmimage.errors import OperatorError

EVERYWHERE: Final = "*"  # all addresses of both families
REMEDIES: Final = {
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in a systemd unit)",
    errno.EADDRINUSE: "another process listens there (ss -ltnp says which): end it, or name another port",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address: name one of its own (ip address), or *",
}


@contextmanager
def opening(option: str, host: str, port: int) -> Iterator[None]:
    """Name the place and say what to do where a listener cannot be opened in this block.

    :param option: that says where. :param host: a name or address, or EVERYWHERE.
    :raises OperatorError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OperatorError(f"{option} {shown(host)}:{port}: {_why(error)}") from error


def to_bind(host: str) -> str | None:
    """The host as event loops and the resolver take it."""
    return None if host == EVERYWHERE else host


def shown(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def url_of(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """A listener's address as its URL."""
    return f"http://{shown(address[0])}:{address[1]}"


def _why(error: OSError) -> str:
    """What the system says, and what would help: event loops put words of their own into the place."""
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}: an address, or a name that this machine knows, expected"
    if error.errno is None:
        return str(error)
    remedy = REMEDIES.get(error.errno)
    return os.strerror(error.errno) + (f": {remedy}" if remedy is not None else "")
