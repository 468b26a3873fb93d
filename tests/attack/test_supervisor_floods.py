"""Guests that make the supervisor work without end: what is begun, held and answered for them has bounds by tenant.

The real parts, told by frames what a worker would tell them; what another tenant gets meanwhile is what it got before.
"""

import asyncio
import errno
import struct
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from edge.common.allowance import BLOCKS, EXCHANGES, LOG_LINES, LOG_RECORDS, Allowance, Rate
from edge.common.counters import Counters
from edge.config.upstream_policy import UpstreamPolicy
from edge.content.blobs import Ref, Trip
from edge.content.seal import new_seal
from edge.devices.blocks import FETCHES_AT_ONCE, WANTS_MAX
from edge.devices.disks import Disks
from edge.devices.flushes import FLUSHES_EACH
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool, first_lines
from edge.devices.upstreams import CONNECTIONS_EACH, Upstreams
from edge.model.flow import Patience
from edge.supervisor.supervisor import LOG_LINES_A_TICK, Supervisor
from edge.vmm.devices.log import LINE_BYTES
from edge.vmm.wire.disks import Append, Block, BlockWant, DiskDone, Keep
from edge.vmm.wire.machines import Log
from edge.vmm.wire.messages import ToWorker
from edge.vmm.wire.streams import Body, Credit, Reset, Subrequest
from tests.support.parked import parked
from tests.support.wire import to_worker
from vmimage import abi
from vmimage.disk import BLOCK_SIZE, encode_pages, pack_block, pack_list
from vmimage.drives import DriveKind, DriveRef
from vmimage.manifest import digest_of
from vmimage.trust import ServiceRecord

T = TypeVar("T")
BIT = abi.EXCHANGE_BIT
BLOCK = b"Method\0GET\0URL\0http://192.0.2.1\0\0"


class Worker:
    """What a worker is sent."""

    def __init__(self) -> None:
        self.sent: list[ToWorker] = []
        self.disks: set[int] = set()

    def send(self, data: bytes) -> None:
        self.sent += to_worker(data)

    async def has(self, count: int, kind: type) -> None:
        """Until it was sent so many."""
        enough = asyncio.Event()
        send = self.send

        def watched(data: bytes) -> None:
            send(data)
            if sum(isinstance(message, kind) for message in self.sent) >= count:
                enough.set()

        self.send = watched  # type: ignore[method-assign]
        await enough.wait()

    def take(self, kind: type[T]) -> list[T]:
        found: list[T] = [message for message in self.sent if isinstance(message, kind)]
        self.sent.clear()
        return found


