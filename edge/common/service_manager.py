"""The service manager that may have started this process: what it is told, and the listeners that it holds for us.

Two protocols of systemd that others speak too. sd_notify(3): a datagram of NAME=VALUE lines to the socket that
NOTIFY_SOCKET names. sd_listen_fds(3): sockets that listen already, from descriptor 3 on, with names. Where nobody asked
for either, nothing is told and nothing is held. What is told never fails: a manager that is gone misses nothing.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from vmimage.errors import OperatorError

FIRST_FD: Final = 3  # SD_LISTEN_FDS_START
LISTENERS_MAX: Final = 16  # of one program
PINGS: Final = 2  # of the watchdog in its time: sd_watchdog_enabled(3) recommends half of it


class Held(NamedTuple):
    """A listener that the manager has opened."""

    name: str  # FileDescriptorName= of the socket unit; where that says nothing, the unit's own name
    socket: socket.socket


class ServiceManager:
    """The manager as this process's environment names it."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """:param environment: that of the process, unless given."""
        self._environment = os.environ if environment is None else environment
        at = self._environment.get("NOTIFY_SOCKET", "")
        self._at = "\0" + at[1:] if at.startswith("@") else at  # an abstract socket (unix(7))

    def tell(self, *lines: str) -> None:
        """Send lines such as READY=1."""
        if not self._at:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(1.0)  # a manager whose queue is full for so long has other sorrows
            to.connect(self._at)
            to.sendall("\n".join(lines).encode())

    def ready(self, status: str) -> None:
        """The service takes work; also after `reloading`."""
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows, whatever came of it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={now_us}", "STATUS=reads its configuration again")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self.tell("STOPPING=1", f"STATUS={status}")

    @property
    def ping_s(self) -> float:
        """How often `ping` must be called, in seconds; 0 where nobody watches."""
        watched = self._environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        text = self._environment.get("WATCHDOG_USEC", "")
        return int(text) / 1e6 / PINGS if watched and text.isascii() and text.isdigit() else 0.0

    def ping(self) -> None:
        """A sign of life."""
        self.tell("WATCHDOG=1")

    def held(self) -> list[Held]:
        """The listeners that are held for this process; they stay open when it ends. Each is taken once.

        :raises OperatorError: what is there are no sockets that listen.
        """
        if self._environment.get("LISTEN_PID") != str(os.getpid()):
            return []
        text = self._environment.get("LISTEN_FDS", "")
        count = int(text) if text.isascii() and text.isdigit() else 0
        if count > LISTENERS_MAX:
            raise OperatorError(
                f"LISTEN_FDS: at most {LISTENERS_MAX} sockets expected, got {count}: name fewer with ListenStream="
            )
        names = self._environment.get("LISTEN_FDNAMES", "").split(":")
        names += [""] * (count - len(names))
        return [Held(names[index], listener(FIRST_FD + index)) for index in range(count)]


def listener(descriptor: int) -> socket.socket:
    """A socket that listens, and that no program which is started inherits.

    :raises OperatorError: the descriptor is none.
    """
    try:
        found = socket.socket(fileno=descriptor)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OperatorError(
            f"descriptor {descriptor}: a socket that listens expected: {error.strerror}: give one with ListenStream="
        ) from None
    if found.type != socket.SOCK_STREAM or not listens:
        found.detach()
        raise OperatorError(f"descriptor {descriptor}: a stream socket that listens expected: set Accept=no")
    found.set_inheritable(False)
    found.setblocking(False)
    return found
