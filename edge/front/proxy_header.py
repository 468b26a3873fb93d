"""The header of the PROXY protocol: whom a proxy speaks for, said before the first byte of HTTP.

Source: The PROXY protocol, versions 1 and 2, by Willy Tarreau, revision of 2020-03-05; sections 2.1 and 2.2 are meant
below. What is not exactly that is refused, as early as it can be told from the bytes that are here. Of the extensions
(TLVs) the one about TLS is read, the others are skipped. Pure.
"""

import re
import socket
import struct
from typing import Final, Literal, NamedTuple

from edge.front.reached import plain_address

Why = Literal["malformed", "too_long"]

LINE_MAX: Final = 107  # bytes of version 1, CR LF among them (section 2.1)
BLOCK_MAX: Final = 2048  # bytes of version 2 behind its first 16, of 65,535; senders stay below 536 (section 2.2)
FIXED: Final = 16  # bytes that version 2 begins with
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_START: Final = b"PROXY "

_PORT: Final = rb"(?:0|[1-9][0-9]{0,4})"
_LINE: Final = re.compile(
    rb"PROXY (?:TCP4 ([0-9.]{7,15}) ([0-9.]{7,15})|TCP6 ([0-9A-Fa-f:.]{2,45}) ([0-9A-Fa-f:.]{2,45}))"
    rb" (%b) (%b)\r\n" % (_PORT, _PORT)
)
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_TLS: Final = 0x20  # PP2_TYPE_SSL
_TLS_VALUE_MIN: Final = 5  # bytes: what the client did, and what came of verifying its certificate
_CLIENT_TLS: Final = 0x01  # PP2_CLIENT_SSL
# Family and transport: the bytes of both addresses and ports, and the family of the client's; no family: it has no
# address.
_FAMILIES: Final[dict[int, tuple[int, int | None]]] = {
    0x00: (0, None),
    0x11: (12, socket.AF_INET),
    0x12: (12, socket.AF_INET),
    0x21: (36, socket.AF_INET6),
    0x22: (36, socket.AF_INET6),
    0x31: (216, None),
    0x32: (216, None),
}
_EACH: Final = {socket.AF_INET: 4, socket.AF_INET6: 16}


class HeaderRefused(Exception):
    """It is none, or more than anybody needs."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Final = why


class Spoken(NamedTuple):
    """What a header says."""

    size: int  # bytes of it, behind which HTTP begins
    client: str | None = None  # an address; None where there is none
    own: bool = False  # the proxy's own connection, to see whether somebody is there
    secure: bool = False  # the client's connection to the proxy is TLS


def parse(data: bytes) -> Spoken | None:
    """The header at the beginning of a connection.

    :param data: all that has come so far.
    :return: None while there must be more.
    :raises HeaderRefused: whatever may come, it is none.
    """
    if data[:1] == SIGNATURE[:1]:
        return _binary(data)
    if not data.startswith(_START[: len(data)]):
        raise HeaderRefused("malformed")
    return _line(data)


def _line(data: bytes) -> Spoken | None:
    size = data.find(b"\n", 0, LINE_MAX) + 1
    if not size:
        if len(data) >= LINE_MAX:
            raise HeaderRefused("too_long")
        return None
    line = data[:size]
    if _UNKNOWN.fullmatch(line):
        return Spoken(size)
    match = _LINE.fullmatch(line)
    if match is None or any(int(port) > 0xFFFF for port in match.groups()[4:]):
        raise HeaderRefused("malformed")
    family = socket.AF_INET if match[1] else socket.AF_INET6
    client, _ = [_written(family, address) for address in match.groups()[:4] if address]
    return Spoken(size, client)


def _written(family: int, address: bytes) -> str:
    """An address as its family writes it. :raises HeaderRefused: it is none."""
    try:
        return plain_address(socket.inet_ntop(family, socket.inet_pton(family, address.decode())))
    except OSError:
        raise HeaderRefused("malformed") from None


def _binary(data: bytes) -> Spoken | None:
    if not data.startswith(SIGNATURE[: len(data)]):
        raise HeaderRefused("malformed")
    if len(data) < FIXED:
        return None
    command, kind, length = struct.unpack_from("!BBH", data, len(SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise HeaderRefused("malformed")
    addresses_size, family = _FAMILIES.get(kind, (-1, None)) if command == _PROXY else (0, None)
    if addresses_size < 0 or length < addresses_size:
        raise HeaderRefused("malformed")
    if length > BLOCK_MAX:
        raise HeaderRefused("too_long")
    size = FIXED + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Spoken(size, own=True)
    if not addresses_size:
        return Spoken(size)  # what is in it is for those who know the family
    secure = _secure(data[FIXED + addresses_size : size])
    if family is None:
        return Spoken(size, secure=secure)
    client = socket.inet_ntop(family, data[FIXED : FIXED + _EACH[socket.AddressFamily(family)]])
    return Spoken(size, plain_address(client), secure=secure)


def _secure(extensions: bytes) -> bool:
    """Whether they say that the client's connection is TLS. :raises HeaderRefused: they do not fill their place."""
    at, said = 0, []
    while at < len(extensions):
        if len(extensions) - at < 3:
            raise HeaderRefused("malformed")
        kind, length = struct.unpack_from("!BH", extensions, at)
        at += 3 + length
        if kind == _TLS:
            if length < _TLS_VALUE_MIN:
                raise HeaderRefused("malformed")
            said.append(extensions[at - length] if at <= len(extensions) else 0)
    if at != len(extensions) or len(said) > 1:
        raise HeaderRefused("malformed")
    return bool(said) and bool(said[0] & _CLIENT_TLS)
