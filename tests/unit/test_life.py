"""A service's life, played: what happens, and in exact order what is done for it. See `tests.support.playbook`."""

from typing import Any

import pytest

from edge.common import backoff
from edge.model.flow import QUARANTINE_RETRY_S, ClientError, Place
from edge.supervisor.budget import OPEN_ROOM, PATIENCE_S, RECORD_SLACK
from edge.supervisor.openings import Held
from edge.supervisor.waiting import STREAM_BYTES
from edge.vmm.wire import frames
from tests.support.playbook import MACHINE_BYTES, Playbook, Worker
from tests.support.plays import RECORD, play, resident, still_right
from vmimage.errors import (
    OriginUnreachable,
    OutOfTime,
    OverBudget,
    UnknownService,
    WorkerFull,
)

# Who waits, who is opened.


def test_the_first_request_opens_a_machine_and_all_that_waited_go_to_it_in_order() -> None:
    begun = play().asked(1).expect("Open(a)").state("opening")
    begun.asked(2).expect().asked(3).expect()
    begun.opened().expect("Dispatch(a#1, 1)", "Dispatch(a#1, 2)", "Dispatch(a#1, 3)").state("resident")


def test_a_resident_machine_takes_a_request_at_once() -> None:
    resident().asked(1).expect("Dispatch(a#1, 1)").request(1, "asked").answered(1).expect().request(1, "done")


def test_a_machine_takes_as_many_as_its_image_says_and_the_others_wait_for_a_place() -> None:
    full = resident(streams=2).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    full.asked(3).expect().asked(4).expect().answered(2).expect("Dispatch(a#1, 3)")
    full.answered(3).expect("Dispatch(a#1, 4)").answered(1, 4).expect()


def test_as_many_may_wait_for_one_service_as_is_configured() -> None:
    begun = play(max_queue=2).asked(1).expect("Open(a)").asked(2).expect().asked(3).expect("Refuse(3, Unavailable)")
    begun.asked(4, "b").expect("Open(b)")


def test_as_much_may_wait_for_one_tenant_as_is_free_and_the_machine_is_brought_up_all_the_same() -> None:
    size = STREAM_BYTES + 100
    begun = play(waiting_bytes=2 * size).asked(1).expect("Open(a)")
    begun.asked(2).expect("Refuse(2, QueueFull)").asked(3, "b").expect("Open(b)", "Refuse(3, QueueFull)")
    assert begun.life.waiting.used_bytes == size
    begun.opened().expect("Dispatch(a#1, 1)")
    assert begun.life.waiting.used_bytes == 0


@pytest.mark.parametrize(
    ("from_origin", "held", "expected"),
    [
        (True, None, "origin"),
        (False, None, "blob"),
        (True, RECORD, "parked"),
        (False, RECORD._replace(tier="disk"), "disk"),
    ],
)
def test_a_client_is_told_where_its_machine_came_from(from_origin: bool, held: Held | None, expected: str) -> None:
    begun = (
        play().asked(1).expect("Open(a)").asked(2).expect().asked(3).expect().opened(held=held, from_origin=from_origin)
    )
    counted = ["Count(collapsed)"] * 2 if expected == "origin" else []
    begun.expect(*counted, "Dispatch(a#1, 1)", "Dispatch(a#1, 2)", "Dispatch(a#1, 3)")
    assert {stream.tier for stream in begun.requests.values()} == {expected}
    assert [stream.collapsed for stream in begun.requests.values()] == [False, *[expected == "origin"] * 2]


def test_what_cannot_be_opened_is_told_to_all_that_wait_and_tried_again_for_the_next() -> None:
    begun = play().asked(1).expect("Open(a)").asked(2).expect()
    failed = begun.open_failed(OriginUnreachable("away")).expect(
        "Fail(1, OriginUnreachable)", "Fail(2, OriginUnreachable)"
    )
    failed.request(1, "refused").state("cold").asked(3).expect("Open(a)")


