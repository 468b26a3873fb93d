"""Kept answers on disk: what goes there, what comes back after a kill, in which room, and what is never believed."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge.cache import answer_file, calls, disk, moments
from edge.cache.batches import Batch, Done
from edge.cache.moments import Moment
from edge.cache.purges import Purge
from edge.cache.responses import Entry
from edge.cache.rows import URI_MAX
from edge.content import database
from edge.content.seal import Seal
from tests.support.kept_store import HOUR, KeptStore, asked, copied
from tests.support.room import files_up_to

PAGE = asked("/a")


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    asyncio.run(told())


def files_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("responses.db*"))


def wanted(store: KeptStore, number: int, status: int = 200) -> Entry:
    """An answer that memory evicts, and that somebody has asked for again."""
    entry = store.entry(asked(f"/{number}"), body=bytes(2000), status=status)
    entry.wanted = True
    return entry


def test_what_a_guest_keeps_for_itself_goes_there_too(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        owner = calls.Owner("s", "t", "digest")
        for number in range(60):
            place = calls.place_of(f"{calls.CACHE}/default/http://h.test/{number}")
            page = calls.asked_of(owner, place, ())
            store.put(page)
            store.responses.find(page)
        assert store.counters.cache_evictions > 0
        assert store.responses.worth_keeping() != []
        assert await store.below.settled()
        assert store.below.answers > 0
        await store.close()

    asyncio.run(story())


def test_what_was_asked_for_again_goes_to_disk_and_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        kept = HOUR._replace(tags=("x",), entity_tag='"e"', left_out=frozenset({b"age"}), vary=(b"foo",))
        page = asked("/a", (b"Foo", b"\xff"))
        made = store.put(page, kept, body=b"all of it")
        store.responses.find(page)
        once = store.put(asked("/once"))
        for number in range(60):
            store.put(asked(f"/other-{number}"))
        assert [store.responses.holds(each) for each in (page, asked("/once"))] == [False, False]
        assert await store.below.settled()
        assert store.below.answers == 1, "what was asked for once is not worth the disk"
        found = await store.ask(page)
        assert found is not None
        assert found is not made
        for name in ("key", "variant", "tenant", "run", "kept", "status", "date", "fields", "body", "said", "named"):
            assert getattr(found, name) == getattr(made, name), name
        assert found.came == pytest.approx(made.came, abs=1e-3)
        assert await store.ask(asked("/a", (b"Foo", b"other"))) is None
        assert await store.ask(asked("/once")) is None
        assert (once.wanted, store.counters.cache_disk) == (False, {"written": 1, "hit": 1, "miss": 1})
        await store.evict(found)
        assert (store.counters.cache_disk["written"], store.below.answers) == (1, 1), "what is there stays there"
        await store.close()

    play(story)


def test_a_part_does_not_go_there(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        for entry in (wanted(store, 1, status=206), wanted(store, 3)):
            store.below.keep(entry)
        assert await store.below.settled()
        assert store.below.answers == 1
        await store.close()

    play(story)


def test_it_outlives_a_kill_and_an_orderly_end_keeps_what_memory_has(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE, body=b"x" * 3000)
        store.put(asked("/in-memory"))
        store.responses.find(asked("/in-memory"))
        store.put(asked("/new"))
        after = KeptStore(store.killed())
        assert [await after.ask(page) is not None for page in (PAGE, asked("/in-memory"))] == [True, False]
        after.stop()
        await store.close()
        again = KeptStore(tmp_path)
        pages = (PAGE, asked("/in-memory"), asked("/new"))
        assert [await again.ask(page) is not None for page in pages] == [True, True, False]
        again.stop()

    play(story)


@pytest.mark.parametrize(
    ("kind", "selector", "service"),
    [("tag", "x", "s"), ("tag", "x", ""), ("uri", "h.test/a", ""), ("prefix", "h.test/", ""), ("service", "", "s"),
     ("all", "", "")],
)  # fmt: skip
def test_a_purge_outlives_a_kill(tmp_path: Path, kind: str, selector: str, service: str) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE, HOUR._replace(tags=("x",)))
        await store.put_on_disk(asked("/b", service="t"), HOUR._replace(tags=("y",)))
        before = store.killed("before")
        store.responses.purge(Purge(kind, service, selector), 0.0)  # type: ignore[arg-type]
        assert await store.responses.settled()
        for folder, there in ((store.folder, False), (store.killed(), False), (before, True)):
            again = store if folder == store.folder else KeptStore(folder)
            assert (await again.ask(PAGE) is not None) == there, folder
            if again is not store:
                again.stop()
        other = KeptStore(store.killed("other"))
        voids_all = kind in ("all", "prefix")
        assert (await other.ask(asked("/b", service="t")) is None) == voids_all
        other.stop()
        await store.close()

    play(story)


def test_a_soft_purge_outlives_a_kill_as_one(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE, HOUR._replace(if_error_s=600))
        loop = asyncio.get_running_loop()
        store.responses.purge(Purge("service", "s", soft=True), loop.time() - 100)
        assert await store.responses.settled()
        after = KeptStore(store.killed())
        found = await after.ask(PAGE)
        assert found is not None
        assert found.fate == "softened"
        assert found.stale_for_s(loop.time()) == pytest.approx(100, abs=5)
        after.stop()
        await store.close()

    play(story)


def test_every_moment_of_a_purge_is_one_before_it_or_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are copied before each statement, as kills between them would leave them."""
    databases: list[sqlite3.Connection] = []

    def opened(path: Path) -> sqlite3.Connection:
        databases.append(database.connect(path))
        return databases[-1]

    async def story() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(answer_file, "connect", opened)
            store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        copies: list[Path] = []
        statements: list[str] = []

        def before(statement: str) -> None:
            statements.append(statement)
            copies.append(copied(tmp_path, f"copy-{len(copies)}"))

        databases[0].set_trace_callback(before)
        store.put(asked("/late"))
        store.responses.find(asked("/late"))
        store.responses.purge(Purge("uri", "", "h.test/a"), 0.0)
        assert await store.responses.settled()
        databases[0].set_trace_callback(None)
        (noted,) = (place for place, each in enumerate(statements) if each.startswith("INSERT INTO purge"))
        synced = [each for each in statements[:noted] if each.startswith("PRAGMA synchronous")]
        assert synced[-1] == "PRAGMA synchronous = FULL", "its commit is on the disk, and not only with the kernel"
        copies.append(store.killed("last"))
        there = []
        for folder in copies:
            again = KeptStore(folder)
            assert not again.counters.caches_rebuilt
            there.append(await again.ask(PAGE) is not None)
            again.stop()
        assert len(there) > 4
        assert there == sorted(there, reverse=True), "once it is void it stays so"
        assert (there[0], there[-1]) == (True, False)
        await store.close()

    play(story)


