"""Deadlines that a guest names: whatever they are, the host waits for one that comes within a year, or for none."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from edge.vmm.devices.clock import FAR_NS, Clock
from edge.vmm.machine.phases import Runnable
from edge.vmm.turns import watchdog
from edge.vmm.turns.sleepers import SLEEP_MAX_NS, Sleepers, seconds_until
from tests.support.guests import PROGRAMS, Guest, image_of
from vmimage import abi
from vmimage.snapshot import DeviceState

EVER = [FAR_NS * 2, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 10**19, abi.IDLE_FOREVER - 1, abi.IDLE_FOREVER]
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("deadline_ns", EVER)
def test_a_deadline_beyond_a_year_is_none(deadline_ns: int) -> None:
    clock = Clock(DeviceState())
    assert clock.host_deadline_ns(deadline_ns) is None
    clock.set_timer(deadline_ns, abi.TIMELINE_PHYSICAL)
    assert clock.host_deadline_ns(abi.IDLE_FOREVER) is None
    clock.set_timer(deadline_ns, abi.TIMELINE_VIRTUAL)
    assert clock.host_deadline_ns(deadline_ns) is None
    assert 0 < clock.until_timer_ns() <= FAR_NS


@pytest.mark.parametrize("resident_ns", [0, 5 * SECOND_NS, 2**62, 2**63 - 1])
def test_a_near_one_is_kept_however_long_the_machine_has_been_resident(resident_ns: int) -> None:
    clock = Clock(DeviceState(mono_ns=resident_ns))
    deadline_ns = clock.host_deadline_ns(resident_ns + 10 * SECOND_NS)
    assert deadline_ns is not None
    assert 9 * SECOND_NS < deadline_ns - time.monotonic_ns() <= 10 * SECOND_NS
    clock.set_timer(resident_ns + 3 * SECOND_NS, abi.TIMELINE_PHYSICAL)
    nearer_ns = clock.host_deadline_ns(resident_ns + 10 * SECOND_NS)
    assert nearer_ns is not None
    assert nearer_ns < deadline_ns


def test_the_sleep_until_a_deadline_is_one_that_a_socket_can_wait_for() -> None:
    assert seconds_until((None, None), 5) is None
    for deadline_ns in (-(2**70), 0, 1, 2**63, 2**64, 2**70, *EVER):
        wait_s = seconds_until((deadline_ns, None), 1)
        assert wait_s is not None
        assert 0 < wait_s <= SLEEP_MAX_NS / 1e9 + 1
    assert seconds_until((2 * SECOND_NS, 3 * SECOND_NS), SECOND_NS) == pytest.approx(1.0, abs=0.001)


def test_far_deadlines_of_some_hide_no_near_one_of_another() -> None:
    sleepers = Sleepers()
    for number, deadline_ns in enumerate((*EVER, 100)):
        sleepers.add(number, deadline_ns)
    assert sleepers.next_ns() == 100
    assert list(sleepers.due(100)) == [len(EVER)]


class Stoppable:
    """An engine in which a guest spins; what stops it may be made to fail."""

    def __init__(self, *failures: Exception) -> None:
        self.stops = self.forgotten = 0
        self._failures = list(failures)

    def stop(self) -> None:
        """See `Engine.stop`."""
        if self._failures:
            raise self._failures.pop()
        self.stops += 1

    def forget_stop(self) -> None:
        """See `Engine.forget_stop`."""
        self.forgotten += 1

    def spin(self, for_ns: int, until_stopped: bool = True) -> None:
        """Take so much CPU time, or less where it is stopped."""
        until_ns = time.thread_time_ns() + for_ns
        while time.thread_time_ns() < until_ns and not (until_stopped and self.stops):
            pass


def watched(engine: Stoppable, slice_ns: int) -> contextlib.AbstractContextManager[None]:
    """A turn of it."""
    return watchdog.watchdog().watching(engine, slice_ns)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def at_rest() -> Iterator[None]:
    yield
    watchdog.watchdog().rest()


@pytest.mark.plain
def test_a_watchdog_waits_for_no_slice_that_poll_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watchdog.SLICE_MAX_NS // 1_000_000 < 2**31, "milliseconds that poll(2) takes"
    monkeypatch.setattr(watchdog, "SLICE_MAX_NS", 5_000_000)
    engine = Stoppable()
    with watched(engine, 2**70):
        engine.spin(SECOND_NS)
    assert engine.stops, "after the longest slice there is"


def test_a_watchdog_outlives_an_engine_that_cannot_be_stopped() -> None:
    engine = Stoppable(OSError("no such thread"))
    with watched(engine, 1_000_000):
        engine.spin(SECOND_NS)
    assert engine.stops, "at the next tick"


def test_a_turn_is_not_stopped_for_the_time_that_others_have_the_processor() -> None:
    engine = Stoppable()
    with watched(engine, 2_000_000):
        time.sleep(0.05)
    assert not engine.stops


def test_no_turn_is_stopped_before_a_tick_of_its_own() -> None:
    """Ticks that went by while the turn before it was watched are not counted for it."""
    dog = watchdog.watchdog()
    for _ in range(200):
        long, short = Stoppable(), Stoppable()
        with watched(long, 1_000_000):
            long.spin(SECOND_NS)
        with watched(short, 1):
            short.spin(watchdog.TICK_NS // 2, until_stopped=False)
        assert not short.stops
        assert not dog.cut


def test_a_stop_is_forgotten_with_the_turn_that_it_was_for() -> None:
    engine = Stoppable()
    with watched(engine, 1_000_000):
        engine.spin(SECOND_NS)
    assert engine.stops
    assert engine.forgotten == 1
    with watched(engine, SECOND_NS):
        pass
    assert engine.forgotten == 1, "none came"


def test_a_guest_that_makes_hypercalls_gives_way_when_it_is_told_to() -> None:
    """A stop that comes between two entries hits no run of the engine: the machine looks for it itself."""
    guest = Guest(image_of(PROGRAMS / "hostile.c"))
    guest.send("/notify")
    dog = watchdog.watchdog()
    dog.cut = True
    assert isinstance(guest.machine.run(60_000_000_000, dog), Runnable)
    assert guest.machine.last_entries == 1
    dog.cut = False
    assert isinstance(guest.machine.run(5_000_000, dog), Runnable)
    assert guest.machine.last_entries > 10
