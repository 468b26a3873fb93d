"""A service's life, played: what becomes of all services of a worker that ends, by fault or at the edge's own end."""

from edge.model.flow import Place
from edge.supervisor import commands as do
from edge.supervisor.quarantine import HEALTHY_FIRST_S, TENANT_SERVICES
from tests.support.playbook import Worker
from tests.support.plays import RECORD, grown, play, resident, still_right


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
