"""Can what an edge keeps on its disk be changed behind its back, so that a service wakes to what it never was?"""

import asyncio
import os
import sqlite3
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.common.counters import Counters
from edge.content.disk_tier import DISK_MIN_FILE_BYTES, DiskTier
from edge.content.records import Records, key_of
from edge.content.seal import KEY_BYTES, Seal, load_seal, new_seal
from edge.devices.overlays import Overlays
from tests.support.parked import parked as parked_record
from vmimage.disk import decode_pages
from vmimage.parked import VERSION

SMALL, LARGE = b"memory of the victim", b"memory" * DISK_MIN_FILE_BYTES  # in the index itself, and in a file of its own


def key(service: str) -> str:
    return key_of(parked_record(service=service))


KEY, OTHER = key("victim"), key("other")


class Parked:
    """Parked machines of an edge that is started again and again."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self.folder, self.seal, self.counters = folder, seal, Counters()

    def start(self, seal: Seal | None = None) -> Records:
        disk = DiskTier(self.folder / "parked", 1 << 24, self.counters)
        return Records(0, disk, seal or self.seal, ThreadPoolExecutor(1), self.counters)

    def keep(self, **records: bytes) -> None:
        async def keep() -> None:
            kept = self.start()
            for name, record in records.items():
                kept.put(key(name), parked_record(service=name, state=record))
            await kept.flush()

        asyncio.run(keep())

    def read(self, key: str, seal: Seal | None = None) -> bytes | None:
        async def read() -> bytes | None:
            records = self.start(seal)
            found = await records.get(key)
            again = await records.get(key)
            assert (found is None) == (again is None)
            return found[0].state if found is not None else None

        return asyncio.run(read())

    def change(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.folder / "parked" / "cache.db") as database:
            assert database.execute(statement, values).rowcount > 0
        database.close()


@pytest.fixture
def parked(tmp_path: Path) -> Parked:
    return Parked(tmp_path, Seal(bytes(KEY_BYTES), fresh=False))


def edited(parked: Parked) -> None:
    """One byte of the memory of a machine."""
    with sqlite3.connect(parked.folder / "parked" / "cache.db") as database:
        ((value,),) = database.execute("SELECT value FROM Cache WHERE key = ?", (KEY,)).fetchall()
        database.execute("UPDATE Cache SET value = ? WHERE key = ?", (value[:-1] + b"X", KEY))
    database.close()


def swapped(parked: Parked) -> None:
    """A sound record of another service under the victim's name."""
    parked.change("UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = ?) WHERE key = ?", OTHER, KEY)


def renamed(parked: Parked) -> None:
    """The record of another service takes the victim's place."""
    parked.change("DELETE FROM Cache WHERE key = ?", KEY)
    parked.change("UPDATE Cache SET key = ? WHERE key = ?", KEY, OTHER)


def unchecked(parked: Parked) -> None:
    """Bare bytes, with no check at all."""
    parked.change("UPDATE Cache SET value = ? WHERE key = ?", b"short", KEY)


def retold(parked: Parked) -> None:
    """A sound record that says another service's name, without the key."""
    data = parked_record(service="victim", state=b"memory of mallory").to_bytes()
    parked.change("UPDATE Cache SET value = ? WHERE key = ?", data, KEY)


def aged(parked: Parked) -> None:
    """The time at which it started, and so when it is rejuvenated."""
    with sqlite3.connect(parked.folder / "parked" / "cache.db") as database:
        ((value,),) = database.execute("SELECT value FROM Cache WHERE key = ?", (KEY,)).fetchall()
        later = value[:72] + b"\xff" + value[73:]
        database.execute("UPDATE Cache SET value = ? WHERE key = ?", (later, KEY))
    database.close()


@pytest.mark.parametrize("attack", [edited, swapped, renamed, unchecked, retold, aged])
def test_a_record_that_was_changed_is_forgotten(parked: Parked, attack: Callable[[Parked], None]) -> None:
    parked.keep(victim=SMALL, other=b"memory of another", third=b"untouched")
    attack(parked)
    assert parked.read(KEY) is None
    assert parked.counters.records_refused == 1
    assert parked.read(key("third")) == b"untouched"
    assert parked.read(KEY) is None
    assert parked.counters.records_refused == 1, "forgotten, not met again"


