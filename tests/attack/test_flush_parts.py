"""Flushes in parts: all of one is written or nothing, whatever a worker leaves out, mixes up or breaks off."""

import asyncio
import errno
import struct
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.content.seal import new_seal
from edge.devices.flushes import FLUSHES_EACH, PAGES_MAX, Flushes, Place
from edge.devices.overlays import Overlays
from edge.vmm.devices.drives import PART_PAGES, Drives
from edge.vmm.wire.disks import DiskDone, DiskMore, Keep
from edge.vmm.wire.machines import OpenDisk
from edge.vmm.wire.messages import FromWorker, ToWorker
from tests.support.disk_guest import DiskGuest, disk_memory
from tests.support.quiet import tasks_done
from tests.support.wire import from_worker, to_worker
from vmimage import abi
from vmimage.disk import cut_pages, decode_pages
from vmimage.drives import DriveRef
from vmimage.errors import FormatError

DISK_BYTES = 64 << 20
PAGES = {number: bytes([number % 251]) * abi.PAGE_SIZE for number in range(0, 200, 2)}


class Site:
    """Flushes, what they are written to, and a worker's end of them."""

    def __init__(self, folder: Path) -> None:
        self.counters, self.pool = Counters(), ThreadPoolExecutor(1)
        self.overlays = Overlays(folder / "written.db", 1 << 30, self.pool, new_seal(), self.counters)
        self.tasks = Tasks(self.counters)
        self.flushes = Flushes(self.overlays, self.tasks, self.counters)
        self.sent: list[ToWorker] = []
        self.key = self.find("d")

    def find(self, disk: str, service: str = "shop") -> int:
        return self.overlays.find(service, disk, None, "shop", "sha256:00")

    def machine(self, number: int = 1, tenant: str = "shop") -> Any:
        worker = SimpleNamespace(send=lambda data: self.sent.extend(to_worker(data)))
        return SimpleNamespace(number=number, worker=worker, service=SimpleNamespace(name=tenant, tenant=tenant))

    def part(
        self, machine: Any, data: bytes, *, more: bool, token: int = 7, disk: int = 0, key: int | None = None
    ) -> None:
        keep = Keep(machine.number, token, disk, more, data)
        self.flushes.take(machine, keep, self.key if key is None else key, DISK_BYTES)

    def flush(self, machine: Any, pages: dict[int, bytes], token: int = 7) -> None:
        *parts, last = cut_pages(pages, PART_PAGES)
        for part in parts:
            self.part(machine, part, more=True, token=token)
        self.part(machine, last, more=False, token=token)

    def statuses(self) -> list[tuple[int, int]]:
        return [(message.token, message.status) for message in self.sent if isinstance(message, DiskDone)]

    def asked_for_more(self) -> int:
        return sum(isinstance(message, DiskMore) for message in self.sent)

    async def written(self, key: int | None = None) -> dict[int, bytes]:
        await tasks_done()
        loaded = await self.overlays.load(self.key if key is None else key)
        assert loaded is not None
        return decode_pages(loaded[1], DISK_BYTES)

    async def untouched(self) -> None:
        """Nothing was written, nothing is held, and the next flush is as good as any."""
        assert await self.written() == {}
        self.flushes.forget(1)
        assert self.flushes.waiting.held == 0
        self.flush(self.machine(2), {5: b"n" * 4096}, token=9)
        assert await self.written() == {5: b"n" * 4096}
        assert self.flushes.waiting.held == 0


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_flush_is_written_when_its_last_part_is_here_and_its_worker_is_asked_for_each(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        machine, parts = site.machine(), list(cut_pages(PAGES, PART_PAGES))
        assert len(parts) == 1 + -(-len(PAGES) // PART_PAGES)
        assert max(map(len, parts)) <= PART_PAGES * abi.PAGE_SIZE
        for count, part in enumerate(parts[:-1], start=1):
            site.part(machine, part, more=True)
            assert site.asked_for_more() == count
            assert site.overlays.version(site.key) == 0
            assert site.flushes.is_coming(1)
        site.part(machine, parts[-1], more=False)
        assert not site.flushes.is_coming(1)
        assert await site.written() == PAGES
        assert site.statuses() == [(7, 0)]
        assert site.asked_for_more() == len(parts) - 1
        assert site.flushes.waiting.held == 0

    run(test)


PARTS = list(cut_pages(PAGES, PART_PAGES))
HEAD, BODY = PARTS[0], PARTS[1:]
LIES: dict[str, list[tuple[bytes, bool]]] = {
    "the last part before its time": [(HEAD, True), (BODY[0], False)],
    "no part but the head": [(HEAD, False)],
    "a part too many": [*((part, True) for part in PARTS)],
    "more pages than the head says": [*((part, True) for part in PARTS[:-1]), (BODY[0], True)],
    "half a page": [(HEAD, True), (BODY[0][:2048], True)],
    "the head twice": [(HEAD, True), (HEAD, True)],
    "pages before the head": [(BODY[0], True)],
    "a head with half of its numbers": [(HEAD[:100], True)],
    "numbers out of order": [(struct.pack("<3I", 2, 9, 3), True)],
    "a page beyond the disk": [(struct.pack("<2I", 1, DISK_BYTES // 4096), True)],
    "more pages than a machine may have written": [
        (struct.pack(f"<{PAGES_MAX + 2}I", PAGES_MAX + 1, *range(PAGES_MAX + 1)), True)
    ],
    "nothing": [(b"", False)],
    "more of what is whole": [(b"".join(PARTS), True)],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_worker_that_lies_about_parts_breaks_the_protocol_and_nothing_is_written(tmp_path: Path, lie: str) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        *before, (last, more) = LIES[lie]
        for part, goes_on in before:
            site.part(site.machine(), part, more=goes_on)
        with pytest.raises(ValueError, match="expected"):
            site.part(site.machine(), last, more=more)
        assert site.statuses() == []
        await site.untouched()  # as when the worker is ended, with all its machines

    run(test)


def test_parts_of_another_flush_in_between_break_the_protocol(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        machine = site.machine()
        site.part(machine, HEAD, more=True)
        with pytest.raises(ValueError, match="the rest of flush 7 expected"):
            site.part(machine, HEAD, more=True, token=8)
        await site.untouched()

    run(test)


def test_flushes_of_several_disks_and_machines_come_interleaved(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        second, third = site.find("e"), site.find("d", "other")
        senders = [(site.machine(1), 0, site.key), (site.machine(1), 1, second), (site.machine(2, "other"), 0, third)]
        for place, part in enumerate(PARTS):
            for machine, disk, key in senders:
                site.part(machine, part, more=place < len(PARTS) - 1, disk=disk, key=key)
        for key in (site.key, second, third):
            assert await site.written(key) == PAGES
        assert [status for _, status in site.statuses()] == [0] * 3

    run(test)


def test_a_machine_that_goes_before_the_last_part_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        site.part(site.machine(), HEAD, more=True)
        site.part(site.machine(), BODY[0], more=True)
        assert site.flushes.waiting.held > 0
        site.flushes.forget(1)
        assert site.flushes.waiting.held == 0
        assert not site.flushes.is_coming(1)
        await site.untouched()

    run(test)


def test_a_disk_that_is_another_machine_s_by_the_last_part_is_not_written(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        for part in PARTS[:-1]:
            site.part(site.machine(), part, more=True)
        site.part(site.machine(), PARTS[-1], more=False, key=0)
        assert site.statuses() == [(7, -errno.EIO)]
        await site.untouched()

    run(test)


def test_what_is_refused_is_refused_at_its_head_and_the_rest_is_dropped(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site(tmp_path)
        site.flushes.waiting.take_anyway("shop", FLUSHES_EACH)
        machine = site.machine()
        site.part(machine, HEAD, more=True)
        assert site.statuses() == [(7, -errno.EAGAIN)]
        assert site.asked_for_more() == 0, "no page of it need be sent"
        for place, part in enumerate(BODY):  # as when the machine is parked
            site.part(machine, part, more=place < len(BODY) - 1)
        assert site.statuses() == [(7, -errno.EAGAIN)], "answered once"
        assert site.flushes.unwritten == {Place(1, 0): set(PAGES)}
        assert not site.flushes.is_coming(1)
        site.part(machine, HEAD, more=True, token=8)
        site.flushes.waiting.give_back("shop", FLUSHES_EACH)
        site.flush(machine, PAGES, token=9)
        assert await site.written() == PAGES, "whoever was refused may begin anew"
        assert site.flushes.unwritten == {}
        assert site.flushes.waiting.held == 0

    run(test)


# The worker's side.


class Guest(DiskGuest):
    """A machine of a worker with one disk, and what it sends."""

    def __init__(self) -> None:
        self.sent: list[FromWorker] = []
        memory = disk_memory()
        self.drives = Drives(
            lambda data: self.sent.extend(from_worker(data)),
            lambda _: None,
            lambda _, action, *arguments: action(*arguments),
        )
        attached = (OpenDisk(None, DriveRef(DISK_BYTES, None, "cow", "d")),)
        disks = self.drives.open(1, memory, attached, b"")
        assert disks is not None
        super().__init__(memory, disks)

    def write_all(self, pages: dict[int, bytes]) -> None:
        for number, data in pages.items():
            self.write(number, data)

    @property
    def parts(self) -> list[tuple[bool, bytes]]:
        return [(message.more, message.part) for message in self.sent if isinstance(message, Keep)]


def test_a_worker_sends_a_part_when_it_is_asked_for_and_no_other() -> None:
    guest = Guest()
    guest.write_all(PAGES)
    flush = guest.flush()
    assert guest.parts == [(True, HEAD)]
    for count in range(2, len(PARTS) + 1):
        guest.drives.on_more(DiskMore(1, 1))
        assert len(guest.sent) == count
    assert [part for _, part in guest.parts] == PARTS
    assert [more for more, _ in guest.parts] == [True] * (len(PARTS) - 1) + [False]
    guest.drives.on_more(DiskMore(1, 1))
    guest.drives.on_more(DiskMore(1, 5))
    assert len(guest.sent) == len(PARTS)
    assert guest.answers() == {}
    guest.drives.on_done(DiskDone(1, 1, 0))
    assert guest.answers() == {flush: 0}


def test_a_flush_that_is_refused_is_not_sent() -> None:
    guest = Guest()
    guest.write_all({number: bytes(4096) for number in range(512)})
    for token in range(1, 4):
        flush = guest.flush()
        guest.drives.on_done(DiskDone(1, token, -errno.EAGAIN))
        guest.drives.on_more(DiskMore(1, token))
        assert guest.answers() == {flush: -errno.EAGAIN}
    assert len(guest.parts) == 3
    assert sum(len(part) for _, part in guest.parts) < 3 * 4096, "the heads of three times 2 MiB"


def test_a_small_flush_is_one_frame() -> None:
    guest = Guest()
    guest.write(3, b"x" * 4096)
    guest.flush()
    ((more, part),) = guest.parts
    assert (more, decode_pages(part, DISK_BYTES)) == (False, {3: b"x" * 4096})


def test_what_a_parked_machine_had_not_flushed_leaves_as_a_whole_before_its_record() -> None:
    guest = Guest()
    guest.write_all(PAGES)
    guest.drives.park(1)
    assert [part for _, part in guest.parts] == PARTS
    assert {keep.token for keep in guest.sent if isinstance(keep, Keep)} == {1}


@pytest.mark.parametrize("count", [0, 1, PART_PAGES, PART_PAGES + 1, 3 * PART_PAGES])
def test_parts_are_the_page_set(count: int) -> None:
    pages = {number * 3: bytes([number]) * 4096 for number in range(count)}
    parts = list(cut_pages(pages, PART_PAGES))
    assert decode_pages(b"".join(parts), DISK_BYTES) == pages
    assert len(parts) == (1 if count <= PART_PAGES else 1 + -(-count // PART_PAGES))
    if len(parts) > 1:
        with pytest.raises(FormatError):
            decode_pages(b"".join(parts[:-1]), DISK_BYTES)
