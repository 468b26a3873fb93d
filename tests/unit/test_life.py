"""A service's life, played: what happens, and in exact order what is done for it. See `tests.support.playbook`."""

from typing import Any

import pytest

from edge.common import backoff
from edge.model.flow import QUARANTINE_RETRY_S, ClientError, Place
from edge.supervisor import commands as do
from edge.supervisor.budget import OPEN_ROOM, PATIENCE_S, RECORD_SLACK
from edge.supervisor.openings import Held
from edge.supervisor.pools import GROW_AT, IDLE_S
from edge.supervisor.quarantine import HEALTHY_FIRST_S, TENANT_SERVICES
from edge.supervisor.waiting import STREAM_BYTES
from edge.vmm.wire import frames
from tests.support.playbook import MACHINE_BYTES, Playbook, Worker
from vmimage.errors import (
    OriginUnreachable,
    OutOfTime,
    OverBudget,
    UnknownService,
    WorkerFull,
)

RECORD = Held("parked", 5.0, 3, 6)


def play(**about: object) -> Playbook:
    """Nothing has happened yet."""
    return Playbook(**about)  # type: ignore[arg-type]


def resident(**about: object) -> Playbook:
    """Service a has a machine, a#1, that has answered request 0."""
    begun = play(**about).asked(0).expect("Open(a)").opened().expect("Dispatch(a#1, 0)")
    return begun.answered(0).expect().state("resident")


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
def test_a_worn_record_is_dropped(limit: dict[str, int], cause: str) -> None:
    begun = play(**limit).asked(1).expect("Open(a)")
    assert not begun.record(RECORD)
    begun.expect("ForgetRecord(a)", f"Count(rejuvenations, {cause})")


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_record_that_no_worker_would_take_is_dropped_and_that_is_said(beyond: int) -> None:
    begun = play().asked(1).expect("Open(a)")
    size = frames.PAYLOAD_MAX - OPEN_ROOM + beyond
    assert begun.record(RECORD._replace(size_bytes=size)) is (not beyond)
    begun.expect(*[f"RecordTooLarge(a, {size})", "ForgetRecord(a)"][: 2 * beyond])


def still_right(
    begun: Playbook, worker: Worker | None = None, *, key: str = "", current: bool = True, machines: int = 1
) -> bool:
    service, cost_bytes = begun.services["a"], machines * MACHINE_BYTES
    return begun.openings.still_right(service, key or service.key, worker or begun.workers[0], cost_bytes, current)


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
    begun = play().asked(1).expect("Open(a)").changed(withdrawn=True).expect("ForgetRecord(a)", "ForgetWritten(a)")
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
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").client_gone(1, ClientError(413, "body_too_large"))
    busy.expect("Reset(a#1, 1)", "Fail(1, ClientError)").request(1, "refused")


def test_a_guest_without_progress_is_given_up_and_its_place_is_free() -> None:
    full = resident(streams=1).asked(1).expect("Dispatch(a#1, 1)").wait(20).asked(2).expect().wait(10.1)
    full.tick().expect("Reset(a#1, 1)", "Fail(1, GuestSilent)", "Dispatch(a#1, 2)")


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


# Worn, changed, withdrawn.


@pytest.mark.parametrize(("limit", "cause"), [({"requests": 2}, "requests"), ({"seconds": 60}, "seconds")])
def test_a_worn_machine_finishes_what_it_has_and_the_next_request_finds_a_new_one(
    limit: dict[str, int], cause: str
) -> None:
    worn = (
        resident(**limit)
        .wait(60)
        .asked(1)
        .expect(f"Count(rejuvenations, {cause})", "ForgetRecord(a)", "Dispatch(a#1, 1)")
    )
    worn.state("cold").asked(2).expect("Open(a)").answered(1).expect("Close(a#1)", "Leave(a#1)")
    worn.opened().expect("Dispatch(a#2, 2)")


