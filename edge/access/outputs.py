"""Where lines go: a file, stdout, a Unix socket. They are written by a thread of their own, which may wait.

Each write is told by `given_up` whether to go on waiting for a reader. What could not be written is lost with the error
that is raised; the next write tries anew, and begins a line of its own.
"""

import os
import select
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from vmimage.errors import OperatorError

STDOUT: Final = "-"
SOCKET: Final = "unix:"
RETRY_S: Final = 1.0  # between two attempts to reach a socket
LOOK_S: Final = 0.2  # between two looks whether to wait on
PIPE_BYTES: Final = 4096  # what a pipe that can be written takes without a wait: PIPE_BUF, pipe(7)
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_MODE: Final = 0o600  # what services are asked for is nobody else's business


class Slow(OSError):
    """Nobody reads, and it was not to be waited for any longer."""


class Output(Protocol):
    """Where lines go."""

    def write(self, data: bytes, given_up: Callable[[], bool]) -> None:
        """Write whole lines.

        :raises OSError: not all of them.
        """

    def reopen(self) -> None:
        """Begin anew: a file that was renamed is made again.

        :raises OSError: it cannot be.
        """

    def close(self) -> None: ...


def opened(place: str) -> Output:
    """An output by its name in options: a file, `-`, or `unix:PATH`.

    :raises OperatorError: the file cannot be written, or is none. A socket may come later.
    """
    if place == STDOUT:
        return Descriptor(1)
    if place.startswith(SOCKET):
        return Stream(place.removeprefix(SOCKET))
    try:
        return File(Path(place).expanduser())
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OperatorError(
            f"access_log: a file that can be written expected at {place}: {why}: make its folder, or name another"
        ) from None


class Descriptor:
    """A descriptor that is not ours to close, stdout: of a file, a terminal or a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._torn = False

    def write(self, data: bytes, given_up: Callable[[], bool]) -> None:
        """Output."""
        if self._torn:
            data = b"\n" + data
        self._torn = True
        view = memoryview(data)
        while view:
            _wait(self._descriptor, given_up)
            view = view[os.write(self._descriptor, view[:PIPE_BYTES]) :]
        self._torn = False

    def reopen(self) -> None:
        """Output: there is nothing to open."""

    def close(self) -> None:
        """Output: it stays open."""


class File:
    """A file that only this user may read, appended to. One that was renamed or removed is made anew.

    :raises OSError: it cannot be opened, or is no file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._torn = False
        self.reopen()

    def write(self, data: bytes, given_up: Callable[[], bool]) -> None:
        """Output."""
        if self._descriptor < 0 or self._moved():
            self.reopen()
        if self._torn:
            data = b"\n" + data
        self._torn = True
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._torn = False

    def reopen(self) -> None:
        """Output."""
        self.close()
        descriptor = os.open(self._path, _FLAGS, _MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, f"a regular file expected ({STDOUT} is stdout, {SOCKET}PATH a socket)")
        self._descriptor, self._torn = descriptor, False

    def close(self) -> None:
        """Output."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _moved(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


class Stream:
    """A Unix socket of a program that collects lines: SOCK_STREAM, to which the edge connects.

    A connection that breaks is made anew; a line that it broke in is not sent again.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._again_at = 0.0

    def write(self, data: bytes, given_up: Callable[[], bool]) -> None:
        """Output."""
        connected = self._socket or self._connect()
        view = memoryview(data)
        try:
            while view:
                _wait(connected.fileno(), given_up)
                try:
                    view = view[connected.send(view, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue
        except OSError:
            self.close()
            raise

    def reopen(self) -> None:
        """Output: what is written next goes to a new connection, at once."""
        self.close()
        self._again_at = 0.0

    def close(self) -> None:
        """Output."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        if time.monotonic() < self._again_at:
            raise ConnectionRefusedError(0, f"{self._path}: nobody listens")
        self._again_at = time.monotonic() + RETRY_S
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(LOOK_S)  # where its backlog is full
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self._socket = made
        return made


def _wait(descriptor: int, given_up: Callable[[], bool]) -> None:
    """Until it takes bytes.

    :raises Slow: it was given up.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    while not poll.poll(0 if (enough := given_up()) else LOOK_S * 1000):
        if enough:
            raise Slow(0, "nobody reads")
