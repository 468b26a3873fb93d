"""Which upstreams a guest may send requests to: those that its image names, as far as the operator lets it.

The image's list is signed by the publisher; the operator's says which networks may be reached at all, so that no
publisher gets into the edge's own. An address is judged three times, each time by `UpstreamPolicy.judge`: where a URL
names it, where a socket is made for it, and, as the backstop, where a request is about to be sent on a connection: by
the address that the kernel says is at its other end. Nothing relies on how the HTTP client reads a host.
"""

import errno
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from vmimage.errors import NunatakError

URL_MAX: Final = 8190  # characters, as in a request line that we take ourselves

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Listener = tuple[str, int]  # address and port
# Host, port and family to families, protocols, and addresses with ports.
Find = Callable[
    [str, int, socket.AddressFamily], Awaitable[Sequence[tuple[socket.AddressFamily, int, tuple[str, int]]]]
]

# The IANA special-purpose address registries (RFC 6890; iana.org/assignments/iana-ipv4-special-registry and -ipv6-) but
# for three anycast services that the registries call global: whoever wants those names them. Of IPv6 only 2000::/3 is
# given out as global unicast (iana.org/assignments/ipv6-address-space), so all else is not public without being listed.
NOT_PUBLIC: Final[Sequence[Network]] = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this network", RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared address space, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, RFC 3927; where clouds have their metadata
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, deprecated by RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 1112
        "240.0.0.0/4",  # reserved, and limited broadcast, RFC 1112 and RFC 919
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo, benchmarking, ORCHID and others
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
    )
]
PUBLIC_IPV6: Final = ipaddress.ip_network("2000::/3")
# Reached whatever the operator's list says: nowhere. To connect to 0.0.0.0 or :: is to connect to this machine.
_NEVER: Final[Sequence[Network]] = [
    ipaddress.ip_network(text) for text in ("0.0.0.0/32", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")
]
# Where an IPv6 address carries an IPv4 address to which somebody on the way translates or tunnels, and at which bit.
_EMBEDDED: Final[Sequence[tuple[ipaddress.IPv6Network, int]]] = [
    (ipaddress.IPv6Network("::/96"), 0),  # IPv4-compatible, deprecated by RFC 4291
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (
        ipaddress.IPv6Network("64:ff9b:1::/48"),
        0,
    ),  # NAT64 of a network's own, RFC 8215, with the usual prefix of 96 bits
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
]
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")  # RFC 4380
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)


class UpstreamRefused(NunatakError):
    """The guest may not send that request, or not to there."""


class AddressRefused(OSError):
    """The policy does not let guests connect to this address."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, _not_let(address))


def _not_let(place: str) -> str:
    return f"this edge does not let guests reach {place}; its operator may allow it with --upstreams"


@dataclass(frozen=True)
class UpstreamPolicy:
    """The operator's side."""

    public: bool  # every address that is routed on the public internet
    networks: Sequence[Network] = ()  # and these

    @classmethod
    def parse(cls, text: str) -> "UpstreamPolicy":
        """From the configuration: comma-separated networks, and "public".

        :raises ValueError: another word.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        return cls("public" in words, [ipaddress.ip_network(word) for word in words if word != "public"])

    def reachable(self, address: str) -> bool:
        """Whether a guest's request may go to an IP address; not to what is none, or has a scope.

        An address that leads to another one, by translation or a tunnel, must be named by the operator, and the other
        one must be reachable as well.
        """
        ip = _parse(address)
        if ip is None or any(ip in network for network in _NEVER):
            return False
        inner = embedded(ip)
        if inner is not None and not self.reachable(str(inner)):
            return False
        if any(ip in network for network in self.networks):
            return True
        return self.public and inner is None and is_public(ip)

    def check(self, url: str, allowed: Collection[str]) -> URL:
        """The URL of a guest's request, parsed.

        :param allowed: origins that the image names.
        :raises UpstreamRefused: no absolute http or https URL, not in the list, or an address that may not be reached.
        """
        if len(url) > URL_MAX:
            raise UpstreamRefused(f"a URL of at most {URL_MAX} characters expected, got {len(url)}")
        try:
            parsed = URL(url)
            origin = str(parsed.origin()).lower()
        except ValueError:
            raise UpstreamRefused(f"an absolute http or https URL expected, got {url[:100]!r}") from None
        if parsed.scheme not in ("http", "https") or parsed.user is not None or parsed.password is not None:
            raise UpstreamRefused(f"an http or https URL without credentials expected, got {url[:100]!r}")
        if origin not in allowed:
            raise UpstreamRefused(f"{origin} is not among the image's upstreams; see `nunatak build --upstream`")
        host = parsed.raw_host or ""
        if (":" in host or ends_in_number(host)) and not self.reachable(host):
            raise UpstreamRefused(_not_let(host))
        return parsed.with_fragment(None)


def is_public(ip: Address) -> bool:
    """Whether an address is one of the public internet."""
    if ip.version == 6 and ip not in PUBLIC_IPV6:
        return False
    return not any(ip in network for network in NOT_PUBLIC)


def embedded(ip: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which whoever translates or tunnels this one would send what is sent to it."""
    if isinstance(ip, ipaddress.IPv4Address) or ip.is_loopback:
        return None
    if ip in _TEREDO:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF ^ 0xFFFFFFFF)
    for network, shift in _EMBEDDED:
        if ip in network:
            return ipaddress.IPv4Address(int(ip) >> shift & 0xFFFFFFFF)
    return None