def test_a_machine_is_worn_once() -> None:
    worn = (
        resident()
        .asked(1)
        .expect("Dispatch(a#1, 1)")
        .grew()
        .expect("Count(rejuvenations, growth_bytes)", "ForgetRecord(a)")
    )
    worn.grew().expect().answered(1).expect("Close(a#1)", "Leave(a#1)")
    resident().park().expect("Park(a#1)").grew().expect().state("parking")


def test_what_waits_for_a_place_in_a_machine_that_is_worn_goes_to_a_new_one_at_once() -> None:
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


def test_nobody_waits_for_what_a_withdrawn_service_wrote() -> None:
    busy = resident()
    busy.writers.add("a#1")
    end = ("ForgetRecord(a)", "Count(replaced)", "Close(a#1)", "Leave(a#1)", "ForgetWritten(a)", "WantSoon(a)")
    busy.changed(withdrawn=True).expect(*end)


# Pools.


def grown(worker: int = 1, **about: object) -> Playbook:
    """Service a has machines a#1 with requests 1 and 2, and a#2, in another worker if nothing else is said."""
    busy = resident(pool=2, **about).asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)")
    assert GROW_AT == 2
    more = busy.asked(3).expect("Grow(a, a#1)", "Dispatch(a#1, 3)").asked(4).expect("Dispatch(a#1, 4)")
    return more.grown(worker=worker).expect("Count(pool_grown)").answered(3, 4).expect()


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


# Fresh machines, of one request each.


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


def test_a_worn_first_leaves_its_place_to_another() -> None:
    busy = grown(requests=8).asked(5).expect("Dispatch(a#2, 5)").asked(6).expect("Dispatch(a#2, 6)").asked(7)
    busy.expect("Dispatch(a#1, 7)").asked(8).expect("Dispatch(a#2, 8)").asked(9)
    busy.expect("Dispatch(a#1, 9)").answered(7).expect().asked(10)
    busy.expect("Count(rejuvenations, requests)", "ForgetRecord(a)", "Dispatch(a#1, 10)").state("resident")
    assert busy.services["a"].machine is busy.machines["a#2"]


# The end of a worker.


def test_neighbours_of_one_that_is_blamed_go_back_to_their_records_and_are_asked_again() -> None:
    two = (
        resident()
        .asked(1, "b")
        .expect("Open(b)")
        .opened("b")
        .expect("Dispatch(b#1, 1)")
        .asked(2)
        .expect("Dispatch(a#1, 2)")
    )
    two.worker_lost(blamed="a#1").expect(
        "Count(crashes, worker_lost)",
        "Leave(a#1)",
        "ForgetRecord(a)",
        "Fail(2, WorkerLost)",
        "StatesLost(b)",
        "Leave(b#1)",
        "Replay(1)",
        "Open(b)",
    )
    two.state("backoff").opened("b").expect("Dispatch(b#2, 1)")
    assert two.life.quarantine.place(two.services["a"]) == Place("quarantine", "a")
    two.asked(3).expect("Open(a)")  # the first pause is none
    assert not still_right(two), "not among others"
    assert still_right(two, Worker(place=Place("quarantine", "a")))


