"""Which version of a service a visitor gets: a pure function of the service, the release and who the visitor is.

A visitor has one of ALL places, by a keyed hash of these three, and gets the candidate where the place lies below the
release's share. So the same visitor gets the same version for as long as the share stays, widening only moves visitors
from the stable version to the candidate, and another release moves others. Without the key, which the edges of one
operator share (`key_of`), nobody can find a name for himself that leads to the candidate. A visitor is known by a
cookie that the edge gave out, else by the network of its address.
"""

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Final, Literal

from vmimage.release import Candidate, place_of

Version = Literal["stable", "candidate"]

COOKIE: Final = b"__Host-nunatak-visitor"  # the prefix has browsers take it over HTTPS and for one host only
COOKIE_AGE_S: Final = 30 * 86_400  # of a release that takes longer, visitors may change sides
CHOICE: Final = b"x-nunatak-choose"  # the request field in which a visitor may say "stable" or "candidate"
IPV4_BITS: Final = 24  # of an address that stand for a visitor: a household or an office behind one provider's pool
IPV6_BITS: Final = 48

_VALUE: Final = re.compile(rb"[A-Za-z0-9_-]{22}")  # 128 bits in the letters of URLs
_CHOICES: Final[dict[bytes, Version]] = {b"stable": "stable", b"candidate": "candidate"}


def key_of(secret: bytes) -> bytes:
    """The key of the hash, from a secret that the edges of a fleet have in common."""
    return hmac.digest(secret, b"nunatak releases", "sha256")


def version_for(key: bytes, service: str, candidate: Candidate, visitor: bytes) -> Version:
    """The version that a visitor gets."""
    return "candidate" if place_of(key, service, candidate.release, visitor) < candidate.share else "stable"


def network_of(address: bytes) -> bytes:
    """The network that stands for a visitor without a cookie; what is no address stands for itself."""
    try:
        parsed = ipaddress.ip_address(address.decode("latin-1").partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        bits, parsed = (IPV6_BITS, parsed) if mapped is None else (IPV4_BITS, mapped)
    else:
        bits = IPV4_BITS
    return str(ipaddress.ip_network((parsed, bits), strict=False)).encode()


def cookie_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The visitor's cookie in a request's fields; empty where there is none of ours, or more than one."""
    found = [
        value.strip()
        for name, field in headers
        if len(name) == len(b"cookie") and name.lower() == b"cookie" and COOKIE in field
        for key, _, value in (pair.partition(b"=") for pair in field.split(b";"))
        if key.strip() == COOKIE
    ]
    return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else b""


def visitor_of(
    headers: Iterable[tuple[bytes, bytes]], address: bytes, *, cookies: bool, secure: bool, fresh: Callable[[], bytes]
) -> tuple[bytes, bytes]:
    """Who asks, and the line of the answer that gives him a cookie; empty where he gets none.

    :param headers: of the request. :param address: of the client.
    :param cookies: whether he is to be known by one: not on a host that services of several tenants share, where each
        of them would know him by it. :param secure: he came over HTTPS; else no browser would take it.
    :param fresh: makes the value of a new one.
    """
    if cookies:
        cookie = cookie_in(headers)
        if cookie:
            return cookie, b""
        if secure:
            cookie = fresh()
            return cookie, cookie_line(cookie)
    return network_of(address), b""


def choice_in(headers: Iterable[tuple[bytes, bytes]]) -> Version | None:
    """The version that a request asks for, None where it says nothing that can be meant."""
    for name, value in headers:
        if len(name) == len(CHOICE) and name.lower() == CHOICE:
            return _CHOICES.get(value.strip().lower())
    return None


def cookie_line(value: bytes) -> bytes:
    """The field that gives a visitor a cookie, as a whole line."""
    attributes = b"Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Lax" % COOKIE_AGE_S
    return b"Set-Cookie: %b=%b; %b\r\n" % (COOKIE, value, attributes)
