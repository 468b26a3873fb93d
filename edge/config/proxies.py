"""Proxies in front of an edge, as an operator names them: networks, and whoever comes through a Unix socket."""

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix"  # stands for all who come through one


def networks(text: str) -> tuple[Network, ...]:
    """NETWORK,... to networks, without the word `unix`; an address alone is a network of one.

    :raises ValueError: one is none.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(ipaddress.ip_network(part) for part in parts if part not in ("", UNIX))


def names_unix(text: str) -> bool:
    """Whether `unix` is among them."""
    return UNIX in [part.strip() for part in text.split(",")]
