"""The scheduler: shares, slices, sleepers, debts, quotas, and what an operation costs."""

import sys
from types import FrameType
from typing import Any

import pytest

from edge.vmm.turns import fair_queue, scheduler
from edge.vmm.turns.scheduler import FLOOR_NS, LATENCY_NS, Entity, Quota, Scheduler, Tenant
from tests.support.memory import alive

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000


class Bench:
    """A scheduler and a clock that only work moves."""

    def __init__(self, **options: int) -> None:
        self.scheduler = Scheduler(**options)
        self.now_ns = 0

    def awake(self, tenant: str, **options: Any) -> Entity:
        """A new service with work to do."""
        entity = self.scheduler.add(tenant, **options)
        self.scheduler.wake(entity, self.now_ns)
        return entity

    def turn(self, run_ns: int | None = None, io_bytes: int = 0) -> Entity:
        """One turn, for its slice or as long as it likes."""
        turn = self.scheduler.next(self.now_ns)
        assert turn is not None
        entity, slice_ns = turn
        self.charge(entity, slice_ns if run_ns is None else run_ns, io_bytes)
        return entity

    def charge(self, entity: Entity, run_ns: int, io_bytes: int = 0) -> None:
        """What it ran is what the clock went on."""
        self.now_ns += run_ns
        self.scheduler.charge(entity, run_ns, self.now_ns, io_bytes)

    def run(self, for_ns: int) -> None:
        """Turns for at least so long."""
        until_ns = self.now_ns + for_ns
        while self.now_ns < until_ns:
            self.turn()


# Shares


def test_tenants_then_services_share_by_weight() -> None:
    bench = Bench()
    heavy = [bench.awake("heavy", weight=weight, tenant_weight=3) for weight in (1, 1, 4)]
    light = bench.awake("light")
    bench.run(4 * SECOND)
    shares = [entity.cpu_ns / bench.now_ns for entity in (*heavy, light)]
    assert shares == pytest.approx([0.125, 0.125, 0.5, 0.25], abs=2 * LATENCY_NS / bench.now_ns)


def test_a_tenant_with_a_thousand_services_gets_no_more_than_one_with_one() -> None:
    bench = Bench()
    crowd = [bench.awake("many") for _ in range(1_000)]
    single = bench.awake("single")
    bench.run(2 * SECOND)
    assert single.cpu_ns / bench.now_ns == pytest.approx(0.5, abs=FLOOR_NS / bench.now_ns)
    used = [entity.cpu_ns for entity in crowd]
    assert max(used) - min(used) <= 2 * FLOOR_NS


def test_the_lightest_is_not_starved_by_the_heaviest() -> None:
    bench = Bench()
    for number in range(20):
        bench.awake(f"heavy {number}", tenant_weight=1_000)
    light = bench.awake("light")
    bench.run(1_000 * 20 * FLOOR_NS)
    assert light.slices >= 2, "one when its first request is due, after half of this time; one after the whole"


def test_a_new_weight_counts_from_now_on() -> None:
    bench = Bench()
    first, second = bench.awake("first"), bench.awake("second")
    bench.run(SECOND)
    before = first.cpu_ns, second.cpu_ns
    bench.scheduler.add("first", tenant_weight=3)
    bench.run(SECOND)
    assert (first.cpu_ns - before[0]) / (second.cpu_ns - before[1]) == pytest.approx(3, rel=0.05)


# Slices


