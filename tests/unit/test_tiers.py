"""Tiers: the byte budget against a dictionary; and the disk that holds bytes and nothing else."""

import os
import pickle
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, sampled_from

from edge.common.counters import Counters
from edge.content import disk_tier as module
from edge.content.disk_tier import DISK_MIN_FILE_BYTES, REOPEN_S, USE_NOTED_S, DiskTier, open_disk
from edge.content.tiers import Tier
from tests.support.room import files_up_to


class TierAgainstDict(RuleBasedStateMachine):
    """Every operation on a tier and on the plainest model of one."""

    def __init__(self) -> None:
        super().__init__()
        self.tier: Tier[str, int] = Tier(100)
        self.model: OrderedDict[str, int] = OrderedDict()
        self.sizes: dict[str, int] = {}  # also of what is gone

    @rule(key=sampled_from("abcdef"), size=integers(0, 60))
    def put(self, key: str, size: int) -> None:
        self.tier.put(key, size, size)
        self.model.pop(key, None)
        self.model[key] = self.sizes[key] = size

    @rule(key=sampled_from("abcdef"), size=integers(0, 60))
    def resize(self, key: str, size: int) -> None:
        if key in self.model:
            self.tier.resize(key, size)
            self.sizes[key] = size
        else:
            with pytest.raises(KeyError):
                self.tier.resize(key, size)

    @rule(key=sampled_from("abcdef"))
    def get(self, key: str) -> None:
        assert self.tier.get(key) == self.model.get(key)
        if key in self.model:
            self.model.move_to_end(key)

    @rule(key=sampled_from("abcdef"))
    def pop(self, key: str) -> None:
        assert self.tier.pop(key) == self.model.pop(key, None)

    @rule()
    def evict(self) -> None:
        while self.tier.over():
            coldest = self.tier.coldest()
            assert coldest == next(iter(self.model))
            assert coldest is not None
            self.tier.pop(coldest)
            del self.model[coldest]

    @invariant()
    def same(self) -> None:
        assert list(self.tier) == list(self.model)
        assert self.tier.used_bytes == sum(self.sizes[key] for key in self.model)
        assert self.tier.over() == (self.tier.used_bytes > 100)


test_tier_against_dict = TierAgainstDict.TestCase


def test_what_may_not_go_is_passed_over() -> None:
    tier: Tier[str, int] = Tier(1)
    for number, key in enumerate("abc"):
        tier.put(key, number, 1)
    assert tier.coldest(lambda number: number > 0) == "b"
    assert tier.coldest(lambda number: number > 9) is None


@pytest.mark.parametrize("size", [0, 5, DISK_MIN_FILE_BYTES, 3 * DISK_MIN_FILE_BYTES])
def test_disk_keeps_bytes(tmp_path: Path, size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    value = value[:size]
    with open_disk(tmp_path, 1 << 24) as disk:
        disk.set("k", value)
    with open_disk(tmp_path, 1 << 24) as disk:
        assert disk.get("k") == value
        assert list(disk.iterkeys()) == ["k"]
        assert disk.get("other") is None


@pytest.mark.parametrize("value", ["text", 7, None, {"a": 1}, bytearray(b"x")])
def test_disk_refuses_what_is_not_bytes(tmp_path: Path, value: object) -> None:
    with open_disk(tmp_path, 1 << 24) as disk, pytest.raises(TypeError):
        disk.set("k", value)


def test_disk_refuses_keys_that_are_not_text(tmp_path: Path) -> None:
    with open_disk(tmp_path, 1 << 24) as disk, pytest.raises(TypeError):
        disk.set(("a", 1), b"")


class Planted:
    """Runs code when it is unpickled."""

    ran = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (setattr, (Planted, "ran", True))


@pytest.mark.parametrize("column", ["value", "key"])
def test_a_pickle_planted_in_the_cache_folder_is_not_run(tmp_path: Path, column: str) -> None:
    with open_disk(tmp_path, 1 << 24) as disk:
        disk.set("k", b"v")
    planted = pickle.dumps(Planted())
    with sqlite3.connect(tmp_path / "cache.db") as database:
        if column == "value":
            database.execute("UPDATE Cache SET value = ?, mode = 4", (planted,))  # diskcache MODE_PICKLE
        else:
            database.execute("UPDATE Cache SET key = ?, raw = 0", (planted,))
    with open_disk(tmp_path, 1 << 24) as disk:
        if column == "value":
            with pytest.raises(ValueError, match="bytes expected"):
                disk.get("k")
        else:
            with pytest.raises(ValueError, match="not text"):
                list(disk.iterkeys())
    assert not Planted.ran


def test_disk_stays_within_its_limit_and_drops_the_least_recently_used(tmp_path: Path) -> None:
    limit = 4 << 20
    value = b"x" * DISK_MIN_FILE_BYTES
    with open_disk(tmp_path, limit) as disk:
        disk.set("hot", value)
        for number in range(400):
            disk.set(f"k{number}", value)
            assert disk.get("hot") == value
        assert disk.volume() <= limit + (1 << 20)
        assert disk.get("k0") is None
        assert disk.get("k399") == value


# The same, as an edge uses it: never an obstacle.


class Parked(DiskTier):
    """A tier with what a test looks at beside it."""

    def __init__(self, folder: Path, counters: Counters) -> None:
        super().__init__(folder, 1 << 24, counters)
        self.folder, self.counters = folder, counters


@pytest.fixture
def tier(tmp_path: Path) -> Parked:
    tier = Parked(tmp_path / "parked", Counters())
    assert tier.put_all({"small": b"s", "large": b"l" * DISK_MIN_FILE_BYTES})
    return tier


def again(tier: Parked) -> Parked:
    return Parked(tier.folder, tier.counters)


def overwrite(path: Path, start: int, size: int) -> None:
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xa5" * size
    path.write_bytes(data)
    for rest in path.parent.glob("cache.db-*"):
        rest.unlink()


@pytest.mark.parametrize(("start", "size"), [(0, 512), (0, 1 << 30), (4096, 1 << 30), (100, 8)])
def test_a_damaged_index_is_made_anew(tier: Parked, start: int, size: int) -> None:
    tier.close()
    overwrite(tier.folder / "cache.db", start, min(size, (tier.folder / "cache.db").stat().st_size - start))
    other = again(tier)
    assert other.get("small") is None
    assert tier.counters.caches_rebuilt == 1
    assert other.put("small", b"new")
    assert again(other).get("small") == b"new"
    assert not list(tier.folder.glob("*/*/*.val")), "files that no index names would stay for ever"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE Cache",
        "DROP TABLE Settings",
        "UPDATE Settings SET value = 'nonsense' WHERE key = 'eviction_policy'",
        "UPDATE Settings SET value = x'00' WHERE key = 'count'",
        "UPDATE Settings SET value = 'nonsense'",
        "UPDATE Settings SET value = NULL WHERE key = 'size'",
        "INSERT INTO Settings VALUES ('disk_nonsense', 1)",
        "INSERT INTO Settings VALUES ('sqlite_journal_mode', 'nonsense')",
    ],
)
def test_a_strange_index_is_used_or_made_anew(tier: Parked, statement: str) -> None:
    tier.close()
    with sqlite3.connect(tier.folder / "cache.db") as database:
        database.execute(statement.replace("INSERT", "INSERT OR REPLACE"))
    database.close()
    other = again(tier)
    assert other.get("small") in (None, b"s")
    assert other.put("more", b"m")
    assert other.get("more") == b"m"
    assert isinstance(len(other), int)


