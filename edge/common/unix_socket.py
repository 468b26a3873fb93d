"""Unix sockets at paths of any length.

The kernel takes 107 octets of path in an address (unix(7)); a folder may lie deeper. So a socket's folder is opened and
the socket named through that descriptor, `/proc/self/fd/N/NAME`. Who else may write in that folder can put another file
in a socket's place at any moment, so nothing that is done to the file follows a link, and what is not the socket that
was made here is left alone. Blocking; nothing here waits.
"""

import fcntl
import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vmimage.errors import OperatorError

NAME_MAX: Final = 80  # octets of the file's own name: what `/proc/self/fd/` and any number of a descriptor leave
THROUGH: Final = "/proc/self/fd/"  # what names of sockets that were made here begin with, for the kernel
BACKLOG: Final = 16
_PROBE_S: Final = 1.0  # a listener answers a connection at once, its queue being the kernel's

File = tuple[int, int]  # the device and the inode of a socket's file


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


def listen(path: Path, *, mode: int = 0o600, user: str = "", group: str = "", backlog: int = BACKLOG) -> socket.socket:
    """A socket that listens at `path`, for this user alone unless `mode` says otherwise.

    What a process that has ended left there is replaced.

    :param user: whose the file is to be, a name or number; this user's where it is empty. :param group: as well.
    :raises OperatorError: somebody listens there, it is no socket, it cannot be made, or there is no such user.
    """
    whose = owner(user, group)
    try:
        with _folder_of(path) as (folder, address):
            fcntl.flock(folder, fcntl.LOCK_EX)  # two that look at once would both find nobody; ends with the descriptor
            _clear(path, folder, address)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            listener.bind(address)
            _permit(path.name, folder, mode, whose)
            listener.listen(backlog)  # only now somebody can connect
            listener.setblocking(False)
            return listener
    except OSError as error:
        raise OperatorError(f"unix:{path}: {error.strerror or error}") from error


def permit(path: Path, *, mode: int, user: str = "", group: str = "") -> None:
    """Give the socket at `path` another mode and owner, as `listen` would have.

    :raises OperatorError: there is none of this user's, or it cannot be given away.
    """
    whose = owner(user, group)
    try:
        with _folder_of(path) as (folder, _):
            _permit(path.name, folder, mode, whose)
    except OSError as error:
        raise OperatorError(f"unix:{path}: {error.strerror or error}") from error


def file_of(path: Path) -> File | None:
    """The socket's file that is there now; None where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def remove(path: Path, file: File) -> None:
    """Remove a socket's file, if it is still that one."""
    if file_of(path) == file:
        path.unlink(missing_ok=True)


def owner(user: str, group: str) -> tuple[int, int]:
    """Numbers of a user and a group, given by name or number; -1 where none is given.

    :raises OperatorError: there is no such one.
    """
    return _number("user", user, lambda: pwd.getpwnam(user).pw_uid), _number(
        "group", group, lambda: grp.getgrnam(group).gr_gid
    )


def _number(kind: str, name: str, look_up: Callable[[], int]) -> int:
    if not name:
        return -1
    try:
        return int(name) if name.isdecimal() else look_up()
    except KeyError:
        raise OperatorError(f"{kind}={name}: a {kind} of this machine expected, there is none of that name") from None


def _permit(name: str, folder: int, mode: int, whose: tuple[int, int]) -> None:
    """Set the mode and the owner of a socket of this user's, through a descriptor of the file itself.

    :raises OSError: it may not be given away. :raises OperatorError: it is no such socket.
    """
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(opened)
        if not stat.S_ISSOCK(found.st_mode) or found.st_nlink != 1:
            raise OperatorError(f"unix:{name}: somebody has put another file in its place: name a folder of your own")
        os.chmod(f"{THROUGH}{opened}", mode)
        if whose != (-1, -1):
            os.chown(f"{THROUGH}{opened}", *whose)
    finally:
        os.close(opened)


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