def test_what_can_never_fit_is_not_tried_again_before_there_is_another_version() -> None:
    failed = play().asked(1).expect("Open(a)").open_failed(OverBudget("x")).expect("Fail(1, OverBudget)")
    failed.asked(2).expect("Refuse(2, OverBudget)").state("cold")
    failed.changed().expect("ForgetRecord(a)", "WantSoon(a)").asked(3).expect("Open(a)")


# What was prepared, and is still right or not.


def test_a_record_makes_the_machine_as_old_as_it_was() -> None:
    begun = play().asked(1).expect("Open(a)")
    assert begun.record(RECORD)
    begun.expect().opened(held=RECORD).expect("Dispatch(a#1, 1)")
    machine = begun.machines["a#1"]
    assert (machine.served, machine.kept, begun.now - machine.began) == (4, 3, 5.0)


@pytest.mark.parametrize(("limit", "cause"), [({"requests": 3}, "requests"), ({"seconds": 5}, "seconds")])
def test_the_record_of_a_machine_that_is_to_be_rejuvenated_is_dropped(limit: dict[str, int], cause: str) -> None:
    begun = play(**limit).asked(1).expect("Open(a)")
    assert not begun.record(RECORD)
    begun.expect("ForgetRecord(a)", f"Count(rejuvenations, {cause})")


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_record_that_no_worker_would_take_is_dropped_and_that_is_said(beyond: int) -> None:
    begun = play().asked(1).expect("Open(a)")
    size = frames.PAYLOAD_MAX - OPEN_ROOM + beyond
    assert begun.record(RECORD._replace(size_bytes=size)) is (not beyond)
    begun.expect(*[f"RecordTooLarge(a, {size})", "ForgetRecord(a)"][: 2 * beyond])


def test_an_opening_begins_anew_where_something_it_was_prepared_with_is_gone() -> None:
    begun = play().asked(1).expect("Open(a)")
    key = begun.openings.begin(begun.services["a"])
    dead, leaving, others = Worker(), Worker(), Worker(place=Place("quarantine", "b"))
    dead.alive, leaving.leaving = False, True
    assert still_right(begun)
    assert not still_right(begun, dead)
    assert not still_right(begun, leaving)
    assert not still_right(begun, others), "who is in quarantine has changed"
    assert not still_right(begun, current=False), "another machine wrote to its disks"
    assert still_right(begun, machines=4)
    assert not still_right(begun, machines=5), "another machine took the room that was made"
    begun.changed().expect("ForgetRecord(a)").state("opening")
    assert not still_right(begun, key=key), "another version"
    assert still_right(begun)


def test_a_service_that_is_withdrawn_gets_no_machine() -> None:
    begun = play().asked(1).expect("Open(a)").changed(withdrawn=True).expect("ForgetRecord(a)", "LeaveWritten(a)")
    assert not still_right(begun)
    with pytest.raises(UnknownService):
        begun.openings.begin(begun.services["a"])
    begun.open_failed(UnknownService("a")).expect("Fail(1, UnknownService)")


# Parked, and back.


def test_an_idle_machine_is_parked_and_the_next_request_brings_it_back() -> None:
    asleep = resident().wait(7).park().expect("Park(a#1)").state("parking").parked()
    asleep.expect("KeepRecord(a, a#1, 6 bytes, 7 s, 1)", "Leave(a#1)", "Count(parks)").state("parked")
    asleep.asked(1).expect("Open(a)").opened(held=RECORD).expect("Dispatch(a#2, 1)")


def test_a_busy_machine_is_not_parked() -> None:
    resident().asked(1).expect("Dispatch(a#1, 1)").park().expect().state("resident")


def test_requests_wait_for_a_machine_that_is_being_parked() -> None:
    going = resident().park().expect("Park(a#1)").asked(1).expect().park().expect()
    kept = ("KeepRecord(a, a#1, 6 bytes, 0 s, 1)", "Leave(a#1)", "Count(parks)")
    going.parked().expect(*kept, "Open(a)").state("opening")


def test_a_record_nobody_asked_for_breaks_the_protocol() -> None:
    with pytest.raises(ValueError, match="PARKED without PARK"):
        resident().parked()


