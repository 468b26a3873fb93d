"""What the supervisor does with disks: one fetch for all, tries, fences, and no belief in workers."""

import asyncio
import errno
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

import edge.devices.blocks
from edge.common.counters import Counters
from edge.content.blobs import Load, Ref
from edge.content.seal import new_seal
from edge.devices.disks import Attached, Disks
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool
from edge.vmm.wire.disks import Append, Block, BlockWant, DiskDone, DropDisk, Keep, Pages
from edge.vmm.wire.messages import ToWorker
from tests.support.parked import parked
from tests.support.quiet import others, tasks_done
from tests.support.wire import to_worker
from vmimage.disk import BLOCK_SIZE, DiskManifest, encode_pages, pack_block, pack_list
from vmimage.drives import DriveKind, DriveRef
from vmimage.errors import OriginUnreachable, VerificationError
from vmimage.manifest import digest_of
from vmimage.trust import ServiceRecord

T = TypeVar("T")
BLOCKS = [bytes([number]) * BLOCK_SIZE for number in range(1, 5)]


class Origin:
    """A store that fails when it is told to: "ok", "down", "wrong", a word for each get."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.gets: Counter[str] = Counter()
        self.script: list[str] = []
        self.publish("data")

    def publish(self, name: str) -> None:
        """One more disk; from now on it is what machines are opened with."""
        packed = [pack_block(block) for block in BLOCKS]
        self.manifest: DiskManifest
        self.manifest, listing = pack_list(name, len(BLOCKS) * BLOCK_SIZE, [ref for ref, _ in packed])
        self.contents |= {self.manifest.digest: self.manifest.to_bytes(), digest_of(listing): listing}
        self.contents |= {ref.digest: wire for ref, wire in packed}
        self.refs = [ref for ref, _ in packed]

    async def get(self, ref: Ref, load: Load) -> bytes:
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
        self.sent: list[ToWorker] = []

    def send(self, data: bytes) -> None:
        self.sent += to_worker(data)

    def of(self, kind: type[T]) -> list[T]:
        return [message for message in self.sent if isinstance(message, kind)]


def shop(tenant: str = "shop", **written: int) -> SimpleNamespace:
    """A service, and what the catalogue says of what it wrote."""
    release = ServiceRecord("shop", (), "sha256:" + "00" * 32, 1, 9, written=tuple(written.items()))
    return SimpleNamespace(name="shop", tenant=tenant, withdrawn=False, is_candidate=False, release=release)


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
        self.disks.on_want(worker, BlockWant(disk, block_no))  # type: ignore[arg-type]

    def keep(self, machine: Any, pages: dict[int, bytes], *, place: int = 0) -> None:
        self.disks.on_keep(machine, Keep(machine.number, 7, place, False, encode_pages(pages)))

    async def quiet(self) -> None:
        """Until nothing is under way."""
        while others() or len(self.disks.slices) or len(self.disks.blocks):
            await tasks_done()
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.devices.blocks, "PAUSE_S", 0.0)


def test_one_fetch_for_all_who_wait(tmp_path: Path) -> None:
    async def run() -> None:
        site, workers = Site(tmp_path), [Worker(), Worker()]
        for worker in workers:
            await site.open(worker)
            site.want(worker, 1, 2)
            site.want(worker, 1, 2)
        await site.quiet()
        for worker in workers:
            assert worker.of(Block) == [Block(1, 2, BLOCKS[2])]
        assert site.origin.gets[site.origin.refs[2].digest] == 1
        assert site.origin.gets[site.origin.manifest.digest] == 1, "two machines, one disk"

    asyncio.run(run())


@pytest.mark.parametrize(("gap_s", "begun"), [(0.0, len(BLOCKS)), (3600.0, 1)])
def test_fetches_do_not_begin_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap_s: float, begun: int
) -> None:
    """However many are wanted in one turn of the event loop: what comes is then not taken in one turn either."""
    monkeypatch.setattr(edge.devices.blocks, "GAP_S", gap_s)

    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        await site.open(worker)
        for block_no in range(len(BLOCKS)):
            site.want(worker, 1, block_no)
        await tasks_done()
        assert sum(site.origin.gets[ref.digest] for ref in site.origin.refs) == begun
        assert len(site.disks.blocks) == len(BLOCKS) - begun
        site.disks.blocks.close()

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
        (answer,) = worker.of(Block)
        assert answer.data == (BLOCKS[0] if good else None)
        assert site.origin.gets[site.origin.refs[0].digest] == gets
        site.want(worker, 1, 0)
        await site.quiet()
        assert worker.of(Block)[-1].data == BLOCKS[0], "asked again later, it is fetched again"

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
            site.disks.on_append(writer, Append(writer.number, 1, 0, b"record"))

    asyncio.run(run())


def test_a_disk_that_nobody_uses_is_dropped_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.devices.disks.LISTS_BYTES", 1)

    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        machine = await site.open(worker)
        site.origin.publish("other")
        await site.open(worker)
        assert worker.of(DropDisk) == [], "both are in use"
        site.disks.forget(machine)
        site.origin.publish("third")
        await site.open(worker)
        assert worker.of(DropDisk) == [DropDisk(1)]
        assert worker.disks == {2, 3}
        site.want(worker, 1, 0)
        assert [block.data for block in worker.of(Block)] == [None]

    asyncio.run(run())


def test_the_last_machine_opened_has_the_disk(tmp_path: Path) -> None:
    """An old version finishes its requests while the new one serves: it must not write under it."""

    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        old = await site.open(worker, "cow")
        site.keep(old, {0: b"a" * 4096})
        await site.quiet()
        new = await site.open(worker, "cow")
        assert worker.of(Pages)[-1].pages == encode_pages({0: b"a" * 4096})
        site.keep(old, {0: b"b" * 4096})
        site.keep(new, {1: b"c" * 4096})
        await site.quiet()
        assert [(done.machine, done.status) for done in worker.of(DiskDone)] == [
            (old.number, 0),
            (old.number, -errno.EIO),
            (new.number, 0),
        ]
        site.disks.forget(old)
        site.keep(new, {2: b"d" * 4096})
        await site.quiet()
        assert worker.of(DiskDone)[-1].status == 0

    asyncio.run(run())


def test_a_record_wakes_only_to_the_disk_that_it_knew(tmp_path: Path) -> None:
    async def run() -> None:
        site, worker = Site(tmp_path), Worker()
        machine = await site.open(worker, "cow")
        site.keep(machine, {0: b"a" * 4096})
        record = parked(site.disks.versions_for(machine))

        async def attached() -> list[Attached]:
            return await site.disks.prepare(machine.service, [site.ref("cow")])

        assert site.disks.match(await attached(), record)
        site.keep(machine, {0: b"b" * 4096})
        await site.quiet()
        assert not site.disks.match(await attached(), record)
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
