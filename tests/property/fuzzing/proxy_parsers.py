"""Parsers of what proxies say of their clients: headers of the PROXY protocol, and the field Forwarded."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from edge.front.forwarded import Element, parse_forwarded
from edge.front.proxy_header import BLOCK_MAX, FIXED, HeaderRefused, Spoken, parse
from tests.property.fuzzing.parsers import Target
from tests.property.fuzzing.seeds import from_seeds

_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_IPV4: Final = bytes.fromhex("c0000201c633640712670050")
_HEADERS: Final = (
    b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 80\r\nGET / HTTP/1.1\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.7 0 65535\r\n",
    b"PROXY UNKNOWN ff:: ::1 65535 65535\r\n",
    _START + b"\x21\x11\x00\x0c" + _IPV4 + b"GET / HTTP/1.1\r\n",
    _START + b"\x21\x21\x00\x24" + bytes.fromhex("20010db8000000000000000000000001") * 2 + b"\x12\x67\x00\x50",
    _START + b"\x21\x11\x00\x1f" + _IPV4 + bytes.fromhex("0400020000 20000b010000000021000154 "),
    _START + b"\x21\x31\x00\xd8" + bytes(216),
    _START + b"\x20\x00\x00\x03" + bytes(3),
)
_FIELDS: Final = (
    b'for=192.0.2.60;proto=http;by=203.0.113.43, for="[2001:db8:cafe::17]:4711"',
    b'for=_hidden;host="shop.example:8080";proto=https\nfor=unknown',
    b'for="_a";secret="x, for=\\"y;z"',
)


class _NoField(Exception):
    """It is not in the grammar."""


def _header(data: bytes) -> Spoken | None:
    spoken = parse(data)
    for size in (0, 1, FIXED, len(data) - 1):  # a part of what is a header is none and is not refused
        if spoken is not None and size < spoken.size and parse(data[:size]) is not None:
            raise ValueError(f"a header in its first {size} bytes")
    return spoken


def _header_holds(data: bytes, spoken: Spoken | None) -> bool:
    """What is waited for has a bound; what is there is within the bytes, and names an address."""
    if spoken is None:
        return len(data) < FIXED + BLOCK_MAX
    return 0 < spoken.size <= len(data) and (spoken.client is None or bool(ipaddress.ip_address(spoken.client)))


def _forwarded(data: bytes) -> list[Element]:
    elements = parse_forwarded(data.decode("latin-1").split("\n"))
    if elements is None:
        raise _NoField
    return elements


def _forwarded_holds(_: bytes, elements: list[Element]) -> bool:
    """Each client is an address, each scheme one word, each host free of what ends a line or a value."""
    return bool(elements) and all(
        (each.client is None or bool(ipaddress.ip_address(each.client)))
        and each.proto == each.proto.lower()
        and not set(each.proto + each.host) & set(' ,;"\r\n\0')
        for each in elements
    )


def targets() -> Sequence[Target]:
    """Those of this module."""
    return (
        Target("proxy-header", from_seeds(*_HEADERS), _header, (HeaderRefused,), _header_holds),
        Target("forwarded", from_seeds(*_FIELDS), _forwarded, (_NoField,), _forwarded_holds),
    )
