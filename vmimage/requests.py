"""Requests that are open in a machine, as values and as bytes: what its gate knows of them and has not yet delivered.

They stand behind the pages of a record of version 3, see `vmimage.snapshot`:
    u64 CPU time in ns since a request was last completed
    u32 stream count s, u32 flags (1: the machine has had its one request), u32 bytes ready, u32 bytes waiting
    s x {u32 number (strictly increasing), u32 flags (1: request ended, 2: response started), u32 credit, u32 owed,
         u64 output bytes}
    gate records for open streams, in order; then gate records of streams that are not opened yet, stream by stream
Everything is little-endian and must be just what `encode` would write: a worker parses what its guests made.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from vmimage import abi
from vmimage.errors import FormatError
from vmimage.terms import OUTPUT_MAX

_RECORD: Final = struct.Struct("<IHHII")
_HEAD: Final = struct.Struct("<QIIII")
_STREAM: Final = struct.Struct("<IIIIQ")
_ALIGN: Final = abi.RECORD_ALIGN - 1
_USED: Final = 1
_REQUEST_ENDED: Final = 1
_RESPONSE_STARTED: Final = 2
_CREDIT_BYTES: Final = 4

# A stream's body bytes under way, by its window, and what its head carried beside that.
UNDER_WAY_MAX: Final = abi.STREAM_WINDOW + abi.RECORD_PAYLOAD_MAX
# Records under way for all streams: their payloads, and as much again for the headers of short ones.
QUEUED_MAX: Final = 2 * abi.MAX_STREAMS * UNDER_WAY_MAX
REQUESTS_MAX: Final = _HEAD.size + abi.MAX_STREAMS * _STREAM.size + 2 * QUEUED_MAX


class Record(NamedTuple):
    """One gate record; `payload` is a copy outside of guest memory."""

    type: int
    flags: int
    stream: int
    payload: bytes


def encode_record(type_: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A record as it lies in a ring: header, payload, padding."""
    length = len(payload)
    return _RECORD.pack(length, type_, flags, stream, 0) + payload + bytes(-length & _ALIGN)


@dataclass(frozen=True, slots=True)
class OpenStream:
    """One request that the guest has been told of."""

    number: int
    request_ended: bool
    response_started: bool
    credit: int  # body bytes the guest may still send
    owed: int  # request bytes delivered and not yet given credit for
    output_bytes: int


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """All of a machine's."""

    streams: tuple[OpenStream, ...]  # numbers increase
    ready: tuple[Record, ...]  # for streams that are open, or that the guest has not yet seen the end of
    waiting: tuple[Record, ...]  # of streams not yet opened, each beginning with its HEAD
    used: bool = False  # a machine for one request has had it
    charged_ns: int = 0  # CPU time since a request was last completed


def encode(requests: OpenRequests) -> bytes:
    """As bytes.

    :raises FormatError: what `decode` would refuse; so a guest that broke its gate's rules is not carried elsewhere.
    """
    check(requests)
    ready, waiting = (b"".join(encode_record(*r) for r in part) for part in (requests.ready, requests.waiting))
    head = requests.charged_ns, len(requests.streams), _USED * requests.used, len(ready), len(waiting)
    streams = (
        _STREAM.pack(
            s.number,
            _REQUEST_ENDED * s.request_ended | _RESPONSE_STARTED * s.response_started,
            *(s.credit, s.owed, s.output_bytes),
        )
        for s in requests.streams
    )
    return b"".join((_HEAD.pack(*head), *streams, ready, waiting))


def decode(data: bytes) -> OpenRequests:
    """Parse.

    :raises FormatError: what `encode` cannot have written, or no gate can hold.
    """
    if len(data) < _HEAD.size:
        raise FormatError(f"open requests: at least {_HEAD.size} bytes expected, got {len(data)}")
    charged_ns, count, used, ready_bytes, waiting_bytes = _HEAD.unpack_from(data)
    queued = _HEAD.size + count * _STREAM.size
    if count > abi.MAX_STREAMS or used > _USED or queued + ready_bytes + waiting_bytes != len(data):
        raise FormatError(f"open requests: {count} streams and their records do not make {len(data)} bytes")
    streams = []
    for number, flags, credit, owed, output_bytes in _STREAM.iter_unpack(data[_HEAD.size : queued]):
        if flags & ~(_REQUEST_ENDED | _RESPONSE_STARTED):
            raise FormatError(f"open requests: flags of stream {number} expected, got {flags:#x}")
        ended, started = bool(flags & _REQUEST_ENDED), bool(flags & _RESPONSE_STARTED)
        streams.append(OpenStream(number, ended, started, credit, owed, output_bytes))
    ready = _parse_records(data[queued : queued + ready_bytes])
    waiting = _parse_records(data[queued + ready_bytes :])
    requests = OpenRequests(tuple(streams), ready, waiting, bool(used), charged_ns)
    check(requests)
    return requests


