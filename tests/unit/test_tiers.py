"""Tiers: the byte budget against a dictionary; and the disk that holds bytes and nothing else."""

import pickle
import sqlite3
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, sampled_from

from edge.tiers import DISK_MIN_FILE_BYTES, Tier, open_disk


class TierAgainstDict(RuleBasedStateMachine):
    """Every operation on a tier and on the plainest model of one."""

    def __init__(self) -> None:
        super().__init__()
        self.tier: Tier[str, int] = Tier(100)
        self.model: OrderedDict[str, int] = OrderedDict()

    @rule(key=sampled_from("abcdef"), size=integers(0, 60))
    def put(self, key: str, size: int) -> None:
        self.tier.put(key, size, size)
        self.model.pop(key, None)
        self.model[key] = size

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
        assert self.tier.used_bytes == sum(self.model.values())
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
