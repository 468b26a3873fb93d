"""A worker in simulated time: what bad neighbours cost a victim that wants little and wants it soon."""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from edge.vmm.turns.scheduler import FLOOR_NS, Entity, Scheduler

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000

SEND_NS_PER_BYTE = 0.2  # of a turn, after the slice: nothing stops the worker while it writes to its socket


@dataclass
class Load:
    """A service and what it has to do; `emits` is bytes of output for each ns it runs."""

    entity: Entity
    emits: int = 0
    jobs: deque[list[int]] = field(default_factory=deque)  # [arrived, work left] in ns
    waits_ns: list[int] = field(default_factory=list)  # from arrival until it first ran
    times_ns: list[int] = field(default_factory=list)  # from arrival until it was done


def simulate(shared: Scheduler, arrivals: Iterable[tuple[int, Load, int]], until_ns: int, *, cut: bool) -> None:
    """Run a worker's loop. With `cut`, a slice that has had the floor ends when something arrives."""
    coming = deque(sorted(arrivals, key=lambda arrival: arrival[0]))
    loads = {load.entity: load for _, load, _ in coming}
    now_ns = 0
    while now_ns < until_ns:
        while coming and coming[0][0] <= now_ns:
            arrived_ns, load, work_ns = coming.popleft()
            load.jobs.append([arrived_ns, work_ns])
            shared.wake(load.entity, now_ns)
        turn = shared.next(now_ns)
        if turn is None:
            now_ns = coming[0][0] if coming else until_ns
            continue
        entity, slice_ns = turn
        if cut and coming:
            slice_ns = min(slice_ns, max(shared.floor_ns, coming[0][0] - now_ns))
        load, began_ns = loads[entity], now_ns
        while load.jobs and now_ns - began_ns < slice_ns:
            job = load.jobs[0]
            if len(load.waits_ns) == len(load.times_ns):
                load.waits_ns.append(now_ns - job[0])
            ran_ns = min(job[1], slice_ns - (now_ns - began_ns))
            job[1] -= ran_ns
            now_ns += ran_ns
            if not job[1]:
                load.jobs.popleft()
                load.times_ns.append(now_ns - job[0])
        sent = (now_ns - began_ns) * load.emits
        now_ns += int(sent * SEND_NS_PER_BYTE)
        shared.charge(entity, now_ns - began_ns, now_ns, sent)
        if not load.jobs:
            shared.sleep(entity, now_ns)


def p99(values: list[int]) -> int:
    return sorted(values)[len(values) * 99 // 100]


def neighbours(kind: str, shared: Scheduler) -> list[tuple[int, Load, int]]:
    """What a bad neighbour asks for, all of it at once."""
    if kind == "spinner":
        return [(0, Load(shared.add("neighbour")), 60 * SECOND)]
    if kind == "a queue of 1,000":
        load = Load(shared.add("neighbour"))
        return [(0, load, MS)] * 1_000
    if kind == "1,000 services":
        return [(0, Load(shared.add("neighbour")), MS) for _ in range(1_000)]
    if kind == "100 MB of output":
        return [(0, Load(shared.add("neighbour"), emits=1), 100 * MS)] * 10
    return []


@pytest.mark.parametrize("cut", [True, False], ids=["cut on arrival", "slices of the floor"])
@pytest.mark.parametrize("kind", ["spinner", "a queue of 1,000", "1,000 services", "100 MB of output"])
def test_a_neighbour_costs_a_victim_one_short_slice_at_most(kind: str, cut: bool) -> None:
    def victim_beside(kind: str) -> tuple[Load, int]:
        shared = Scheduler() if cut else Scheduler(latency_ns=FLOOR_NS)
        dice = random.Random(7)
        victim = Load(shared.add("victim"))
        requests = [(2 * MS * number + dice.randrange(MS), victim, 100 * US) for number in range(500)]
        rivals = neighbours(kind, shared)
        simulate(shared, [*requests, *rivals], SECOND, cut=cut)
        return victim, sum({load.entity: load.entity.cpu_ns for _, load, _ in rivals}.values())

    alone, _ = victim_beside("nobody")
    victim, neighbour_cpu_ns = victim_beside(kind)
    assert len(victim.times_ns) == len(alone.times_ns) == 500
    assert neighbour_cpu_ns > 0.9 * SECOND, "the neighbour has all that the victim does not want"
    assert p99(victim.waits_ns) <= FLOOR_NS * (1 + SEND_NS_PER_BYTE)
    assert p99(victim.times_ns) <= 2 * p99(alone.times_ns) + FLOOR_NS
