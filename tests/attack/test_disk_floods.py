"""Guests that read, flush and log to disks without end: what is fetched, held and answered has bounds by tenant.

The real parts, told by frames what a worker would tell them; what another tenant gets meanwhile is what it got before.
"""

import asyncio
import errno
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge.common.allowance import BLOCKS, LOG_RECORDS, Allowance, Rate
from edge.common.counters import Counters
from edge.content.blobs import Load, Ref
from edge.content.seal import new_seal
from edge.devices.blocks import FETCHES_AT_ONCE, WANTS_MAX
from edge.devices.disks import Disks
from edge.devices.flushes import FLUSHES_EACH
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool
from edge.vmm.wire.disks import Append, Block, BlockWant, DiskDone, Keep
from tests.attack.flooding import Worker, machine, run
from tests.support.parked import parked
from tests.support.quiet import others, tasks_done
from tests.support.wire import to_worker
from vmimage.disk import BLOCK_SIZE, encode_pages, pack_block, pack_list
from vmimage.drives import DriveKind, DriveRef
from vmimage.manifest import digest_of


@pytest.fixture(autouse=True)
def _no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetches of blocks begin as soon as they may, not one after the other: that has a test of its own."""
    monkeypatch.setattr("edge.devices.blocks.GAP_S", 0.0)


class Origin:
    """A store of one disk of many blocks, which says what was asked and waits until it is let go."""

    def __init__(self, name: str, blocks: int) -> None:
        packed = [pack_block(struct.pack("<Q", number + 1).ljust(BLOCK_SIZE, name[:1].encode())) for number in range(8)]
        self.manifest, listing = pack_list(name, blocks * BLOCK_SIZE, [packed[n % 8][0] for n in range(blocks)])
        self.contents = {self.manifest.digest: self.manifest.to_bytes(), digest_of(listing): listing}
        self.contents |= {ref.digest: wire for ref, wire in packed}
        self.blocks = {ref.digest for ref, _ in packed}


class Store:
    def __init__(self, *origins: Origin) -> None:
        self.contents = {digest: data for origin in origins for digest, data in origin.contents.items()}
        self.names = {digest: origin.manifest.name for origin in origins for digest in origin.blocks}
        self.asked: list[str] = []
        self.open = asyncio.Event()

    async def get(self, ref: Ref, load: Load) -> bytes:
        if ref.digest in self.names:
            self.asked.append(self.names[ref.digest])
            await self.open.wait()
        return self.contents[ref.digest]


class Edge:
    """The part of an edge that disks need."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.counters, self.pool = Counters(), ThreadPoolExecutor(1)
        overlays = Overlays(folder / "written.db", 1 << 30, self.pool, new_seal(), self.counters)
        spool = Spool(folder / "logs", 1 << 30, "http://127.0.0.1:1", "", self.counters)
        self.disks = Disks(store, self.pool, overlays, spool, 1 << 20, self.counters)
        self.now_s = 0.0
        endless = Rate(1e12, 1e12)  # a test of one rate sets it
        self.disks.blocks.allowed = self.disks.flushes.allowed = Allowance(endless, lambda: self.now_s)

    async def open(self, guest: Any, kind: DriveKind, origin: Origin | None = None, size: int = 32 << 20) -> None:
        digest = origin.manifest.digest if origin is not None else None
        size = origin.manifest.disk_bytes if origin is not None else size
        attached = await self.disks.prepare(guest.service, [DriveRef(size, digest, kind, "d")])
        self.disks.attach(guest, attached)

    def flush(self, guest: Any, token: int, first: int, pages: int) -> None:
        written = encode_pages({first + n: bytes([token]) * 4096 for n in range(pages)})
        self.disks.on_keep(guest, Keep(guest.number, token, 0, False, written))

    async def quiet(self) -> None:
        while others() or len(self.disks.slices):
            await tasks_done()
            await asyncio.sleep(0)


def tokens(data: bytes) -> list[int]:
    """Of the answers to flushes."""
    return [message.token for message in to_worker(data) if isinstance(message, DiskDone)]


def statuses(worker: Worker) -> dict[int, int]:
    return {done.token: done.status for done in worker.take(DiskDone)}


