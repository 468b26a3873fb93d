"""Pieces that a guest sends to the client of a socket, checked: what a gate passes on and a supervisor believes."""

import struct
from typing import Final

from vmimage import abi
from vmimage.errors import FormatError

CODE: Final = struct.Struct("<H")
KINDS: Final = (abi.SOCKET_TEXT, abi.SOCKET_BINARY, abi.SOCKET_CLOSE)
# Close codes that an endpoint may send (RFC 6455 section 7.4, and 1012 to 1014 of IANA's registry).
_NAMED: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))


def may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a frame: 1004 to 1006 and 1015 are never said, the rest is of no protocol."""
    return code in _NAMED or 3000 <= code <= 4999


def check_piece(flags: int, payload: bytes) -> None:
    """Refuse what is no piece.

    :param payload: of a SOCKET record, `{u8 SOCKET_*, bytes}`.
    :raises FormatError: another flag, kind, size, close code or reason than there may be.
    """
    if flags & ~abi.FLAG_END or not payload or payload[0] not in KINDS or len(payload) > abi.RECORD_PAYLOAD_MAX:
        raise FormatError(f"a piece for a socket expected, got flags {flags:#x}, {len(payload)} bytes: {payload[:1]!r}")
    if payload[0] == abi.SOCKET_CLOSE:
        code, reason = close_of(payload)
        size = len(reason.encode())
        if not flags or size > abi.SOCKET_REASON_MAX or (code and not may_be_sent(code)) or (size and not code):
            raise FormatError(f"a close code and a reason of a socket expected, got {code} and {size} bytes")


def close_of(payload: bytes) -> tuple[int, str]:
    """Code (0: none) and reason of a piece that is a CLOSE.

    :raises FormatError: there is no code, or the reason is not UTF-8.
    """
    try:
        return CODE.unpack_from(payload, 1)[0], payload[1 + CODE.size :].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"a close code and a reason of a socket expected: {error}") from None