def test_a_record_beyond_its_limit_ends_the_machine() -> None:
    going = resident().park().expect("Park(a#1)")
    record = bytes(going.life.budget.record_bytes + RECORD_SLACK + 1)
    ended = ("Leave(a#1)", "Count(crashes, over_budget)", "ForgetRecord(a)", "Report(a#1, OverBudget)")
    going.parked(record=record).expect(*ended).state("backoff")


def test_a_machine_in_quarantine_makes_place_when_it_is_idle() -> None:
    begun = play().asked(0).expect("Open(a)").opened().expect("Dispatch(a#1, 0)")
    alone = begun.worker_lost(blamed="a#1")
    alone.expect("Count(crashes, worker_lost)", "Leave(a#1)", "ForgetRecord(a)", "Fail(0, WorkerLost)")
    alone.workers.append(Worker(2, Place("quarantine", "a")))
    alone.asked(1).expect("Open(a)").opened(worker=2).expect("Dispatch(a#2, 1)").answered(1).expect()
    alone.wait(QUARANTINE_RETRY_S).tick().expect()
    alone.exchanging.add("a#2")
    alone.wait(1).tick().expect()
    alone.exchanging.clear()
    alone.tick().expect("Park(a#2)")
    resident().wait(100).tick().expect()


# Room.


def test_the_coldest_idle_machine_makes_room() -> None:
    full = (
        resident(room_for=2).asked(1, "b").expect("Open(b)").opened("b").expect("Dispatch(b#1, 1)").answered(1).expect()
    )
    full.asked(2).expect("Dispatch(a#1, 2)").answered(2).expect()
    full.make_room("c").expect("Park(b#1)", "Room")
    full.make_room("d", machines=2).expect("Park(a#1)", "Room")


def test_who_wants_room_waits_while_all_are_busy_and_is_woken_when_one_is_idle_or_gone() -> None:
    full = resident(room_for=1).asked(1).expect("Dispatch(a#1, 1)").make_room("b").expect("NoRoom")
    full.make_room("c").expect("NoRoom")
    full.answered(1).expect("LookAgain(b)").make_room("b").expect("Park(a#1)", "Room")
    full.parked().expect("KeepRecord(a, a#1, 6 bytes, 0 s, 2)", "Leave(a#1)", "LookAgain(c)", "Count(parks)")


def test_the_largest_machine_of_a_tenant_that_has_too_much_ends_for_others_when_patience_does() -> None:
    full = resident(room_for=4).asked(1).expect("Dispatch(a#1, 1)").measured(a1=4 * MACHINE_BYTES).expect()
    full.make_room("b").expect("NoRoom").wait(PATIENCE_S - 0.1).make_room("b").expect("NoRoom").wait(0.1)
    full.make_room("b").expect(
        "Close(a#1)",
        "Leave(a#1)",
        "LookAgain(b)",
        "Count(crashes, memory_pressure)",
        "ForgetRecord(a)",
        "Report(a#1, MemoryPressure)",
        "Fail(1, MemoryPressure)",
        "Room",
    )
    assert (full.services["a"].crashes, full.services["a"].made_room) == (1, 1), "no fault of its program"


def test_nobody_ends_for_its_own_tenant_and_patience_begins_anew() -> None:
    full = resident(room_for=1).asked(1).expect("Dispatch(a#1, 1)").make_room("x", "a").expect("NoRoom")
    full.wait(PATIENCE_S).make_room("x", "a").expect("NoRoom")
    assert full.rooms["x"].patient_until == full.now + PATIENCE_S


def test_a_machine_that_has_outgrown_all_there_is_ends() -> None:
    grown = resident(room_for=2).measured(a1=2 * MACHINE_BYTES + 1)
    end = ("Close(a#1)", "Leave(a#1)", "Count(crashes, over_budget)", "ForgetRecord(a)", "Report(a#1, OverBudget)")
    grown.expect(*end).state("backoff")


def test_what_has_grown_parks_the_coldest() -> None:
    full = (
        resident(room_for=2).asked(1, "b").expect("Open(b)").opened("b").expect("Dispatch(b#1, 1)").answered(1).expect()
    )
    full.measured(b1=MACHINE_BYTES + 1).expect("Park(b#1)")  # the warmest, but it has more than half of all
    full.measured(b1=4 * MACHINE_BYTES).expect()  # one that is being parked is not counted


