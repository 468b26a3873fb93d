"""What the supervisor does with disks: one fetch for all, tries, fences, and no belief in workers."""

import asyncio
import errno
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import edge.devices.blocks
from edge.common.counters import Counters
from edge.content.blobs import Ref, Trip
from edge.content.seal import new_seal
from edge.devices.disks import Attached, Disks
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from vmimage.disk import BLOCK_SIZE, DiskManifest, encode_pages, pack_block, pack_list
from vmimage.drives import DriveKind, DriveRef
from vmimage.errors import OriginUnreachable, VerificationError
from vmimage.manifest import digest_of
from vmimage.trust import ServiceRecord

BLOCKS = [bytes([number]) * BLOCK_SIZE for number in range(1, 5)]


class Origin:
    """A store that fails when it is told to: "ok", "down", "wrong", a word for each get."""

    def __init__(self, name: str = "data") -> None:
        packed = [pack_block(block) for block in BLOCKS]
        self.manifest: DiskManifest
        self.manifest, listing = pack_list(name, len(BLOCKS) * BLOCK_SIZE, [ref for ref, _ in packed])
        self.contents = {self.manifest.digest: self.manifest.to_bytes(), digest_of(listing): listing}
        self.contents |= {ref.digest: wire for ref, wire in packed}
        self.refs = [ref for ref, _ in packed]
        self.gets: Counter[str] = Counter()
        self.script: list[str] = []

    async def get(self, ref: Ref, trip: Trip) -> bytes:
        self.gets[ref.digest] += 1
        await asyncio.sleep(0)
        said = self.script.pop(0) if self.script else "ok"
        if said == "down":
            raise OriginUnreachable("it is down")
        if said == "wrong":
            raise VerificationError("it lies")
        return self.contents[ref.digest]


class Worker:
    """What a worker is sent."""

    def __init__(self) -> None:
        self.disks: set[int] = set()
        self.sent: list[Frame] = []

    def send(self, data: bytes) -> None:
        self.sent += frames.parse(bytearray(data))

    def of(self, type_: int) -> list[Frame]:
        return [frame for frame in self.sent if frame.type == type_]


def shop(tenant: str = "shop", **written: int) -> SimpleNamespace:
    """A service, and what the catalogue says of what it wrote."""
    release = ServiceRecord("shop", (), "sha256:" + "00" * 32, 1, 9, written=tuple(written.items()))
    return SimpleNamespace(name="shop", tenant=tenant, withdrawn=False, release=release)


class Site:
    """The part of an edge that disks need."""

    def __init__(self, folder: Path) -> None:
        self.origin, self.counters = Origin(), Counters()
        pool = ThreadPoolExecutor(1)
        overlays = Overlays(folder / "written.db", 1 << 20, pool, new_seal(), self.counters)
        logs = Spool(folder / "logs", 1 << 20, "http://127.0.0.1:1", "", self.counters)
        self.disks = Disks(self.origin, pool, overlays, logs, 1 << 20, self.counters)
        self.number = 0

    def ref(self, kind: DriveKind) -> DriveRef:
        named = kind in ("shared", "cow")
        return DriveRef(self.origin.manifest.disk_bytes, self.origin.manifest.digest if named else None, kind, "data")

    async def open(self, worker: Worker, kind: DriveKind = "shared", tenant: str = "shop") -> Any:
        """A machine of the one service, its disk attached."""
        self.number += 1
        service = shop(tenant)
        machine = SimpleNamespace(number=self.number, worker=worker, service=service)
        attached = await self.disks.prepare(service, [self.ref(kind)])  # type: ignore[arg-type]
        self.disks.attach(machine, attached)  # type: ignore[arg-type]
        return machine

    def want(self, worker: Worker, disk: int, block_no: int) -> None:
        self.disks.on_want(worker, Frame(frames.BLOCK_WANT, 0, disk, block_no, b""))  # type: ignore[arg-type]

    def keep(self, machine: Any, pages: dict[int, bytes], *, place: int = 0) -> None:
        payload = struct.pack("<I", place) + encode_pages(pages)
        self.disks.on_write(machine, Frame(frames.KEEP, 0, machine.number, 7, payload))

    async def quiet(self) -> None:
        """Until nothing is under way."""
        while self.disks.tasks._running or len(self.disks.slices):
            await asyncio.gather(*self.disks.tasks._running)
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.devices.blocks, "PAUSE_S", 0.0)


def status_of(frame: Frame) -> int:
    value: int = struct.unpack("<i", frame.payload)[0]
    return value


