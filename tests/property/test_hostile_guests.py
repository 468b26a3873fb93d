"""Whatever a guest writes into its rings and registers: an answer or a `GuestError`, and the next machine is fine.

Cases are generated, most of them nearly right: random bytes alone would not get past the first check.
"""

import random
import struct
from contextlib import suppress

import numpy as np
import pytest
import zstandard

from edge.vmm.devices.gate import Gate
from edge.vmm.devices.ring import Record, RingProducer, encode_record, parse_records
from edge.vmm.machine.machine import Idle, Machine, Phase, Ready, Runnable
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.shells.shell import EngineName, Image, Shell
from tests.support.guests import EXAMPLES, Guest, image_of
from vmimage import abi, snapshot
from vmimage.errors import FormatError, GuestError, GuestViolation
from vmimage.manifest import Limits, Region
from vmimage.snapshot import DeviceState, Registers, Snapshot

RING_CASES = 60_000
GATE_CASES = 40_000
REGISTER_CASES = 1_500
RECORD_CASES = 3_000
STREAMS = (0, 1, 2, 3, abi.EXCHANGE_BIT, abi.EXCHANGE_BIT | 1)
WORDS = (0, 1, 7, 8, 15, 16, 17, 0x3FF8, 0x4000, 0x4001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFF8, 0xFFFFFFFF)


def hostile_record(rng: random.Random) -> bytes:
    """A record with some of its fields wrong."""
    payload = rng.randbytes(rng.choice((0, 1, 4, 8, 40)))
    record = bytearray(
        encode_record(rng.choice((0, 1, 2, 3, 4, 5, 6, 9)), rng.choice((0, 0, 1, 2)), rng.choice(STREAMS), payload)
    )
    if rng.random() < 0.5:
        struct.pack_into("<I", record, rng.choice((0, 4, 8, 12)), rng.choice(WORDS))
    return bytes(record)


def test_hostile_ring_records_are_parsed_or_a_violation() -> None:
    rng = random.Random(2)
    refused = 0
    for _ in range(RING_CASES):
        data = b"".join(hostile_record(rng) for _ in range(rng.randrange(1, 4)))[: rng.randrange(1, 200)]
        start = rng.choice((0, 8, 16, 1000, abi.GATE_SIZE - 16, abi.GATE_SIZE - 8, rng.getrandbits(32)))
        try:
            records = parse_records(data, start, abi.GATE_SIZE)
        except GuestViolation:
            refused += 1
        else:
            assert sum(len(record.payload) for record in records) <= len(data)
    assert RING_CASES // 10 < refused < RING_CASES


