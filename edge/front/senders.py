"""Who a request is from: the client's address and scheme as services see them, and what is believed of them.

The address at the other end of the connection cannot be forged, nor what a PROXY header says, which is taken from
trusted proxies alone. What a field says of clients further away is believed from proxies that the operator names
(`trusted_proxies`), as far as they vouch for each other; from everybody else such fields are dropped, under all their
names, so that no service takes a client's word for them.

Proxies have two ways to say it: X-Forwarded-For with its kin, and Forwarded (RFC 7239). One of them counts for a
request, and what belongs to the other is dropped: X-Forwarded-For where it is there, since nearly all write it, and one
that leaves a client's Forwarded as it is would let it speak. Pure.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from edge.config.proxies import Network
from edge.front.forwarded import Element, parse_forwarded
from edge.front.reached import DIRECTLY, PLAIN_PORT, Reached
from edge.model.flow import ClientError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LIST: Final = b"x-forwarded-for"  # addresses, the client's first and the edge's own peer last; what nginx writes
_FORWARDED: Final = b"forwarded"  # the same in the words of RFC 7239
_REAL: Final = b"x-real-ip"  # the client's address alone
_PROTO: Final = b"x-forwarded-proto"  # the scheme that the client used
_FAMILY: Final = b"x-forwarded"  # what all of that family begin with
OURS: Final = frozenset({_LIST, _FORWARDED, _REAL, _PROTO})
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
# What those say of the URL that the client asked for, beside the rest of X-Forwarded-For's family.
_OF_URLS: Final = frozenset(b"forwarded x-original-host x-original-proto x-scheme x-url-scheme front-end-https".split())
_SIZES: Final = frozenset(map(len, (_LIST, _FORWARDED, _PROTO)))
REMEMBERED_MAX: Final = 128  # bytes of fields: behind a proxy 1,024 clients are judged once, in some 2 MiB
_SECURE: Final[dict[str, bool]] = {"https": True, "wss": True, "http": False, "ws": False}  # schemes of proxies
_ENTRY: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15})(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)")

# What passes of the fields that are proxies': nothing; all; all but those of X-Forwarded-For's family.
Passes = Literal[0, 1, 2]
NOTHING: Final = 0
ALL: Final = 1
ALL_BUT_ITS_FAMILY: Final = 2
PASSES: Final[tuple[Passes, ...]] = (NOTHING, ALL, ALL_BUT_ITS_FAMILY)


class Sender(NamedTuple):
    """Who a request is from.

    `address` is the client's; `variables` are what services are told of it, whole names and values, each ended by NUL.
    `host` and `secure` are of the URL that it asked for, where Forwarded says so.
    """

    address: bytes
    variables: bytes
    passes: Passes
    host: bytes = b""
    secure: bool = False


class _Told(NamedTuple):
    """What services are told of a client, as text."""

    client: str
    way: str  # X-Forwarded-For
    forwarded: str = ""
    host: str = ""
    secure: bool = False

    def sender(self, passes: Passes) -> Sender:
        pairs = {"HTTP_X_REAL_IP": self.client, "HTTP_X_FORWARDED_FOR": self.way, "HTTP_FORWARDED": self.forwarded}
        pairs["HTTP_X_FORWARDED_HOST"] = self.host
        pairs["HTTP_X_FORWARDED_PROTO"] = "https" if self.secure else "http" if passes else ""
        pairs |= {"HTTPS": "on", "REQUEST_SCHEME": "https"} if self.secure else {}
        block = "".join(f"{name}\0{value}\0" for name, value in pairs.items() if value)
        address, host = self.client.encode("latin-1"), self.host.encode("latin-1")
        return Sender(address, block.encode("latin-1"), passes, host, self.secure)


def is_of_proxies(name: bytes) -> bool:
    """Whether a field, its name in lower case, is a proxy's to set."""
    return name in OF_PROXIES or name.startswith(_FAMILY)


def _about_urls(name: bytes) -> bytes:
    """The name of a field in lower case if it says, or decides who says, what URL a client asked for; else nothing."""
    lower = name.lower()
    return lower if lower in _OF_URLS or lower.startswith(_FAMILY) else b""


def is_of_the_family(name: bytes) -> bool:
    """Whether a field, its name in lower case, goes with X-Forwarded-For."""
    return name.startswith(_FAMILY)


