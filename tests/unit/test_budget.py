"""Who is charged what, who fits, and who makes room for whom: values in, choices out."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge.model.services import Machine, Service
from edge.supervisor.budget import (
    PARK_BATCH_BYTES,
    PATIENCE_S,
    RECORD_MAX,
    RECORD_MIN,
    RECORD_SLACK,
    SHELL_BYTES,
    UNFLUSHED_MAX,
    Budget,
    Room,
    cost_of,
    record_bytes,
    worker_bytes,
)
from tests.support.playbook import Worker, image, release
from vmimage import abi
from vmimage.drives import WRITTEN_MAX
from vmimage.errors import OverBudget

MIB = 1 << 20


def machine(budget: Budget, number: int, size_bytes: int, tenant: str = "t", **about: Any) -> Machine:
    """One that is charged so much; the last is the warmest."""
    one = Machine(number, Service(release(f"s{number}", tenant)), image(**about), Worker(), 0.0)
    budget.tier.put(number, one, size_bytes)
    return one


def everyone(_: Machine) -> bool:
    return True


def test_a_machine_costs_its_shell_its_pages_and_what_was_written_to_its_disks() -> None:
    manifest = image(pages=10).manifest
    assert cost_of(manifest) == SHELL_BYTES + 10 * abi.PAGE_SIZE
    assert cost_of(manifest, 5) == SHELL_BYTES + 10 * abi.PAGE_SIZE + 5


def test_what_no_parking_of_others_makes_room_for_is_not_admitted() -> None:
    budget, manifest = Budget(2 * MIB, 0), image(pages=0).manifest
    assert budget.admit(manifest, 2 * MIB - SHELL_BYTES) == 2 * MIB
    with pytest.raises(
        OverBudget, match=f"a machine of {2 * MIB + 1} bytes, this edge has 2MiB for all: build with a smaller --memory"
    ):
        budget.admit(manifest, 2 * MIB - SHELL_BYTES + 1)


def test_whether_one_more_fits_as_it_is() -> None:
    budget, manifest = Budget(3 * SHELL_BYTES, 0), image(pages=0).manifest
    machine(budget, 1, 2 * SHELL_BYTES)
    assert not budget.full(manifest)
    machine(budget, 2, 1)
    assert budget.full(manifest)


@pytest.mark.parametrize(
    ("parked_bytes", "expected"), [(0, RECORD_MIN), (4 * RECORD_MIN + 4, RECORD_MIN + 1), (1 << 40, RECORD_MAX)]
)
def test_a_record_may_have_a_quarter_of_what_all_may_within_bounds(parked_bytes: int, expected: int) -> None:
    assert record_bytes(parked_bytes) == expected


def test_a_record_is_bounded_and_with_disks_by_what_these_may_hold_besides() -> None:
    budget = Budget(MIB, 0)
    plain, with_disk = machine(budget, 1, 1), machine(budget, 2, 1, disks=("d",))
    budget.check_record(plain, RECORD_MIN + RECORD_SLACK)
    with pytest.raises(OverBudget):
        budget.check_record(plain, RECORD_MIN + RECORD_SLACK + 1)
    budget.check_record(with_disk, RECORD_MIN + RECORD_SLACK + UNFLUSHED_MAX)
    with pytest.raises(OverBudget):
        budget.check_record(with_disk, RECORD_MIN + RECORD_SLACK + UNFLUSHED_MAX + 1)


def test_a_worker_may_have_all_of_the_budget_and_a_little_more() -> None:
    assert worker_bytes(8 * MIB) == 16 * MIB
    assert worker_bytes(800 * MIB) == 900 * MIB


def test_a_worker_s_word_on_sizes_is_believed_within_bounds() -> None:
    budget = Budget(1 << 30, 0)
    one, with_disk = machine(budget, 1, MIB), machine(budget, 2, MIB, disks=("d",))
    here = {1: one, 2: with_disk}
    most = SHELL_BYTES + one.image.manifest.memory_bytes
    assert budget.measure(here, [(1, 2 * MIB), (7, 9 * MIB)]) == []
    assert (budget.size_of(one), budget.tier.used_bytes) == (2 * MIB, 3 * MIB)
    budget.measure(here, [(1, 0), (2, 1 << 40)])
    assert (budget.size_of(one), budget.size_of(with_disk)) == (SHELL_BYTES, most + WRITTEN_MAX)
    budget.measure(here, [(1, 1 << 40)])
    assert budget.size_of(one) == most
    budget.tier.pop(1)
    assert budget.measure(here, [(1, 9 * MIB)]) == [], "it is being parked"
    assert budget.size_of(one) == 0


def test_who_has_outgrown_all_there_is_is_named() -> None:
    budget = Budget(4 * MIB, 0)
    here = {1: machine(budget, 1, MIB), 2: machine(budget, 2, MIB)}
    assert budget.measure(here, [(1, 4 * MIB), (2, 4 * MIB + 1)]) == [here[2]]


def test_the_coldest_that_may_be_parked_makes_room() -> None:
    budget = Budget(10, 0)
    first, second, third = (machine(budget, number, 3) for number in (1, 2, 3))
    assert budget.coldest(everyone) is first
    budget.touch(1)
    assert budget.coldest(everyone) is second
    assert budget.coldest(lambda one: one is not second) is third
    assert budget.coldest(lambda _: False) is None
    assert budget.coldest(everyone) is second, "to be asked is no use"


def test_nobody_is_parked_while_the_budget_holds() -> None:
    budget = Budget(10, 0)
    machine(budget, 1, 10)
    assert budget.to_relieve(everyone) is None


def test_one_that_has_more_than_half_of_all_is_parked_before_the_coldest() -> None:
    budget = Budget(10, 0)
    cold, half, large = machine(budget, 1, 4), machine(budget, 2, 5), machine(budget, 3, 6)
    assert budget.to_relieve(everyone) is large
    assert budget.to_relieve(lambda one: one is not large) is cold
    assert budget.to_relieve(lambda one: one is half) is half
    assert budget.to_relieve(lambda _: False) is None


def test_the_largest_machine_of_the_greediest_tenant_is_in_the_way() -> None:
    budget = Budget(100, 0)
    machine(budget, 1, 30, "greedy")
    large = machine(budget, 2, 40, "greedy")
    machine(budget, 3, 20, "other")
    assert budget.in_the_way("new", 10) is large
    assert budget.in_the_way("greedy", 10) is None
    assert budget.in_the_way("new", 36) is None, "it would be as greedy"
    assert Budget(100, 0).in_the_way("new", 10) is None


def test_a_tenant_keeps_to_its_share_and_what_may_be_parked_is_not_counted() -> None:
    budget = Budget(100, 0)
    busy, idle = machine(budget, 1, 40, "one"), machine(budget, 2, 40, "one")
    assert budget.within_share("one", 60, lambda machine: machine is idle), "alone it has all"
    assert not budget.within_share("one", 61, lambda machine: machine is idle)
    machine(budget, 3, 5, "two")
    assert budget.within_share("one", 10, lambda machine: machine is not busy), "half"
    assert not budget.within_share("one", 11, lambda machine: machine is not busy)
    for number, tenant in enumerate(("three", "four", "five"), 4):
        machine(budget, number, 1, tenant)
    assert budget.within_share("two", 20, lambda _: False), "where there are many, a quarter"
    assert not budget.within_share("two", 21, lambda _: False)


def test_who_wants_room_is_patient_for_a_while() -> None:
    assert Room("t", 1, 100.0).patient_until == 100.0 + PATIENCE_S


def test_at_the_end_small_ones_go_first_and_few_at_once() -> None:
    budget = Budget(1 << 40, 0)
    sizes = {1: PARK_BATCH_BYTES + 1, 2: PARK_BATCH_BYTES // 2, 3: PARK_BATCH_BYTES // 2 + 1, 4: 1}
    all_ = [machine(budget, number, size) for number, size in sizes.items()]
    assert [[one.number for one in batch] for batch in budget.batches(all_)] == [[4, 2], [3], [1]]
    assert list(budget.batches([])) == []


@pytest.mark.plain
def test_a_machine_that_is_gone_is_charged_nothing() -> None:
    gone: Any = SimpleNamespace(number=9)
    assert Budget(1, 0).size_of(gone) == 0
