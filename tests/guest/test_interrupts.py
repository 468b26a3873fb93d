"""Interrupts: pending bits apart from their delivery, one notification per change, nothing of it seen by what runs."""

import pytest

from edge.vmm.machine.machine import Idle
from edge.vmm.turns.watchdog import SLICE_NS, TICK_NS, watchdog
from tests.support.guests import PROGRAMS, RUNS_MAX, Guest, image_of
from vmimage.errors import GuestViolation

SOURCE = PROGRAMS / "interrupts.c"


def ask(guest: Guest, path: str) -> str:
    """One request; the guest spins in it, so slices must end."""
    stream = guest.send(path)
    for _ in range(RUNS_MAX):
        with watchdog().watching(guest.shell.engine):
            outcome = guest.machine.run()
        if isinstance(outcome, Idle):
            break
    guest.run()
    watchdog().rest()
    return bytes(guest.responses[stream].body).decode()


@pytest.mark.parametrize("path", ["/physical", "/virtual"])
def test_a_timer_reaches_the_handler_and_the_interrupted_code_does_not_notice(path: str) -> None:
    guest = Guest(image_of(SOURCE))
    for _ in range(5):
        assert ask(guest, path) == "taken 1, pending 2, now 0, bad 0, wrong 0"


def test_a_stop_that_is_forgotten_ends_no_run() -> None:
    """It is for the turn in which it came: the machine that is next must not pay for it."""
    guest = Guest(image_of(SOURCE))
    engine = guest.shell.engine
    guest.send("/masked")
    engine.stop()
    engine.forget_stop()
    guest.machine.run()
    assert guest.machine.last_entries > 1, "its hypercalls came back, and no stop"


def test_a_masked_interrupt_stays_pending() -> None:
    guest = Guest(image_of(SOURCE))
    assert ask(guest, "/masked") == "taken 0, pending 0, now 2, bad 0, wrong 0"


@pytest.mark.parametrize("path", ["/no-stack", "/no-handler"])
def test_an_interrupt_that_cannot_be_delivered_ends_the_machine(path: str) -> None:
    guest = Guest(image_of(SOURCE))
    with pytest.raises(GuestViolation, match="a handler and a stack expected"):
        ask(guest, path)


def test_the_timer_is_as_fine_as_the_machine_is_busy() -> None:
    """A guest that has the processor is interrupted in time by its own timer, long before its slice is over."""
    guest = Guest(image_of(PROGRAMS / "ticks.c"))
    stream = guest.send("/")
    for _ in range(RUNS_MAX):
        slice_ns = min(SLICE_NS, max(guest.machine.clock.until_timer_ns(), TICK_NS))  # as a worker does
        with watchdog().watching(guest.shell.engine, slice_ns):
            outcome = guest.machine.run(slice_ns)
        if isinstance(outcome, Idle):
            break
    guest.run()
    watchdog().rest()
    assert int(guest.responses[stream].body) > 15, "of 50; slices of 10 ms alone allow 10"