def address_of(text: str) -> Address | None:
    """An address as sockets and proxies write it; one of IPv4 in IPv6's form is the former. None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


class _Said(NamedTuple):
    """What a trusted peer says of a client: whole fields as they came."""

    peer: bytes
    secure: bool  # the connection's own
    way: tuple[bytes, ...]
    forwarded: tuple[bytes, ...]
    proto: bytes  # the last

    @property
    def size(self) -> int:
        """Bytes of all fields."""
        return len(self.proto) + sum(map(len, self.way)) + sum(map(len, self.forwarded))


def _said(peer: bytes, fields: Iterable[tuple[bytes, bytes]], *, secure: bool) -> _Said:
    way: tuple[bytes, ...] = ()
    forwarded: tuple[bytes, ...] = ()
    proto = b""
    for name, value in fields:
        if len(name) in _SIZES:
            lower = name.lower()
            if lower == _LIST:
                way += (value,)
            elif lower == _FORWARDED:
                forwarded += (value,)
            elif lower == _PROTO:
                proto = value
    return _Said(peer, secure, way, forwarded, proto)


class Senders:
    """Who requests are from, for one edge.

    :param trusted: networks of proxies. :param unix: whether all who come through a Unix socket are proxies.
    """

    def __init__(self, trusted: Sequence[Network] = (), *, unix: bool = False) -> None:
        self._trusted, self._unix_is_trusted = trusted, unix
        self._direct: Callable[[str, bool, bool], Sender] = lru_cache(maxsize=1024)(self._peer)
        self.trusts: Callable[[str], bool] = lru_cache(maxsize=1024)(self._trusts_peer)
        self._remembered: Callable[[_Said], Sender] = lru_cache(maxsize=1024)(self._judged)

    def of(self, peer: str, fields: Iterable[tuple[bytes, bytes]], reached: Reached = DIRECTLY) -> Sender:
        """Who a request with these fields is from, that came from `peer`.

        :raises ClientError: a trusted proxy passes a Forwarded on that can be read in two ways.
        """
        sender = self._direct(peer, reached.unknown, reached.secure)
        if not sender.passes:
            return sender
        said = _said(sender.address, fields, secure=reached.secure)
        return self._remembered(said) if said.size <= REMEMBERED_MAX else self._judged(said)

    def believes(self, peer: str, reached: Reached) -> bool:
        """Whether what came so from `peer` is from a proxy that may say more about a request than anybody."""
        return self.trusts(peer) and not reached.unknown

    def seen(self, peer: str, fields: Iterable[tuple[bytes, bytes]], reached: Reached = DIRECTLY) -> tuple[bytes, ...]:
        """What services are told of the URL beside Host and target, so that two requests that differ in it differ here.

        The port is among it, since a Host field may go without one: a program may well send others to where it was
        asked.

        :raises ClientError: as `of` does.
        """
        found: tuple[bytes, ...] = () if reached.port == PLAIN_PORT else (b":%d" % reached.port,)
        if reached.secure:
            found += (b"https",)
        if not self.believes(peer, reached):
            return found
        names = set()
        for name, value in fields:
            lower = _about_urls(name)
            if lower:
                names.add(lower)
                if lower not in (_LIST, _FORWARDED):
                    found += (lower, value)
        if _FORWARDED in names and _LIST not in names:
            sender = self.of(peer, fields, reached)
            found += (_FORWARDED, b"https" if sender.secure else b"http", sender.host)
        return found

    def _trusts_peer(self, peer: str) -> bool:
        return (self._unix_is_trusted and not peer) or self._trusts(address_of(peer or LOCAL))

    def _peer(self, peer: str, unknown: bool, secure: bool) -> Sender:
        address = address_of(peer or LOCAL)
        shown = str(address) if address is not None else peer
        passes: Passes = ALL if self.trusts(peer) and not unknown else NOTHING
        return _Told(shown, shown, secure=secure).sender(passes)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _judged(self, said: "_Said") -> Sender:
        """Who a request is from by a proxy's word, and by that of the proxies which that one vouches for."""
        peer, way = said.peer.decode(), [line.decode("latin-1") for line in said.way]
        if said.forwarded and not way:
            lines = [line.decode("latin-1") for line in said.forwarded]
            elements = parse_forwarded(lines)
            if elements is None:
                raise ClientError("bad_request")
            return self._by_elements(peer, elements, lines, secure=said.secure)
        client = peer
        for entry in reversed(",".join(way).split(",")):
            match = _ENTRY.fullmatch(entry.strip())
            address = address_of(match[1] or match[2] or match[3]) if match is not None else None
            if address is None:
                break
            client = str(address)
            if not self._trusts(address):
                break
        proto = said.proto.decode("latin-1").rpartition(",")[2].strip().lower()
        told = _Told(client, ", ".join((*way, peer)), secure=_SECURE.get(proto, said.secure))
        return told.sender(ALL)

    def _by_elements(self, peer: str, elements: Sequence[Element], lines: Sequence[str], *, secure: bool) -> Sender:
        client, proto, host = peer, "", ""
        for element in reversed(elements):
            proto, host = element.proto, element.host
            if element.client is None:
                break
            client = element.client
            if not self._trusts(address_of(client)):
                break
        way = [element.client for element in elements if element.client is not None]
        forwarded = ", ".join((*lines, _element(peer)))
        told = _Told(client, ", ".join((*way, peer)), forwarded, host, _SECURE.get(proto, secure))
        return told.sender(ALL_BUT_ITS_FAMILY)


def _element(address: str) -> str:
    """An address as an element of Forwarded (RFC 7239 section 6)."""
    return f'for="[{address}]"' if ":" in address else f"for={address}"
