"""A service's life, played: several machines for one service."""

from edge.supervisor.pools import IDLE_S
from tests.support.playbook import MACHINE_BYTES
from tests.support.plays import grown, resident


def test_a_machine_opens_beside_one_that_has_too_much_and_the_least_busy_one_is_next() -> None:
    busy = grown().asked(5).expect("Dispatch(a#2, 5)").asked(6).expect("Dispatch(a#2, 6)")
    busy.asked(7).expect("Dispatch(a#1, 7)").asked(8).expect("Dispatch(a#2, 8)")  # and no third: its image says two


def test_what_waits_goes_to_a_machine_that_opens_beside_the_first() -> None:
    busy = resident(pool=2, streams=3).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    busy.asked(3).expect("Grow(a, a#1)", "Dispatch(a#1, 3)").asked(4).expect()
    busy.grown().expect("Count(pool_grown)", "Dispatch(a#2, 4)")


def test_a_machine_beside_the_first_is_not_wanted_where_that_is_gone_or_the_worker_is() -> None:
    busy = resident(pool=2).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    busy.asked(3).expect("Grow(a, a#1)", "Dispatch(a#1, 3)")
    service, first, worker = busy.services["a"], busy.machines["a#1"], busy.workers[1]
    assert busy.openings.still_wanted(service, first, worker, MACHINE_BYTES)
    worker.alive = False
    assert not busy.openings.still_wanted(service, first, worker, MACHINE_BYTES)
    worker.alive = True
    busy.changed().expect("ForgetRecord(a)", "Count(replaced)", "WantSoon(a)")
    assert not busy.openings.still_wanted(service, first, worker, MACHINE_BYTES)


def test_a_machine_beside_the_first_is_not_wanted_where_that_is_being_parked() -> None:
    busy = resident(pool=2).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    busy.asked(3).expect("Grow(a, a#1)", "Dispatch(a#1, 3)").answered(1, 2, 3).expect().park().expect("Park(a#1)")
    assert not busy.openings.still_wanted(busy.services["a"], busy.machines["a#1"], busy.workers[1], MACHINE_BYTES)


def test_one_that_did_not_open_is_tried_again() -> None:
    busy = resident(pool=2).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    busy.asked(3).expect("Grow(a, a#1)", "Dispatch(a#1, 3)").not_grown().expect()
    busy.asked(4).expect("Dispatch(a#1, 4)").tick().expect()  # once a second, however many come
    busy.asked(5).expect("Grow(a, a#1)", "Dispatch(a#1, 5)").asked(6).expect("Dispatch(a#1, 6)")


def test_a_pool_of_machines_that_take_one_request_grows_too() -> None:
    busy = resident(pool=2, streams=1).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Grow(a, a#1)")
    busy.grown().expect("Count(pool_grown)", "Dispatch(a#2, 2)")


def test_what_a_machine_loses_goes_to_any_that_has_a_place() -> None:
    busy = resident(pool=2, streams=1).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Grow(a, a#1)")
    busy.grown().expect("Count(pool_grown)", "Dispatch(a#2, 2)").answered(1).expect().asked(3).expect(
        "Dispatch(a#1, 3)"
    )
    busy.answered(3).expect().worker_lost(1).expect("Leave(a#2)", "Replay(2)", "Dispatch(a#1, 2)")


def test_machines_beside_the_first_close_when_they_have_had_nothing_to_do_and_then_the_first_may_be_parked() -> None:
    idle = grown().answered(1, 2).expect().park().expect().wait(IDLE_S).tick().expect().wait(0.1)
    idle.exchanging.add("a#2")
    idle.tick().expect()
    idle.exchanging.clear()
    idle.tick().expect("Close(a#2)", "Leave(a#2)").park().expect("Park(a#1)")


def test_another_takes_the_place_of_a_first_machine_that_is_gone() -> None:
    end = ("Leave(a#1)", "Count(crashes, guest_fault)", "ForgetRecord(a)", "Report(a#1, GuestFault)")
    died = grown().died().expect(*end, "Fail(2, GuestFault)", "Fail(1, GuestFault)").state("resident")
    died.asked(5).expect("Dispatch(a#2, 5)")
    lost = (
        grown()
        .worker_lost()
        .expect("StatesLost(a)", "Leave(a#1)", "Replay(2)", "Replay(1)", "Dispatch(a#2, 1)", "Dispatch(a#2, 2)")
    )
    lost.state("resident").answered(1, 2).expect().park().expect("Park(a#2)")


def test_one_whose_worker_is_gone_too_takes_nobodys_place() -> None:
    busy = grown()
    busy.machines["a#2"].worker.alive = False
    busy.worker_lost().expect("StatesLost(a)", "Leave(a#1)", "Replay(2)", "Replay(1)", "Open(a)").state("opening")


def test_a_new_version_retires_all_of_a_pool() -> None:
    busy = grown().changed()
    busy.expect("ForgetRecord(a)", "Count(replaced)", "Count(replaced)", "Close(a#2)", "Leave(a#2)", "WantSoon(a)")
    busy.answered(1).expect().answered(2).expect("Close(a#1)", "Leave(a#1)")


def test_a_first_that_is_rejuvenated_leaves_its_place_to_another() -> None:
    busy = grown(requests=8).asked(5).expect("Dispatch(a#2, 5)").asked(6).expect("Dispatch(a#2, 6)").asked(7)
    busy.expect("Dispatch(a#1, 7)").asked(8).expect("Dispatch(a#2, 8)").asked(9)
    busy.expect("Dispatch(a#1, 9)").answered(7).expect().asked(10)
    busy.expect("Count(rejuvenations, requests)", "ForgetRecord(a)", "Dispatch(a#1, 10)").state("resident")
    assert busy.services["a"].machine is busy.machines["a#2"]
