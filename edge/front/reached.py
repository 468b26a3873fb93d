"""How a connection came to an edge: on which port, and what a proxy has said of its client before the first request."""

from typing import Final, NamedTuple

PLAIN_PORT: Final = 80  # of what comes over a Unix socket, where the client names no other
_MAPPED: Final = "::ffff:"  # before an address of IPv4 that a socket of both families writes (RFC 4291 section 2.5.5.2)


class Reached(NamedTuple):
    """One connection's."""

    port: int = PLAIN_PORT  # of the listener
    client: str | None = None  # its address by a PROXY header; None: who is at the other end, see `unknown`
    unknown: bool = False  # a proxy passes the connection on and does not say whose it is: nobody speaks for it
    secure: bool = False  # the client's own connection is TLS, which the proxy has ended


DIRECTLY: Final = Reached()


def plain_address(address: str) -> str:
    """An address as its own family writes it."""
    return address.removeprefix(_MAPPED) if address.startswith(_MAPPED) and "." in address else address
