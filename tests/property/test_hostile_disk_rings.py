"""Whatever a guest writes into its disk rings: a status or a typed end, nothing outside of its memory, nothing lost."""

import errno
import random
import struct

import pytest

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.memory.guest_memory import PRESENT, WRITABLE, BaseMemory, GuestMemory, page_template
from vmimage import abi
from vmimage.drives import DriveRef
from vmimage.errors import GuestViolation
from vmimage.manifest import Region

CASES = 6000
MEMORY = abi.MEMORY_MIN
DIGEST = "sha256:" + "0" * 64
BLOCKS = 5
DISK_BYTES = BLOCKS * abi.DISK_BLOCK_SIZE - 1000
REGIONS = (
    Region(abi.INFO_ADDRESS, abi.INFO_ADDRESS + 0x1000, "r"),
    Region(abi.CONTROL_ADDRESS, abi.CONTROL_ADDRESS + 0x1000, "rw"),
    Region(abi.GATE_IN_ADDRESS, abi.GATE_IN_ADDRESS + abi.GATE_SIZE, "r"),
    Region(abi.DISK_IN_ADDRESS, abi.DISK_IN_ADDRESS + 0x1000, "r"),
    Region(abi.DISK_OUT_ADDRESS, abi.DISK_OUT_ADDRESS + 0x1000, "rw"),
    Region(abi.PROGRAM_ADDRESS, abi.PROGRAM_ADDRESS + 0x4000, "rx"),
    Region(abi.PROGRAM_ADDRESS + 0x4000, MEMORY, "rw"),
)
CONTENT = random.Random(7).randbytes(BLOCKS * abi.DISK_BLOCK_SIZE)
ADDRESSES = (0, 0xFFFF, abi.INFO_ADDRESS, abi.DISK_IN_ADDRESS, abi.GATE_IN_ADDRESS, abi.PROGRAM_ADDRESS, MEMORY)
NUMBERS = (0, 1, 4095, 4096, 65535, 65536, 65537, DISK_BYTES, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


class Later:
    """A backing whose answers come when the test says so, some of them bad."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.waiting: list[tuple[Arrived, bytes | None]] = []
        self.asked: list[Done] = []
        self.delivered = 0.8  # of the blocks that are wanted; the others cannot be had

    def block(self, drive: int, block_no: int) -> bytes | None:
        assert drive in (0, 1)
        return self.published(block_no) if self.dice.random() < 0.3 else None

    def published(self, block_no: int) -> bytes:
        return CONTENT[block_no * abi.DISK_BLOCK_SIZE : (block_no + 1) * abi.DISK_BLOCK_SIZE]

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        assert 0 <= block_no < BLOCKS
        self.waiting.append((arrived, self.published(block_no) if self.dice.random() < self.delivered else None))

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        assert drive == 1
        assert all(len(page) == 4096 for page in pages.values())
        self.asked.append(done)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        assert drive == 3
        self.asked.append(done)

    def answer(self) -> None:
        self.dice.shuffle(self.waiting)
        waiting, self.waiting = self.waiting, []
        asked, self.asked = self.asked, []
        for arrived, block in waiting:
            arrived(block)
        for done in asked:
            done(self.dice.choice((0, 0, -errno.ENOSPC)))


def _device(dice: random.Random) -> tuple[GuestMemory, Disks, Later]:
    memory = GuestMemory(BaseMemory(None), MEMORY)
    memory.bind(page_template(REGIONS, MEMORY))
    backing = Later(dice)
    drives = [
        Drive(DriveRef(DISK_BYTES, DIGEST, "shared", "data")),
        Drive(DriveRef(DISK_BYTES, DIGEST, "cow", "mine")),
        Drive(DriveRef(3 * 4096, None, "scratch", "tmp")),
        Drive(DriveRef(1 << 16, None, "log", "audit")),
    ]
    disks = Disks(memory, drives, backing)
    disks.restore()
    return memory, disks, backing


def _number(dice: random.Random, bits: int) -> int:
    return dice.choice(NUMBERS) % (1 << bits) if dice.random() < 0.5 else dice.getrandbits(dice.randrange(1, bits + 1))


def _request(dice: random.Random) -> bytes:
    address = dice.choice(ADDRESSES) if dice.random() < 0.3 else _number(dice, 64)
    if dice.random() < 0.6:
        address = abi.PROGRAM_ADDRESS + 0x4000 + dice.randrange(0, 0x40000)
    likely = dice.random() < 0.7
    return struct.pack(
        "<IHHQQII",
        dice.getrandbits(32),
        dice.randrange(1, 5) if likely else _number(dice, 16),
        dice.randrange(0, 4) if likely else _number(dice, 16),
        dice.randrange(0, 80) * 4096 if likely else _number(dice, 64),
        address,
        dice.choice((1, 100, 4096, 8192, 65536)) if likely else _number(dice, 32),
        0 if likely else _number(dice, 32),
    )


def _frozen(memory: GuestMemory) -> bytes:
    """What no request may change: code, the info page but for its count of disks, and the ring to the guest."""
    spans = (
        (abi.PROGRAM_ADDRESS, 0x4000),
        (abi.INFO_ADDRESS, 0x1000),
        (abi.GATE_IN_ADDRESS, abi.GATE_SIZE),
        (0, 0x10000),
    )
    return b"".join(memory.ram[start : start + size] for start, size in spans)


def test_hostile_rings_are_served_or_a_violation() -> None:
    dice = random.Random(11)
    memory, disks, backing = _device(dice)
    before, written = _frozen(memory), memory.entries & (PRESENT | WRITABLE) == PRESENT
    outcomes: dict[str, int] = {}
    for _ in range(CASES):
        produced = dice.choice((0, 1, 1, 2, 5, 64))
        head, tail = struct.unpack_from("<II", memory.ram, abi.DISK_OUT_ADDRESS)
        for number in range(produced):
            place = abi.DISK_OUT_ADDRESS + abi.DISK_REQUESTS + (head + number) % 64 * 32
            memory.ram[place : place + 32] = _request(dice)
        if dice.random() < 0.02:
            head, tail = _number(dice, 32), _number(dice, 32)
        if dice.random() < 0.7:
            tail = struct.unpack_from("<I", memory.ram, abi.DISK_IN_ADDRESS)[0]
        struct.pack_into("<II", memory.ram, abi.DISK_OUT_ADDRESS, head + produced & 0xFFFFFFFF, tail)
        try:
            disks.drain()
            disks.pending()
            assert 0 <= disks.outstanding <= abi.DISK_SLOTS
            if dice.random() < 0.5:
                backing.answer()
                assert disks.outstanding == 0 or backing.waiting or backing.asked
            outcome = "taken"
        except GuestViolation:
            outcome = "violation"
            backing.answer()
            disks.close()
            memory, disks, backing = _device(dice)
            before = _frozen(memory)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert _frozen(memory) == before
        assert not (written & (memory.entries & (PRESENT | WRITABLE) != PRESENT)).any(), "permissions never change"
    assert outcomes["taken"] > CASES / 2
    assert outcomes["violation"] > CASES / 200


@pytest.mark.parametrize("seed", range(20))
def test_reads_give_the_disk_and_what_was_written_over_it(seed: int) -> None:
    dice = random.Random(seed)
    memory, disks, backing = _device(dice)
    backing.delivered = 1.0
    model = bytearray(CONTENT[:DISK_BYTES].ljust(BLOCKS * abi.DISK_BLOCK_SIZE, b"\0"))
    buffer = abi.PROGRAM_ADDRESS + 0x8000
    for turn in range(60):
        if dice.random() < 0.4:
            op, offset, length = abi.DISK_WRITE, dice.randrange(0, 79) * 4096, 4096
            data = dice.randbytes(length)
            memory.ram[buffer : buffer + length] = data
            model[offset : offset + length] = data
        else:
            op, length = abi.DISK_READ, dice.choice((1, 4096, 5000, 65536))
            offset = dice.randrange(0, DISK_BYTES)
        head = struct.unpack_from("<I", memory.ram, abi.DISK_OUT_ADDRESS)[0]
        place = abi.DISK_OUT_ADDRESS + abi.DISK_REQUESTS + head % 64 * 32
        struct.pack_into("<IHHQQII", memory.ram, place, turn, op, 1, offset, buffer, length, 0)
        struct.pack_into("<I", memory.ram, abi.DISK_OUT_ADDRESS, head + 1)
        disks.drain()
        backing.answer()
        assert disks.outstanding == 0
        id_, result = struct.unpack_from("<Ii", memory.ram, abi.DISK_IN_ADDRESS + abi.DISK_COMPLETIONS + head % 64 * 8)
        expected = min(length, DISK_BYTES - offset) if op == abi.DISK_READ else length
        assert (id_, result) == (turn, expected)
        if op == abi.DISK_READ:
            assert memory.ram[buffer : buffer + result] == bytes(model[offset : offset + result])
        struct.pack_into("<I", memory.ram, abi.DISK_OUT_ADDRESS + abi.DISK_IN_TAIL, head + 1)
