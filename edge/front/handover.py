"""Listeners that go from the edge that runs to the one that takes its place, so that no connection is refused between.

The edge that runs listens on a Unix socket in its cache folder. The one that comes connects there and is sent the
listening sockets and the places that they were asked for under; it says TAKE when it has read its configuration. Only
then the edge before takes no more connections, drains, parks its machines and ends, which closes the connection.
Connections wait meanwhile in the queue of the sockets, which both have. One that comes and goes without TAKE has
changed nothing.

The folder is the edge's alone (mode 0700), so who gets here may read its parked machines as well. Who is not of the
same user, or root, is sent away all the same.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge.common import log, unix_socket
from edge.common.service_manager import LISTENERS_MAX, listener
from vmimage.errors import OperatorError

NAME: Final = "handover.sock"
VERSION: Final = 2
TAKE: Final = b"take\n"
MESSAGE_MAX: Final = 16 << 10  # bytes of the places (`config.listeners.TEXT_MAX`) and a few numbers
ASK_S: Final = 5.0  # for an edge to send its listeners: one turn of its event loop
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))

_logger: Final = log.logger("handover")


class Handover:
    """The end of the edge that runs."""

    def __init__(
        self, folder: Path, places: Sequence[tuple[str, Sequence[int]]], within_s: Callable[[], float]
    ) -> None:
        """Offer the sockets from now on.

        :param folder: the cache folder. :param places: each as options name it, with the descriptors that listen there.
        :param within_s: the edge ends at the latest so long after TAKE.
        :raises OperatorError: the socket in the folder cannot be made.
        """
        self.taken = False
        self.on_take: Callable[[], None] = lambda: None
        self._path, self._within_s = folder / NAME, within_s
        self._places = [(place, len(descriptors)) for place, descriptors in places]
        self._descriptors = [number for _, descriptors in places for number in descriptors]
        self._peer: socket.socket | None = None
        self._loop = asyncio.get_running_loop()
        self._listener = unix_socket.listen(self._path, mode=0o600)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # gone again
        _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if self._peer is not None or uid not in (0, os.geteuid()):
            peer.close()
            return
        peer.setblocking(False)
        try:
            socket.send_fds(peer, [self._message()], self._descriptors)
        except OSError as error:
            _logger.warning(log.line("listeners_not_offered", error=error))
            peer.close()
            return
        self._peer = peer
        self._loop.add_reader(peer.fileno(), self._hear, peer)

    def _message(self) -> bytes:
        said = {"version": VERSION, "pid": os.getpid(), "places": self._places, "within_s": self._within_s()}
        return json.dumps(said).encode()

    def _hear(self, peer: socket.socket) -> None:
        try:
            said = peer.recv(len(TAKE))
        except OSError:
            said = b""
        self._loop.remove_reader(peer.fileno())
        if said == TAKE and not self.taken:
            self.taken = True
            _logger.info(log.line("listeners_taken"))
            self.on_take()
        else:
            self._peer = None
            peer.close()

    def stop(self) -> None:
        """Offer them no more: the edge drains."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let who has taken them begin; for when the cache folder is free."""
        peer, self._peer = self._peer, None
        if peer is not None:
            self._loop.remove_reader(peer.fileno())
            peer.close()


class Offer(NamedTuple):
    """What the edge that runs has to hand over."""

    pid: int
    places: dict[str, list[socket.socket]]  # named as that edge's configuration has it
    within_s: float
    connection: socket.socket

    async def take(self) -> None:
        """Have that edge drain, and wait until it has ended.

        :raises OperatorError: it has not.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.within_s):
                await loop.sock_sendall(self.connection, TAKE)
                while await loop.sock_recv(self.connection, MESSAGE_MAX):
                    pass
        except TimeoutError:
            why = f"its end within {self.within_s:g} s expected"
            raise OperatorError(f"take-over of edge {self.pid}: {why}: stop that one, then start this one") from None
        except OSError:
            pass  # it has ended at once
        finally:
            self.connection.close()

    def decline(self, but: Collection[str] = ()) -> None:
        """Leave the sockets to others, but for those of these places."""
        for place, sockets in self.places.items():
            for each in sockets if place not in but else ():
                each.close()


def ask(folder: Path) -> Offer | None:
    """The listeners of the edge that runs on a cache folder; None where none does. Blocks for a moment.

    :raises OperatorError: an answer that is none.
    """
    path = folder / NAME
    if not path.is_socket():
        return None
    try:
        connection = unix_socket.connect(path, ASK_S)
    except OperatorError:
        return None  # left by one that was killed
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_MAX, LISTENERS_MAX)
        offer = _offer(data, [listener(number) for number in descriptors], connection)
    except (OSError, ValueError, TypeError, KeyError) as error:
        connection.close()
        raise OperatorError(
            f"{path}: the listeners of the edge that runs expected: {error!r}: stop that edge, then start this one"
        ) from None
    connection.setblocking(False)
    return offer


def _offer(data: bytes, sockets: list[socket.socket], connection: socket.socket) -> Offer:
    said = json.loads(data)
    if said["version"] == 1:  # of edges that had one place
        said["places"] = [[said["listen"], len(sockets)]]
    elif said["version"] != VERSION:
        raise ValueError(f"version {VERSION} expected, got {data[:200]!r}")
    left, places = list(sockets), dict[str, list[socket.socket]]()
    for place, count in said["places"]:
        places[str(place)], left = left[:count], left[count:]
    if not all(places.values()) or not places or left:
        raise ValueError(f"so many sockets as are told of expected, got {len(sockets)} with {data[:200]!r}")
    return Offer(int(said["pid"]), places, float(said["within_s"]), connection)
