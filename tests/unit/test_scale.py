"""Does an operation cost more because there are more parked machines? Calls are counted, not time."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge.common.counters import Counters
from edge.content.disk_tier import DiskTier
from edge.content.records import Records, record_key
from edge.content.seal import new_seal
from edge.content.tiers import Tier
from edge.vmm.turns.scheduler import Scheduler
from edge.vmm.turns.sleepers import Sleepers

FEW, MANY = 100, 10_000


def calls(action: Callable[[], object]) -> int:
    """Functions called, Python's and C's: a loop over all machines cannot hide from it for long."""
    count = 0

    def profile(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def now(coroutine: Any) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a record in memory is there at once")


def records_of(count: int, folder: Path) -> tuple[Callable[[], object], ...]:
    counters = Counters()
    disk = DiskTier(folder, 1 << 26, counters)
    records = Records(1 << 30, disk, new_seal(), ThreadPoolExecutor(1), counters)
    for number in range(count):
        records.put(record_key(f"s{number:05d}", "sha256:0"), b"record")
    key = record_key("s00042", "sha256:0")
    return lambda: now(records.get(key)), lambda: records.put(key, b"other"), lambda: records.tier_of(key)


def residents_of(count: int, _: Path) -> tuple[Callable[[], object], ...]:
    tier: Tier[int, int] = Tier(1 << 40)
    for number in range(count):
        tier.put(number, number, 1)
    return (
        lambda: tier.touch(42),
        lambda: tier.coldest(),
        lambda: tier.put(count, count, 1),
        lambda: tier.pop(42),
    )


def sleepers_of(count: int, _: Path) -> tuple[Callable[[], object], ...]:
    """Machines that wait for a deadline far away, and machines that are idle for ever, which are in no list."""
    sleepers, scheduler = Sleepers(), Scheduler()
    entities = [scheduler.add(str(number)) for number in range(count)]
    for number in range(count):
        sleepers.add(number, 10**18 + number)
    return (
        lambda: list(sleepers.due(10**17)),
        lambda: sleepers.next_ns(),
        lambda: scheduler.next(0),
        lambda: (scheduler.wake(entities[42], 0), scheduler.next(0), scheduler.sleep(entities[42], 1)),
    )


@pytest.mark.parametrize("population", [records_of, residents_of, sleepers_of])
def test_an_operation_takes_as_many_calls_with_ten_thousand_as_with_a_hundred(
    population: Callable[[int, Path], tuple[Callable[[], object], ...]], tmp_path: Path
) -> None:
    few = [calls(action) for action in population(FEW, tmp_path / "few")]
    many = [calls(action) for action in population(MANY, tmp_path / "many")]
    assert few == many
    assert min(few) > 0