class Guest(SimpleNamespace):
    """A machine; one is another, whatever they have."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def machine(number: int, tenant: str, worker: Worker) -> Any:
    name = f"{tenant}-{number}"
    release = ServiceRecord(name, (), "sha256:" + "00" * 32, 1, 1)
    service = SimpleNamespace(name=name, tenant=tenant, withdrawn=False, release=release)
    image = SimpleNamespace(manifest=SimpleNamespace(upstreams=("http://192.0.2.1",)))
    return Guest(number=number, service=service, image=image, worker=worker, streams={}, log_lines=0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# Exchanges.


def begin(upstreams: Upstreams, guest: Any, number: int) -> None:
    upstreams.on_subrequest(guest, Subrequest(guest.number, BIT | number, True, BLOCK))


def reset(upstreams: Upstreams, guest: Any, number: int) -> None:
    upstreams.on_abort(guest, Reset(guest.number, BIT | number))


def test_exchanges_begun_and_dropped_make_no_task_and_are_counted_by_tenant() -> None:
    async def test() -> None:
        counters, worker = Counters(), Worker()
        upstreams = Upstreams(UpstreamPolicy.parse(""), 1, Patience(1, 1), counters)
        evil, other_of_evil, victim = (machine(n, t, worker) for n, t in enumerate(("mallory", "mallory", "alice")))
        tasks = len(asyncio.all_tasks())
        burst, pairs = int(EXCHANGES.burst), 2000
        for number in range(pairs):
            begin(upstreams, evil, number)
            reset(upstreams, evil, number)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == tasks
        assert worker.take(Reset) == [], "what it dropped itself it is not told of"
        too_many = counters.upstream_requests["too_many"]
        assert pairs - 2 * burst < too_many <= pairs - burst
        assert counters.upstream_requests == {"abandoned": pairs - too_many, "too_many": too_many}
        assert upstreams.of(evil) == {}

        upstreams._begun = Allowance(EXCHANGES, lambda: 0.0)
        assert upstreams._begun.take("mallory", burst) == burst
        begin(upstreams, other_of_evil, 1)
        await asyncio.sleep(0)
        (told,) = worker.take(Reset)
        assert (told.machine, told.stream) == (other_of_evil.number, BIT | 1), (
            "all machines of a tenant have one allowance"
        )
        assert b"requests to upstreams a second" in told.reason
        begin(upstreams, victim, 1)
        exchange = upstreams.of(victim)[BIT | 1]
        await asyncio.sleep(0)
        assert exchange.task is not None
        await exchange.task
        assert upstreams.of(victim) == {}
        assert counters.upstream_requests["refused"] == 1, "it had its turn; the operator lets nobody reach anything"

    run(test)


def test_one_tenant_has_a_share_of_the_connections_to_upstreams() -> None:
    async def test() -> None:
        counters, worker = Counters(), Worker()
        upstreams = Upstreams(UpstreamPolicy.parse(""), 1, Patience(30, 30), counters)
        going, arrived = asyncio.Event(), 0

        async def slow(_: object) -> None:
            nonlocal arrived
            arrived += 1
            await going.wait()

        upstreams._exchange = slow  # type: ignore[method-assign,assignment] # in place of an upstream that says nothing
        evil = [machine(number, "mallory", worker) for number in range(8)]
        victim = machine(9, "alice", worker)
        for guest in evil:
            for number in range(abi.MAX_EXCHANGES):
                begin(upstreams, guest, number)
        for _ in range(5):
            await asyncio.sleep(0)
        assert arrived == CONNECTIONS_EACH
        begin(upstreams, victim, 1)
        for _ in range(5):
            await asyncio.sleep(0)
        assert arrived == CONNECTIONS_EACH + 1, "hers did not wait for theirs"
        for guest in evil[:4]:
            upstreams.forget(guest)
        for _ in range(10):
            await asyncio.sleep(0)
        assert arrived == 2 * CONNECTIONS_EACH + 1, "who is gone makes room, also one that waited"
        going.set()
        await asyncio.gather(*(e.task for guest in (*evil, victim) for e in upstreams.of(guest).values() if e.task))
        assert upstreams._turns.held == upstreams._turns.waiting == 0

    run(test)


@pytest.mark.parametrize(
    "nothing",
    [
        Credit(1, BIT | 1, 0),
        Body(1, BIT | 1, False, b""),
    ],
    ids=["credit of nothing", "body of nothing"],
)
def test_frames_that_say_nothing_are_no_sign_of_life(nothing: Body | Credit) -> None:
    async def test() -> None:
        counters, worker = Counters(), Worker()
        upstreams = Upstreams(UpstreamPolicy.parse(""), 1, Patience(0.05, 0.05), counters)
        upstreams._exchange = lambda _: asyncio.sleep(3600)  # type: ignore[method-assign,assignment]
        guest = machine(1, "mallory", worker)
        upstreams.on_subrequest(guest, Subrequest(1, BIT | 1, False, BLOCK))
        for _ in range(2000):
            upstreams.on_message(guest, nothing)
            await asyncio.sleep(0.001)
            if not upstreams.of(guest):
                break
        assert upstreams.of(guest) == {}, "it is given up for silence"
        assert counters.upstream_requests == {"failed": 1}

    run(test)


# Disks.


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

    async def get(self, ref: Ref, trip: Trip) -> bytes:
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
        while self.disks.tasks._running or len(self.disks.slices):
            await asyncio.gather(*self.disks.tasks._running)
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
        tasks = len(site.disks.tasks._running)
        assert (len(store.asked), tasks) == (FETCHES_AT_ONCE, FETCHES_AT_ONCE), "no task for who waits"
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
    async def test() -> None:
        large, small = Origin("large", WANTS_MAX + 100), Origin("small", 8)
        store, worker = Store(large, small), Worker()
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
        site.disks._drop(large.manifest.digest)  # as when room is needed: nobody has it any more
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
        assert len(site.disks.tasks._running) == fit
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


def test_records_for_a_log_disk_have_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        worker = Worker()
        site = Edge(tmp_path, Store())
        now_s = 0.0
        site.disks._log_records = Allowance(LOG_RECORDS, lambda: now_s)
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


def test_one_sync_is_enough_for_all_who_ask_while_another_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        spool = Spool(tmp_path, 1 << 20, "http://127.0.0.1:1", "", Counters())
        synced: list[int] = []
        monkeypatch.setattr("edge.devices.spool.os.fsync", synced.append)
        assert await asyncio.gather(*(spool.sync() for _ in range(100))) == [0] * 100
        assert len(synced) == 2, "the first, and one more that began after all others had asked"
        assert await spool.sync() == 0
        assert len(synced) == 3

    run(test)


# Lines.


@pytest.mark.parametrize(
    ("data", "most", "lines", "count"),
    [
        (b"", 5, [], 0),
        (b"a\nb\n", 5, [b"a", b"b"], 2),
        (b"a\nb", 5, [b"a", b"b"], 2),
        (b"a\r\nb", 1, [b"a"], 2),
        (b"\n\n\n", 2, [b"", b""], 3),
        (b"a\nb\nc\n", 0, [], 3),
        (b"a\nb\nc\n", -4, [], 3),
        (b"x" * (LINE_BYTES + 9) + b"\ny\n", 2, [b"x" * LINE_BYTES, b"y"], 2),
    ],
)
def test_only_lines_that_are_kept_are_split(data: bytes, most: int, lines: list[bytes], count: int) -> None:
    assert first_lines(data, most) == (lines, count)


def test_lines_without_end_are_counted_and_dropped_by_machine_and_by_tenant() -> None:
    taken: list[tuple[str, bytes]] = []
    spool = SimpleNamespace(append_all=lambda service, _, lines, *__: taken.extend((service, line) for line in lines))
    counters, worker = Counters(), Worker()
    supervisor: Any = SimpleNamespace(
        counters=counters, disks=SimpleNamespace(logs=spool), _log_lines=Allowance(LOG_LINES, lambda: 0.0)
    )
    evil = [machine(number, "mallory", worker) for number in range(8)]
    for guest in evil:
        Supervisor._on_log(supervisor, guest, Log(guest.number, b"\n" * 1_000_000))
    burst = int(LOG_LINES.burst)
    assert [guest.log_lines for guest in evil] == [LOG_LINES_A_TICK] * (burst // LOG_LINES_A_TICK) + [0] * (
        8 - burst // LOG_LINES_A_TICK
    )
    assert len(taken) == burst
    assert counters.log_lines_dropped == 8_000_000 - burst
    Supervisor._on_log(supervisor, machine(9, "alice", worker), Log(9, b"hello\nworld\n"))
    assert taken[burst:] == [("alice-9", b"hello"), ("alice-9", b"world")]


def test_lines_of_one_tenant_leave_room_for_those_of_others(tmp_path: Path) -> None:
    """However many logs it has: the origin is away, and nothing of what waits goes."""
    spool = Spool(tmp_path / "spool", 1 << 20, "http://127.0.0.1:1", "", Counters())

    def flood(tenant: str) -> int:
        return sum(spool.append(f"{tenant}{n % 50}", "", bytes(1000), 1 << 20, tenant) for n in range(2000))

    first, second, third = flood("mallory"), flood("eve"), flood("trudy")
    assert first > second > third > 0
    assert spool.append("hers", "", b"one line", 1 << 20, "alice")
    assert spool.used_bytes < 1 << 20
    spool.close()