def test_blocks_are_fetched_for_all_tenants_in_turn(tmp_path: Path) -> None:
    async def test() -> None:
        large, small = Origin("large", 2000), Origin("small", 8)
        store, worker = Store(large, small), Worker()
        site = Edge(tmp_path, store)
        evil, victim = machine(1, "mallory", worker), machine(2, "alice", worker)
        await site.open(evil, "shared", large)
        await site.open(victim, "shared", small)
        for number in range(2000):
            site.disks.on_want(worker, BlockWant(1, number))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert (len(store.asked), len(others())) == (FETCHES_AT_ONCE, FETCHES_AT_ONCE), "no task for who waits"
        for number in range(4):
            site.disks.on_want(worker, BlockWant(2, number))  # type: ignore[arg-type]
        store.open.set()
        await site.quiet()
        places = [place for place, name in enumerate(store.asked) if name == "small"]
        assert places[-1] < FETCHES_AT_ONCE + 2 * 4 + FETCHES_AT_ONCE, "every other turn is hers"
        assert len(worker.take(Block)) == 2004
        assert site.disks.blocks.fetches == 0

    run(test)


def test_wants_without_end_are_answered_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.devices.disks.LISTS_BYTES", 1)

    async def test() -> None:
        large, small, third = Origin("large", WANTS_MAX + 100), Origin("small", 8), Origin("third", 8)
        store, worker = Store(large, small, third), Worker()
        site = Edge(tmp_path, store)
        evil, victim = machine(1, "mallory", worker), machine(2, "alice", worker)
        await site.open(evil, "shared", large)
        await site.open(victim, "shared", small)
        for number in range(WANTS_MAX + 100):
            site.disks.on_want(worker, BlockWant(1, number))  # type: ignore[arg-type]
        refused = worker.take(Block)
        assert len(refused) == 100 - FETCHES_AT_ONCE
        assert {block.data for block in refused} == {None}
        site.disks.on_want(worker, BlockWant(2, 0))  # type: ignore[arg-type]
        assert worker.take(Block) == []
        await asyncio.sleep(0)
        site.disks.forget(evil)
        await site.open(machine(3, "carol", worker), "shared", third)
        assert 1 not in worker.disks, "room is needed, and nobody has it any more"
        store.open.set()
        await site.quiet()
        answers = worker.take(Block)
        assert len(answers) == WANTS_MAX + FETCHES_AT_ONCE + 1
        assert store.asked.count("large") == FETCHES_AT_ONCE, "what nobody has any more is not fetched"
        assert store.asked.count("small") == 1

    run(test)


def test_flushes_without_end_are_refused_and_nothing_of_them_is_held(tmp_path: Path) -> None:
    async def test() -> None:
        worker = Worker()
        site = Edge(tmp_path, Store(base := Origin("base", 400)))
        evil, victim = machine(1, "mallory", worker), machine(2, "alice", worker)
        await site.open(evil, "cow", base)
        await site.open(victim, "cow", base)
        blocked = asyncio.Event()
        loop = asyncio.get_running_loop()
        site.pool.submit(lambda: asyncio.run_coroutine_threadsafe(blocked.wait(), loop).result(30))  # a slow disk
        for token in range(20):
            site.flush(evil, token, 0, 1024)  # 4 MiB each
        fit = FLUSHES_EACH // (1024 * 4100)
        assert site.disks.flushes.waiting.held_by("mallory") <= FLUSHES_EACH
        assert statuses(worker) == dict.fromkeys(range(fit, 20), -errno.EAGAIN)
        assert site.counters.flushes_refused == 20 - fit
        assert len(others()) == fit
        site.flush(victim, 100, 0, 4)
        assert statuses(worker) == {}
        blocked.set()
        await site.quiet()
        assert statuses(worker) == {**dict.fromkeys(range(fit), 0), 100: 0}
        assert site.disks.flushes.waiting.held == 0
        site.flush(evil, 50, 0, 1024)
        await site.quiet()
        assert statuses(worker) == {50: 0}, "what was refused is taken when it is asked for again"

    run(test)


