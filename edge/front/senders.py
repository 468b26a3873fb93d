"""Who a request is from: the client's address as services see it, and which fields about it are believed.

The address at the other end of the connection cannot be forged. What a field says of clients further away is believed
from proxies that the operator names (`trusted_proxies`), as far as they vouch for each other; from everybody else such
fields are dropped, under all their names, so that no service takes a client's word for them. Pure.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from edge.config.proxies import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LIST: Final = b"x-forwarded-for"  # addresses, the client's first and the edge's own peer last; what nginx writes
_FORWARDED: Final = b"forwarded"  # the same in the words of RFC 7239
_REAL: Final = b"x-real-ip"  # the client's address alone
OURS: Final = frozenset({_LIST, _FORWARDED, _REAL})
# Other names under which proxies say who the client is, or how it reached them. So are all that begin X-Forwarded.
OF_PROXIES: Final = OURS | frozenset(
    b"client-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip cf-connecting-ipv6 cf-pseudo-ipv4"
    b" fastly-client-ip fly-client-ip x-appengine-user-ip x-appengine-remote-addr x-azure-clientip x-azure-socketip"
    b" x-envoy-external-address x-original-forwarded-for x-original-host x-original-proto x-originating-ip x-remote-ip"
    b" x-remote-addr remote-addr x-proxyuser-ip proxy-client-ip wl-proxy-client-ip forwarded-for forwarded-proto"
    b" x-real-port x-scheme x-url-scheme front-end-https cloudfront-viewer-address akamai-client-ip"
    b" x-vercel-forwarded-for x-nf-client-connection-ip do-connecting-ip".split()
)
LOCAL: Final = "127.0.0.1"  # who comes through a Unix socket, and has no address: it is on this machine
_ENTRY: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15})(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")


class Sender(NamedTuple):
    """Who a request is from.

    `address` is the client's; `variables` are what services are told of it, whole names and values, each ended by NUL.
    Fields of proxies pass from a `trusted` peer only.
    """

    address: bytes
    variables: bytes
    trusted: bool


def is_of_proxies(name: bytes) -> bool:
    """Whether a field, its name in lower case, is a proxy's to set."""
    return name in OF_PROXIES or name.startswith(b"x-forwarded")


def address_of(text: str) -> Address | None:
    """An address as sockets and proxies write it; one of IPv4 in IPv6's form is the former. None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


class Senders:
    """Who requests are from, for one edge.

    :param trusted: networks of proxies.
    """

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = trusted
        self._direct: Callable[[str], Sender] = lru_cache(maxsize=1024)(self._peer)

    def of(self, peer: str, fields: Iterable[tuple[bytes, bytes]]) -> Sender:
        """Who a request with these fields is from, that came from `peer`."""
        sender = self._direct(peer)
        return self._behind(sender, fields) if sender.trusted else sender

    def trusts(self, peer: str) -> bool:
        """Whether what came from `peer` is from a proxy that may say more about a request than anybody."""
        return self._direct(peer).trusted

    def _peer(self, peer: str) -> Sender:
        address = address_of(peer or LOCAL)
        shown = str(address) if address is not None else peer
        return _sender(shown, shown, "", trusted=self._trusts(address))

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _behind(self, proxy: Sender, fields: Iterable[tuple[bytes, bytes]]) -> Sender:
        """Who it is from by a proxy's word, and by that of the proxies which that one vouches for."""
        peer = client = proxy.address.decode()
        passed: list[str] = []
        forwarded: list[str] = []
        for name, value in fields:
            lower = name.lower()
            if lower == _LIST:
                passed.append(value.decode("latin-1"))
            elif lower == _FORWARDED:
                forwarded.append(value.decode("latin-1"))
        for entry in reversed(",".join(passed).split(",")):
            match = _ENTRY.fullmatch(entry.strip())
            address = address_of(match[1] or match[2] or match[3]) if match is not None else None
            if address is None:
                break
            client = str(address)
            if not self._trusts(address):
                break
        return _sender(client, ", ".join((*passed, peer)), ", ".join((*forwarded, _element(peer))), trusted=True)


def _element(address: str) -> str:
    """An address as an element of Forwarded (RFC 7239 section 6)."""
    return f'for="[{address}]"' if ":" in address else f"for={address}"


def _sender(client: str, way: str, forwarded: str, *, trusted: bool) -> Sender:
    pairs = {"HTTP_X_REAL_IP": client, "HTTP_X_FORWARDED_FOR": way, "HTTP_FORWARDED": forwarded}
    block = "".join(f"{name}\0{value}\0" for name, value in pairs.items() if value)
    return Sender(client.encode("latin-1"), block.encode("latin-1"), trusted)
