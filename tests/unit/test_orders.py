"""What operators order of a service, played: it begins anew from its image, or comes to rest."""

import pytest

from edge.model import flow
from tests.support.playbook import Playbook
from tests.support.plays import RECORD, grown, play, resident
from vmimage.errors import GuestFault

PARKED = ("KeepRecord(a, a#1, 6 bytes, 0 s, 1)", "Leave(a#1)", "Count(parks)")


def at_rest(of: Playbook) -> bool:
    return of.orders.at_rest(of.services["a"])


def test_an_idle_machine_that_is_restarted_ends_and_the_next_request_finds_a_new_one() -> None:
    anew = resident().restart()
    anew.expect("ForgetRecord(a)", "Count(rejuvenations, operator)", "Close(a#1)", "Leave(a#1)", "WantSoon(a)")
    anew.wanted().expect().state("cold").asked(1).expect("Open(a)").opened().expect("Dispatch(a#2, 1)")


def test_a_machine_that_is_restarted_finishes_what_it_has() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").restart()
    busy.expect("ForgetRecord(a)", "Count(rejuvenations, operator)", "WantSoon(a)").wanted().expect()
    busy.asked(2).expect("Open(a)").opened().expect("Dispatch(a#2, 2)").answered(1).expect("Close(a#1)", "Leave(a#1)")


def test_a_record_is_forgotten_also_one_that_is_still_to_come() -> None:
    parked = resident().park().expect("Park(a#1)").parked().expect(*PARKED)
    parked.state("parked").restart().expect("ForgetRecord(a)", "WantSoon(a)").state("cold")
    going = resident().park().expect("Park(a#1)").asked(1).expect().restart()
    going.expect("ForgetRecord(a)", "Count(rejuvenations, operator)", "WantSoon(a)").wanted().expect("Open(a)")
    going.parked().expect("Leave(a#1)").opened().expect("Dispatch(a#2, 1)")


def test_all_machines_of_a_pool_go() -> None:
    pool = grown().restart()
    gone = ["Count(rejuvenations, operator)", "Count(rejuvenations, operator)", "Close(a#2)", "Leave(a#2)"]
    assert pool.came() == ["ForgetRecord(a)", *gone, "WantSoon(a)"], "the first has requests still"
    assert all(machine.retiring for machine in pool.machines.values())


def test_a_pause_after_crashes_ends() -> None:
    crashed = play().asked(1).expect("Open(a)").opened().expect("Dispatch(a#1, 1)").died(error=GuestFault("x"))
    crashed.came()
    crashed.state("backoff").restart().expect("ForgetRecord(a)", "WantSoon(a)").state("cold")
    assert crashed.services["a"].crashes_in_row == 0


def test_a_machine_that_is_being_opened_is_not_reached() -> None:
    opening = play().asked(1).expect("Open(a)")
    assert not opening.orders.may_restart(opening.services["a"])
    opening.opened(held=RECORD).expect("Dispatch(a#1, 1)")
    assert opening.orders.may_restart(opening.services["a"])


def test_a_service_can_be_restarted_in_every_other_state() -> None:
    assert {state for state, row in flow.SERVICE_FLOW.items() if "restart" not in row} == {"opening"}


def test_a_service_on_hold_is_parked_when_it_is_idle() -> None:
    idle = resident().rest().expect("Park(a#1)").state("parking")
    assert not at_rest(idle)
    assert at_rest(idle.parked().expect(*PARKED))
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").rest().expect()
    assert not at_rest(busy.answered(1).expect())
    busy.rest().expect("Park(a#1)")


def test_what_waits_for_a_service_on_hold_is_refused() -> None:
    waits = play().asked(1).expect("Open(a)").rest().expect("Fail(1, OnHold)").request(1, "refused")
    assert not at_rest(waits)
    waits.opened().expect().rest().expect("Park(a#1)")


@pytest.mark.parametrize("calls", [1, 3])
def test_to_rest_again_changes_nothing(calls: int) -> None:
    resting = resident().rest().expect("Park(a#1)")
    for _ in range(calls):
        resting.rest().expect()
