"""Unix sockets at paths of any length.

The kernel takes 107 octets of path in an address (unix(7)); a folder may lie deeper. So a socket's folder is opened and
the socket named through that descriptor, `/proc/self/fd/N/NAME`. Blocking; nothing here waits.
"""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vmimage.errors import OperatorError

NAME_MAX: Final = 80  # octets of the file's own name: what `/proc/self/fd/` and any number of a descriptor leave
THROUGH: Final = "/proc/self/fd/"  # what names of sockets that were made here begin with, for the kernel
BACKLOG: Final = 16
_PROBE_S: Final = 1.0  # a listener answers a connection at once, its queue being the kernel's


@contextmanager
def _folder_of(path: Path) -> Iterator[tuple[int, str]]:
    """A descriptor of the socket's folder, and the address of the socket through it.

    :raises OperatorError: a name that is too long.
    :raises OSError: no such folder.
    """
    if len(os.fsencode(path.name)) > NAME_MAX:
        raise OperatorError(f"{path}: a socket's name of at most {NAME_MAX} octets expected: name a shorter one")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder, f"{THROUGH}{folder}/{path.name}"
    finally:
        os.close(folder)


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """The address of a socket, for those who connect by themselves while the block is not left.

    :raises OperatorError: a name that is too long.
    :raises OSError: no such folder.
    """
    with _folder_of(path) as (_, address):
        yield address


def listen(path: Path, *, mode: int = 0o600, backlog: int = BACKLOG) -> socket.socket:
    """A socket that listens at `path`, for this user alone unless `mode` says otherwise.

    What a process that has ended left there is replaced.

    :raises OperatorError: somebody listens there, it is no socket, or it cannot be made.
    """
    try:
        with _folder_of(path) as (folder, address):
            fcntl.flock(folder, fcntl.LOCK_EX)  # two that look at once would both find nobody; ends with the descriptor
            _clear(path, folder, address)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            listener.bind(address)
            os.chmod(path.name, mode, dir_fd=folder)
            listener.listen(backlog)  # only now somebody can connect
            listener.setblocking(False)
            return listener
    except OSError as error:
        raise OperatorError(f"unix:{path}: {error.strerror or error}") from error


def _clear(path: Path, folder: int, address: str) -> None:
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OperatorError(f"unix:{path}: a socket or nothing expected there, found another file: name another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            os.unlink(path.name, dir_fd=folder)  # nobody has it any more
            return
        except (BlockingIOError, TimeoutError):
            pass  # its queue is full: somebody is there
    raise OperatorError(
        f"unix:{path}: another process listens there: end it (ss -lxp says which), or name another path"
    )


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to who listens at `path`.

    :raises OperatorError: nobody does, or it is not for this user.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout_s)
        with _folder_of(path) as (_, address):
            connection.connect(address)
    except OSError as error:
        connection.close()
        raise OperatorError(f"unix:{path}: {error.strerror or error}") from None
    return connection
