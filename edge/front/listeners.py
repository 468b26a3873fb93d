"""All places where an edge takes its clients' connections, opened together and closed together.

What holds for a place is `edge.config.listeners.Listener`; one socket is opened in `listening`. A connection is an
ordinary one, or begins with a header of the PROXY protocol (`prelude`).
"""

import asyncio
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from edge.common import log
from edge.common.service_manager import LISTENERS_MAX
from edge.config.listeners import Listener
from edge.front.listening import Bound, Connect, bind, take_over
from edge.front.prelude import Prelude, Refused, Taker
from edge.front.reached import PLAIN_PORT, Reached
from vmimage.errors import OperatorError

BACKLOG: Final = 1024  # connections the kernel holds for us; net.core.somaxconn caps it
SAY_S: Final = 60.0  # between two lines about connections that are ended for the same reason

_reached: Final = lru_cache(maxsize=LISTENERS_MAX)(Reached)  # one value for all connections that come to a port
_logger: Final = log.logger("listeners")


class Place(NamedTuple):
    """A place that is to be opened."""

    listener: Listener
    sockets: Sequence[socket.socket] = ()  # that listen there already
    ours: bool = False  # an edge has opened them


class Listeners:
    """Those of one edge."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._open: list[tuple[Listener, Bound]] = []
        self._said: dict[str, float] = {}  # loop time of the last line about a reason

    async def open(self, places: Sequence[Place]) -> None:
        """Take connections at all of them from now on.

        :raises OperatorError: not at one of them, and then at none.
        """
        try:
            for place in places:
                self._open.append((place.listener, await self._opened(place)))
            if len(self.descriptors) > LISTENERS_MAX:
                raise OperatorError(
                    f"listen: at most {LISTENERS_MAX} sockets expected, got {len(self.descriptors)}: name fewer places"
                )
        except OperatorError:
            self.close()
            self.remove_files()
            raise

    async def _opened(self, place: Place) -> Bound:
        connect: Connect = self._expecting if place.listener.proxy else self._directly
        if place.sockets:
            return await take_over(connect, place.sockets, place.listener, BACKLOG, ours=place.ours)
        return await bind(connect, place.listener, "listen", BACKLOG)

    def _expecting(self, port: int) -> asyncio.BaseProtocol:
        return Prelude(self._taker, port)

    def _directly(self, port: int) -> asyncio.BaseProtocol:
        return self._taker.connection(_reached(port))

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Addresses and ports of all sockets that have one."""
        return [address for _, bound in self._open for address in bound.listeners]

    @property
    def port(self) -> int:
        """The first of all."""
        return self._open[0][1].port if self._open else PLAIN_PORT

    @property
    def descriptors(self) -> list[int]:
        """Of all sockets."""
        return [number for _, bound in self._open for number in bound.descriptors]

    @property
    def by_place(self) -> list[tuple[str, list[int]]]:
        """Of each place the descriptors, for who is to listen there next."""
        return [(listener.place, bound.descriptors) for listener, bound in self._open]

    @property
    def where(self) -> list[str]:
        """For people and programs: each place as a URL or unix:PATH, and what is expected there beside HTTP."""
        return [f"{bound.where}{' (PROXY)' if listener.proxy else ''}" for listener, bound in self._open]

    def refused(self, why: Refused, peer: str) -> None:
        """A connection ended since it did not begin as it had to; one in a while is said in the log."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get(why, -SAY_S) >= SAY_S:
            self._said[why] = now
            _logger.warning(log.line("proxy_header_refused", reason=why, peer=peer or "unix"))

    def close(self) -> None:
        """Take no more connections. Who has the sockets too finds those that were not taken."""
        for _, bound in self._open:
            bound.close()

    def remove_files(self) -> None:
        """Leave no Unix socket behind that an edge has opened; for when nobody takes them over."""
        for _, bound in self._open:
            bound.remove_file()
