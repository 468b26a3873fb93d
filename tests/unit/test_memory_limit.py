"""Past its memory a worker closes free shells, then ends machines of who is greediest; sizes are told that changed."""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from edge.vmm.worker.memory_limit import (
    FILL_BYTES_PER_NS,
    LOOK_NS,
    PATIENCE_NS,
    SLICE_FLOOR_NS,
    STATM,
    MemoryLimit,
    own_bytes,
)
from edge.vmm.worker.memory_limit import told as told_of
from vmimage.errors import MemoryPressure, NunatakError

MIB = 1 << 20
LIMIT = 100 * MIB


@dataclass(eq=False)
class Machine:
    """A resident as the limit sees it."""

    number: int
    size: int
    told_bytes: int = 0
    tenant: str = ""

    def measure(self) -> int:
        return self.size


class Worker:
    """Memory that shells and machines make up; `lost` is what nobody gives back."""

    def __init__(self, machines: list[int], free: int = 0, lost: int = 0) -> None:
        self.machines = [Machine(number, size) for number, size in enumerate(machines)]
        self.free, self.lost, self.now_ns = free, 0, 10**12
        self.errors: list[NunatakError] = []
        self.keeps = False
        taken, self.machines = self.machines, []
        free_now, self.free = self.free, 0
        self.limit = MemoryLimit(LIMIT, self.measure, lambda: self.now_ns)  # measured before there were any
        self.machines, self.free, self.lost = taken, free_now, lost

    def measure(self) -> int:
        return 50 * MIB + sum(m.size for m in self.machines) + self.free * 10 * MIB + self.lost

    def close_one(self) -> bool:
        """As `ShellPool.close_one`."""
        self.free -= self.free > 0
        return self.free > 0

    def end(self, machine: Machine, error: NunatakError) -> None:
        self.machines.remove(machine)
        self.errors.append(error)
        if self.keeps:
            self.lost += machine.size

    def enforce(self) -> list[int]:
        """Numbers of those that are left."""
        if self.limit.make_room(self):  # type: ignore[arg-type]
            self.limit.end_greedy(self.machines, self.end)  # type: ignore[arg-type]
        return [machine.number for machine in self.machines]


def test_within_the_limit_nothing_is_done() -> None:
    worker = Worker([30 * MIB, 40 * MIB], free=2)
    assert worker.enforce() == [0, 1]
    assert worker.free == 2


def test_free_shells_go_before_any_machine() -> None:
    worker = Worker([40 * MIB, 40 * MIB], free=20)
    assert worker.enforce() == [0, 1]
    assert worker.free == 13, "of 216 MiB for the process 80 are machines'"


def test_the_greediest_end_until_there_is_room_and_no_more() -> None:
    worker = Worker([10 * MIB, 70 * MIB, 40 * MIB, 30 * MIB], free=1)
    assert worker.enforce() == [0, 2, 3]
    worker.machines.append(Machine(4, 60 * MIB))
    assert worker.enforce() == [0, 2, 3]
    assert [type(error) for error in worker.errors] == [MemoryPressure] * 2
    assert {error.http_status for error in worker.errors} == {507}
    assert worker.limit.ended == 2


def test_what_comes_with_many_small_machines_ends_none_of_them() -> None:
    worker = Worker([2 * MIB] * 45, free=4, lost=60 * MIB)
    assert len(worker.enforce()) == 45
    assert worker.free == 4


def test_machines_that_hold_none_of_it_are_not_all_ended() -> None:
    worker = Worker([2 * MIB] * 40, lost=500 * MIB)
    worker.keeps = True
    assert len(worker.enforce()) == 39
    worker.now_ns += PATIENCE_NS // 2
    assert len(worker.enforce()) == 39
    worker.now_ns += PATIENCE_NS
    assert len(worker.enforce()) == 38


def test_a_turn_is_no_longer_than_the_room_that_is_left_allows() -> None:
    worker = Worker([60 * MIB])
    worker.limit.taken()
    assert worker.limit.slice_ns(8_000_000) == 8_000_000
    assert worker.limit.look_at_ns == worker.now_ns + LOOK_NS
    worker.machines[0].size = 92 * MIB
    worker.limit.taken()
    assert worker.limit.slice_ns(8_000_000) == 8 * MIB // FILL_BYTES_PER_NS
    worker.lost = 110 * MIB
    worker.enforce()
    assert worker.limit.slice_ns(8_000_000) == 8 * MIB // FILL_BYTES_PER_NS, "by what machines have, not the process"
    worker.machines[0].size = 220 * MIB
    worker.limit.taken()
    assert worker.limit.slice_ns(8_000_000) == SLICE_FLOOR_NS


def test_sizes_are_told_that_changed_and_few_at_a_time() -> None:
    machines = [Machine(number, 2 * MIB) for number in range(10)]
    first = told_of(machines, 6)  # type: ignore[arg-type]
    assert first == tuple((number, 2 * MIB) for number in range(6))
    assert [number for number, _ in told_of(machines, 6)] == [6, 7, 8, 9]  # type: ignore[arg-type]
    machines[3].size += (64 << 10) - 1
    machines[4].size -= 64 << 10
    assert told_of(machines, 6) == ((4, 2 * MIB - (64 << 10)),)  # type: ignore[arg-type]


@pytest.mark.skipif(not os.path.exists(STATM), reason="no /proc")
def test_what_is_measured_is_what_a_process_wrote() -> None:
    statm = os.open(STATM, os.O_RDONLY)
    try:
        before = own_bytes(statm)
        written = np.ones(64 * MIB, dtype=np.uint8)
        assert 60 * MIB < own_bytes(statm) - before < 80 * MIB
        del written
        assert own_bytes(statm) - before < 16 * MIB
    finally:
        os.close(statm)


def test_a_tenant_with_many_small_machines_is_greedier_than_one_with_a_large_one() -> None:
    worker = Worker([30 * MIB, *[10 * MIB] * 9])
    for machine in worker.machines[1:]:
        machine.tenant = "mallory"
    assert worker.enforce() == [0, 3, 4, 5, 6, 7, 8, 9]
    worker.machines[0].size = 80 * MIB
    assert worker.enforce() == [3, 4, 5, 6, 7, 8, 9], "now it is that one"
