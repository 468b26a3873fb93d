"""Deadlines of idle machines: each wakes once, when it comes, and what changed or is gone wakes nobody."""

from edge.vmm.turns.sleepers import Sleepers
from tests.support.memory import kept_bytes


def test_each_deadline_wakes_once_in_order() -> None:
    sleepers = Sleepers()
    for number, at_ns in ((1, 300), (2, 100), (3, 200)):
        sleepers.add(number, at_ns)
    assert sleepers.next_ns() == 100
    assert list(sleepers.due(250)) == [2, 3]
    assert list(sleepers.due(250)) == []
    assert (sleepers.next_ns(), len(sleepers), sleepers.wakeups) == (300, 1, 2)


def test_what_changed_or_is_gone_wakes_nobody_and_is_no_reason_to_wake() -> None:
    sleepers = Sleepers()
    sleepers.add(1, 100)
    sleepers.add(1, 500)
    sleepers.add(2, 200)
    sleepers.discard(2)
    assert sleepers.next_ns() == 500, "a worker does not leave its sleep for a deadline that does not stand"
    assert list(sleepers.due(499)) == []
    sleepers.discard(1)
    assert sleepers.next_ns() is None
    assert sleepers.wakeups == 0


def test_a_machine_that_sets_its_deadline_again_and_again_takes_no_more_memory() -> None:
    sleepers = Sleepers()

    def set_again_and_again() -> None:
        for at_ns in range(10_000):
            sleepers.add(1, 1_000_000 + at_ns)
            sleepers.add(2, 2_000_000 + at_ns)

    assert kept_bytes(set_again_and_again) < 10_000, "less than a byte for each"
    assert list(sleepers.due(1_009_999)) == [1]
