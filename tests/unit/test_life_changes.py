"""A service's life, played: machines in use for long, other versions, and services that are withdrawn."""

import pytest

from edge.supervisor import commands as do
from tests.support.plays import resident


@pytest.mark.parametrize(("limit", "cause"), [({"requests": 2}, "requests"), ({"seconds": 60}, "seconds")])
def test_a_machine_that_is_rejuvenated_finishes_what_it_has_and_the_next_request_finds_a_new_one(
    limit: dict[str, int], cause: str
) -> None:
    aged = (
        resident(**limit)
        .wait(60)
        .asked(1)
        .expect(f"Count(rejuvenations, {cause})", "ForgetRecord(a)", "Dispatch(a#1, 1)")
    )
    aged.state("cold").asked(2).expect("Open(a)").answered(1).expect("Close(a#1)", "Leave(a#1)")
    aged.opened().expect("Dispatch(a#2, 2)")


def test_a_machine_is_rejuvenated_once() -> None:
    aged = (
        resident()
        .asked(1)
        .expect("Dispatch(a#1, 1)")
        .grew()
        .expect("Count(rejuvenations, growth_bytes)", "ForgetRecord(a)")
    )
    aged.grew().expect().answered(1).expect("Close(a#1)", "Leave(a#1)")
    resident().park().expect("Park(a#1)").grew().expect().state("parking")


def test_what_waits_for_a_place_in_a_machine_that_is_rejuvenated_goes_to_a_new_one_at_once() -> None:
    full = resident(streams=1, requests=3).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect().asked(3).expect()
    full.answered(1).expect("Count(rejuvenations, requests)", "ForgetRecord(a)", "Open(a)", "Dispatch(a#1, 2)")
    full.opened().expect("Dispatch(a#2, 3)").answered(2).expect("Close(a#1)", "Leave(a#1)")


def test_the_old_version_finishes_what_it_has_and_the_new_one_takes_what_comes() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").changed()
    busy.expect("ForgetRecord(a)", "Count(replaced)", "WantSoon(a)").wanted().expect().state("cold")
    busy.asked(2).expect("Open(a)").opened().expect("Dispatch(a#2, 2)").answered(1).expect("Close(a#1)", "Leave(a#1)")
    busy.answered(2).expect()


def test_an_idle_machine_of_an_old_version_ends_at_once() -> None:
    resident().changed().expect("ForgetRecord(a)", "Count(replaced)", "Close(a#1)", "Leave(a#1)", "WantSoon(a)")


def test_a_record_of_an_old_version_that_is_still_to_come_is_dropped_and_what_waits_goes_to_the_new_one() -> None:
    going = resident().park().expect("Park(a#1)").asked(1).expect().changed()
    going.expect("ForgetRecord(a)", "Count(replaced)", "WantSoon(a)").wanted().expect("Open(a)")
    going.parked().expect("Leave(a#1)").opened().expect("Dispatch(a#2, 1)")


def test_another_version_ends_a_pause() -> None:
    crashed = (
        resident()
        .died()
        .expect("Leave(a#1)", "Count(crashes, guest_fault)", "ForgetRecord(a)", "Report(a#1, GuestFault)")
    )
    crashed.services["a"].pause_until = crashed.now + 100
    crashed.asked(1).expect("Refuse(1, BackingOff)").changed().expect("ForgetRecord(a)", "WantSoon(a)").asked(2).expect(
        "Open(a)"
    )


def test_what_a_machine_wrote_to_its_disks_is_asked_for_before_it_goes() -> None:
    busy = resident()
    busy.writers.add("a#1")
    busy.changed().expect("ForgetRecord(a)", "Count(replaced)", "Park(a#1)", "WantSoon(a)")
    assert busy.life.residents.closing == {busy.services["a"]: busy.machines["a#1"]}
    busy.parked().expect("Leave(a#1)")
    assert busy.life.residents.closing == {}


def test_what_it_wrote_is_not_waited_for_without_end() -> None:
    busy = resident()
    busy.writers.add("a#1")
    busy.changed().expect("ForgetRecord(a)", "Count(replaced)", "Park(a#1)", "WantSoon(a)")
    busy.life.residents.close_now(busy.machines["a#1"])
    assert [type(command) for command in busy.life.out] == [do.Close, do.Leave]
    busy.life.residents.close_now(busy.machines["a#1"])
    assert len(busy.life.out) == 2


def test_what_a_withdrawn_service_wrote_is_kept_aside_with_what_it_had_not_flushed() -> None:
    busy = resident()
    busy.writers.add("a#1")
    end = ("ForgetRecord(a)", "Count(replaced)", "Park(a#1)", "LeaveWritten(a)", "WantSoon(a)")
    busy.changed(withdrawn=True).expect(*end)
    busy.parked().expect("Leave(a#1)")