def test_a_file_that_was_changed_is_forgotten(parked: Parked) -> None:
    parked.keep(victim=LARGE)
    (file,) = (parked.folder / "parked").glob("*/*/*.val")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert parked.read(KEY) is None
    assert parked.counters.records_refused == 1


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


PLANTS: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "link": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
    "huge": huge,
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_has_no_end_in_the_place_of_a_file_is_forgotten(parked: Parked, plant: Callable[[Path], None]) -> None:
    """One thread reads all records: it would wait for ever, or take all memory there is."""
    parked.keep(victim=LARGE, other=b"untouched")
    (file,) = (parked.folder / "parked").glob("*/*/*.val")
    file.unlink()
    plant(file)
    assert parked.read(KEY) is None
    assert parked.counters.disk_bad == 1
    assert parked.read(key("other")) == b"untouched"


@pytest.mark.parametrize("name", ["../key", "/etc/hostname", "../../outside"])
def test_an_index_that_names_files_elsewhere(parked: Parked, name: str) -> None:
    """Neither read, nor deleted with the record."""
    parked.keep(victim=LARGE)
    outside = [parked.folder / "key", parked.folder.parent / "outside"]
    for path in outside:
        path.write_bytes(b"not a record")
    parked.change("UPDATE Cache SET filename = ?", name)
    assert parked.read(KEY) is None
    assert parked.counters.disk_bad == 1
    assert all(path.read_bytes() == b"not a record" for path in outside)
    assert Path("/etc/hostname").exists()


def test_records_of_an_older_layout_are_refused_with_a_reason(parked: Parked, caplog: pytest.LogCaptureFixture) -> None:
    """As edges kept them before: the check, then `NKA1`, when it began, requests served, then the machine's state."""
    parked.keep(victim=SMALL, third=b"untouched")
    old = struct.pack("<4sdQ", b"NKA1", 1e9, 7) + SMALL
    parked.change("UPDATE Cache SET value = ? WHERE key = ?", parked.seal.close("parked record 1", KEY, old), KEY)
    with caplog.at_level("WARNING", "nunatak.records"):
        assert parked.read(KEY) is None
    assert parked.counters.records_refused == 1
    assert "event=record_refused" in caplog.text
    assert "magic" in caplog.text
    assert parked.read(key("third")) == b"untouched"


def test_a_record_of_a_later_layout_is_refused(parked: Parked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmimage.parked.VERSION", VERSION + 1)
    parked.keep(victim=SMALL)
    monkeypatch.undo()
    assert parked.read(KEY) is None
    assert parked.counters.records_refused == 1


def test_records_of_another_edge(parked: Parked) -> None:
    parked.keep(victim=SMALL)
    assert parked.read(KEY, Seal(b"k" * KEY_BYTES, fresh=False)) is None
    assert parked.counters.records_refused == 1


def test_what_was_kept_before_there_was_a_key_is_dropped_once(parked: Parked) -> None:
    parked.keep(victim=SMALL, other=SMALL)
    assert parked.read(KEY, new_seal()) is None
    assert parked.counters.records_refused == 2


# Pages that services wrote.


class Written:
    """Overlays of an edge that is started again and again."""

    def __init__(self, folder: Path) -> None:
        self.path, self.seal = folder / "written.db", Seal(bytes(KEY_BYTES), fresh=False)
        self.counters, self.thread = Counters(), ThreadPoolExecutor(1)

    def start(self) -> Overlays:
        return Overlays(self.path, 1 << 20, self.thread, self.seal, self.counters)

    def put(self, service: str, *flushes: dict[int, bytes]) -> None:
        async def put() -> None:
            store = self.start()
            for pages in flushes:
                assert await store.put(store.find(service, "data", 1, service, "sha256:00"), pages.items()) == 0
            store.close()

        asyncio.run(put())

    def get(self, service: str) -> dict[int, bytes] | None:
        async def get() -> dict[int, bytes] | None:
            store = self.start()
            loaded = await store.load(store.find(service, "data", 1, service, "sha256:00"))
            again = await store.load(store.find(service, "data", 1, service, "sha256:00"))
            self.thread.submit(lambda: None).result()  # what was set aside is noted in the file
            store.close()
            assert loaded is not None or again == (0, bytes(4)), "the service begins with the disk as it was published"
            return decode_pages(loaded[1], 1 << 20) if loaded is not None else None

        return asyncio.run(get())

    def change(self, *statements: str) -> None:
        with sqlite3.connect(self.path) as database:
            for statement in statements:
                assert database.execute(statement).rowcount > 0, statement
        database.close()


RENAMED = "UPDATE overlay SET service = 'victim' WHERE number = 2"
OLD, NEW, ELSE = b"o" * 4096, b"n" * 4096, b"e" * 4096


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE page SET data = zeroblob(4096) WHERE overlay = 1 AND number = 1"],
        ["DELETE FROM page WHERE overlay = 1 AND number = 1"],
        ["UPDATE page SET (data, tag) = (SELECT data, tag FROM page WHERE overlay = 2) WHERE overlay = 1"],
        ["DELETE FROM page WHERE overlay = 1", "UPDATE page SET overlay = 1 WHERE overlay = 2"],
        ["UPDATE page SET number = 9 WHERE overlay = 1 AND number = 1"],
        ["UPDATE page SET data = 'text' WHERE overlay = 1 AND number = 1"],
        ["DELETE FROM page WHERE overlay = 1", "DELETE FROM overlay WHERE number = 1", RENAMED],
        ["UPDATE overlay SET version = 5 WHERE number = 1"],
        ["UPDATE overlay SET since = 'x', version = 'y', written = 'z', pages = 'w' WHERE number = 1"],
    ],
)
def test_pages_that_were_changed_are_kept_aside(tmp_path: Path, statements: list[str]) -> None:
    written = Written(tmp_path)
    written.put("victim", {1: OLD, 2: OLD}, {1: NEW})
    written.put("other", {1: ELSE})
    written.put("third", {1: ELSE})
    written.change(*statements)
    assert written.get("victim") in (None, {})
    assert written.counters.overlays_set_aside.get("damaged", 0) >= 1
    assert written.get("third") == {1: ELSE}


