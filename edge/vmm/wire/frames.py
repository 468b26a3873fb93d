"""The envelope of what supervisor and worker say to each other, over one Unix stream socket, many frames a write.

A frame is a header of 16 bytes {u32 payload length, u8 type, u8 flags, u16 zero, u32 first number, u32 second number},
then the payload. What the numbers, flags and payload mean is the type's business: each type is a value in `streams`,
`machines`, `images`, `disks` or `vitals`, with one encoder and one strict decoder, and `messages` holds the tables of
who may say what. Numbers of machines, images and disks are never used twice on a connection, so frames for one that is
gone are told apart and dropped.

Image memfds travel on a second socket, one datagram each, sent before the frame that announces them.
"""

import struct
from collections.abc import Collection
from typing import Final, TypeAlias

HEADER: Final = struct.Struct("<IBBHII")
LENGTH: Final = struct.Struct("<I")  # of a part, where another follows it in one payload
CREDIT_AMOUNT: Final = struct.Struct("<I")  # the payload of CREDIT, on the wire and in the gate
PAYLOAD_MAX: Final = 64 << 20  # OPEN with the largest state, and what scratch disks hold, which `drives` bounds
SMALL_MAX: Final = 128 << 10  # from a worker, but for PARKED; an answer's head and first bytes have up to 96 KiB
# Changed pages of a machine that may still be parked, uncompressed: with 16 MiB of written disk pages, page numbers,
# all JSON and no gain by compression it fits an OPEN.
RECORD_BYTES_MAX: Final = 32 << 20
NUMBER_MAX: Final = 0xFFFF_FFFF

# Both ways.
HEAD: Final = 1
BODY: Final = 2
RESET: Final = 3
CREDIT: Final = 4
# To the worker.
IMAGE: Final = 16
DROP_IMAGE: Final = 17
OPEN: Final = 18
PARK: Final = 19
CLOSE: Final = 20
PING: Final = 21
STOP: Final = 22
DISK: Final = 23
DROP_DISK: Final = 24
BLOCK: Final = 25
PAGES: Final = 26
DISK_DONE: Final = 27
DISK_MORE: Final = 28
# From the worker.
SUBREQUEST: Final = 6
SOCKET: Final = 7
HELLO: Final = 32
PARKED: Final = 33
DIED: Final = 34
LOG: Final = 35
PONG: Final = 36
BLOCK_WANT: Final = 37
KEEP: Final = 38
APPEND: Final = 39

FLAG_END: Final = (
    1  # HEAD, BODY, SUBREQUEST: last of the stream in this direction; SOCKET: of the message (equals abi.FLAG_END)
)
FLAG_FOR_GOOD: Final = 1  # DROP_IMAGE: it is not given again
FLAG_MORE: Final = 1  # KEEP: the page set goes on in the next one
FLAG_FAILED: Final = 1  # BLOCK: it cannot be had
FLAG_SYNC: Final = 1  # APPEND: no record, but let all before be on disk

LARGE: Final = frozenset((PARKED,))  # from a worker: see SMALL_MAX

_HEADER_BYTES: Final = HEADER.size
_unpack_header = HEADER.unpack_from

RawFrame: TypeAlias = tuple[int, int, int, int, bytes]  # type, flags, first number, second number, payload


def pack(type_: int, flags: int, first: int, second: int, payload: bytes = b"") -> bytes:
    """One frame as bytes.

    :raises ValueError: a payload above PAYLOAD_MAX: what `Splitter` would refuse is not sent.
    """
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"a payload of at most {PAYLOAD_MAX} bytes expected, got {len(payload)}")
    return HEADER.pack(len(payload), type_, flags, 0, first, second) + payload


class Splitter:
    """Frames out of what a socket gives, in whatever pieces."""

    def __init__(self, large: Collection[int] | None = None) -> None:
        """:param large: types of which payloads may be larger than SMALL_MAX; None: all."""
        self._large = large
        self._rest = bytearray()  # the beginning of a frame
        self._wanted = 0  # bytes of the rest at which there is more to say

    def feed(self, data: bytes) -> list[RawFrame]:
        """The frames that are whole with these bytes.

        :raises ValueError: a length above what there may be, or a header whose zero is none: the connection is out of
            step, and cannot be used further.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        found: list[RawFrame] = []
        position, end, wanted = 0, len(data), _HEADER_BYTES
        while end - position >= _HEADER_BYTES:
            length, type_, flags, zero, first, second = _unpack_header(data, position)
            if length > SMALL_MAX or zero:
                most = PAYLOAD_MAX if self._large is None or type_ in self._large else SMALL_MAX
                if length > most or zero:
                    raise ValueError(f"frame of {length} bytes, zero {zero:#x}: at most {most} and 0 expected")
            start = position + _HEADER_BYTES
            if end - start < length:
                wanted += length
                break
            position = start + length
            found.append((type_, flags, first, second, data[start:position]))
        if position < end:
            self._rest += memoryview(data)[position:]
            self._wanted = wanted
        return found


def with_head(head: bytes, *parts: bytes) -> bytes:
    """A payload of a first part with its length, and what follows it."""
    return b"".join((LENGTH.pack(len(head)), head, *parts))


def split_head(payload: bytes) -> tuple[bytes, bytes]:
    """The first part of such a payload, and the rest.

    :raises ValueError: the payload is shorter than it says.
    """
    if len(payload) < LENGTH.size or (length := LENGTH.unpack_from(payload)[0]) > len(payload) - LENGTH.size:
        raise ValueError(f"a length and so many bytes expected, got {len(payload)}")
    return payload[LENGTH.size : LENGTH.size + length], payload[LENGTH.size + length :]
