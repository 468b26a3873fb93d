"""Machines of one request each, side by side: how many there are, who waits for them, and when they go."""

from edge.supervisor.pools import IDLE_S
from tests.support.playbook import MACHINE_BYTES, Playbook
from tests.support.plays import play, resident


def fresh(pool: int = 3, **about: object) -> Playbook:
    """Service a has a#1, which has request 1 and may have no other."""
    return resident(fresh=True, pool=pool, **about).asked(1).expect("Dispatch(a#1, 1)")


def side_by_side() -> Playbook:
    """Three machines of service a have requests 1 to 3, and a fourth may not be."""
    more = fresh().asked(2).expect("Grow(a, a#1)").asked(3).expect().asked(4).expect()
    more.grown().expect("Count(pool_grown)", "Dispatch(a#2, 2)", "Grow(a, a#1)")
    return more.grown(worker=0).expect("Count(pool_grown)", "Dispatch(a#3, 3)")


def test_fresh_machines_serve_side_by_side_up_to_their_number_and_further_requests_wait_in_order() -> None:
    busy = (
        side_by_side().asked(5).expect().answered(2).expect("Dispatch(a#2, 4)").answered(1).expect("Dispatch(a#1, 5)")
    )
    busy.answered(3, 4, 5).expect().asked(6).expect("Dispatch(a#1, 6)").asked(7).expect("Dispatch(a#2, 7)")


def test_all_that_waited_for_the_first_fresh_machine_ask_for_more() -> None:
    begun = play(fresh=True, pool=3).asked(1).expect("Open(a)").asked(2).expect().asked(3).expect()
    begun.opened().expect("Dispatch(a#1, 1)", "Grow(a, a#1)").grown().expect(
        "Count(pool_grown)", "Dispatch(a#2, 2)", "Grow(a, a#1)"
    )


def test_one_fresh_machine_serves_one_after_another_where_its_image_says_one() -> None:
    fresh(pool=1).asked(2).expect().answered(1).expect("Dispatch(a#1, 2)")


def test_a_fresh_machine_is_not_wanted_where_nobody_waits_any_more() -> None:
    busy = fresh().asked(2).expect("Grow(a, a#1)").may_grow().expect("Room")
    assert busy.openings.still_wanted(busy.services["a"], busy.machines["a#1"], busy.workers[1], MACHINE_BYTES)
    busy.answered(1).expect("Dispatch(a#1, 2)").may_grow().expect("NoRoom")
    assert not busy.openings.still_wanted(busy.services["a"], busy.machines["a#1"], busy.workers[1], MACHINE_BYTES)


def test_what_waits_asks_again_for_a_fresh_machine_that_was_refused() -> None:
    busy = fresh().asked(2).expect("Grow(a, a#1)").not_grown().expect().asked(3).expect()
    busy.tick().expect("Grow(a, a#1)").grown().expect("Count(pool_grown)", "Dispatch(a#2, 2)", "Grow(a, a#1)")


def full(tenant: str = "a", **about: object) -> Playbook:
    """There is room for b#1, which is idle, and for a#1, which has a request while another waits."""
    busy = play(pool=3, room_for=2, **about)
    busy.service("b", tenant)
    busy.asked(0, "b").expect("Open(b)").opened("b").expect("Dispatch(b#1, 0)").answered(0).expect()
    return busy.asked(1).expect("Open(a)").opened().expect("Dispatch(a#1, 1)").asked(2).expect("Grow(a, a#1)")


def test_idle_machines_of_others_are_parked_for_a_fresh_one_but_not_for_a_second_that_is_kept() -> None:
    full(fresh=True).may_grow().expect("Park(b#1)", "Room")
    full(streams=1).may_grow().expect("NoRoom")


def test_a_machine_beside_the_first_is_within_the_share_of_its_tenant() -> None:
    full(fresh=True, tenant="another").may_grow().expect("NoRoom")  # each has half


def test_machines_beside_the_first_make_room_when_nobody_can_be_parked() -> None:
    idle = side_by_side().answered(2, 3).expect("Dispatch(a#2, 4)").wait(0.1)
    idle.make_room("one").expect("Room")  # of four
    idle.make_room("two", machines=2).expect("Close(a#3)", "Leave(a#3)", "LookAgain(two)", "Room")
    idle.make_room("three", machines=3).expect("NoRoom")


def test_idle_fresh_machines_close_after_a_while_and_the_first_may_then_be_parked() -> None:
    idle = side_by_side().answered(2).expect("Dispatch(a#2, 4)").answered(1, 3, 4).expect().park().expect()
    idle.wait(IDLE_S + 0.1).tick().expect("Close(a#2)", "Leave(a#2)", "Close(a#3)", "Leave(a#3)")
    idle.park().expect("Park(a#1)")


def test_at_the_end_machines_beside_the_first_close_when_they_are_idle() -> None:
    busy = side_by_side().answered(2).expect("Dispatch(a#2, 4)").answered(3).expect()
    here = list(busy.life.residents.machines.values())
    assert busy.life.residents.last_batches(here) == []
    busy.tick().expect("Close(a#3)", "Leave(a#3)").answered(4, 1).expect()
    here = list(busy.life.residents.machines.values())
    assert busy.life.residents.last_batches(here) == [[busy.machines["a#1"]]]