def test_what_was_under_way_when_the_purge_came_is_void_for_the_next_edge_too(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        run = store.purges.scope("s").last
        store.responses.purge(Purge("uri", "", "h.test/a"), 0.0)
        late = store.entry(PAGE, run=run)
        late.wanted = True
        store.below.keep(late)
        await store.put_on_disk(asked("/b"))
        assert await store.ask(PAGE) is None
        after = KeptStore(store.killed())
        assert [await after.ask(page) is not None for page in (PAGE, asked("/b"))] == [False, True]
        after.stop()
        await store.close()

    play(story)


def test_purges_that_come_while_one_is_written_are_written_together(tmp_path: Path) -> None:
    """Each is synced before it is acknowledged; one by one, whoever purges much would have all others wait for each."""

    async def story() -> None:
        store = KeptStore(tmp_path)
        goes_on, batches, apply = threading.Event(), list[Batch](), store.file.apply

        def counted(batch: Batch) -> Done:
            goes_on.wait()
            batches.append(batch)
            return apply(batch)

        store.file.apply = counted  # type: ignore[method-assign]
        waiting = []
        for number in range(100):
            store.responses.purge(Purge("tag", "s", f"t{number}"), 0.0)
            waiting.append(asyncio.create_task(store.below.settled()))
            await asyncio.sleep(0)
        goes_on.set()
        assert await asyncio.gather(*waiting) == [True] * 100
        assert sum(len(batch.purges) for batch in batches) == 100
        assert len(batches) <= 3, "the first, what the timer had written meanwhile, and all others"
        await store.close()

    play(story)


def test_numbers_go_up_over_restarts_also_with_a_clock_that_went_back(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        store.purges.number = 1 << 50  # as a clock of the far future gives it
        await store.put_on_disk(PAGE)
        after = KeptStore(store.killed())
        assert after.purges.number > 1 << 50
        after.responses.purge(Purge("all"), 0.0)
        assert await after.ask(PAGE) is None
        after.stop()
        await store.close()

    play(story)


def at(monkeypatch: pytest.MonkeyPatch, *, boot: str, up_s: float, wall_s: float) -> None:
    """Have it be another moment by the machine's clocks."""
    monkeypatch.setattr(moments, "now", lambda cache_s: Moment(cache_s, boot, up_s, wall_s))


def test_ages_go_on_over_restarts_whatever_the_wall_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        at(monkeypatch, boot="b", up_s=1000, wall_s=50_000)
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        for name, up_s, wall_s, age_s in (("back", 1600, 10, 600), ("forward", 1700, 10**9, 700)):
            folder = store.killed(name)
            at(monkeypatch, boot="b", up_s=up_s, wall_s=wall_s)
            after = KeptStore(folder)
            found = await after.ask(PAGE)
            assert found is not None
            assert found.age_s(asyncio.get_running_loop().time()) == pytest.approx(age_s, abs=2)
            assert found.fate == "good"
            after.stop()
        store.stop()

    play(story)


def test_a_clock_that_went_back_over_a_start_of_the_machine_makes_all_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        at(monkeypatch, boot="b", up_s=1000, wall_s=50_000)
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE, HOUR._replace(entity_tag='"e"'))
        folder = store.killed()
        store.stop()
        for _ in range(2):  # it stays so
            at(monkeypatch, boot="c", up_s=10, wall_s=40_000)
            after = KeptStore(folder)
            found = await after.ask(PAGE)
            assert found is not None
            assert (found.fate, found.use(asyncio.get_running_loop().time())) == ("softened", "validate")
            after.stop()

    play(story)


def test_a_disk_too_slow_for_what_is_made_void_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "ORDERS_MAX", 3)

    async def story() -> None:
        store = KeptStore(tmp_path, memory=1 << 20)
        pages = [asked(f"/{number}") for number in range(8)]
        for page in pages:
            await store.put_on_disk(page)
        for page in pages[:5]:  # while the thread has no turn to do any
            store.responses.drop_uri("s", page.key[2] + page.key[3])
        assert [await store.ask(page) for page in pages] == [None] * 8
        assert await store.below.settled()
        assert store.below.answers == 0
        await store.put_on_disk(PAGE)
        assert await store.ask(PAGE) is not None
        await store.close()

    play(story)