# A machine's end.


def test_a_crash_is_told_to_who_waits_and_the_next_start_is_from_the_image_after_a_pause() -> None:
    crash = ("Leave(a#1)", "Count(crashes, guest_fault)", "ForgetRecord(a)", "Report(a#1, GuestFault)")
    crashed = (
        resident().asked(1).expect("Dispatch(a#1, 1)").died().expect(*crash, "Fail(1, GuestFault)").state("backoff")
    )
    again = crashed.asked(2).expect("Open(a)").opened().expect("Dispatch(a#2, 2)")
    again.died("a#2").expect(*(text.replace("#1", "#2") for text in crash), "Fail(2, GuestFault)")
    again.asked(3).expect("Refuse(3, BackingOff)").wait(backoff.BACKOFF_FIRST_S).asked(4).expect("Open(a)")


def crashes(play: Playbook, machine: str, request: int) -> Playbook:
    """The machine, which has this request, dies of it."""
    end = (f"Leave({machine})", "Count(crashes, guest_fault)", "ForgetRecord(a)", f"Report({machine}, GuestFault)")
    return play.died(machine).expect(*end, f"Fail({request}, GuestFault)").state("backoff")


def test_a_request_that_crashes_what_answers_others_holds_nobody_back() -> None:
    begun = resident()
    for number in range(1, 20):
        old, new = f"a#{number}", f"a#{number + 1}"
        crashes(begun.asked(number).expect(f"Dispatch({old}, {number})"), old, number)
        good = 100 + number
        begun.asked(good).expect("Open(a)").opened().expect(f"Dispatch({new}, {good})").answered(good).expect()


def test_machines_for_one_request_each_start_no_pause() -> None:
    begun = play(fresh=True, streams=1)
    for number in range(1, 20):
        machine = f"a#{number}"
        begun.asked(number).expect("Open(a)").opened().expect(f"Dispatch({machine}, {number})")
        crashes(begun, machine, number)


def test_the_longest_pause_is_as_configured() -> None:
    begun = play(crash_pause_max_s=0.15)
    for number in range(1, 20):
        machine = f"a#{number}"
        begun.asked(number).expect("Open(a)").opened().expect(f"Dispatch({machine}, {number})")
        crashes(begun, machine, number).wait(0.15)