@pytest.mark.parametrize(
    "make",
    [
        lambda index: index.mkdir(),
        lambda index: index.symlink_to("/nonexistent/elsewhere"),
        lambda index: os.mkfifo(index),
        lambda index: index.write_bytes(b""),
    ],
    ids=["folder", "link", "pipe", "empty"],
)
def test_something_else_in_the_place_of_the_index(tier: Parked, make: Callable[[Path], object]) -> None:
    tier.close()
    for path in tier.folder.glob("cache.db*"):
        path.unlink()
    make(tier.folder / "cache.db")
    other = again(tier)
    assert other.put("more", b"m")
    assert other.get("more") == b"m"


def test_an_index_that_is_damaged_while_it_is_used(tier: Parked) -> None:
    with sqlite3.connect(tier.folder / "cache.db") as database:
        database.execute("DROP TABLE Cache")
    database.close()
    assert tier.get("small") is None
    assert tier.counters.caches_rebuilt == 1
    assert tier.put("small", b"new")
    assert tier.get("small") == b"new"


def test_a_full_disk_keeps_nothing_more_and_loses_nothing(tier: Parked) -> None:
    with files_up_to(DISK_MIN_FILE_BYTES):
        assert not tier.put_all({f"k{number}": b"x" * 4000 for number in range(100)})
        assert tier.counters.storage_errors["parked"] >= 1
        assert tier.get("k0") is None, "all or none"
        assert (tier.get("small"), tier.get("large")) == (b"s", b"l" * DISK_MIN_FILE_BYTES)
    assert tier.put("k0", b"there is room again")
    assert tier.get("k0") == b"there is room again"


def test_a_file_that_finds_no_room_leaves_no_half(tier: Parked) -> None:
    before = set(tier.folder.rglob("*.val"))
    with files_up_to(DISK_MIN_FILE_BYTES):
        assert not tier.put("more", b"x" * 2 * DISK_MIN_FILE_BYTES)
        assert set(tier.folder.rglob("*.val")) == before
        values = {f"k{number}": b"x" * DISK_MIN_FILE_BYTES for number in range(200)}
        assert not tier.put_all(values), "the files have room, their index has none"
    assert set(tier.folder.rglob("*.val")) == before


def test_a_cache_that_cannot_be_opened_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, limit_bytes: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(module, "open_disk", full)
    now_s, counters = [0.0], Counters()
    tier = DiskTier(tmp_path / "blobs", 1 << 24, counters, clock=lambda: now_s[0])
    assert not tier.put("k", b"v")
    assert (tier.get("k"), len(tier), tier.keys()) == (None, 0, set())
    monkeypatch.undo()
    assert not tier.put("k", b"v"), "not asked at once: opening takes time that somebody waits for"
    now_s[0] += REOPEN_S
    assert tier.put("k", b"v")
    assert counters.caches_rebuilt == 0


def test_a_use_is_noted_now_and_then_and_reading_writes_nothing(tier: Parked) -> None:
    def ask(question: str) -> None:
        with sqlite3.connect(tier.folder / "cache.db") as database:
            database.execute(question)

    def noted() -> float:
        with sqlite3.connect(tier.folder / "cache.db") as database:
            ((at,),) = database.execute("SELECT access_time FROM Cache WHERE key = 'large'").fetchall()
        return float(at)

    first = noted()
    assert tier.get("large") == b"l" * DISK_MIN_FILE_BYTES
    assert noted() == first
    ask(f"UPDATE Cache SET access_time = {first - 2 * USE_NOTED_S} WHERE key = 'large'")
    assert tier.get("large") == b"l" * DISK_MIN_FILE_BYTES
    assert noted() >= first
    ask("UPDATE Cache SET access_time = 'planted' WHERE key = 'large'")
    assert tier.get("large") == b"l" * DISK_MIN_FILE_BYTES
    assert noted() >= first
    assert tier.get("unknown") is None
