"""Disks as a guest sees them: what is read, written, refused and waited for, on both engines."""

import errno
import random
from collections import Counter
from pathlib import Path

import pytest

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.devices.ring import Record
from edge.vmm.machine.machine import Idle, Phase
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.shells.shell import Image
from origin.bake.disks import LocalDrive
from origin.model.diskfile import DiskFile, pack_disk
from tests.support.guests import PROGRAMS, Guest, bake, load
from vmimage import abi
from vmimage.drives import DriveKind, DriveRef
from vmimage.errors import Unmovable

DATA = b"the disk's first" + random.Random(3).randbytes(300_000) + bytes(200_000) + b"the end"
BLOCK = abi.DISK_BLOCK_SIZE


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> list[LocalDrive]:
    folder = tmp_path_factory.mktemp("disk")
    (folder / "data").write_bytes(DATA)
    manifest = pack_disk(folder / "data", "data", folder / "data.disk")
    disk = DiskFile(folder / "data.disk")
    kinds: dict[str, DriveKind] = {"data": "shared", "mine": "cow"}
    refs = [LocalDrive(DriveRef(len(DATA), manifest.digest, kind, name), disk) for name, kind in kinds.items()]
    return [
        *refs,
        LocalDrive(DriveRef(1 << 20, None, "scratch", "tmp"), None),
        LocalDrive(DriveRef(1 << 20, None, "log", "audit"), None),
    ]


@pytest.fixture(scope="module")
def image(drives: list[LocalDrive]) -> Image:
    return load(bake(PROGRAMS / "disks.c", disks=drives))


class Edge:
    """The rest of an edge: keeps what comes, and brings blocks when it is told to."""

    def __init__(self, drives: list[LocalDrive]) -> None:
        self.drives = [Drive(drive.ref) for drive in drives]
        self.disk = drives[0].disk
        self.fetched: Counter[int] = Counter()
        self.waiting: list[tuple[int, Arrived]] = []
        self.kept: list[dict[int, bytes]] = []
        self.records: list[bytes | None] = []
        self.device: Disks

    def __call__(self, memory: GuestMemory) -> Disks:
        self.device = Disks(memory, self.drives, self)
        return self.device

    def block(self, drive: int, block_no: int) -> bytes | None:
        return None

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        self.fetched[block_no] += 1
        self.waiting.append((block_no, arrived))

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        self.kept.append(pages)
        done(0)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        self.records.append(record)
        done(0)

    def bring(self, *, good: bool = True) -> int:
        waiting, self.waiting = self.waiting, []
        for block_no, arrived in reversed(waiting):
            assert self.disk is not None
            arrived(self.disk.block(block_no) if good else None)
        return len(waiting)


def ask(guest: Guest, edge: Edge, path: str, *, good: bool = True) -> bytes:
    """One request, the blocks it wants brought as often as it asks."""
    stream = guest.send(path)
    guest.run()
    while edge.bring(good=good):
        guest.run()
    assert guest.responses[stream].ended
    return bytes(guest.responses[stream].body)


@pytest.fixture
def edge(drives: list[LocalDrive]) -> Edge:
    return Edge(drives)


@pytest.fixture
def guest(image: Image, edge: Edge) -> Guest:
    return Guest(image, disks=edge)


def test_the_table_and_what_was_read_while_baking(guest: Guest, edge: Edge) -> None:
    assert ask(guest, edge, "/").decode().splitlines() == [
        "baked the disk's first",
        f"data kind 1 bytes {len(DATA)}",
        f"mine kind 2 bytes {len(DATA)}",
        "tmp kind 3 bytes 1048576",
        "audit kind 4 bytes 1048576",
    ]
    assert not edge.fetched, "what was read at build time is in the image"


