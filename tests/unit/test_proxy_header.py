"""The header of the PROXY protocol: what the specification has it say, and all that is none.

The bytes are written by hand from the specification (revision of 2020-03-05, sections 2.1 and 2.2).
"""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.front.proxy_header import BLOCK_MAX, FIXED, LINE_MAX, SIGNATURE, HeaderRefused, Spoken, parse

HTTP = b"GET / HTTP/1.1\r\n"
# One address each, with its port: 192.0.2.1:4711 to 198.51.100.7:80, and the same of IPv6.
IPV4 = bytes.fromhex("c0000201 c6336407 1267 0050")
IPV6 = bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002 1267 0050")
MAPPED = bytes.fromhex("00000000000000000000ffffc0000201 00000000000000000000ffffc6336407 1267 0050")
UNIX = b"/run/client.sock".ljust(108, b"\0") + b"/run/proxy.sock".ljust(108, b"\0")
NOOP, ALPN = bytes.fromhex("04 0003 000000"), bytes.fromhex("01 0002 6832")
OVER_TLS = bytes.fromhex("20 000d 01 00000000 21 0005 544c537631")  # with its version as a part: "TLSv1"
NOT_OVER_TLS = bytes.fromhex("20 0005 00 00000000")


def binary(command: int, kind: int, block: bytes, length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", command, kind, size) + block


SAID = {
    "v1 IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 80\r\n", "192.0.2.1", False, False),
    "v1 the longest of IPv4": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "255.255.255.255",
        False,
        False,
    ),
    "v1 IPv6": (b"PROXY TCP6 2001:DB8::1 2001:db8::2 4711 80\r\n", "2001:db8::1", False, False),
    "v1 the longest of IPv6": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
        False,
        False,
    ),
    "v1 mapped": (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 0 0\r\n", "192.0.2.1", False, False),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None, False, False),
    "v1 unknown with more": (b"PROXY UNKNOWN ff:: ::1 65535 65535\r\n", None, False, False),
    "v2 IPv4": (binary(0x21, 0x11, IPV4), "192.0.2.1", False, False),
    "v2 IPv4 of datagrams": (binary(0x21, 0x12, IPV4), "192.0.2.1", False, False),
    "v2 IPv6": (binary(0x21, 0x21, IPV6), "2001:db8::1", False, False),
    "v2 mapped": (binary(0x21, 0x21, MAPPED), "192.0.2.1", False, False),
    "v2 Unix": (binary(0x21, 0x31, UNIX), None, False, False),
    "v2 unspecified": (binary(0x21, 0x00, b""), None, False, False),
    "v2 unspecified with more": (binary(0x21, 0x00, b"\xff" * 7), None, False, False),
    "v2 local": (binary(0x20, 0x00, b""), None, True, False),
    "v2 local, whatever it says of families": (binary(0x20, 0x99, b"\xff" * 7), None, True, False),
    "v2 extensions": (binary(0x21, 0x11, IPV4 + NOOP + ALPN), "192.0.2.1", False, False),
    "v2 over TLS": (binary(0x21, 0x11, IPV4 + ALPN + OVER_TLS + NOOP), "192.0.2.1", False, True),
    "v2 not over TLS": (binary(0x21, 0x21, IPV6 + NOT_OVER_TLS), "2001:db8::1", False, False),
    "v2 Unix over TLS": (binary(0x21, 0x31, UNIX + OVER_TLS), None, False, True),
    "v2 the largest": (
        binary(0x21, 0x11, IPV4 + b"\xee" + struct.pack("!H", BLOCK_MAX - 15) + bytes(BLOCK_MAX - 15)),
        "192.0.2.1",
        False,
        False,
    ),
}
HEADERS = pytest.mark.parametrize(("header", "client", "own", "secure"), SAID.values(), ids=SAID.keys())


@HEADERS
def test_what_a_header_says(header: bytes, client: str | None, own: bool, secure: bool) -> None:
    assert parse(header + HTTP) == parse(header) == Spoken(len(header), client, own, secure)


@HEADERS
def test_more_is_waited_for_as_long_as_it_is_not_whole(
    header: bytes, client: str | None, own: bool, secure: bool
) -> None:
    assert [parse(header[:size]) for size in range(len(header))] == [None] * len(header)


def v1(text: bytes) -> bytes:
    return b"PROXY " + text + b"\r\n"