def test_slices_are_long_for_few_and_short_for_many() -> None:
    bench = Bench()
    first = bench.awake("first")
    assert bench.scheduler.next(0) == (first, LATENCY_NS)
    for others in (1, 3, 99):
        while bench.scheduler.runnable < others + 1:
            bench.awake(f"tenant {bench.scheduler.runnable}")
        for _ in range(8 * (others + 1)):  # who is new begins with short ones
            bench.turn()
        turn = bench.scheduler.next(bench.now_ns)
        assert turn is not None
        assert turn[1] == max(FLOOR_NS, LATENCY_NS // (others + 1))


@pytest.mark.parametrize(("floor_ns", "latency_ns"), [(0, MS), (1, MS), (2 * MS, MS)])
def test_a_floor_out_of_range_is_refused(floor_ns: int, latency_ns: int) -> None:
    with pytest.raises(ValueError, match="floor"):
        Scheduler(latency_ns=latency_ns, floor_ns=floor_ns)


# Sleep


@pytest.mark.parametrize("hogs", [1, 2, 5, 50])
def test_who_wakes_is_next_and_gets_no_more_than_its_share(hogs: int) -> None:
    bench = Bench()
    others = [bench.awake(f"hog {number}") for number in range(hogs)]
    sleeper = bench.awake("sleeper")
    for _ in range(5 * hogs + 5):
        bench.turn()
    bench.scheduler.sleep(sleeper, bench.now_ns)
    bench.run(10 * SECOND)
    bench.scheduler.wake(sleeper, bench.now_ns)
    slept_cpu_ns, hog_cpu_ns = sleeper.cpu_ns, others[0].cpu_ns
    assert bench.turn() is sleeper
    bench.run(SECOND)
    assert sleeper.cpu_ns - slept_cpu_ns <= others[0].cpu_ns - hog_cpu_ns + 2 * LATENCY_NS, "no credit for being away"


@pytest.mark.parametrize("hogs", [1, 2, 5])
@pytest.mark.parametrize("work_ns", [300 * US, MS, 4 * MS])
def test_a_page_that_takes_more_than_one_turn_waits_for_no_long_slice(hogs: int, work_ns: int) -> None:
    bench = Bench()
    sleeper = bench.awake("sleeper")
    bench.turn()
    bench.scheduler.sleep(sleeper, bench.now_ns)
    for number in range(hogs):
        bench.awake(f"hog {number}")
    bench.run(SECOND)
    bench.scheduler.wake(sleeper, bench.now_ns)
    woke_ns, done_ns = bench.now_ns, sleeper.cpu_ns + work_ns
    while sleeper.cpu_ns < done_ns:
        bench.turn()
    ideal_ns = work_ns * (hogs + 1)  # as if all went on at once
    assert bench.now_ns - woke_ns <= 2 * ideal_ns + FLOOR_NS * hogs


def test_a_turn_that_is_cut_short_costs_its_machine_no_long_wait() -> None:
    bench = Bench()
    hog, sleeper = bench.awake("hog"), bench.awake("sleeper")
    bench.run(SECOND)
    bench.scheduler.sleep(sleeper, bench.now_ns)
    bench.run(SECOND)
    bench.scheduler.wake(sleeper, bench.now_ns)
    assert bench.turn(50 * US) is sleeper
    cut_ns = bench.now_ns
    while bench.turn() is hog:
        pass
    assert bench.now_ns - cut_ns <= 2 * FLOOR_NS


def test_a_nap_wipes_out_no_debt() -> None:
    bench = Bench()
    napper, other = bench.awake("napper"), bench.awake("other")
    for _ in range(200):
        if bench.turn() is napper:
            bench.scheduler.sleep(napper, bench.now_ns)
            bench.scheduler.wake(napper, bench.now_ns)
    assert napper.cpu_ns <= other.cpu_ns + LATENCY_NS


def test_what_a_leaver_was_owed_goes_to_those_who_stay() -> None:
    bench = Bench()
    greedy, patient, leaver = bench.awake("greedy"), bench.awake("patient"), bench.awake("leaver")
    bench.charge(greedy, 90 * MS)
    bench.scheduler.sleep(leaver, bench.now_ns)
    bench.run(90 * MS)
    assert abs(patient.cpu_ns - greedy.cpu_ns) <= LATENCY_NS


def test_sleepers_and_strangers_are_told_apart() -> None:
    bench = Bench()
    entity = bench.scheduler.add("tenant")
    assert bench.scheduler.next(0) is None
    bench.scheduler.sleep(entity, 0)
    bench.scheduler.wake(entity, 0)
    bench.scheduler.wake(entity, 5)
    assert bench.turn() is entity
    bench.scheduler.sleep(entity, bench.now_ns)
    assert bench.scheduler.next(bench.now_ns) is None
    assert bench.scheduler.next_release_ns() is None


# Debts


@pytest.mark.parametrize(("run_ns", "io_bytes"), [(300 * MS, 0), (MS, 100_000_000)], ids=["run", "output"])
def test_a_long_run_and_a_long_output_are_paid_for_later(run_ns: int, io_bytes: int) -> None:
    bench = Bench()
    neighbour, victim = bench.awake("neighbour"), bench.awake("victim")
    bench.charge(neighbour, run_ns, io_bytes)
    debt_ns = neighbour.cpu_ns
    assert debt_ns >= 300 * MS
    began_ns = bench.now_ns
    while bench.turn() is victim:
        pass
    assert debt_ns - LATENCY_NS <= victim.cpu_ns <= debt_ns + LATENCY_NS
    assert bench.now_ns - began_ns <= debt_ns + 2 * LATENCY_NS


def test_a_debt_survives_a_nap_and_the_loss_of_the_machine_that_made_it() -> None:
    bench = Bench()
    neighbour, victim = bench.awake("neighbour"), bench.awake("victim")
    bench.charge(neighbour, 300 * MS)
    bench.scheduler.remove(neighbour, bench.now_ns)
    again = bench.awake("neighbour")
    bench.run(250 * MS)
    assert (again.cpu_ns, victim.cpu_ns >= 250 * MS) == (0, True)
    bench.run(100 * MS)
    assert again.cpu_ns > 0


def test_what_is_charged_to_a_sleeper_counts_when_it_wakes() -> None:
    bench = Bench()
    sleeper, victim = bench.scheduler.add("sleeper"), bench.awake("victim")
    bench.charge(sleeper, 0, io_bytes=100_000_000)
    bench.scheduler.wake(sleeper, bench.now_ns)
    bench.run(250 * MS)
    assert (sleeper.slices, victim.cpu_ns >= 250 * MS) == (0, True)


def test_nothing_stays_of_tenants_that_are_gone() -> None:
    bench, others = Bench(), set(alive(Tenant))
    stays = bench.awake("stays")
    for number in range(100):
        entities = [bench.awake(f"tenant {number}") for _ in range(2)]
        bench.run(4 * LATENCY_NS)
        for entity in entities:
            bench.scheduler.remove(entity, bench.now_ns)
    del entity, entities
    bench.run(SECOND)
    assert bench.scheduler.runnable == 1
    assert set(alive(Tenant)) - others == {stays.tenant}
    rival = bench.awake("rival")
    before_ns = stays.cpu_ns
    bench.run(SECOND)
    assert abs(stays.cpu_ns - before_ns - rival.cpu_ns) <= LATENCY_NS, "no drift from those that left"


# Quotas


def test_a_quota_holds_though_nobody_else_wants_the_cpu() -> None:
    bench = Bench()
    limited = bench.awake("tenant", quota=Quota(SECOND // 10, burst_ns=50 * MS))
    while bench.now_ns < 10 * SECOND:
        if bench.scheduler.next(bench.now_ns) is None:
            release_ns = bench.scheduler.next_release_ns()
            assert release_ns is not None
            assert bench.scheduler.next(release_ns - 1) is None
            bench.now_ns = release_ns
        bench.turn()
    assert limited.cpu_ns == pytest.approx(SECOND, abs=50 * MS)
    assert limited.throttled_ns == pytest.approx(bench.now_ns - limited.cpu_ns, abs=MS)


def test_output_uses_the_quota_up() -> None:
    bench = Bench(io_ns_per_byte=3)
    limited = bench.awake("tenant", quota=Quota(SECOND // 10, burst_ns=50 * MS))
    bench.turn(MS, io_bytes=83_000_000)
    assert bench.scheduler.next(bench.now_ns) is None
    assert bench.scheduler.next_release_ns() == pytest.approx(bench.now_ns + 2 * SECOND, rel=0.01)
    bench.scheduler.sleep(limited, bench.now_ns)
    assert bench.scheduler.next_release_ns() is None, "nobody waits, so nobody is woken"
    bench.scheduler.wake(limited, bench.now_ns + SECOND)
    assert bench.scheduler.next(bench.now_ns + SECOND) is None
    assert bench.scheduler.next(bench.now_ns + 3 * SECOND) is not None


def test_who_is_throttled_does_not_hold_up_its_tenant() -> None:
    bench = Bench()
    limited = bench.awake("tenant", quota=Quota(SECOND // 10))
    free, rival = bench.awake("tenant"), bench.awake("rival")
    bench.charge(limited, 200 * MS)
    bench.run(2 * SECOND)
    assert abs(limited.cpu_ns + free.cpu_ns - rival.cpu_ns) <= 2 * LATENCY_NS
    assert limited.cpu_ns <= (100 + 220 + 1) * MS


@pytest.mark.parametrize("quota", [Quota(0), Quota(-1), Quota(SECOND, burst_ns=FLOOR_NS - 1)])
def test_a_quota_that_nobody_could_run_with_is_refused(quota: Quota) -> None:
    with pytest.raises(ValueError, match="burst"):
        Scheduler().add("tenant", quota=quota)


@pytest.mark.parametrize("weight", [0, -1, fair_queue.WEIGHT_MAX + 1])
@pytest.mark.parametrize("known", [False, True])
def test_a_weight_out_of_range_is_refused(weight: int, known: bool) -> None:
    shared = Scheduler()
    if known:
        shared.add("tenant")
    with pytest.raises(ValueError, match="weight"):
        shared.add("tenant", weight=weight)
    with pytest.raises(ValueError, match="weight"):
        shared.add("tenant", tenant_weight=weight)


# Counters and cost


def test_waiting_is_counted_from_having_work_to_running() -> None:
    bench = Bench()
    first = bench.awake("first")
    assert bench.turn(3 * MS) is first
    second = bench.awake("second")
    bench.now_ns += MS
    assert bench.turn(200 * US) is second
    assert (second.slices, second.cpu_ns, second.wait_ns) == (1, 200 * US, MS)
    assert bench.turn(MS) is first
    assert (first.slices, first.cpu_ns, first.wait_ns) == (2, 4 * MS, MS + 200 * US)


def lines_run(busy: int, idle: int) -> int:
    """Lines of the scheduler executed by 500 turns, with a sleeper that wakes before each."""
    bench = Bench()
    sleepers = [bench.scheduler.add(f"idle {number % 1_000}") for number in range(idle)]
    for number in range(busy):
        bench.awake(f"busy {number}")
    sleeper = bench.scheduler.add("sleeper")
    for _ in range(2 * busy):
        bench.turn()
    ours = {fair_queue.__file__, scheduler.__file__}
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename in ours else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in range(500):
            bench.scheduler.wake(sleeper, bench.now_ns)
            if bench.turn() is sleeper:
                bench.scheduler.sleep(sleeper, bench.now_ns)
    finally:
        sys.settrace(before)
    assert not any(entity.awake for entity in sleepers)
    return lines


def test_an_operation_costs_the_same_whoever_sleeps_and_hardly_more_whoever_waits() -> None:
    few = lines_run(busy=10, idle=0)
    assert lines_run(busy=10, idle=20_000) == few
    assert lines_run(busy=2_000, idle=0) <= 2 * few
