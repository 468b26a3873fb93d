"""Are pages that services wrote there after a crash, all of a flush or none, in their space, and on the right base?"""

import asyncio
import errno
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.common.counters import Counters
from edge.content.seal import Seal, new_seal
from edge.devices.overlays import Overlays
from edge.devices.written import Overlay, WrittenFile, choose
from vmimage.disk import decode_pages
from vmimage.errors import Unavailable

BASE, OTHER = "sha256:00", "sha256:01"
A, B = b"a" * 4096, b"b" * 4096
SEAL = Seal(bytes(range(32)), fresh=False)
THREAD = ThreadPoolExecutor(1)
"""All that is written here is written by it, in order."""


def overlays(path: Path, limit_bytes: int = 1 << 20, seal: Seal = SEAL, counters: Counters | None = None) -> Overlays:
    return Overlays(path / "written.db", limit_bytes, THREAD, seal, counters or Counters())


def killed(path: Path) -> Path:
    """The folder as a process that was killed would leave it: nothing was closed, the log was not taken in.

    What is noted without being waited for is written by then.
    """
    THREAD.submit(lambda: None).result()
    copy = path / "after"
    copy.mkdir()
    for name in ("written.db", "written.db-wal"):
        shutil.copy(path / name, copy / name)
    return copy


def pages(data: tuple[int, bytes] | None) -> dict[int, bytes]:
    assert data is not None
    return decode_pages(data[1], 1 << 30)


def shop(store: Overlays, base: str = BASE, since: int | None = 1, service: str = "shop") -> int:
    return store.find(service, "data", since, "shop", base)


def test_pages_outlive_the_process(tmp_path: Path) -> None:
    versions: list[int] = []

    async def write() -> None:
        store = overlays(tmp_path)
        key = shop(store)
        assert await store.load(key) == (0, bytes(4))
        assert await store.put(key, {1: A, 5: A}.items()) == 0
        assert await store.put(key, {5: B}.items()) == 0
        assert store.used_bytes == 2 * 4096
        versions.append(store.version(key))

    async def read() -> None:
        store = overlays(killed(tmp_path))
        loaded = await store.load(shop(store))
        assert pages(loaded) == {1: A, 5: B}
        assert loaded is not None
        assert [loaded[0]] == versions
        assert await store.load(store.find("shop", "other", 1, "shop", BASE)) == (0, bytes(4)), (
            "another disk has none of it"
        )

    asyncio.run(write())
    asyncio.run(read())


def test_a_write_that_does_not_fit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        store = overlays(tmp_path, limit_bytes=2 * 4096)
        key = shop(store)
        assert await store.put(key, {1: A, 2: A}.items()) == 0
        assert await store.put(key, {2: B, 3: B}.items()) == -errno.ENOSPC
        assert pages(await store.load(key)) == {1: A, 2: A}
        assert await store.put(key, {1: B}.items()) == 0, "what replaces takes no more"
        assert pages(await store.load(key)) == {1: B, 2: A}

    asyncio.run(run())


def test_a_version_names_one_state_and_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        store = overlays(tmp_path)
        key = shop(store)
        writing = store.put(key, {1: A}.items())
        begun = store.version(key)
        assert begun != 0
        await writing
        assert store.version(key) == begun
        store.spoil(key)
        assert store.version(key) not in (0, begun)
        after = overlays(killed(tmp_path))
        assert after.version(shop(after)) == begun, "what was spoiled is not on disk"

    asyncio.run(run())


def test_what_a_withdrawn_service_wrote_is_there_for_who_publishes_it_again(tmp_path: Path) -> None:
    async def run() -> None:
        counters = Counters()
        store = overlays(tmp_path, counters=counters)
        await store.put(shop(store), {1: A}.items())
        store.leave("shop", reason="withdrawn")
        assert [overlay.aside for overlay in store.aside()] == ["withdrawn"]
        assert (store.names, store.services, counters.overlays_set_aside) == ({"shop"}, 0, {"withdrawn": 1})
        again = overlays(killed(tmp_path))
        assert [overlay.aside for overlay in again.aside()] == ["withdrawn"]
        for one in (store, again):
            assert pages(await one.load(shop(one))) == {1: A}
            assert not one.aside()

    asyncio.run(run())


