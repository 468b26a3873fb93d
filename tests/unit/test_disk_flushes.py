"""Flushes of a copy-on-write disk that a guest does not wait for: its supervisor holds each page once, none is lost."""

import errno

import pytest

from edge.vmm.devices.disk import Disks, Done, Drive
from edge.vmm.turns.charges import TURN_NS, Account
from tests.support.disk_guest import DiskGuest, disk_memory
from vmimage import abi
from vmimage.drives import DriveKind, DriveRef


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


class Machine(DiskGuest):
    """A guest with one disk on such a backing."""

    def __init__(self, kind: DriveKind = "cow") -> None:
        self.backing, memory = Supervisor(), disk_memory()
        ref = DriveRef(16 << 20, None if kind == "log" else "sha256:" + "0" * 64, kind, "d")
        self.backing.disks = Disks(memory, [Drive(ref)], self.backing)  # type: ignore[arg-type]
        self.backing.disks.account = Account()
        super().__init__(memory, self.backing.disks)


def test_flushes_that_come_during_one_share_the_next() -> None:
    machine = Machine()
    machine.write(0, b"1" * 4096)
    first = machine.flush()
    machine.write(1, b"2" * 4096)
    machine.write(0, b"3" * 4096)
    others = [machine.flush() for _ in range(20)]
    assert [sorted(pages) for pages in machine.backing.kept] == [[0]]
    assert machine.answers() == {}
    machine.backing.asked.pop(0)(0)
    assert machine.answers() == {first: 0}
    assert [sorted(pages) for pages in machine.backing.kept] == [[0], [0, 1]]
    assert machine.backing.kept[1][0] == b"3" * 4096
    machine.backing.asked.pop(0)(0)
    assert machine.answers() == dict.fromkeys(others, 0)
    assert machine.disks.outstanding == 0


def test_a_flush_is_not_over_before_what_was_written_before_it_is_kept() -> None:
    machine = Machine()
    machine.write(0, b"1" * 4096)
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
    machine.write(0, b"1" * 4096)
    machine.flush()
    machine.write(1, b"1" * 4096)
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