def test_flushes_of_a_tenant_are_answered_no_faster_than_it_may_flush(tmp_path: Path) -> None:
    async def test() -> None:
        worker, order = Worker(), list[int]()
        site = Edge(tmp_path, Store(base := Origin("base", 400)))
        site.disks.flushes.allowed = Allowance(Rate(per_s=4 << 20, burst=1 << 20), lambda: 0.0)
        evil, victim = machine(1, "mallory", worker), machine(2, "alice", worker)
        await site.open(evil, "cow", base)
        await site.open(victim, "cow", base)
        worker.send = lambda data: order.extend(tokens(data))  # type: ignore[method-assign]
        for token in range(8):
            site.flush(evil, token, 0, 1024)  # 4 MiB each: a second
        for token in (100, 101):
            site.flush(victim, token, 0, 16)
        await site.quiet()
        fit = FLUSHES_EACH // (1024 * 4100)
        assert order[: 8 - fit] == [*range(fit, 8)], "what is refused is said at once: until then the worker holds it"
        assert order[-1] == fit - 1, "hers do not wait for what the other has to pay for"
        assert sorted(order) == [*range(8), 100, 101]
        assert site.disks.flushes.waiting.held == 0

    run(test)


def test_blocks_beyond_the_rate_of_a_tenant_come_later_and_do_not_delay_others(tmp_path: Path) -> None:
    async def test() -> None:
        large, small = Origin("large", 100), Origin("small", 8)
        store, worker = Store(large, small), Worker()
        store.open.set()
        site = Edge(tmp_path, store)
        site.disks.blocks.allowed = Allowance(Rate(per_s=BLOCKS.per_s, burst=10), lambda: 0.0)
        evil, victim = machine(1, "mallory", worker), machine(2, "alice", worker)
        await site.open(evil, "shared", large)
        await site.open(victim, "shared", small)
        for number in range(100):
            site.disks.on_want(worker, BlockWant(1, number))  # type: ignore[arg-type]
        for number in range(8):
            site.disks.on_want(worker, BlockWant(2, number))  # type: ignore[arg-type]
        assert site.disks.blocks.early == {"mallory": 90}
        await asyncio.wait_for(worker.has(108, Block), 30)
        blocks = [block.disk for block in worker.take(Block)]
        assert sorted(blocks) == [1] * 100 + [2] * 8
        assert 2 not in blocks[18 + 20 :], "hers come among the first"
        assert site.disks.blocks.early == {}

    run(test)


def test_a_machine_whose_flush_was_refused_does_not_wake_to_disks_that_it_never_wrote(tmp_path: Path) -> None:
    async def test() -> None:
        worker = Worker()
        site = Edge(tmp_path, Store(base := Origin("base", 400)))
        evil = machine(1, "mallory", worker)
        await site.open(evil, "cow", base)
        for token in range(4):
            site.flush(evil, token, token * 1024, 1024)
        await site.quiet()
        assert statuses(worker)[3] == -errno.EAGAIN
        record = parked(site.disks.versions_for(evil))
        attached = await site.disks.prepare(
            evil.service, [DriveRef(base.manifest.disk_bytes, base.manifest.digest, "cow", "d")]
        )
        assert not site.disks.match(attached, record), "pages that were refused are in no place but its memory"

        site.flush(evil, 5, 3 * 1024, 512)
        await site.quiet()
        assert not site.disks.match(attached, parked(site.disks.versions_for(evil))), "half of them"
        site.flush(evil, 6, 3 * 1024, 1024)
        await site.quiet()
        attached = await site.disks.prepare(
            evil.service, [DriveRef(base.manifest.disk_bytes, base.manifest.digest, "cow", "d")]
        )
        assert site.disks.match(attached, parked(site.disks.versions_for(evil))), "all of them were kept after all"
        site.disks.forget(evil)
        assert site.disks.flushes.unwritten == {}

    run(test)


@pytest.mark.usefixtures("time_stands")
def test_records_for_a_log_disk_have_a_rate(tmp_path: Path) -> None:
    async def test() -> None:
        worker = Worker()
        site = Edge(tmp_path, Store())
        evil, victim = machine(1, "mallory", worker), machine(2, "alice", worker)
        await site.open(evil, "log", size=1 << 20)
        await site.open(victim, "log", size=1 << 20)
        burst = int(LOG_RECORDS.burst)
        for token in range(burst + 10):
            site.disks.on_append(evil, Append(1, token, 0, b"x"))
        done = statuses(worker)
        assert [status for status in done.values() if status] == [-errno.EAGAIN] * 10
        assert site.counters.log_records == burst
        site.disks.on_append(victim, Append(2, 1, 0, b"x"))
        assert statuses(worker) == {1: 0}

    run(test)