def ends_in_number(host: str) -> bool:
    """Whether the last label of a host is a number, so that some clients read all of it as an IPv4 address.

    Source: the URL standard (url.spec.whatwg.org), "ends in a number checker".
    """
    labels = host.removesuffix(".").rsplit(".", 1)
    return _NUMBER.fullmatch(labels[-1]) is not None


def _parse(address: str) -> Address | None:
    """The address, the IPv4 one for an IPv4-mapped one, to which the kernel connects; None for any other spelling."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return None
        return ip.ipv4_mapped or ip
    return ip


class Guard:
    """The policy at the moment of connecting, and the edge's own listeners, which no guest reaches."""

    def __init__(self, policy: UpstreamPolicy, own_listeners: Callable[[], Collection[Listener]] = lambda: ()) -> None:
        """:param own_listeners: address and port of each, also "0.0.0.0" and "::"; asked for every connection."""
        self.policy, self._own_listeners = policy, own_listeners

    def judge(self, address: str, port: int) -> None:
        """Let a connection to there be made.

        :raises AddressRefused: it may not be.
        """
        if not self.policy.reachable(address) or self._is_own(address, port):
            raise AddressRefused(address)

    def _is_own(self, address: str, port: int) -> bool:
        ip = _parse(address)
        found = [_parse(host) for host, own_port in self._own_listeners() if own_port == port]
        return any(own is None or own == ip or (own.is_unspecified and is_local(address)) for own in found)

    def socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        """aiohttp's socket factory: a socket for an address that may be reached.

        :raises AddressRefused: not for this one.
        """
        family, type_, protocol, _, address = addr_info
        if len(address) == 4 and address[3]:  # a scope: link local, of one interface of this machine
            raise AddressRefused(f"{address[0]}%{address[3]}")
        self.judge(address[0], address[1])
        return socket.socket(family, type_, protocol)

    def request_class(self, party: Callable[[], str]) -> type[aiohttp.ClientRequest]:
        """aiohttp's requests, but that each looks who is at the other end before it sends a byte.

        A connection that is kept alive is used again for the same party only: what one tenant's requests did to it, and
        what an upstream thinks of whoever is at its other end, is no business of another's.

        :param party: on whose behalf a request is made, asked in the context in which it is.
        """
        judge = self.judge

        class GuardedRequest(aiohttp.ClientRequest):
            @property
            def connection_key(self) -> ConnectionKey:
                # No request here has a proxy, so the field for a proxy's headers is free to tell parties apart.
                return super().connection_key._replace(proxy_headers_hash=hash(party()))

            async def send(self, conn: Any) -> aiohttp.ClientResponse:
                peer = conn.transport.get_extra_info("peername") if conn.transport is not None else None
                if not isinstance(peer, tuple) or (len(peer) == 4 and peer[3]):
                    raise AddressRefused(f"{peer}")
                judge(peer[0], peer[1])
                return await super().send(conn)

        return GuardedRequest


def is_local(address: str) -> bool:
    """Whether an IP address is one of this machine's, on whatever interface, at this moment."""
    ip = _parse(address)
    if ip is None or ip.is_loopback:
        return ip is not None
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(
                (str(ip), 0)
            )  # EADDRNOTAVAIL for all others (ip(7)); where it may be bound all the same, it is ours
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


class GuardedResolver(AbstractResolver):
    """Looks names up and keeps only addresses that guests may reach: no name leads into the edge's own network."""

    def __init__(self, policy: UpstreamPolicy, find: Find) -> None:
        """:param find: how a name is looked up."""
        self.policy, self._find = policy, find

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """AbstractResolver."""
        found = await self._find(host, port, family)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        reachable = [
            ResolveResult(hostname=host, host=address, port=at, family=kind, proto=protocol, flags=numeric)
            for kind, protocol, (address, at) in found
            if self.policy.reachable(address)
        ]
        if not reachable:
            raise AddressRefused(host)
        return reachable

    async def close(self) -> None:
        """AbstractResolver."""