def _parse_records(data: bytes) -> tuple[Record, ...]:
    records, position = [], 0
    while position < len(data):
        if len(data) - position < _RECORD.size:
            raise FormatError(f"open requests: a gate record expected, got {len(data) - position} bytes")
        length, type_, flags, stream, zero = _RECORD.unpack_from(data, position)
        position += _RECORD.size
        end = position + (length + _ALIGN & ~_ALIGN)
        if zero or end > len(data) or any(data[position + length : end]):
            raise FormatError(f"open requests: a gate record of {length} bytes where {len(data) - position} are left")
        records.append(Record(type_, flags, stream, data[position : position + length]))
        position = end
    return tuple(records)


def check(requests: OpenRequests) -> None:
    """Refuse what no gate can hold, and what is more than a record may.

    :raises FormatError: what is said of streams and queued records is out of range or contradicts itself.
    """
    numbers = [stream.number for stream in requests.streams]
    if numbers != sorted(set(numbers)) or any(number & abi.EXCHANGE_BIT for number in numbers):
        raise FormatError("open requests: numbers of streams that increase expected")
    if len(numbers) > abi.MAX_STREAMS or requests.charged_ns >> 63:
        raise FormatError(f"open requests: at most {abi.MAX_STREAMS} streams expected, got {len(numbers)}")
    for stream in requests.streams:
        window = 0 <= stream.credit <= abi.STREAM_WINDOW and 0 <= stream.owed <= UNDER_WAY_MAX
        if not window or stream.output_bytes > OUTPUT_MAX or (stream.output_bytes and not stream.response_started):
            raise FormatError(f"open requests: what stream {stream.number} sent and may send is out of range")
    for part in (requests.ready, requests.waiting):
        size = sum(abi.RECORD_HEADER_SIZE + len(record.payload) for record in part)
        if size > QUEUED_MAX:
            raise FormatError(f"open requests: at most {QUEUED_MAX} bytes of records expected, got {size}")
    _check_ready(requests.ready, {stream.number: stream for stream in requests.streams})
    _check_waiting(requests.waiting, numbers)


def _check_ready(records: Sequence[Record], streams: dict[int, OpenStream]) -> None:
    under_way: dict[int, int] = {}
    over: set[int] = set()  # after a RESET
    ended: set[int] = set()  # after the last of the request
    for record in records:
        _check_record(record)
        kind, flags, number, payload = record
        stream, begun = streams.get(number), number in under_way
        under_way[number] = under_way.get(number, 0) + len(payload)
        goes_on = kind in (abi.RECORD_HEAD, abi.RECORD_BODY)
        if number in over or (goes_on and number in ended) or (kind == abi.RECORD_HEAD and begun):
            raise FormatError(f"open requests: record type {kind} after others of stream {number}")
        if kind == abi.RECORD_RESET:
            over.add(number)
        elif flags & abi.FLAG_END:
            ended.add(number)
        if stream is not None and (number in over or (number in ended and not stream.request_ended)):
            raise FormatError(f"open requests: the end of stream {number}, which goes on")
        if under_way[number] > UNDER_WAY_MAX:
            raise FormatError(f"open requests: at most {UNDER_WAY_MAX} bytes for stream {number} expected")


def _check_waiting(records: Sequence[Record], opened: Iterable[int]) -> None:
    seen, current, ended = set(opened), -1, False
    under_way = 0
    for record in records:
        _check_record(record)
        if record.type == abi.RECORD_HEAD and record.stream not in seen:
            current, ended, under_way = record.stream, False, 0
            seen.add(current)
        elif record.type != abi.RECORD_BODY or record.stream != current or ended:
            raise FormatError(f"open requests: record type {record.type} on stream {record.stream}, which waits")
        under_way += len(record.payload)
        ended = bool(record.flags & abi.FLAG_END)
        if under_way > UNDER_WAY_MAX:
            raise FormatError(f"open requests: at most {UNDER_WAY_MAX} bytes for stream {current} expected")
    if len(seen) > 2 * abi.MAX_STREAMS:  # those that are open among them
        raise FormatError(f"open requests: at most {abi.MAX_STREAMS} streams that wait expected")


def _check_record(record: Record) -> None:
    kind, flags, stream, payload = record
    body = kind in (abi.RECORD_HEAD, abi.RECORD_BODY)
    known = body or (kind == abi.RECORD_RESET and not payload) or kind == abi.RECORD_CREDIT
    if not known or flags & ~(abi.FLAG_END if body else 0) or stream & abi.EXCHANGE_BIT:
        raise FormatError(f"open requests: a record to a guest expected, got type {kind} flags {flags:#x}")
    if len(payload) > abi.RECORD_PAYLOAD_MAX or (kind == abi.RECORD_CREDIT and len(payload) != _CREDIT_BYTES):
        raise FormatError(f"open requests: a record of type {kind} with {len(payload)} bytes")