def test_a_page_of_an_earlier_flush_is_not_taken_for_the_newest(tmp_path: Path) -> None:
    """Its own check is right: it is the state of all pages together that is not."""
    written = Written(tmp_path)
    written.put("victim", {1: OLD, 2: OLD})
    with sqlite3.connect(written.path) as database:
        ((data, tag),) = database.execute("SELECT data, tag FROM page WHERE number = 1").fetchall()
    database.close()
    written.put("victim", {1: NEW})
    with sqlite3.connect(written.path) as database:
        database.execute("UPDATE page SET data = ?, tag = ? WHERE number = 1", (data, tag))
    database.close()
    assert written.get("victim") is None
    assert written.counters.overlays_set_aside == {"damaged": 1}


def test_a_file_of_another_edge_is_kept_aside_whole(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.put("victim", {1: OLD})
    written.seal = Seal(b"k" * KEY_BYTES, fresh=False)
    assert written.get("victim") == {}
    assert (tmp_path / "written.db.damaged-1").exists()


# The key.


def test_a_key_that_is_damaged_is_kept_aside_and_nothing_under_it_believed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = load_seal(path)
    assert first.fresh
    first.settle()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == KEY_BYTES
    again = load_seal(path)
    assert not again.fresh
    assert again.open("p", "n", first.close("p", "n", b"data")) == b"data"
    path.write_bytes(b"")
    other = load_seal(path)
    assert other.fresh
    assert other.open("p", "n", first.close("p", "n", b"data")) is None
    assert (tmp_path / "key.damaged-1").exists()


def test_a_first_start_that_was_cut_off_goes_on_with_its_key(tmp_path: Path) -> None:
    first = load_seal(tmp_path / "key")
    kept = first.close("p", "n", b"data")
    second = load_seal(tmp_path / "key")  # the first was killed before it had seen to everything
    assert second.fresh
    assert second.open("p", "n", kept) == b"data"


def test_a_check_is_for_one_purpose_one_name_and_one_split() -> None:
    seal = new_seal()
    kept = seal.close("p", "name", b"data")
    assert seal.open("p", "name", kept) == b"data"
    assert seal.open("q", "name", kept) is None
    assert seal.open("p", "nam", kept) is None
    assert seal.tag("p", b"a", b"bc") != seal.tag("p", b"ab", b"c")
