"""What supervisor and worker say to each other, over one Unix stream socket, many frames a write.

A frame is a header of 16 bytes {u32 payload length, u8 type, u8 flags, u16 zero, u32 machine, u32 stream}, then the
payload. `machine` is a number the supervisor never uses twice on a connection, so frames for a machine that is gone
are told apart and dropped. Image memfds travel on a second socket (`IMAGE`), one datagram each, sent before the frame
that announces them; a small derived image travels in the frame itself. Gate payloads are passed through: a HEAD's
payload is the gate's key-value block and body bytes.
"""

import struct
from collections.abc import Collection
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("<IBBHII")
LENGTH: Final = struct.Struct("<I")  # of JSON, where bytes follow it in one payload
# Before the payload of a worker's HEAD: restore, guest CPU so far, in microseconds; where it ran, of ENGINES.
TIMING: Final = struct.Struct("<IIB")
ENGINES: Final = ("unicorn", "kvm")
PAYLOAD_MAX: Final = 64 << 20  # OPEN with the largest record, and what scratch disks hold, which `drives` bounds
SMALL_MAX: Final = 128 << 10  # from a worker, but for PARKED and PONG; an answer's body has up to 64 KiB in a frame
# Changed pages of a machine that may still be parked, uncompressed: with 16 MiB of written disk pages, page numbers,
# all JSON and no gain by compression it fits an OPEN.
RECORD_BYTES_MAX: Final = 32 << 20

FLAG_SYNC: Final = 1  # APPEND: no record, but let all before be on disk
FLAG_FAILED: Final = 1  # BLOCK: it cannot be had
FLAG_MORE: Final = 1  # KEEP: the page set goes on in the next one
FLAG_END: Final = 1  # HEAD, BODY: last of the stream in this direction (equals abi.FLAG_END)

# Both ways, per stream.
HEAD: Final = 1
BODY: Final = 2
RESET: Final = 3  # to the worker: the client is gone; from the worker: the guest aborted the stream
CREDIT: Final = 4  # u32
SUBREQUEST: Final = 6  # from the worker: a guest's own request (abi.RECORD_SUBREQUEST); a stream with abi.EXCHANGE_BIT

# To the worker.
# u32 length of JSON, JSON {kind, base, memory_bytes, regions, bytes}, then the record of a small derived image; where
# `bytes` is not 0, an fd with so many waits on the image socket instead. Header's machine is the image's number.
IMAGE: Final = 16
DROP_IMAGE: Final = 17  # header's machine is the image's number; without FLAG_END it may be given again
# u32 length of JSON, JSON {image, tenant, weight, limits: fields of `terms.Limits`, growth_bytes, fresh, disks,
# record_bytes}, then what PARKED carried, if anything. `weight` is the tenant's; `record_bytes`, RECORD_BYTES_MAX where
# it is missing, what may have changed in a machine that is parked: one with more ends.
OPEN: Final = 18
PARK: Final = 19  # as soon as the machine is idle; answered by PARKED, or by DIED
CLOSE: Final = 20  # forget the machine
PING: Final = 21  # answered by PONG with the payload and statistics
STOP: Final = 22  # finish and leave
DISK: Final = 23  # JSON {blocks, cache_bytes}; header's machine is the disk's number
DROP_DISK: Final = 24  # header's machine is the disk's number
BLOCK: Final = 25  # header: disk's number, block's number; the block; nothing is zeros; FLAG_FAILED
PAGES: Final = 26  # before OPEN: what was written to a cow disk; header's stream is its place among the machine's disks
DISK_DONE: Final = 27  # header's stream is the token of a KEEP or APPEND; i32: 0 or a negative errno

DISK_MORE: Final = 28  # header's stream is the token of a KEEP with FLAG_MORE: its next part may come

# From the worker.
HELLO: Final = 32  # JSON: pid, engines
PARKED: Final = 33  # the record; empty when the machine had nothing that differs from its image
DIED: Final = (
    34  # JSON: {error: class name in vmimage.errors, message, report: {...}, retry: [streams not yet seen by it]}
)
LOG: Final = 35  # UTF-8 lines from the guest's console or log records
PONG: Final = 36  # JSON statistics, see `vitals`; below 64 KiB
BLOCK_WANT: Final = 37  # header: disk's number, block's number; answered by BLOCK
# Header's stream is a token; u32 place of the disk, then a page set, or a part of one, cut between pages: all parts
# have that token, all but the last FLAG_MORE, and the first has the whole head, so that it says all that a flush may be
# refused for. The whole is answered by DISK_DONE, which may come before its end: then no part need follow. DISK_MORE
# asks for the next part; when a machine is parked, all follow unasked.
KEEP: Final = 38
APPEND: Final = 39  # header's stream is a token; u32 place of the disk, then a log record; answered by DISK_DONE


LARGE: Final = frozenset((PARKED, PONG))  # from a worker: see SMALL_MAX


class Frame(NamedTuple):
    """One frame; `payload` is a copy."""

    type: int
    flags: int
    machine: int
    stream: int
    payload: bytes


def with_json(about: bytes, data: bytes) -> bytes:
    """A payload of JSON and bytes."""
    return b"".join((LENGTH.pack(len(about)), about, data))


def split_json(payload: bytes) -> tuple[bytes, bytes]:
    """The JSON and the bytes of such a payload."""
    (length,) = LENGTH.unpack_from(payload)
    return payload[LENGTH.size : LENGTH.size + length], payload[LENGTH.size + length :]


def pack(type_: int, flags: int, machine: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame as bytes.

    :raises ValueError: a payload above PAYLOAD_MAX: what `parse` would refuse is not sent.
    """
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"a payload of at most {PAYLOAD_MAX} bytes expected, got {len(payload)}")
    return HEADER.pack(len(payload), type_, flags, 0, machine, stream) + payload


def parse(buffer: bytearray, large: Collection[int] | None = None) -> list[Frame]:
    """Take every whole frame off the front of `buffer`.

    :param large: see `scan`. :raises ValueError: likewise.
    """
    with memoryview(buffer) as view:
        found, used = scan(view, large)
    if used:
        del buffer[:used]
    return found


def scan(data: memoryview, large: Collection[int] | None = None) -> tuple[list[Frame], int]:
    """Every whole frame at the front of `data`, and how many bytes they take.

    :param large: types of which payloads may be larger than SMALL_MAX; None: all.
    :raises ValueError: a length above what there may be; the connection cannot be used further.
    """
    frames: list[Frame] = []
    position, end = 0, len(data)
    header_size, unpack_from = HEADER.size, HEADER.unpack_from
    while end - position >= header_size:
        length, type_, flags, _, machine, stream = unpack_from(data, position)
        if length > SMALL_MAX:
            most = PAYLOAD_MAX if large is None or type_ in large else SMALL_MAX
            if length > most:
                raise ValueError(f"frame of {length} bytes, at most {most} expected")
        start = position + header_size
        if end - start < length:
            break
        position = start + length
        frames.append(Frame(type_, flags, machine, stream, bytes(data[start:position])))
    return frames, position
