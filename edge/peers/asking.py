"""How this edge asks its peers: connections that are kept, to whom they lead, and who is worth asking."""

import asyncio
import random
from collections import deque
from typing import Final

from edge.common.counters import Counters
from edge.peers.health import Health
from edge.peers.link import Link
from edge.peers.members import Members, Peer
from edge.peers.tls import CONNECT_S, Trust, certificate_of, host_and_port
from vmimage.errors import PeerFailed

IDLE_S: Final = 30.0  # that a connection is kept; a listener for peers keeps it longer, so that it seldom closes first
LINKS_MAX: Final = 256  # to one peer: who comes then is served here
GREETING: Final = b"GET /-/peer HTTP/1.1\r\nHost: peer\r\n\r\n"
GREETED: Final = 200


class Asked:
    """One peer, as this edge asks it."""

    def __init__(self, peer: Peer, trust: Trust, counters: Counters) -> None:
        self.peer, self.health = peer, Health()
        self._trust, self._counters = trust, counters
        self._idle: deque[tuple[float, Link]] = deque()  # with when each was given back
        self._open = 0
        self._loop = asyncio.get_running_loop()

    @property
    def alive(self) -> bool:
        """Whether it is worth asking."""
        return self.health.alive(self._loop.time()) and self._open < LINKS_MAX

    async def link(self) -> Link:
        """A connection to it, on which nothing is under way; `give` takes it back.

        :raises PeerFailed: there is none. Nothing was asked by then.
        """
        self._drop_old()
        while self._idle:
            _, link = self._idle.pop()
            if link.reusable:
                return link
            self._forget(link)
        self._open += 1
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._connected()
        except (OSError, TimeoutError, PeerFailed) as error:
            self._open -= 1
            self.failed()
            raise PeerFailed(f"{self.peer.id} at {self.peer.address}: {str(error) or type(error).__name__}") from None
        except asyncio.CancelledError:
            self._open -= 1
            raise

    async def _connected(self) -> Link:
        """With a greeting: under TLS 1.3 a client that is refused learns so with the first answer only."""
        host, port = host_and_port(self.peer.address)
        _, link = await self._loop.create_connection(
            Link, host, port, ssl=self._trust.client, server_hostname="peer", ssl_handshake_timeout=CONNECT_S
        )
        try:
            if certificate_of(link.transport) != self.peer.sha256:
                raise PeerFailed("another certificate than the list of members says")
            link.begin(GREETING, bodiless=False)
            await link.head()
            if link.status != GREETED or await link.part() is not None:
                raise PeerFailed(f"status {GREETED} expected, got {link.status}")
        except BaseException:
            link.close()
            raise
        return link

    def give(self, link: Link) -> None:
        """Take a connection back."""
        if link.reusable:
            self._idle.append((self._loop.time(), link))
        else:
            self._forget(link)

    def left(self) -> None:
        """A connection goes on without this edge's asking: it is a tunnel now, or was one."""
        self._open -= 1

    def answered(self) -> None:
        """It did what it was asked."""
        self.health.answered()

    def failed(self) -> None:
        """It did not."""
        self._counters.add(self._counters.peer_errors, self.peer.id)
        self.health.failed(self._loop.time(), random.random())

    def _forget(self, link: Link) -> None:
        self._open -= 1
        link.close()

    def _drop_old(self) -> None:
        before = self._loop.time() - IDLE_S
        while self._idle and (self._idle[0][0] < before or self._idle[0][1].lost):
            self._forget(self._idle.popleft()[1])

    def close(self) -> None:
        """Close what is idle; what is in use ends with its request."""
        while self._idle:
            self._forget(self._idle.popleft()[1])


class Asking:
    """All peers of this edge's POP, as the list of members has them now."""

    def __init__(self, members: Members, trust: Trust, counters: Counters) -> None:
        self.members, self._trust, self._counters = members, trust, counters
        self._asked: dict[str, Asked] = {}

    def take(self) -> None:
        """The list of members has changed."""
        now = {each.id: each for each in self.members.others}
        for id in [id for id, asked in self._asked.items() if now.get(id) is None or _moved(asked.peer, now[id])]:
            self._asked.pop(id).close()
        for id, peer in now.items():
            if id not in self._asked:
                self._asked[id] = Asked(peer, self._trust, self._counters)

    def of(self, id: str) -> Asked | None:
        """A peer that is worth asking; None for this edge itself, for strangers, and for the dead."""
        asked = self._asked.get(id)
        return asked if asked is not None and asked.alive else None

    def fits(self, id: str) -> bool:
        """Whether a member is alive and within its bound; this edge is alive."""
        return (id == self.members.here or self.of(id) is not None) and self.members.loads.fits(id)

    def close(self) -> None:
        """Close the connections that are idle."""
        for asked in self._asked.values():
            asked.close()


def _moved(before: Peer, now: Peer) -> bool:
    return (before.address, before.sha256) != (now.address, now.sha256)