def test_the_gate_from_end_to_end() -> None:
    """Open streams, hostile records in a real ring, hostile positions; what comes out keeps the rules."""
    rng = random.Random(3)
    ram = memoryview(bytearray(0x40000))
    refused = 0
    for _ in range(GATE_CASES // 8):
        gate = Gate(ram, max_streams=3, output_limit=4096)
        tail = head = 0
        try:
            for _ in range(8):
                if rng.random() < 0.4:
                    gate.offer(Record(abi.RECORD_HEAD, rng.randrange(2), rng.randrange(4), b"A\0b\0\0"))
                    gate.offer(Record(abi.RECORD_HEAD, rng.randrange(2), abi.EXCHANGE_BIT | rng.randrange(3), b"\0"))
                    gate.fill(tail)
                    tail = rng.choice((gate.in_head, gate.in_head, tail, rng.choice(WORDS)))
                record = hostile_record(rng)
                offset = abi.GATE_OUT_ADDRESS + head % abi.GATE_SIZE
                if offset + len(record) <= abi.GATE_OUT_ADDRESS + abi.GATE_SIZE:
                    ram[offset : offset + len(record)] = record
                head = rng.choice((head + len(record),) * 6 + (head + 8, rng.choice(WORDS)))
                for out in gate.drain(head):
                    assert out.type in (1, 2, 3, 4, 5, 6)
                    assert (out.type == abi.RECORD_SUBREQUEST) <= bool(out.stream & abi.EXCHANGE_BIT)
                    assert len(out.payload) <= abi.RECORD_PAYLOAD_MAX
        except GuestViolation:
            refused += 1
        except GuestError:
            pass
        assert len(gate.streams) <= 3
        assert len(gate.exchanges) <= abi.MAX_EXCHANGES
    assert refused > GATE_CASES // 100


def test_what_the_guest_consumed() -> None:
    rng = random.Random(4)
    for _ in range(RING_CASES // 10):
        producer = RingProducer(memoryview(bytearray(256)))
        producer.head = rng.getrandbits(32) & ~7
        try:
            used = producer.used(rng.choice((*WORDS, producer.head - 8 & 0xFFFFFFFF, producer.head)))
        except GuestViolation:
            continue
        assert 0 <= used <= 256


@pytest.mark.parametrize("engine", ["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)])
def test_registers_at_every_hypercall(engine: EngineName) -> None:
    """`out` to each port with anything in the registers, and anything in the control page; then a real service."""
    rng = random.Random(5)
    base = BaseMemory(None)
    code, data = abi.LIBOS_ADDRESS, abi.PROGRAM_ADDRESS
    regions = (
        Region(abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
        Region(abi.CONTROL_ADDRESS, abi.ENV_ADDRESS, "rw"),
        Region(abi.GATE_IN_ADDRESS, abi.GATE_OUT_ADDRESS, "r"),
        Region(abi.GATE_OUT_ADDRESS, abi.GATE_OUT_ADDRESS + abi.GATE_SIZE, "rw"),
        Region(code, code + abi.PAGE_SIZE, "rx"),
        Region(data, data + abi.PAGE_SIZE, "rw"),
    )
    contents = np.zeros((1, 512), dtype=np.uint64)
    contents.view(np.uint8)[0, :1024] = np.frombuffer(
        b"".join(bytes((0xE6, port, 0xEB, 0x00)) for port in range(256)), dtype=np.uint8
    )
    page_nos = np.array([code // abi.PAGE_SIZE], dtype=np.uint32)
    record = snapshot.encode(Snapshot(Registers(rip=code), DeviceState(), page_nos, contents))
    shell = Shell(base, abi.MEMORY_MIN, engine)
    image = Image(base, page_template(regions, abi.MEMORY_MIN), record)
    ended = 0
    for _ in range(REGISTER_CASES):
        machine = Machine(shell, image, Limits(cpu_ms=20))
        machine.restore()
        machine.offer(Record(abi.RECORD_HEAD, 1, 1, b"\0"))
        gpr = tuple(rng.choice((*WORDS, data, 2**63, 2**64 - 1, rng.getrandbits(64))) for _ in range(16))
        port = rng.choice((*range(0x10, 0x1A), rng.randrange(256)))
        shell.engine.load(Registers(gpr=gpr, rip=code + 4 * port))
        control = bytes(rng.choice((0, 0, 1, 0xFF)) for _ in range(40))
        shell.memory.write(abi.CONTROL_ADDRESS, control)
        outcome: object = None
        with suppress(GuestError):
            outcome = machine.run(1_000_000)
            assert isinstance(outcome, Idle | Runnable | Ready)
        ended += outcome is None
        assert (machine.phase is Phase.DEAD) == (outcome is None)
    assert 0 < ended <= REGISTER_CASES
    assert not shell.broken
    assert bytes(Guest(image_of(EXAMPLES / "hello.c")).get("/").body) == b"hello from /, request 1\n"


def test_a_mutated_record_is_refused_or_describes_a_machine() -> None:
    """Nothing but a FormatError leaves the decoder, whatever a worker made of a record."""
    rng = random.Random(6)
    guest = Guest(image_of(EXAMPLES / "hello.c"))
    guest.get()
    good = guest.machine.capture()
    raw = zstandard.decompress(snapshot.encode(good))
    refused = 0
    for _ in range(RECORD_CASES):
        data = bytearray(raw[: len(raw) if rng.random() < 0.8 else rng.randrange(len(raw))])
        for _ in range(rng.randrange(1, 4)):
            place = rng.choice((rng.randrange(len(data)), rng.randrange(min(800, len(data)))))
            data[place] = rng.randrange(256)
        try:
            snapshot.decode(zstandard.compress(bytes(data), 1), memory_bytes=guest.machine.image.memory_bytes)
        except FormatError:
            refused += 1
    assert 0 < refused < RECORD_CASES