def test_a_withdrawn_service_leaves_nothing_where_that_is_wanted_and_it_is_counted(tmp_path: Path) -> None:
    async def run() -> None:
        counters = Counters()
        store = overlays(tmp_path, counters=counters)
        await store.put(shop(store), {1: A}.items())
        other = shop(store, service="shop2")
        await store.put(other, {1: A}.items())
        store.leave("shop", reason="withdrawn")
        store.forget("shop", ["another"])
        assert store.names == {"shop", "shop2"}
        store.forget("shop", ["data"])
        assert await store.load(shop(store)) == (0, bytes(4))
        assert pages(await store.load(other)) == {1: A}
        assert store.used_bytes == 4096
        assert counters.overlay_pages_dropped == {"withdrawn": 1}

    asyncio.run(run())


# A new base.


def overlay(number: int, since: int, base: str, aside: str = "", written: int = 0) -> Overlay:
    return Overlay(number, "shop", "data", since, "shop", base, aside, 1, 1, written=written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "since", "base", "expected"),
    [
        ([], 1, BASE, None),
        ([overlay(1, 1, BASE)], 1, BASE, 1),
        ([overlay(1, 1, OTHER)], 1, BASE, 1),  # kept: the pages go over
        ([overlay(1, 1, BASE)], 2, BASE, None),  # dropped, although the base is the same
        ([overlay(1, 0, OTHER)], None, BASE, None),  # undecided: the very same base only
        ([overlay(1, 0, OTHER), overlay(2, 0, BASE, "another base")], None, BASE, 2),
        ([overlay(1, 0, OTHER, written=5), overlay(2, 0, BASE, "another base", 4)], 0, BASE, 1),
        ([overlay(1, 0, BASE, written=1), overlay(2, 0, OTHER, written=2)], 0, BASE, 1),
        ([overlay(1, 1, BASE, "damaged")], 1, BASE, None),
        ([overlay(1, 1, BASE, "does not fit")], 1, BASE, None),
    ],
)
def test_which_pages_are_in_use(found: list[Overlay], since: int | None, base: str, expected: int | None) -> None:
    chosen = choose(found, since, "shop", base)
    assert (chosen.number if chosen else None) == expected


def test_pages_that_are_kept_go_over_to_the_new_base_also_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        counters = Counters()
        store = overlays(tmp_path, counters=counters)
        key = shop(store)
        await store.put(key, {1: A}.items())
        before = store.version(key)
        assert shop(store, OTHER) == key
        assert store.version(key) not in (0, before), "a machine parked over the old base must not wake to the new one"
        assert pages(await store.load(key)) == {1: A}
        carried = store.version(key)
        assert counters.overlays_carried == 1
        after = overlays(killed(tmp_path), counters=counters)
        assert after.version(shop(after, OTHER)) == carried
        assert counters.overlays_carried == 1, "once"

    asyncio.run(run())


def test_pages_that_are_dropped_are_kept_aside_until_their_room_is_needed(tmp_path: Path) -> None:
    async def run() -> None:
        counters = Counters()
        store = overlays(tmp_path, limit_bytes=3 * 4096, counters=counters)
        old = shop(store)
        await store.put(old, {1: A, 2: A}.items())
        new = shop(store, OTHER, since=2)
        assert new != old
        assert await store.load(new) == (0, bytes(4))
        assert shop(store, OTHER, since=2) == new, "said and counted once"
        assert counters.overlays_set_aside == {"dropped": 1}
        assert [(d["aside"], d["bytes"]) for d in store.describe("shop")] == [("dropped", 2 * 4096)]
        assert await store.put(new, {7: B}.items()) == 0
        assert store.used_bytes == 3 * 4096
        assert await store.put(new, {8: B}.items()) == 0
        assert store.used_bytes == 2 * 4096
        await asyncio.sleep(0)
        assert counters.overlay_pages_dropped == {"room for newer": 2}
        assert [d["aside"] for d in store.describe("shop")] == [""]
        assert await store.put(old, {1: B}.items()) == -errno.EIO, "an old machine still finishes its requests"

    asyncio.run(run())