@pytest.mark.parametrize(("offset", "size"), [(0, 16), (BLOCK - 5, 10), (1000, 250_000), (len(DATA) - 7, 100)])
def test_a_read_fetches_the_blocks_it_covers_and_no_others(guest: Guest, edge: Edge, offset: int, size: int) -> None:
    assert ask(guest, edge, f"/read?offset={offset}&size={size}") == DATA[offset : offset + size]
    assert set(edge.fetched) == set(range(offset // BLOCK, (min(offset + size, len(DATA)) - 1) // BLOCK + 1))


def test_a_machine_that_waits_for_a_block_is_idle_and_not_to_be_parked(guest: Guest, edge: Edge) -> None:
    stream = guest.send("/read?offset=0&size=100")
    guest.run()
    assert guest.machine.phase is Phase.IDLE
    assert guest.machine.busy
    with pytest.raises(ValueError, match="open"):
        guest.machine.capture()
    with pytest.raises(Unmovable, match="disk requests under way"):
        guest.machine.capture(live=True)
    before = guest.machine.virtual_ns
    assert isinstance(guest.machine.run(), Idle)
    assert guest.machine.virtual_ns == before, "waiting costs no CPU time"
    edge.bring()
    guest.run()
    assert guest.responses[stream].body == DATA[:100]
    assert not guest.machine.busy


def test_others_are_served_while_one_waits(guest: Guest, edge: Edge) -> None:
    slow = guest.send("/read?offset=0&size=100")
    guest.run()
    assert not guest.responses[slow].ended
    quick = guest.send("/log?text=quick")
    guest.run()
    assert guest.responses[quick].ended
    assert not guest.responses[slow].ended
    edge.bring()
    guest.run()
    assert guest.responses[slow].body == DATA[:100]


def test_many_requests_ride_on_one_exit(guest: Guest, edge: Edge) -> None:
    stream = guest.send("/many?size=4096")
    guest.machine.run()
    assert edge.device.outstanding == abi.DISK_SLOTS
    edge.bring()
    while not guest.responses[stream].ended:
        guest.run()
        edge.bring()
    assert guest.responses[stream].body == b"64 requests, 262144 bytes\n"


def test_a_client_that_leaves_does_not_disturb_the_buffer(guest: Guest, edge: Edge) -> None:
    stream = guest.send("/read?offset=0&size=65536")
    guest.run()
    guest.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
    guest.run()
    assert (edge.device.outstanding, guest.machine.busy) == (1, True), "the block is still under way"
    edge.bring()
    guest.run()
    assert not guest.machine.busy
    assert ask(guest, edge, "/read?offset=5&size=5") == DATA[5:10]


def test_a_block_that_cannot_be_had_is_an_error_and_no_more(guest: Guest, edge: Edge) -> None:
    stream = guest.send("/read?offset=0&size=100")
    guest.run()
    edge.bring(good=False)
    guest.run()
    assert guest.responses[stream].headers["x-result"] == str(-errno.EIO)
    assert ask(guest, edge, "/read?offset=0&size=100") == DATA[:100]


def test_a_dead_machines_blocks_go_nowhere(guest: Guest, edge: Edge) -> None:
    guest.send("/read?offset=0&size=100")
    guest.run()
    memory = bytes(guest.shell.memory.ram[: 4 << 20])
    edge.device.close()
    edge.bring()
    assert bytes(guest.shell.memory.ram[: 4 << 20]) == memory


WRITES: list[tuple[str, int]] = [
    ("/write?disk=data&offset=0", -errno.EROFS),
    ("/write?disk=mine&offset=0", 4096),
    ("/write?disk=mine&offset=1", -errno.EINVAL),
    ("/write?disk=mine&offset=4096&size=100", -errno.EINVAL),
    ("/write?disk=mine&offset=1073741824", -errno.ENOSPC),
    ("/write?disk=tmp&offset=1044480", 4096),
    ("/write?disk=tmp&offset=1048576", -errno.ENOSPC),
    ("/write?disk=audit&offset=0", -errno.EINVAL),
    ("/append?disk=data&text=x", -errno.EINVAL),
    ("/append?disk=audit&text=", -errno.EINVAL),
    ("/append?disk=audit&text=hello", 5),
    ("/flush?disk=data", 0),
    ("/flush?disk=none", -errno.ENODEV),
]


@pytest.mark.parametrize(("path", "result"), WRITES)
def test_what_each_kind_takes(guest: Guest, edge: Edge, path: str, result: int) -> None:
    assert int(ask(guest, edge, path)) == result


def test_copy_on_write(guest: Guest, edge: Edge) -> None:
    ask(guest, edge, "/write?disk=mine&offset=8192&byte=65")
    assert (
        ask(guest, edge, "/read?disk=mine&offset=8190&size=4100") == DATA[8190:8192] + b"A" * 4096 + DATA[12288:12290]
    )
    assert ask(guest, edge, "/read?disk=data&offset=8192&size=4096") == DATA[8192:12288]
    assert edge.kept == []
    ask(guest, edge, "/flush?disk=mine")
    assert edge.kept == [{2: b"A" * 4096}]
    ask(guest, edge, "/flush?disk=mine")
    assert len(edge.kept) == 1, "what is safe is not sent again"


def test_what_a_machine_writes_has_an_end(guest: Guest, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.vmm.devices.disk.WRITTEN_MAX", 3 * 4096)
    paths = [
        "disk=mine&offset=0",
        "disk=mine&offset=4096",
        "disk=tmp&offset=0",
        "disk=tmp&offset=4096",
        "disk=mine&offset=0",
    ]
    results = [int(ask(guest, edge, f"/write?{path}")) for path in paths]
    assert results == [4096, 4096, 4096, -errno.ENOSPC, 4096], "all disks together; what replaces takes no more"


def test_a_page_that_was_written_needs_no_block(guest: Guest, edge: Edge) -> None:
    ask(guest, edge, "/write?disk=mine&offset=8192&byte=65")
    assert ask(guest, edge, "/read?disk=mine&offset=8192&size=4096") == b"A" * 4096
    assert not edge.fetched


def test_scratch_is_zeros_again_for_a_fresh_machine(image: Image, edge: Edge) -> None:
    guest = Guest(image, disks=edge, fresh=True)
    ask(guest, edge, "/write?disk=tmp&offset=0&byte=66")
    assert guest.machine.used
    guest.machine.reset()
    assert ask(guest, edge, "/read?disk=tmp&offset=0&size=4") == bytes(4)


def test_a_machine_is_not_fresh_before_its_disk_answered(image: Image, edge: Edge) -> None:
    guest = Guest(image, disks=edge, fresh=True)
    stream = guest.send("/read?offset=0&size=100")
    guest.run()
    guest.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
    guest.run()
    assert not guest.machine.used
    edge.bring()
    guest.run()
    assert guest.machine.used


def test_a_parked_machine_goes_on_with_its_rings(
    image: Image, guest: Guest, edge: Edge, drives: list[LocalDrive]
) -> None:
    for _ in range(70):  # once around the rings
        ask(guest, edge, "/read?offset=0&size=10")
    record = guest.park()
    other = Edge(drives)
    woken = Guest(image, parked=record, disks=other)
    assert ask(woken, other, "/read?offset=20&size=10") == DATA[20:30]


def test_baking_is_deterministic_and_writes_nothing(drives: list[LocalDrive], tmp_path: Path) -> None:
    first, second = (bake(PROGRAMS / "disks.c", disks=drives).manifest for _ in range(2))
    assert first.digest == second.digest
    assert [disk.name for disk in first.disks] == ["data", "mine", "tmp", "audit"]


def test_an_image_without_disks_has_no_such_pages() -> None:
    manifest = bake(PROGRAMS / "disks.c").manifest
    assert not [region for region in manifest.regions if region.start in (abi.DISK_IN_ADDRESS, abi.DISK_OUT_ADDRESS)]
