"""Both directions of a ring: order, wrapping, padding, and every lie a guest can tell about its position."""

import pytest

from edge.vmm.devices.ring import Record, RingConsumer, RingProducer, encode_record, parse_records
from vmimage import abi
from vmimage.errors import GuestViolation

SIZE = 256


def test_records_arrive_in_order_over_many_wraps() -> None:
    ring = bytearray(SIZE)
    producer, consumer = RingProducer(memoryview(ring)), RingConsumer(memoryview(ring), "test")
    sent, received = [], []
    for number in range(500):
        record = Record(abi.RECORD_BODY, number & 1, number, bytes([number & 0xFF]) * (number % 90))
        assert producer.push(encode_record(*record), consumer.tail)
        sent.append(record)
        start = consumer.tail
        received += parse_records(consumer.take(producer.head), start, SIZE)
    assert received == sent


def test_a_full_ring_refuses_and_takes_again_after_the_guest_read() -> None:
    ring = bytearray(SIZE)
    producer = RingProducer(memoryview(ring))
    record = encode_record(abi.RECORD_BODY, 0, 1, b"x" * 48)  # 64 bytes
    pushed = 0
    while producer.push(record, 0):
        pushed += 1
    assert pushed == SIZE // 64
    assert producer.push(record, 64)


def test_positions_wrap_at_32_bits() -> None:
    ring = bytearray(SIZE)
    producer, consumer = RingProducer(memoryview(ring)), RingConsumer(memoryview(ring), "test")
    producer.head = consumer.tail = 2**32 - 64
    for number in range(10):
        assert producer.push(encode_record(abi.RECORD_LOG, 0, number, b"y" * 30), consumer.tail)
        start = consumer.tail
        assert parse_records(consumer.take(producer.head), start, SIZE) == [
            Record(abi.RECORD_LOG, 0, number, b"y" * 30)
        ]
    assert producer.head < SIZE * 4


@pytest.mark.parametrize("tail", [8, SIZE + 8, 2**32 - 1, 1, 2**31])
def test_a_tail_that_was_never_reached_is_refused(tail: int) -> None:
    producer = RingProducer(memoryview(bytearray(SIZE)))
    with pytest.raises(GuestViolation, match="tail within"):
        producer.push(encode_record(abi.RECORD_BODY, 0, 1, b""), tail)


@pytest.mark.parametrize("head", [SIZE + 8, 2**32 - 8, 2**31])
def test_a_head_farther_than_the_ring_is_refused(head: int) -> None:
    consumer = RingConsumer(memoryview(bytearray(SIZE)), "test")
    with pytest.raises(GuestViolation, match="head within"):
        consumer.take(head)
    assert consumer.tail == 0


def header(length: int, kind: int = abi.RECORD_BODY, zero: int = 0) -> bytes:
    return length.to_bytes(4, "little") + kind.to_bytes(2, "little") + bytes(2) + bytes(4) + zero.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (header(8), 0),  # payload not there
        (header(0xFFFFFFFF), 0),  # length whose padding wraps to nothing
        (header(0xFFFFFFF9) + bytes(64), 0),
        (header(SIZE) + bytes(SIZE), 0),  # larger than the ring
        (header(16) + bytes(16), SIZE - 16),  # runs over the ring's end
        (header(0)[:8], 0),  # half a header
        (header(0, zero=1), 0),  # reserved field
        (header(0), 4),  # start not aligned
        (header(0) + bytes(4), 0),  # end not aligned
    ],
)
def test_malformed_records_are_refused(data: bytes, start: int) -> None:
    with pytest.raises(GuestViolation):
        parse_records(data, start, SIZE)


def test_a_payload_above_the_limit_is_refused() -> None:
    size = abi.RECORD_PAYLOAD_MAX + 8
    with pytest.raises(GuestViolation, match="payload of at most"):
        parse_records(header(size) + bytes(size), 0, abi.GATE_SIZE)


def test_records_are_copies() -> None:
    ring = bytearray(SIZE)
    producer, consumer = RingProducer(memoryview(ring)), RingConsumer(memoryview(ring), "test")
    producer.push(encode_record(abi.RECORD_BODY, 0, 1, b"before"), 0)
    (record,) = parse_records(consumer.take(producer.head), 0, SIZE)
    ring[:] = bytes([0xFF]) * SIZE
    assert record.payload == b"before"
