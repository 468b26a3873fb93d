"""A client's connection and a peer's, once both speak another protocol: bytes pass both ways, at the readers' pace."""

import asyncio
from collections.abc import Callable
from typing import Final

UNREAD_MAX: Final = 1 << 14  # bytes that one side has not read, from which on the other waits


class Tunnel(asyncio.Protocol):
    """One of the two sides, as a protocol of its connection."""

    def __init__(self, remote: str, over: Callable[["Tunnel"], None]) -> None:
        """:param remote: the client's address. :param over: is called with the side that ends, once for each."""
        self.remote = remote
        self._over = over
        self._other: Tunnel | None = None
        self._transport: asyncio.Transport | None = None
        self._full = False

    @property
    def idle_since(self) -> None:
        """It is never without something to do, as far as anybody here knows."""
        return None

    def join(self, other: "Tunnel") -> None:
        """Pass on to that side what comes on this one."""
        self._other = other

    def begin(self, transport: asyncio.Transport, early: bytes = b"") -> None:
        """The connection is this side's from now on. :param early: what has come on it already."""
        self._transport = transport
        transport.set_write_buffer_limits(high=UNREAD_MAX)
        if early:
            self.data_received(early)
        if self._other is None or not self._other._full:
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._other is not None and self._other._transport is not None:
            self._other._transport.write(data)

    def pause_writing(self) -> None:
        self._full = True
        if self._other is not None and self._other._transport is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if self._other is not None and self._other._transport is not None:
            self._other._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._other is not None:
            self._other.close()
        self._over(self)

    def close(self) -> None:
        """Close when all that was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
