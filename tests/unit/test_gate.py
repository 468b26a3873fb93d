"""The rules of a stream: what a guest may say when, and what the gate does with it."""

import struct
from typing import Any

import pytest

from edge.vmm.devices.gate import Gate
from edge.vmm.devices.ring import Record, encode_record, parse_records
from vmimage import abi
from vmimage.errors import GuestViolation, OutputTooLarge, Unmovable

HEAD, BODY, RESET, CREDIT, LOG = (
    abi.RECORD_HEAD,
    abi.RECORD_BODY,
    abi.RECORD_RESET,
    abi.RECORD_CREDIT,
    abi.RECORD_LOG,
)
END = abi.FLAG_END


class Guest:
    """A guest's hands on its rings."""

    def __init__(self, *, max_streams: int = 4, output_limit: int = 1 << 20) -> None:
        self.ram = bytearray(0x40000)
        self.gate = Gate(memoryview(self.ram), max_streams=max_streams, output_limit=output_limit)
        self.in_tail = self.out_head = 0

    def receive(self) -> list[Record]:
        self.gate.fill(self.in_tail)
        head, start = self.gate.in_head, self.in_tail
        ring = self.ram[abi.GATE_IN_ADDRESS : abi.GATE_IN_ADDRESS + abi.GATE_SIZE]
        first, last = start % abi.GATE_SIZE, head % abi.GATE_SIZE
        data = ring[first:last] if first <= last else ring[first:] + ring[:last]
        self.in_tail = head
        return parse_records(bytes(data), start, abi.GATE_SIZE)

    def send(self, *record: Any) -> list[Record]:
        data, rest = encode_record(*record), abi.GATE_SIZE - self.out_head % abi.GATE_SIZE
        if len(data) > rest:  # a record does not wrap
            pad = encode_record(abi.RECORD_PAD, 0, 0, bytes(rest - abi.RECORD_HEADER_SIZE))
            data = (pad if rest >= abi.RECORD_HEADER_SIZE else bytes(rest)) + data
            at = abi.GATE_OUT_ADDRESS + abi.GATE_SIZE
            self.ram[at - rest : at], data = data[:rest], data[rest:]
            self.out_head += rest
        offset = abi.GATE_OUT_ADDRESS + self.out_head % abi.GATE_SIZE
        self.ram[offset : offset + len(data)] = data
        self.out_head += len(data)
        return self.gate.drain(self.out_head)

    def open(self, stream: int, *, ended: bool = True) -> None:
        self.gate.offer(Record(HEAD, END if ended else 0, stream, b"A\0b\0\0"))
        assert self.receive()[-1].stream == stream


def test_a_request_and_its_response() -> None:
    guest = Guest()
    guest.open(7)
    assert guest.send(HEAD, 0, 7, b"Status\x00200\0\0") == [Record(HEAD, 0, 7, b"Status\x00200\0\0")]
    assert guest.send(BODY, END, 7, b"page") == [Record(BODY, END, 7, b"page")]
    assert not guest.gate.streams
    assert guest.gate.completed == 1


def test_streams_above_the_limit_wait_and_keep_their_bodies() -> None:
    guest = Guest(max_streams=1)
    for stream in (1, 2):
        guest.gate.offer(Record(HEAD, 0, stream, b"\0"))
        guest.gate.offer(Record(BODY, END, stream, b"body"))
    assert [(r.type, r.stream) for r in guest.receive()] == [(HEAD, 1), (BODY, 1)]
    assert guest.gate.never_seen() == [2]
    guest.send(HEAD, END, 1, b"\0")
    assert [(r.type, r.stream) for r in guest.receive()] == [(HEAD, 2), (BODY, 2)]


def test_a_waiting_stream_can_be_reset_unseen() -> None:
    guest = Guest(max_streams=1)
    guest.open(1)
    guest.gate.offer(Record(HEAD, END, 2, b"\0"))
    guest.gate.offer(Record(RESET, 0, 2, b""))
    guest.send(HEAD, END, 1, b"\0")
    assert guest.receive() == []
    assert not guest.gate.queued


