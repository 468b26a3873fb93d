"""A connection on a listener that expects the PROXY protocol, until its header is here; then it is an ordinary one.

The header is taken from trusted proxies only, once, and within bounds; a connection without one ends without an answer,
since whoever sent it expects no HTTP from us yet. Meanwhile it counts among its proxy's connections, as one that has
nothing to do.
"""

import asyncio
from typing import Any, Final, Literal, Protocol

from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.proxy_header import HeaderRefused, Spoken, Why, parse
from edge.front.reached import Reached, plain_address

# For all of a header: it is sent at once, and a packet of it that is lost comes again within 3 s (PROXY protocol,
# section 2).
HEADER_S: Final = 5.0

Refused = Literal["untrusted", "late"] | Why


class Taker(Protocol):
    """Who takes connections."""

    connections: Crowd[Any]

    def connection(self, reached: Reached) -> Connection:
        """What a connection is that has come so."""

    def trusts(self, peer: str) -> bool:
        """Whether it is a proxy of the operator's; an empty address is that of a Unix socket."""

    def header_refused(self, why: Refused, peer: str) -> None:
        """A connection ends for this."""


class Prelude(asyncio.BufferedProtocol):
    """One that has not begun."""

    def __init__(self, taker: Taker, port: int) -> None:
        """:param port: on which it came."""
        self.remote = ""
        self._taker, self._port = taker, port
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._data = b""
        self._over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.remote = plain_address(peer[0]) if isinstance(peer, tuple) else ""
        self._timer = self._loop.call_later(HEADER_S, self._refuse, "late")
        if not self._taker.trusts(self.remote):
            self._refuse("untrusted")
        else:
            self._taker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._taker.connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._over:
            return
        self._data += bytes(self._taker.connections.buffer[:nbytes])
        try:
            spoken = parse(self._data)
        except HeaderRefused as error:
            self._refuse(error.why)
            return
        if spoken is not None:
            self._begin(spoken)

    def _begin(self, spoken: Spoken) -> None:
        self._leave()
        unknown = spoken.client is None and not spoken.own
        connection = self._taker.connection(Reached(self._port, spoken.client, unknown, spoken.secure))
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        rest = self._data[spoken.size :]
        if rest:
            connection.data_received(rest)

    def _refuse(self, why: Refused) -> None:
        if not self._over:
            self.abort()
            self._taker.header_refused(why, self.remote)

    def _leave(self) -> None:
        self._over = True
        self._timer.cancel()
        self._taker.connections.discard(self)

    # As a member of all connections.

    @property
    def idle_since(self) -> float:
        """Nothing was asked since it came."""
        return self._since

    def abort(self) -> None:
        """End it."""
        self._leave()
        self._transport.abort()

    close = abort