NONE = {
    "HTTP": HTTP,
    "another case": b"proxy TCP4 192.0.2.1 198.51.100.7 4711 80\r\n",
    "a blank before it": b" PROXY",
    "a line before it": b"\r\nPROXY TCP4",
    "TLS": b"\x16\x03\x01",
    "no protocol": b"PROXY \r\n",
    "another protocol": v1(b"UDP4 192.0.2.1 198.51.100.7 4711 80"),
    "no ports": v1(b"TCP4 192.0.2.1 198.51.100.7"),
    "one port": v1(b"TCP4 192.0.2.1 198.51.100.7 4711"),
    "three ports": v1(b"TCP4 192.0.2.1 198.51.100.7 4711 80 80"),
    "two blanks": v1(b"TCP4  192.0.2.1 198.51.100.7 4711 80"),
    "a tab": v1(b"TCP4\t192.0.2.1 198.51.100.7 4711 80"),
    "a blank at the end": v1(b"TCP4 192.0.2.1 198.51.100.7 4711 80 "),
    "a port with a zero before it": v1(b"TCP4 192.0.2.1 198.51.100.7 04711 80"),
    "a port with a sign": v1(b"TCP4 192.0.2.1 198.51.100.7 +4711 80"),
    "a port with an underscore": v1(b"TCP4 192.0.2.1 198.51.100.7 4_7 80"),
    "a port that is too large": v1(b"TCP4 192.0.2.1 198.51.100.7 65536 80"),
    "another port that is too large": v1(b"TCP4 192.0.2.1 198.51.100.7 1 99999"),
    "an octal address": v1(b"TCP4 192.0.02.1 198.51.100.7 4711 80"),
    "an address that is too large": v1(b"TCP4 192.0.2.256 198.51.100.7 4711 80"),
    "a short address": v1(b"TCP4 192.0.513 198.51.100.7 4711 80"),
    "another address that is none": v1(b"TCP4 192.0.2.1 198.51.100 4711 80"),
    "IPv6 as IPv4": v1(b"TCP4 2001:db8::1 2001:db8::2 4711 80"),
    "IPv4 as IPv6": v1(b"TCP6 192.0.2.1 198.51.100.7 4711 80"),
    "an address with a zone": v1(b"TCP6 fe80::1%lo fe80::2 4711 80"),
    "an address with two gaps": v1(b"TCP6 2001::db8::1 2001:db8::2 4711 80"),
    "an address in brackets": v1(b"TCP6 [2001:db8::1] 2001:db8::2 4711 80"),
    "a line that ends without CR": b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 80\n",
    "unknown that ends without CR": b"PROXY UNKNOWN\n",
    "unknown with CR in it": b"PROXY UNKNOWN a\rb\r\n",
    "unknown and something": b"PROXY UNKNOWNS\r\n",
    "digits beyond ASCII": v1("TCP4 192.0.2.\u0661 198.51.100.7 4711 80".encode()),
    "nearly the signature": b"\r\n\r\n\x00\r\nQUIT\r",
    "version 1 in binary": binary(0x11, 0x11, IPV4),
    "version 3": binary(0x31, 0x11, IPV4),
    "another command": binary(0x22, 0x11, IPV4),
    "another family": binary(0x21, 0x41, IPV4),
    "no transport": binary(0x21, 0x10, IPV4),
    "another transport": binary(0x21, 0x13, IPV4),
    "no family": binary(0x21, 0x01, IPV4),
    "too little for IPv4": binary(0x21, 0x11, IPV4[:-1]),
    "too little for IPv6": binary(0x21, 0x21, IPV4),
    "too little for Unix": binary(0x21, 0x31, UNIX[:-1]),
    "half an extension": binary(0x21, 0x11, IPV4 + b"\x04\x00"),
    "an extension that goes on": binary(0x21, 0x11, IPV4 + b"\x04\x00\x02\x00"),
    "TLS without its fields": binary(0x21, 0x11, IPV4 + b"\x20\x00\x04\x01\0\0\0"),
    "TLS twice": binary(0x21, 0x11, IPV4 + NOT_OVER_TLS + OVER_TLS),
    "TLS that goes on": binary(0x21, 0x11, IPV4 + b"\x20\xff\xff\x01"),
}


@pytest.mark.parametrize("data", NONE.values(), ids=NONE.keys())
def test_what_is_no_header(data: bytes) -> None:
    with pytest.raises(HeaderRefused, match="malformed"):
        parse(data)


def test_what_is_longer_than_anybody_needs_is_refused_before_it_is_here() -> None:
    assert parse((b"PROXY UNKNOWN ".ljust(LINE_MAX - 2, b"x")) + b"\r\n") == Spoken(LINE_MAX)
    too_long = b"PROXY UNKNOWN ".ljust(LINE_MAX - 1, b"x")
    assert parse(too_long) is None
    for data in (too_long + b"x", too_long + b"\r\n", binary(0x21, 0x00, b"", 0xFFFF), binary(0x20, 0, b"", 2049)):
        with pytest.raises(HeaderRefused, match="too_long"):
            parse(data)


@pytest.mark.parametrize("data", [binary(0x11, 0, b"", 99), binary(0x21, 0x41, b"", 99), binary(0x21, 0x11, b"", 11)])
def test_what_can_be_no_header_is_refused_with_its_first_bytes(data: bytes) -> None:
    with pytest.raises(HeaderRefused):
        parse(data[:FIXED])


@given(st.binary(max_size=300) | st.builds(SIGNATURE.__add__, st.binary(max_size=300)))
def test_whatever_comes_it_is_a_header_within_what_came_or_none(data: bytes) -> None:
    try:
        spoken = parse(data)
    except HeaderRefused:
        spoken = None
    if spoken is not None:
        assert 0 < spoken.size <= len(data)
        assert spoken.client is None or ipaddress.ip_address(spoken.client)


@given(st.ip_addresses(), st.ip_addresses(v=4), st.integers(0, 65535), st.booleans(), st.binary(max_size=200))
def test_both_versions_say_the_same(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address,
    proxy: ipaddress.IPv4Address,
    port: int,
    secure: bool,
    extension: bytes,
) -> None:
    if client.version == 6:
        at: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv6Address(int(proxy))
    else:
        at = proxy
    line = f"PROXY TCP{client.version} {client} {at} {port} {port}\r\n".encode()
    block = client.packed + at.packed + struct.pack("!HH", port, port)
    block += b"\xe0" + struct.pack("!H", len(extension)) + extension + (OVER_TLS if secure else NOT_OVER_TLS)
    packed = binary(0x21, 0x11 if client.version == 4 else 0x21, block)
    shown = (client.ipv4_mapped if isinstance(client, ipaddress.IPv6Address) else None) or client
    said, told = parse(line + HTTP), parse(packed + HTTP)
    assert said is not None
    assert told is not None
    assert (said.size, told.size) == (len(line), len(packed))
    assert said.client == told.client
    assert ipaddress.ip_address(told.client or "") == shown
    assert told.secure is secure