def test_requests_of_one_that_is_blamed_are_not_repeated_and_pauses_grow() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").asked(2).expect("Dispatch(a#1, 2)").worker_lost(blamed="a#1")
    end = ("Count(crashes, worker_lost)", "Leave(a#1)", "ForgetRecord(a)", "Fail(2, WorkerLost)", "Fail(1, WorkerLost)")
    busy.expect(*end).workers.append(Worker(2, Place("quarantine", "a")))
    again = busy.asked(3).expect("Open(a)").opened(worker=2).expect("Dispatch(a#2, 3)").worker_lost(2, blamed="a#2")
    again.expect("Count(crashes, worker_lost)", "Leave(a#2)", "ForgetRecord(a)", "Fail(3, WorkerLost)")
    again.asked(4).expect("Refuse(4, BackingOff)").wait(2).asked(5).expect("Open(a)")


def test_a_pause_in_quarantine_is_not_ended_by_what_else_happens() -> None:
    """Its machine was replaced meanwhile, so that the service does not back off, and may not start all the same."""
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").worker_lost(blamed="a#1")
    busy.expect("Count(crashes, worker_lost)", "Leave(a#1)", "ForgetRecord(a)", "Fail(1, WorkerLost)")
    service = busy.services["a"]
    for _ in range(2):
        busy.life.quarantine.blame(service, busy.now)
    service.step("pause_over")
    busy.asked(2).expect("Refuse(2, BackingOff)").state("cold")


def test_machines_of_a_blamed_service_in_other_workers_leave_them() -> None:
    busy = grown().asked(5).expect("Dispatch(a#2, 5)").worker_lost(1, blamed="a#2")
    busy.expect(
        "Count(crashes, worker_lost)",
        "Leave(a#2)",
        "StatesLost(a)",
        "Close(a#1)",
        "Leave(a#1)",
        "Fail(5, WorkerLost)",
        "Replay(2)",
        "Replay(1)",
        "Open(a)",
    )
    idle = grown().answered(1, 2).expect().worker_lost(1, blamed="a#2")
    idle.expect("Count(crashes, worker_lost)", "Leave(a#2)", "Park(a#1)")


def test_machines_of_a_blamed_service_in_the_same_worker_are_lost_like_all_others() -> None:
    busy = grown(worker=0).asked(5).expect("Dispatch(a#2, 5)").worker_lost(blamed="a#2")
    busy.expect(
        "Count(crashes, worker_lost)",
        "Leave(a#2)",
        "Fail(5, WorkerLost)",
        "StatesLost(a)",
        "Leave(a#1)",
        "Replay(2)",
        "Replay(1)",
        "Open(a)",
    )


def test_what_such_a_machine_wrote_is_kept_and_its_record_is_not() -> None:
    """The blamed one is of the version before; that record comes when the service has begun to open anew."""
    busy = (
        resident()
        .asked(1)
        .expect("Dispatch(a#1, 1)")
        .changed()
        .expect("ForgetRecord(a)", "Count(replaced)", "WantSoon(a)")
    )
    both = busy.asked(2).expect("Open(a)").opened(worker=1).expect("Dispatch(a#2, 2)")
    both.writers.add("a#2")
    both.worker_lost(blamed="a#1").expect(
        "Count(crashes, worker_lost)",
        "Leave(a#1)",
        "StatesLost(a)",
        "Park(a#2)",
        "Fail(1, WorkerLost)",
        "Replay(2)",
        "Open(a)",
    )
    both.parked("a#2").expect("Leave(a#2)").state("opening")


def test_what_is_replayed_does_not_go_to_another_machine_in_the_worker_that_has_ended() -> None:
    """One of the version before and one of this one were in it, and the end of the first is told first."""
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").changed()
    busy.expect("ForgetRecord(a)", "Count(replaced)", "WantSoon(a)").asked(2).expect("Open(a)")
    busy.opened().expect("Dispatch(a#2, 2)").worker_lost()
    busy.expect("StatesLost(a)", "Leave(a#1)", "Replay(1)", "Leave(a#2)", "Replay(2)", "Open(a)")
    busy.opened().expect("Dispatch(a#3, 2)", "Dispatch(a#3, 1)")


def test_a_state_that_is_as_its_record_is_not_lost() -> None:
    back = resident().park().expect("Park(a#1)").parked()
    back.expect("KeepRecord(a, a#1, 6 bytes, 0 s, 1)", "Leave(a#1)", "Count(parks)").asked(1).expect("Open(a)")
    back.opened(held=RECORD).expect("Dispatch(a#2, 1)")
    back.machines["a#2"].kept += 1
    back.worker_lost().expect("Leave(a#2)", "Replay(1)", "Open(a)")
    fresh = resident(fresh=True).worker_lost().expect("Leave(a#1)")
    fresh.state("parked")


def test_a_worker_that_ends_while_it_parks_loses_that_and_what_waits_is_opened_anew() -> None:
    going = resident().park().expect("Park(a#1)").asked(1).expect()
    going.worker_lost().expect("StatesLost(a)", "Leave(a#1)", "Open(a)").state("opening")


def test_who_has_been_healthy_comes_back_when_it_is_idle() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").worker_lost(blamed="a#1")
    busy.expect("Count(crashes, worker_lost)", "Leave(a#1)", "ForgetRecord(a)", "Fail(1, WorkerLost)")
    busy.workers.append(Worker(2, Place("quarantine", "a")))
    alone = busy.asked(2).expect("Open(a)").opened(worker=2).expect("Dispatch(a#2, 2)").answered(2).expect()
    alone.wait(HEALTHY_FIRST_S - 1).asked(3).expect("Dispatch(a#2, 3)").wait(1)
    alone.tick().expect("Released(a, healthy, 1)").answered(3).expect().tick().expect("Park(a#2)")
    alone.parked("a#2").expect(f"KeepRecord(a, a#2, 6 bytes, {HEALTHY_FIRST_S:g} s, 2)", "Leave(a#2)", "Count(parks)")
    alone.asked(4).expect("Open(a)")
    assert still_right(alone)


def test_a_version_leads_out_of_quarantine_and_that_is_said() -> None:
    busy = resident().asked(1).expect("Dispatch(a#1, 1)").worker_lost(blamed="a#1")
    busy.expect("Count(crashes, worker_lost)", "Leave(a#1)", "ForgetRecord(a)", "Fail(1, WorkerLost)")
    busy.changed().expect("ForgetRecord(a)", "Released(a, new_version, 1)", "WantSoon(a)")
    busy.asked(2).expect("Open(a)")
    assert still_right(busy)


def test_a_tenant_of_several_that_were_blamed_is_moved_as_a_whole() -> None:
    """The innocent one is parked as soon as it is idle, and comes back where it may be."""
    busy = play(room_for=10)
    names = ["innocent", *(f"evil{number}" for number in range(TENANT_SERVICES))]
    for number, name in enumerate(names):
        busy.service(name, "mallory")
        busy.workers.append(worker := Worker(number))
        busy.asked(number, name).expect(f"Open({name})").opened(name, worker=worker).expect(
            f"Dispatch({name}#1, {number})"
        )
    for number, name in enumerate(names[1:], start=1):
        busy.worker_lost(busy.workers[2 + number], blamed=f"{name}#1")
        gone = ("Count(crashes, worker_lost)", f"Leave({name}#1)", f"ForgetRecord({name})")
        busy.expect(*gone, f"Fail({number}, WorkerLost)").tick().expect()
    busy.answered(0).expect().tick().expect("Park(innocent#1)")
    assert busy.life.quarantine.place(busy.services["innocent"]) == Place("quarantine", "tenant mallory")


def test_a_machine_that_is_gone_is_forgotten_once() -> None:
    gone = (
        resident()
        .died()
        .expect("Leave(a#1)", "Count(crashes, guest_fault)", "ForgetRecord(a)", "Report(a#1, GuestFault)")
    )
    gone.life.residents.forget(gone.machines["a#1"])
    assert not gone.life.out


def test_the_end_parks_small_machines_first_and_closes_those_of_pools() -> None:
    end = grown().answered(1, 2).expect()
    here = end.life.residents.left_in(end.workers[0])
    assert [end.name(machine) for machine in here] == ["a#1"]
    batches = end.life.residents.last_batches(here)
    assert [[end.name(machine) for machine in batch] for batch in batches] == [["a#1"]]
    assert [type(command) for command in end.life.out] == [do.Close, do.Leave]