def test_a_request_the_guest_had_not_seen_is_given_to_a_fresh_machine_in_its_order() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").asked(2, method="POST").expect("Dispatch(a#1, 2)")
    busy.asked(3).expect("Dispatch(a#1, 3)").died(retry=(2, 3)).expect(
        "Leave(a#1)",
        "Count(crashes, guest_fault)",
        "ForgetRecord(a)",
        "Report(a#1, GuestFault)",
        "Replay(3)",
        "Replay(2)",
        "Fail(1, GuestFault)",
        "Open(a)",
    )
    busy.opened().expect("Dispatch(a#2, 2)", "Dispatch(a#2, 3)")


def test_a_request_is_replayed_once() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").worker_lost()
    busy.expect("StatesLost(a)", "Leave(a#1)", "Replay(1)", "Open(a)").opened().expect("Dispatch(a#2, 1)").worker_lost()
    busy.expect("StatesLost(a)", "Leave(a#2)", "Fail(1, WorkerLost)").request(1, "refused")


@pytest.mark.parametrize("about", [{"method": "POST"}, {"whole": False}])
def test_a_request_that_may_have_had_its_effect_or_is_not_whole_is_not_replayed(about: dict[str, Any]) -> None:
    busy = resident().asked(1, **about).expect("Dispatch(a#1, 1)")
    busy.worker_lost().expect("StatesLost(a)", "Leave(a#1)", "Fail(1, WorkerLost)").state("parked")


def test_an_answer_that_has_begun_is_cut_and_not_repeated() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").head(1).worker_lost()
    busy.expect("StatesLost(a)", "Leave(a#1)", "Fail(1, WorkerLost)").request(1, "cut")


def test_what_no_guest_is_at_fault_for_is_replayed_although_it_was_seen() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").died(error=WorkerFull("no descriptors"))
    end = ("Leave(a#1)", "Count(crashes, worker_full)", "ForgetRecord(a)", "Report(a#1, WorkerFull)")
    busy.expect(*end, "Replay(1)", "Open(a)")


def test_what_is_replayed_to_a_service_that_backs_off_is_refused() -> None:
    crashed = (
        resident()
        .died()
        .expect("Leave(a#1)", "Count(crashes, guest_fault)", "ForgetRecord(a)", "Report(a#1, GuestFault)")
    )
    busy = crashed.asked(1).expect("Open(a)").opened().expect("Dispatch(a#2, 1)")
    end = ("Leave(a#2)", "Count(crashes, guest_fault)", "ForgetRecord(a)", "Report(a#2, GuestFault)")
    busy.died("a#2", retry=(1,)).expect(*end, "Replay(1)", "Fail(1, BackingOff)").request(1, "refused")


def test_a_limit_that_was_hit_is_counted_and_named() -> None:
    error = OutOfTime("x")
    end = (
        "Leave(a#1)",
        "Count(crashes, out_of_time)",
        "Count(limit_hits, cpu_ms)",
        "ForgetRecord(a)",
        "Report(a#1, OutOfTime)",
    )
    resident().died(error=error).expect(*end)
    assert error.limit_value == "cpu_ms=200"


# Clients that leave, and requests without progress.


def test_a_client_that_leaves_frees_its_place() -> None:
    full = resident(streams=1).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect().asked(3).expect()
    full.client_gone(2).expect().request(2, "done")
    full.client_gone(1).expect("Reset(a#1, 1)", "Dispatch(a#1, 3)").request(1, "done")
    full.client_gone(1).expect()


def test_a_client_at_fault_is_told_so() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").client_gone(1, ClientError("body_too_large"))
    busy.expect("Reset(a#1, 1)", "Fail(1, ClientError)").request(1, "refused")


def test_a_guest_without_progress_is_given_up_and_its_place_is_free() -> None:
    full = resident(streams=1).asked(1).expect("Dispatch(a#1, 1)").wait(20).asked(2).expect().wait(10.1)
    full.tick().expect("Reset(a#1, 1)", "Fail(1, GuestSilent)", "Dispatch(a#1, 2)")


def test_an_answer_that_has_begun_may_pause_for_longer_while_its_client_reads() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    for number in (1, 2):
        busy.requests[number].step("head")
    busy.requests[2].reads = False  # what came is still on its way to the client
    busy.wait(30.1).tick().expect("Reset(a#1, 2)", "Fail(2, ClientError)").request(2, "cut")
    busy.wait(569.8).tick().expect().request(1, "answering")
    busy.wait(0.2).tick().expect("Reset(a#1, 1)", "Fail(1, GuestSilent)").request(1, "cut")


@pytest.mark.parametrize(("throttled", "whole", "error"), [(True, True, "Throttled"), (False, False, "ClientError")])
def test_who_is_to_blame_for_silence(throttled: bool, whole: bool, error: str) -> None:
    busy = resident().asked(1, whole=whole).expect("Dispatch(a#1, 1)").wait(30.1)
    busy.machines["a#1"].throttled = throttled
    limit = ["Count(limit_hits, cpu_percent)"] if throttled else []
    busy.tick().expect("Reset(a#1, 1)", *limit, f"Fail(1, {error})")


def test_a_request_that_is_over_is_told_nothing_more() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)")
    busy.requests[1].step("end")  # and its frame broke the protocol all the same
    busy.worker_lost(blamed="a#1").expect("Count(crashes, worker_lost)", "Leave(a#1)", "ForgetRecord(a)")


def test_a_request_waits_so_long_and_not_longer() -> None:
    begun = play().asked(1).expect("Open(a)").wait(20).asked(2).expect().wait(10).tick().expect().wait(0.1)
    begun.tick().expect("Fail(1, Unavailable)").wait(20).tick().expect("Fail(2, Unavailable)")
    assert list(begun.life.waiting) == [], "no service is looked at for which nothing waits"