def test_an_edge_that_keeps_none_on_disk_leaves_none_there(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        await store.close()
        store.file.delete()
        assert files_bytes(tmp_path) == 0
        store.file.delete()

    play(story)


def test_what_takes_a_place_is_not_followed_by_what_was_there(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE, body=b"old")
        await store.evict(store.put(PAGE, body=b"new"))
        assert await store.ask(PAGE) is None, (
            "the new one was not asked for again, and the old one is no answer any more"
        )
        await store.put_on_disk(PAGE, body=b"newer")
        found = await store.ask(PAGE)
        assert found is not None
        assert found.body == b"newer"
        await store.close()

    play(story)


def test_the_newest_answer_says_what_a_page_depends_on(tmp_path: Path) -> None:
    async def story() -> None:
        store, kept = KeptStore(tmp_path), HOUR._replace(vary=(b"foo",))
        colours = [asked("/a", (b"Foo", colour)) for colour in (b"red", b"blue")]
        for page in colours:
            await store.put_on_disk(page, kept, body=page.headers[0][1])
        assert [found.body for page in colours if (found := await store.ask(page))] == [b"red", b"blue"]
        await store.put_on_disk(PAGE)
        assert store.below.answers == 1
        await store.close()

    play(story)


def test_who_changes_a_page_has_it_dropped_also_while_it_is_looked_for(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        await store.put_on_disk(asked("/b"))
        looking = asyncio.ensure_future(store.ask(PAGE))
        await asyncio.sleep(0)  # the look is with the thread
        store.responses.drop_uri("s", "h.test/a")
        assert await looking is None
        assert await store.ask(PAGE) is None
        assert await store.below.settled()
        after = KeptStore(store.killed())
        assert [await after.ask(page) is not None for page in (PAGE, asked("/b"))] == [False, True]
        after.stop()
        await store.close()

    play(story)


def test_another_tenant_of_the_name_has_nothing_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE, tenant="before")
        assert await store.ask(PAGE, "after") is None
        assert await store.ask(PAGE, "before") is None, "and it is not kept for whoever had it"
        await store.close()

    play(story)


def edit(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "responses.db") as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        changed = opened.execute(statement).rowcount
    opened.close()
    assert changed > 0


EDITS = {
    "a body": ("UPDATE answer SET record = CAST(substr(record, 1, length(record) - 1) || 'X' AS BLOB)", 0),
    "another place": ("UPDATE answer SET record = (SELECT record FROM answer WHERE id = 2) WHERE id = 1", 0),
    "what compaction goes by": ("UPDATE answer SET run = run + 1000000", 0),
    "not bytes": ("UPDATE answer SET record = 7", 1),
    "a purge": ("UPDATE purge SET what = x'00'", 1),
    "no purge": ("DELETE FROM purge", 1),
    "another head": ("UPDATE about SET value = x'00' WHERE name = 'head'", 1),
    "no head": ("DELETE FROM about WHERE name = 'head'", 1),
    "form": ("PRAGMA user_version = 99", 1),
}  # fmt: skip


@pytest.mark.parametrize("edited", EDITS)
def test_what_another_hand_has_changed_is_never_served(tmp_path: Path, edited: str) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        for target in ("/a", "/b"):
            await store.put_on_disk(asked(target))
        store.responses.purge(Purge("uri", "", "h.test/b"), 0.0)
        assert await store.responses.settled()
        folder = store.killed()
        statement, rebuilt = EDITS[edited]
        if statement.startswith("PRAGMA"):
            with sqlite3.connect(folder / "responses.db") as opened:
                opened.execute(statement)
            opened.close()
        else:
            edit(folder, statement)
        after = KeptStore(folder)
        assert [await after.ask(asked(target)) for target in ("/a", "/b")] == [None, None]
        assert after.counters.caches_rebuilt == rebuilt
        await after.put_on_disk(asked("/c"))
        assert await after.ask(asked("/c")) is not None, "it goes on"
        after.stop()
        await store.close()

    play(story)


def test_what_was_written_under_another_key_is_never_served(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        after = KeptStore(store.killed(), seal=Seal(bytes(32), fresh=False))
        assert await after.ask(PAGE) is None
        assert (after.below.answers, after.counters.caches_rebuilt) == (0, 1)
        after.stop()
        await store.close()

    play(story)


@pytest.mark.parametrize("damage", [b"no database at all", b""], ids=["rubbish", "a hole"])
def test_a_damaged_file_is_begun_anew_while_it_is_used(tmp_path: Path, damage: bytes) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        for number in range(100):
            store.below.keep(wanted(store, number))
            assert await store.below.settled()
            await asyncio.sleep(0)
        await store.close()
        path = tmp_path / "responses.db"
        data = bytearray(path.read_bytes())
        data[4096 * 3 :] = (damage * 10_000 or bytes(len(data)))[: len(data) - 4096 * 3]
        path.write_bytes(data)
        again = KeptStore(tmp_path)
        assert [await again.ask(asked(f"/{number}")) for number in range(20)] == [None] * 20
        assert again.counters.caches_rebuilt == 1
        await again.put_on_disk(asked("/new"))
        assert await again.ask(asked("/new")) is not None
        again.stop()

    play(story)


# Room.


def test_memory_and_disk_stay_in_their_budgets_under_many_urls(tmp_path: Path) -> None:
    memory, room = 1 << 20, 2 << 20

    async def story() -> None:
        store = KeptStore(tmp_path, memory=memory, disk=room)
        most = 0
        for number in range(5_000):
            page = asked(f"/{number}", (b"Foo", b"%d" % number))
            tags = tuple(f"tag-{each}" for each in range(number % 7))
            store.put(page, HOUR._replace(tags=tags, vary=(b"foo",)), body=bytes(number % 1500))
            store.responses.find(page)
            assert store.responses.used_bytes <= memory
            if number % 16 == 0:  # as many as may be on their way
                assert await store.below.settled()
                await asyncio.sleep(0)
                most = max(most, files_bytes(tmp_path))
        assert await store.below.settled()
        await asyncio.sleep(0)
        most = max(most, files_bytes(tmp_path))
        assert room // 2 < most <= room
        assert store.counters.cache_disk["evicted"] > 1_000
        assert store.below.answers == store.counters.cache_disk["written"] - store.counters.cache_disk["evicted"]
        assert store.below.used_bytes <= room
        assert store.responses.used_bytes - store.below.memory_bytes <= memory - memory // 8
        await store.close()
        again = KeptStore(tmp_path, memory=memory, disk=room)
        assert again.below.answers > 500
        again.stop()
        smaller = KeptStore(tmp_path, memory=memory, disk=room // 2)
        assert (smaller.below.answers, files_bytes(tmp_path) <= room // 2) == (0, True)
        smaller.stop()

    play(story)


def test_who_has_most_on_disk_makes_room(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path, memory=1 << 20, disk=1 << 20)
        quiet = [asked(f"/{number}", service="quiet") for number in range(20)]
        for page in quiet:
            await store.put_on_disk(page, tenant="quiet", body=bytes(2000))
        for number in range(1_000):
            entry = store.entry(asked(f"/{number}", service="loud"), tenant="loud", body=bytes(2000))
            entry.wanted = True
            store.below.keep(entry)
            if number % 20 == 0:
                assert await store.below.settled()
                await asyncio.sleep(0)
        assert store.counters.cache_disk["evicted"] > 100
        assert [await store.ask(page, "quiet") is not None for page in quiet] == [True] * 20
        await store.close()

    play(story)


def test_answers_of_one_uri_are_bounded(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        pages = [asked("/a", (b"X-Original-Url", b"%d" % number)) for number in range(URI_MAX + 3)]
        for page in pages:
            entry = store.entry(page, body=b"")
            entry.wanted = True
            store.below.keep(entry)
            assert await store.below.settled()
            await asyncio.sleep(0)
        assert store.below.answers == URI_MAX
        assert [await store.ask(page) is not None for page in (pages[2], pages[3])] == [False, True]
        await store.close()

    play(story)


def test_what_finds_no_room_on_its_way_is_not_kept(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        for number in range(50):  # while the thread has no turn to take any
            store.below.keep(wanted(store, number))
        assert store.counters.cache_disk == {"dropped": 50 - 1}
        assert await store.below.settled()
        assert store.below.answers == 1
        await store.close()

    play(story)


def test_purges_are_forgotten_when_nothing_is_older(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        for number in range(10):
            store.responses.purge(Purge("tag", "s", f"x{number}"), 0.0)
        assert await store.responses.settled()
        assert store.below.purges == 10
        store.stop()
        again = KeptStore(tmp_path)
        assert again.below.purges == 10, "the page is older than all of them"
        again.responses.drop_uri("s", "h.test/a")
        await again.put_on_disk(asked("/b"))
        again.responses.purge(Purge("tag", "s", "last"), 0.0)
        await again.close()
        last = KeptStore(tmp_path)
        assert last.below.purges == 1
        last.stop()

    play(story)


def test_the_file_has_no_more_purges_than_memory_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "COMPACT_AT", 100)

    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        for number in range(2_000):
            store.responses.purge(Purge("tag", "s", f"x{number % 50}"), 0.0)
            if number % 10 == 0:
                assert await store.responses.settled()
            assert store.below.purges <= 100 + 50 + 10
        store.responses.purge(Purge("uri", "", "h.test/a"), 0.0)
        assert await store.responses.settled()
        after = KeptStore(store.killed())
        assert await after.ask(PAGE) is None
        after.stop()
        await store.close()

    play(story)


# A full disk.


def test_a_full_disk_keeps_no_more_and_serves_what_it_has(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        with files_up_to(files_bytes(tmp_path)):
            for number in range(400):
                store.below.keep(wanted(store, number))
                await store.below.settled()
                await asyncio.sleep(0)
            assert store.counters.storage_errors["responses"] > 0
            assert await store.ask(PAGE) is not None
        store.below.keep(wanted(store, 1000))
        assert await store.below.settled()
        assert await store.ask(asked("/1000")) is not None, "it goes on when there is room"
        await store.close()

    play(story)


def test_a_purge_on_a_full_disk_is_one_of_all_that_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        await store.put_on_disk(asked("/b"))
        with files_up_to(1):
            store.responses.purge(Purge("uri", "", "h.test/a"), 0.0)
            assert await store.responses.settled(), "nothing is left that could come back"
            assert not (tmp_path / "responses.db").exists() or files_bytes(tmp_path) <= 1
        assert await store.ask(asked("/b")) is None
        after = KeptStore(store.killed())
        assert [await after.ask(page) for page in (PAGE, asked("/b"))] == [None, None]
        after.stop()
        await store.close()

    play(story)


def test_a_purge_is_not_acknowledged_while_what_it_names_may_come_back(tmp_path: Path) -> None:
    async def story() -> None:
        store = KeptStore(tmp_path)
        await store.put_on_disk(PAGE)
        in_the_way = tmp_path / "responses.db-journal"
        in_the_way.mkdir()  # what cannot be deleted, as on a file system that went read-only
        with files_up_to(1):
            store.responses.purge(Purge("uri", "", "h.test/a"), 0.0)
            assert not await store.responses.settled()
            assert await store.ask(PAGE) is None, "it is void all the same"
        in_the_way.rmdir()
        store.responses.purge(Purge("uri", "", "h.test/a"), 0.0)
        assert await store.responses.settled()
        after = KeptStore(store.killed())
        assert await after.ask(PAGE) is None
        after.stop()
        await store.close()

    play(story)
