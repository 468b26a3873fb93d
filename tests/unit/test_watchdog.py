"""How often the watchdog looks, and that it misses no run: clocks of the test's, and engines that know only `stop`."""

import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from edge.vmm.turns.watchdog import CALM_TICK_NS, FINE_NS, LINGER_NS, TICK_NS, Watchdog, interval_ns

PATIENCE_S = 20.0
LONG_NS = 60_000_000_000  # a slice that is over by nothing but input


class Ticks:
    """A clock that ticks when it is told to."""

    def __init__(self) -> None:
        self.intervals: list[int] = []  # that were asked for
        self.on_stop: Callable[[], None] = lambda: None
        self._ticks: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waits = threading.Semaphore(0)

    def set(self, interval_ns: int) -> None:
        self.intervals.append(interval_ns)
        if not interval_ns:
            self.on_stop()

    def wait(self) -> None:
        self._waits.release()
        self._ticks.get()

    def tick(self, times: int = 1) -> None:
        """So many ticks, each of which has been looked at."""
        for _ in range(times):
            assert self._waits.acquire(timeout=PATIENCE_S)
            self._ticks.put(None)
        assert self._waits.acquire(timeout=PATIENCE_S)
        self._waits.release()


class Engine:
    """What a watchdog knows of one."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()

    def forget_stop(self) -> None:
        pass


@pytest.fixture
def now() -> list[int]:
    """The time, to be set."""
    return [1_000_000_000_000]


def short_run(dog: Watchdog, slice_ns: int = LONG_NS) -> None:
    engine: Any = Engine()
    with dog.watching(engine, slice_ns):
        pass
    assert not engine.stopped.is_set()


@pytest.mark.parametrize(
    ("slice_ns", "fine_until_ns", "expected_ns"),
    [
        (CALM_TICK_NS, 0, CALM_TICK_NS),
        (CALM_TICK_NS - 1, 0, CALM_TICK_NS // 2),  # its end must not be late by as much again
        (CALM_TICK_NS // 2 - 1, 0, CALM_TICK_NS // 4),
        (2 * TICK_NS - 1, 0, TICK_NS),
        (CALM_TICK_NS // 2, 101, TICK_NS),
        (LONG_NS, 101, TICK_NS),
        (LONG_NS, 100, CALM_TICK_NS),
    ],
)
def test_ticks_are_fine_where_a_turn_must_end_in_time(slice_ns: int, fine_until_ns: int, expected_ns: int) -> None:
    assert interval_ns(slice_ns, 100, fine_until_ns) == expected_ns


def test_short_runs_set_the_timer_once_and_have_it_tick_seldom(now: list[int]) -> None:
    ticks = Ticks()
    dog = Watchdog(ticks, lambda: now[0], lambda _: now[0])
    for _ in range(1000):
        now[0] += 100_000
        short_run(dog)
    assert ticks.intervals == [CALM_TICK_NS]
    short_run(dog, TICK_NS)  # one that must end soon, since others wait or a timer is due
    now[0] += FINE_NS - 1
    short_run(dog)
    now[0] += 1
    short_run(dog)
    assert ticks.intervals == [CALM_TICK_NS, TICK_NS, CALM_TICK_NS]


def test_a_long_run_is_cut_for_input_at_the_first_seldom_tick_and_brings_back_the_fine_ones(now: list[int]) -> None:
    ticks, engine = Ticks(), Engine()
    dog = Watchdog(ticks, lambda: now[0], lambda _: now[0])
    mine, theirs = os.pipe()
    dog.listen(mine)
    runs: Any = engine
    with dog.watching(runs, LONG_NS):
        now[0] += TICK_NS
        os.write(theirs, b"a request for somebody else")
        ticks.tick()
        assert engine.stopped.is_set()
        assert dog.cut
    short_run(dog)
    assert ticks.intervals == [CALM_TICK_NS, TICK_NS]
    for end in (mine, theirs):
        os.close(end)


def test_a_run_that_others_wait_behind_keeps_half_a_millisecond(now: list[int]) -> None:
    ticks, engine = Ticks(), Engine()
    dog = Watchdog(ticks, lambda: now[0], lambda _: now[0])
    mine, theirs = os.pipe()
    dog.listen(mine)
    os.write(theirs, b"a request for somebody else")
    runs: Any = engine
    short_run(dog, TICK_NS)
    with dog.watching(runs, LONG_NS):
        now[0] += TICK_NS - 1
        ticks.tick()
        assert not engine.stopped.is_set()
        now[0] += 1
        ticks.tick()
        assert engine.stopped.is_set()
    for end in (mine, theirs):
        os.close(end)


def test_ticks_end_with_the_work_and_not_for_a_run_that_begins_just_then(now: list[int]) -> None:
    ticks, late = Ticks(), Engine()
    dog = Watchdog(ticks, lambda: now[0], lambda _: now[0])
    short_run(dog)
    now[0] += LINGER_NS - 1
    ticks.tick()
    assert ticks.intervals == [CALM_TICK_NS]
    now[0] += 1
    ticks.tick()
    assert ticks.intervals == [CALM_TICK_NS, 0]
    short_run(dog)
    assert ticks.intervals == [CALM_TICK_NS, 0, CALM_TICK_NS], "the next run has its own"

    now[0] += LINGER_NS
    runs: Any = late

    def begin() -> None:
        dog.watching(runs, LONG_NS)  # it still sees the ticks that are about to end

    ticks.on_stop = begin
    ticks.tick()
    assert ticks.intervals[-1] == TICK_NS, "it is watched all the same"
