"""What of a client's address is written down: all of it, its network, or nothing. Pure.

A network of 256 addresses of IPv4, or a site's 48 bits of IPv6, is what data protection authorities and web analytics
take for not being one person's.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

Shown = Literal["address", "network", "nothing"]

IPV4_BITS: Final = 24
IPV6_BITS: Final = 48


def shown_by(way: Shown) -> Callable[[str], str]:
    """What makes of an address what is written."""
    ways: dict[Shown, Callable[[str], str]] = {"address": _address, "network": _network, "nothing": _nothing}
    return ways[way]


def _address(address: str) -> str:
    return address


def _nothing(address: str) -> str:
    return ""


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    """The first address of its network; nothing of what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    bits = IPV4_BITS if parsed.version == 4 else IPV6_BITS
    return str(ipaddress.ip_network((parsed, bits), strict=False).network_address)
