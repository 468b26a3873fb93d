"""One direction of a ring in guest memory. Positions are bytes ever moved, modulo 2^32; each side owns one of the two.

The VMM's own position lives here and is only shown to the guest; the guest's is read from its page once per operation
and checked at once: `RingConsumer` and `RingProducer` are the one door for everything a guest says about a ring.
"""

import struct
from typing import Final

from vmimage import abi
from vmimage.errors import GuestViolation
from vmimage.requests import Record as Record
from vmimage.requests import encode_record as encode_record

_MASK: Final = 0xFFFFFFFF
_HEADER: Final = struct.Struct("<IHHII")
_ALIGN: Final = abi.RECORD_ALIGN - 1


class RingProducer:
    """The VMM writes records, the guest reads them."""

    def __init__(self, ring: memoryview) -> None:
        self._ring = ring
        self._size = len(ring)
        self.head = 0

    def used(self, guest_tail: int) -> int:
        """Bytes that the guest has not consumed.

        :raises GuestViolation: it says it consumed what was never there.
        """
        used = self.head - guest_tail & _MASK
        if used > self._size or guest_tail & _ALIGN:
            raise GuestViolation(
                f"gate in: tail within {self._size} bytes of head {self.head:#x} expected, got {guest_tail:#x}"
            )
        return used

    def push(self, record: bytes, guest_tail: int) -> bool:
        """Append an encoded record; False when it does not fit now."""
        free = self._size - self.used(guest_tail)
        offset = self.head % self._size
        to_end = self._size - offset
        size = len(record)
        if size > to_end:
            if size + to_end > free:
                return False
            if to_end >= abi.RECORD_HEADER_SIZE:
                _HEADER.pack_into(self._ring, offset, to_end - abi.RECORD_HEADER_SIZE, abi.RECORD_PAD, 0, 0, 0)
            self.head = self.head + to_end & _MASK
            offset = 0
        elif size > free:
            return False
        self._ring[offset : offset + size] = record
        self.head = self.head + size & _MASK
        return True


class RingConsumer:
    """The guest writes, the VMM reads."""

    def __init__(self, ring: memoryview, name: str) -> None:
        self._ring = ring
        self._size = len(ring)
        self._name = name
        self.tail = 0

    def take(self, guest_head: int) -> bytes:
        """Everything the guest has produced, copied once, in order.

        :raises GuestViolation: it says it produced more than the ring holds.
        """
        length = guest_head - self.tail & _MASK
        if length > self._size:
            raise GuestViolation(
                f"{self._name}: head within {self._size} bytes of tail {self.tail:#x} expected, got {guest_head:#x}"
            )
        start = self.tail % self._size
        self.tail = guest_head
        end = start + length
        if end <= self._size:
            return bytes(self._ring[start:end])
        return bytes(self._ring[start:]) + bytes(self._ring[: end - self._size])


def parse_records(data: bytes, start: int, ring_size: int) -> list[Record]:
    """Records in `data`, which a ring of `ring_size` bytes held from position `start` on.

    :raises GuestViolation: a header or length that does not fit what is there, or that wraps.
    """
    records: list[Record] = []
    position, end = 0, len(data)
    if start & _ALIGN or end & _ALIGN:
        raise GuestViolation(
            f"gate out: positions in multiples of {abi.RECORD_ALIGN} expected, got {start:#x} and {end:#x} bytes"
        )
    while position < end:
        to_ring_end = ring_size - (start + position) % ring_size
        if to_ring_end < abi.RECORD_HEADER_SIZE:
            position += to_ring_end
            continue
        if end - position < abi.RECORD_HEADER_SIZE:
            raise GuestViolation(f"gate out: a record header expected, got {end - position} bytes")
        length, type_, flags, stream, zero = _HEADER.unpack_from(data, position)
        position += abi.RECORD_HEADER_SIZE
        padded = length + _ALIGN & ~_ALIGN
        if padded > end - position or padded > to_ring_end - abi.RECORD_HEADER_SIZE or zero:
            raise GuestViolation(f"gate out: record of {length} bytes where {end - position} are left")
        if type_ != abi.RECORD_PAD:
            if length > abi.RECORD_PAYLOAD_MAX:
                raise GuestViolation(
                    f"gate out: payload of at most {abi.RECORD_PAYLOAD_MAX} bytes expected, got {length}"
                )
            records.append(Record(type_, flags, stream, data[position : position + length]))
        position += padded
    if position != end:
        raise GuestViolation(f"gate out: padding runs {position - end} bytes past the head")
    return records