def test_nothing_that_is_in_use_makes_room(tmp_path: Path) -> None:
    async def run() -> None:
        counters = Counters()
        store = overlays(tmp_path, limit_bytes=2 * 4096, counters=counters)
        await store.put(shop(store), {1: A, 2: A}.items())
        assert await store.put(shop(store, service="other"), {1: B}.items()) == -errno.ENOSPC
        assert pages(await store.load(shop(store))) == {1: A, 2: A}
        assert counters.overlays_full == 1

    asyncio.run(run())


# Files.


@pytest.mark.parametrize("damage", [b"no database " * 1000, b"", b"\xa5" * 512])
def test_a_file_that_is_none_is_kept_under_another_name(tmp_path: Path, damage: bytes) -> None:
    async def run() -> None:
        path = tmp_path / "written.db"
        path.write_bytes(damage)
        store = overlays(tmp_path)
        assert await store.put(shop(store), {1: A}.items()) == 0
        aside = tmp_path / "written.db.damaged-1"
        assert aside.exists() == bool(damage), "an empty file is what a first start that was cut off leaves"
        assert not damage or aside.read_bytes() == damage

    asyncio.run(run())


@pytest.mark.parametrize("statement", ["DROP TABLE overlay", "DROP TABLE page", "ALTER TABLE overlay DROP COLUMN tag"])
def test_a_file_whose_tables_are_others_is_kept_under_another_name(tmp_path: Path, statement: str) -> None:
    async def run() -> None:
        store = overlays(tmp_path)
        await store.put(shop(store), {1: A}.items())
        store.close()
        with sqlite3.connect(tmp_path / "written.db") as database:
            database.execute(statement)
        database.close()
        after = overlays(tmp_path)
        assert await after.load(shop(after)) == (0, bytes(4))
        assert (tmp_path / "written.db.damaged-1").exists()

    asyncio.run(run())


def test_a_file_of_an_earlier_edge_is_taken_over_once(tmp_path: Path) -> None:
    def make() -> None:
        with sqlite3.connect(tmp_path / "written.db") as before:
            before.executescript(
                "CREATE TABLE overlay (key TEXT PRIMARY KEY, version INTEGER NOT NULL);"
                "CREATE TABLE page (key TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (key, number))"
                " WITHOUT ROWID;"
            )
            for base, page in ((BASE, A), (OTHER, B)):
                before.execute("INSERT INTO overlay VALUES (?, 1)", (f"shop/data@{base}",))
                before.execute("INSERT INTO page VALUES (?, 3, ?)", (f"shop/data@{base}", page))
        before.close()

    async def run() -> None:
        make()
        fresh = new_seal()
        store = overlays(tmp_path, seal=fresh)
        assert pages(await store.load(shop(store, BASE, None))) == {3: A}
        assert pages(await store.load(shop(store, OTHER, None))) == {3: B}
        store.close()
        (tmp_path / "written.db").unlink()
        make()
        store = overlays(tmp_path)  # by a key in use: whoever put this file here has taken the checks away
        assert await store.load(shop(store, BASE, None)) == (0, bytes(4))
        assert (tmp_path / "written.db.damaged-1").exists()

    asyncio.run(run())


@pytest.mark.parametrize(("pause_s", "tries"), [(0.0, 2), (3600.0, 1)])
def test_a_file_that_cannot_be_opened_is_tried_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause_s: float, tries: int
) -> None:
    async def run() -> None:
        real, tried = WrittenFile.connect, 0

        def full(self: WrittenFile) -> sqlite3.Connection:
            nonlocal tried
            tried += 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        monkeypatch.setattr("edge.devices.overlays.REOPEN_S", pause_s)
        monkeypatch.setattr(WrittenFile, "connect", full)
        store = overlays(tmp_path)
        assert not store.is_open
        with pytest.raises(Unavailable, match="cannot be opened now"):
            await store.ready()
        assert tried == tries
        monkeypatch.setattr(WrittenFile, "connect", real)
        if pause_s:
            with pytest.raises(Unavailable, match="cannot be opened now"):
                await store.ready()
            return
        await store.ready()
        assert await store.put(shop(store), {1: A}.items()) == 0

    asyncio.run(run())