def test_one_fetch_for_all_who_wait(tmp_path: Path) -> None:
    async def run() -> None:
        site, workers = Site(tmp_path), [Worker(), Worker()]
        for worker in workers:
            await site.open(worker)
            site.want(worker, 1, 2)
            site.want(worker, 1, 2)
        await site.quiet()
        for worker in workers:
            assert [(f.machine, f.stream, f.payload) for f in worker.of(frames.BLOCK)] == [(1, 2, BLOCKS[2])]
        assert site.origin.gets[site.origin.refs[2].digest] == 1
        assert site.origin.gets[site.origin.manifest.digest] == 1, "two machines, one disk"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "good", "gets"),
    [
        (["down", "down", "ok"], True, 3),
        (["wrong", "ok"], True, 2),
        (["down", "down", "down"], False, 3),
    ],
)
def test_a_failed_fetch_is_tried_again_and_not_for_ever(
    tmp_path: Path, script: list[str], good: bool, gets: int
) -> None:
    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        await site.open(worker)
        site.origin.script = script
        site.want(worker, 1, 0)
        await site.quiet()
        (answer,) = worker.of(frames.BLOCK)
        assert (answer.payload, answer.flags) == ((BLOCKS[0], 0) if good else (b"", frames.FLAG_FAILED))
        assert site.origin.gets[site.origin.refs[0].digest] == gets
        site.want(worker, 1, 0)
        await site.quiet()
        assert worker.of(frames.BLOCK)[-1].payload == BLOCKS[0], "asked again later, it is fetched again"

    asyncio.run(run())


def test_a_worker_that_asks_for_what_it_cannot_know(tmp_path: Path) -> None:
    async def run() -> None:
        site, worker, stranger = Site(tmp_path), Worker(), Worker()
        machine = await site.open(worker, "shared")
        for who, block_no in ((worker, len(BLOCKS)), (stranger, 0)):
            with pytest.raises(ValueError, match="that the worker has expected"):
                site.want(who, 1, block_no)
        with pytest.raises(ValueError, match="that takes this"):
            site.keep(machine, {0: b"x" * 4096})
        writer = await site.open(worker, "cow")
        with pytest.raises(ValueError, match="that takes this"):
            site.keep(writer, {}, place=1)
        with pytest.raises(ValueError, match="page set"):
            site.keep(writer, {1 << 20: b"x" * 4096})
        with pytest.raises(ValueError, match="that takes this"):
            site.disks.on_write(writer, Frame(frames.APPEND, 0, writer.number, 1, bytes(4) + b"record"))

    asyncio.run(run())


def test_a_disk_that_nobody_uses_is_dropped_for_another(tmp_path: Path) -> None:
    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        machine = await site.open(worker)
        site.disks._held.budget_bytes = 1
        site.disks.forget(machine)
        first = site.origin.manifest
        site.origin = Origin("other")
        site.disks._store = site.disks.blocks._store = site.origin
        await site.open(worker)
        assert [frame.machine for frame in worker.of(frames.DROP_DISK)] == [1]
        assert worker.disks == {2}
        site.want(worker, 1, 0)
        assert [frame.flags for frame in worker.of(frames.BLOCK)] == [frames.FLAG_FAILED]
        assert first.digest != site.origin.manifest.digest

    asyncio.run(run())


def test_the_last_machine_opened_has_the_disk(tmp_path: Path) -> None:
    """An old version finishes its requests while the new one serves: it must not write under it."""

    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        old = await site.open(worker, "cow")
        site.keep(old, {0: b"a" * 4096})
        await site.quiet()
        new = await site.open(worker, "cow")
        assert worker.of(frames.PAGES)[-1].payload == encode_pages({0: b"a" * 4096})
        site.keep(old, {0: b"b" * 4096})
        site.keep(new, {1: b"c" * 4096})
        await site.quiet()
        assert [(f.machine, status_of(f)) for f in worker.of(frames.DISK_DONE)] == [
            (old.number, 0),
            (old.number, -errno.EIO),
            (new.number, 0),
        ]
        site.disks.forget(old)
        site.keep(new, {2: b"d" * 4096})
        await site.quiet()
        assert status_of(worker.of(frames.DISK_DONE)[-1]) == 0

    asyncio.run(run())


def test_a_record_wakes_only_to_the_disk_that_it_knew(tmp_path: Path) -> None:
    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        machine = await site.open(worker, "cow")
        site.keep(machine, {0: b"a" * 4096})
        record = site.disks.stamp(machine, b"record")

        async def attached() -> list[Attached]:
            return await site.disks.prepare(machine.service, [site.ref("cow")])

        assert site.disks.match(await attached(), record) == b"record"
        site.keep(machine, {0: b"b" * 4096})
        await site.quiet()
        assert site.disks.match(await attached(), record) is None
        assert site.counters.records_outdated == 1
        stale = await attached()
        site.keep(machine, {0: b"c" * 4096})
        assert not site.disks.current(stale)

    asyncio.run(run())


def test_a_manifest_that_says_another_size_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        site = Site(tmp_path)
        ref = DriveRef(5, site.origin.manifest.digest, "shared", "data")
        with pytest.raises(VerificationError, match="bytes expected"):
            await site.disks.prepare(shop(), [ref])  # type: ignore[arg-type]

    asyncio.run(run())
