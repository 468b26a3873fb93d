"""Where peers connect: sockets are taken one by one, and their TLS handshakes are bounded in number and in time.

Who has finished no handshake is nobody yet, and costs a descriptor and some memory all the same. Of these there are so
many at a time, an address has its share of them as of connections (`edge.front.crowd`), and the oldest of who has most
makes room. A handshake takes a round trip; one that takes longer than HANDSHAKE_S is broken off.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.front.crowd import Crowd
from edge.front.reached import plain_address
from edge.peers.tls import CONNECT_S, Trust

HANDSHAKES_MAX: Final = 256  # at once; a POP has 1,000 members at most, and each asks again
HANDSHAKE_S: Final = 2 * CONNECT_S  # whoever asks has given up by then
BACKLOG: Final = 1024
PAUSE_S: Final = 0.1  # where no more sockets can be taken: descriptors are used up


class _Handshake:
    """One under way, as a member of a crowd."""

    def __init__(self, connected: socket.socket, remote: str, now_s: float) -> None:
        self.remote, self.idle_since = remote, now_s
        self._connected = connected
        self.begun = False  # the socket is the loop's
        self.task: asyncio.Task[None] | None = None

    def abort(self) -> None:
        """End it."""
        if self.task is not None:
            self.task.cancel()
        if not self.begun:
            self._connected.close()


class Listener:
    """The sockets of one door."""

    def __init__(self, trust: Trust, connection: Callable[[], asyncio.BaseProtocol], counters: Counters) -> None:
        """:param connection: a new one, whose handshake is over."""
        self._trust, self._connection = trust, connection
        self._tasks = Tasks(counters)
        self._loop = asyncio.get_running_loop()
        self._handshakes: Crowd[_Handshake] = Crowd(HANDSHAKES_MAX, 0, counters)
        self._sockets: list[socket.socket] = []

    def open(self, host: str, port: int) -> list[tuple[str, int]]:
        """Take connections from now on; the addresses and ports where.

        :raises OSError: they cannot be had.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        listening.setblocking(False)
        self._sockets.append(listening)
        self._tasks.keep("peers' listener", lambda: self._accept(listening))
        return [each.getsockname()[:2] for each in self._sockets]

    async def close(self) -> None:
        """Take no more, and break off what is under way."""
        await self._tasks.close()
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connected, peer = await self._loop.sock_accept(listening)
            except OSError:  # it was gone again, or there are no descriptors
                await asyncio.sleep(PAUSE_S)
                continue
            self._begin(connected, plain_address(peer[0]))

    def _begin(self, connected: socket.socket, remote: str) -> None:
        handshake = _Handshake(connected, remote, self._loop.time())
        if self._handshakes.add(handshake):
            handshake.task = self._tasks.spawn("peer's handshake", self._shake(handshake, connected))

    async def _shake(self, handshake: _Handshake, connected: socket.socket) -> None:
        handshake.begun = True
        try:
            with suppress(OSError):  # TLS errors among it: whoever it is has to come again
                await self._loop.connect_accepted_socket(
                    self._connection, connected, ssl=self._trust.server, ssl_handshake_timeout=HANDSHAKE_S
                )
        finally:
            self._handshakes.discard(handshake)