def test_an_early_answer_resets_the_rest_of_the_request() -> None:
    guest = Guest()
    guest.open(3, ended=False)
    guest.send(HEAD, END, 3, b"\0")
    assert guest.receive() == [Record(RESET, 0, 3, b"")]
    guest.gate.offer(Record(BODY, END, 3, b"late"))
    assert guest.receive() == []


def test_what_is_said_of_a_forgotten_stream_is_dropped() -> None:
    guest = Guest()
    guest.open(3)
    guest.gate.offer(Record(RESET, 0, 3, b""))
    assert guest.receive() == [Record(RESET, 0, 3, b"")]
    assert guest.send(HEAD, END, 3, b"\0") == []
    assert guest.send(BODY, END, 99, b"forged") == []


def test_output_beyond_the_window_is_a_violation_and_credit_extends_it() -> None:
    guest = Guest()
    guest.open(1)
    guest.send(HEAD, 0, 1, bytes(4096 - abi.RECORD_HEADER_SIZE))
    piece = bytes(4096 - abi.RECORD_HEADER_SIZE)  # a record of 4 KiB never meets the ring's end
    for _ in range(abi.STREAM_WINDOW // len(piece)):
        guest.send(BODY, 0, 1, piece)
    guest.send(BODY, 0, 1, bytes(abi.STREAM_WINDOW % len(piece)))
    guest.gate.offer(Record(CREDIT, 0, 1, struct.pack("<I", 5)))
    guest.send(BODY, 0, 1, b"five!")
    with pytest.raises(GuestViolation, match="more than its window"):
        guest.send(BODY, 0, 1, b"x")


def test_a_response_above_the_limit_ends_the_machine() -> None:
    guest = Guest(output_limit=100)
    guest.open(1)
    guest.send(HEAD, 0, 1, b"\0")
    with pytest.raises(OutputTooLarge):
        guest.send(BODY, 0, 1, bytes(200))


@pytest.mark.parametrize(
    "records",
    [
        [(BODY, 0, 1, b"x")],  # before HEAD
        [(HEAD, 0, 1, b"\0"), (HEAD, 0, 1, b"\0")],
        [(HEAD, 4, 1, b"\0")],  # unknown flag
        [(BODY, 2, 1, b"\0")],  # of a head only
        [(77, 0, 1, b"")],  # unknown type
        [(77, 0, 55, b"")],  # the same, on a stream that is not there
        [(CREDIT, 0, 1, b"\0\0")],  # no number
        [(CREDIT, 0, 1, struct.pack("<I", 1000))],  # for bytes that were never sent
    ],
)
def test_broken_rules_are_violations(records: list[tuple[int, int, int, bytes]]) -> None:
    guest = Guest()
    guest.open(1, ended=False)
    for record in records[:-1]:
        guest.send(*record)
    with pytest.raises(GuestViolation):
        guest.send(*records[-1])


# Attacks on memory outside of the machine


def test_credit_for_what_is_still_queued_is_a_violation() -> None:
    """Else a guest that reads nothing could have a client's whole upload piled up in its worker."""
    guest = Guest()
    guest.open(1, ended=False)
    piece = bytes(abi.RECORD_PAYLOAD_MAX)
    for _ in range(abi.STREAM_WINDOW // len(piece)):
        guest.gate.offer(Record(BODY, 0, 1, piece))
    guest.gate.fill(guest.in_tail)
    assert guest.gate.queued, "a window is more than the ring takes with its headers"
    delivered = guest.gate.streams[1].owed
    assert delivered < abi.STREAM_WINDOW
    with pytest.raises(GuestViolation, match=f"at most {delivered} expected"):
        guest.send(CREDIT, 0, 1, struct.pack("<I", abi.STREAM_WINDOW))


def test_credit_for_what_is_delivered_is_passed_on() -> None:
    guest = Guest()
    guest.open(1, ended=False)
    guest.gate.offer(Record(BODY, 0, 1, bytes(1000)))
    assert len(guest.receive()) == 1
    assert guest.send(CREDIT, 0, 1, struct.pack("<I", 1000)) == [Record(CREDIT, 0, 1, struct.pack("<I", 1000))]


def test_an_upstream_answer_is_released_as_the_guest_gives_credit() -> None:
    guest, number = Guest(), abi.EXCHANGE_BIT | 5
    (asked,) = guest.send(abi.RECORD_SUBREQUEST, END, number, b"block")
    piece = bytes(abi.RECORD_PAYLOAD_MAX)
    guest.gate.offer(Record(HEAD, 0, asked.stream, b"h"))
    for _ in range(abi.STREAM_WINDOW // len(piece)):
        guest.gate.offer(Record(BODY, 0, asked.stream, piece))
    guest.gate.fill(guest.in_tail)
    assert guest.gate.queued
    with pytest.raises(GuestViolation, match="credit of at most"):
        guest.send(CREDIT, 0, number, struct.pack("<I", abi.STREAM_WINDOW))


MORE, SOCKET = abi.FLAG_MORE, abi.RECORD_SOCKET


def test_a_head_of_several_records_leaves_as_one() -> None:
    guest = Guest()
    guest.open(7)
    part = b"x" * abi.RECORD_PAYLOAD_MAX
    for _ in range(4):
        assert guest.send(HEAD, MORE, 7, part) == []
    assert guest.send(HEAD, END, 7, b"end") == [Record(HEAD, END, 7, 4 * part + b"end")]
    assert not guest.gate.streams


def test_heads_of_two_streams_are_put_together_by_themselves() -> None:
    guest = Guest()
    guest.open(1)
    guest.open(2)
    guest.send(HEAD, MORE, 1, b"a")
    guest.send(HEAD, MORE, 2, b"b")
    assert guest.send(HEAD, 0, 2, b"B") == [Record(HEAD, 0, 2, b"bB")]
    assert guest.send(HEAD, 0, 1, b"A") == [Record(HEAD, 0, 1, b"aA")]


@pytest.mark.parametrize(
    "after",
    [
        [(BODY, END, 7, b"")],  # before the head is complete
        [(HEAD, MORE | END, 7, b"")],
        [(BODY, MORE, 7, b"")],
        [(HEAD, MORE, 7, bytes(abi.RECORD_PAYLOAD_MAX))] * 5,
        [(HEAD, 0, 7, b""), (HEAD, MORE, 7, b"")],
    ],
)
def test_a_head_of_several_records_has_its_rules(after: list[tuple[int, int, int, bytes]]) -> None:
    guest = Guest()
    guest.open(7)
    guest.send(HEAD, MORE, 7, b"")
    guest.send(HEAD, MORE, 7, b"x")
    for record in after[:-1]:
        guest.send(*record)
    with pytest.raises(GuestViolation):
        guest.send(*after[-1])


def test_parts_of_a_head_count_against_the_limit_of_a_response() -> None:
    guest = Guest(output_limit=1000)
    guest.open(7)
    guest.send(HEAD, MORE, 7, bytes(999))
    with pytest.raises(OutputTooLarge):
        guest.send(HEAD, END, 7, b"xx")


def test_a_machine_that_is_in_the_middle_of_a_head_is_not_moved() -> None:
    guest = Guest()
    guest.open(7)
    guest.send(HEAD, MORE, 7, b"x")
    with pytest.raises(Unmovable):
        guest.gate.save(0)


def test_a_piece_for_a_socket_leaves_at_any_time() -> None:
    guest = Guest()
    assert guest.send(SOCKET, END, 9, b"\x01text") == [Record(SOCKET, END, 9, b"\x01text")]
    assert not guest.gate.busy


@pytest.mark.parametrize(
    ("flags", "number", "payload"),
    [(END, 0, b"\x01x"), (END, abi.EXCHANGE_BIT | 9, b"\x01x"), (END, 9, b""), (END, 9, b"\x0ax"), (MORE, 9, b"\x01x")],
)
def test_what_is_no_piece_ends_the_guest(flags: int, number: int, payload: bytes) -> None:
    with pytest.raises(GuestViolation):
        Guest().send(SOCKET, flags, number, payload)
