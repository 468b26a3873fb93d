"""Deadlines that a guest names: whatever they are, the host waits for one that comes within a year, or for none."""

import threading
import time

import pytest

from edge.vmm.devices.clock import FAR_NS, Clock
from edge.vmm.machine.phases import Runnable
from edge.vmm.turns import watchdog
from edge.vmm.turns.sleepers import SLEEP_MAX_NS, Sleepers, seconds_until
from tests.support.edges import PATIENCE_S
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


def test_a_watchdog_waits_for_no_slice_that_poll_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    class Engine:
        def stop(self) -> None:
            """See `Engine.stop`."""
            stopped.set()

    assert watchdog.SLICE_MAX_NS // 1_000_000 < 2**31, "milliseconds that poll(2) takes"
    monkeypatch.setattr(watchdog, "SLICE_MAX_NS", 5_000_000)
    dog = watchdog.watchdog()
    with dog.watching(Engine(), 2**70):  # type: ignore[arg-type]
        assert stopped.wait(PATIENCE_S), "after the longest slice there is"
    dog.rest()


def test_a_watchdog_outlives_an_engine_that_cannot_be_stopped() -> None:
    stops: list[threading.Event] = [threading.Event(), threading.Event()]

    class Engine:
        def stop(self) -> None:
            """See `Engine.stop`."""
            if not stops[0].is_set():
                stops[0].set()
                raise OSError("no such thread")
            stops[1].set()

    dog = watchdog.watchdog()
    for stopped in stops:
        with dog.watching(Engine(), 1_000_000):  # type: ignore[arg-type]
            assert stopped.wait(PATIENCE_S)
    dog.rest()


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
