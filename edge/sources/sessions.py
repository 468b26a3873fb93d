"""Connections of one source over HTTP: to its own host, and to hosts that it names, which it may lie about.

A source sends readers on and says where tokens are, and so chooses what an edge connects to. One on the public internet
has no business with addresses of the edge's own network, or of its machine: those are connected to only for a source
that has such an address itself. Judged is the address that a socket is made for, whatever a name has led to.
"""

import errno
import socket
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from edge.config.upstream_policy import UpstreamPolicy

PUBLIC: Final = UpstreamPolicy(public=True)
_Socket = Callable[[tuple[Any, ...]], socket.socket]


class Sessions:
    """Made when they are first needed."""

    def __init__(self, timeout: aiohttp.ClientTimeout, public: UpstreamPolicy = PUBLIC) -> None:
        """:param public: which addresses are nobody's own."""
        self._timeout, self._public = timeout, public
        self._home: aiohttp.ClientSession | None = None
        self._abroad: aiohttp.ClientSession | None = None
        self._is_public = False  # once it was: a name that leads elsewhere later is no reason for more

    def home(self) -> aiohttp.ClientSession:
        """To the source's own host, and to those that the operator has named."""
        if self._home is None:
            self._home = self._opened(self._home_socket)
        return self._home

    def abroad(self) -> aiohttp.ClientSession:
        """To hosts that the source has named."""
        if self._abroad is None:
            self._abroad = self._opened(self._abroad_socket)
        return self._abroad

    async def close(self) -> None:
        """Close the connections."""
        for session in (self._home, self._abroad):
            if session is not None:
                await session.close()

    def _opened(self, make: _Socket) -> aiohttp.ClientSession:
        jar = aiohttp.DummyCookieJar()  # what one server sets is nothing to show to another
        connector = aiohttp.TCPConnector(socket_factory=make)
        return aiohttp.ClientSession(auto_decompress=False, timeout=self._timeout, cookie_jar=jar, connector=connector)

    def _home_socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        family, type_, protocol, _, address = addr_info
        self._is_public |= self._public.reachable(address[0])
        return socket.socket(family, type_, protocol)

    def _abroad_socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        """:raises OSError: an address that the source may not name."""
        family, type_, protocol, _, address = addr_info
        if self._is_public and not (self._public.reachable(address[0]) and address[2:] in ((), (0, 0))):
            why = f"a public address expected, to which a source on the public internet sends, got {address[0]}"
            raise OSError(errno.EACCES, why)
        return socket.socket(family, type_, protocol)
