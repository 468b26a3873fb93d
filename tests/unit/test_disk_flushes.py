"""Flushes of a copy-on-write disk that a guest does not wait for: its supervisor holds each page once, none is lost."""

import errno
import struct

import pytest

from edge.vmm.devices.disk import Disks, Done, Drive
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from edge.vmm.turns.charges import TURN_NS, Account
from vmimage import abi
from vmimage.drives import DriveKind, DriveRef
from vmimage.manifest import Region

DATA = abi.PROGRAM_ADDRESS


class Supervisor:
    """A backing that answers when the test says so, and makes the machine pay."""

    def __init__(self) -> None:
        self.kept: list[dict[int, bytes]] = []
        self.asked: list[Done] = []
        self.disks: Disks | None = None

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        assert self.disks is not None
        self.disks.account.add(TURN_NS // 3)
        self.kept.append(pages)
        self.asked.append(done)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        self.keep(drive, {}, done)


class Machine:
    """A guest's side of the disks."""

    def __init__(self, kind: DriveKind = "cow") -> None:
        self.memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
        self.memory.bind(PageTemplate([Region(abi.DISK_OUT_ADDRESS, abi.MEMORY_MIN, "rw")], abi.MEMORY_MIN))
        self.backing = Supervisor()
        ref = DriveRef(16 << 20, None if kind == "log" else "sha256:" + "0" * 64, kind, "d")
        self.disks = self.backing.disks = Disks(self.memory, [Drive(ref)], self.backing)  # type: ignore[arg-type]
        self.disks.account = Account()
        self.disks.restore()
        self.head = 0

    def ask(self, op: int, *, page: int = 0, length: int = 0, byte: int = 0) -> int:
        id_ = self.head
        self.memory.write(DATA, bytes([byte]) * abi.PAGE_SIZE)
        request = struct.pack("<IHHQQII", id_, op, 0, page * abi.PAGE_SIZE, DATA, length, 0)
        at = abi.DISK_OUT_ADDRESS + abi.DISK_REQUESTS + id_ % abi.DISK_SLOTS * abi.DISK_REQUEST_SIZE
        self.memory.ram[at : at + len(request)] = request
        self.head += 1
        struct.pack_into("<I", self.memory.ram, abi.DISK_OUT_ADDRESS, self.head)
        return id_

    def write(self, page: int, byte: int) -> None:
        self.ask(abi.DISK_WRITE, page=page, length=abi.PAGE_SIZE, byte=byte)
        self.disks.drain()

    def flush(self) -> int:
        id_ = self.ask(abi.DISK_FLUSH)
        self.disks.drain()
        return id_

    def answers(self) -> dict[int, int]:
        """Completed requests and their results; consumed."""
        found = {}
        (head,) = struct.unpack_from("<I", self.memory.ram, abi.DISK_IN_ADDRESS)
        (tail,) = struct.unpack_from("<I", self.memory.ram, abi.DISK_OUT_ADDRESS + abi.DISK_IN_TAIL)
        while tail != head:
            at = abi.DISK_IN_ADDRESS + abi.DISK_COMPLETIONS + tail % abi.DISK_SLOTS * abi.DISK_COMPLETION_SIZE
            id_, result = struct.unpack_from("<Ii", self.memory.ram, at)
            found[id_] = result
            tail += 1
        struct.pack_into("<I", self.memory.ram, abi.DISK_OUT_ADDRESS + abi.DISK_IN_TAIL, tail)
        return found


def test_flushes_that_come_during_one_share_the_next() -> None:
    machine = Machine()
    machine.write(0, 1)
    machine.answers()
    first = machine.flush()
    machine.write(1, 2)
    machine.write(0, 3)
    machine.answers()
    others = [machine.flush() for _ in range(20)]
    assert [sorted(pages) for pages in machine.backing.kept] == [[0]]
    assert machine.answers() == {}
    machine.backing.asked.pop(0)(0)
    assert machine.answers() == {first: 0}
    assert [sorted(pages) for pages in machine.backing.kept] == [[0], [0, 1]]
    assert machine.backing.kept[1][0][0] == 3
    machine.backing.asked.pop(0)(0)
    assert machine.answers() == dict.fromkeys(others, 0)
    assert machine.disks.outstanding == 0


def test_a_flush_is_not_over_before_what_was_written_before_it_is_kept() -> None:
    machine = Machine()
    machine.write(0, 1)
    machine.answers()
    machine.flush()
    second = machine.flush()  # of nothing new, and the first is still under way
    assert machine.answers() == {}
    machine.backing.asked.pop(0)(-errno.EIO)
    assert second not in machine.answers(), "what the first could not keep is tried again for the second"
    assert [sorted(pages) for pages in machine.backing.kept] == [[0], [0]]
    machine.backing.asked.pop(0)(0)
    assert machine.answers() == {second: 0}


def test_a_machine_that_goes_leaves_no_flush_behind_that_begins_another() -> None:
    machine = Machine()
    machine.write(0, 1)
    machine.flush()
    machine.write(1, 1)
    machine.flush()
    machine.disks.close()
    machine.backing.asked.pop(0)(0)
    assert len(machine.backing.kept) == 1


@pytest.mark.parametrize("count", [10, 60])
def test_requests_beyond_what_a_turn_takes_wait_in_the_ring_and_none_is_lost(count: int) -> None:
    machine = Machine("log")
    ids = [machine.ask(abi.DISK_APPEND, length=8) for _ in range(count)]
    turns = 0
    while turns == 0 or machine.disks.backlog:
        turns += 1
        machine.disks.account.begin_turn()
        machine.disks.drain()
        assert machine.disks.busy
        while machine.backing.asked:
            machine.backing.asked.pop(0)(0)
    assert turns >= count // 4
    assert machine.answers() == dict.fromkeys(ids, 8)
