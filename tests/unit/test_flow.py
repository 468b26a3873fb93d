"""The decisions about a request: tables, routing, refusals, replay and back-off."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.model import flow
from edge.supervisor.waiting import may_wait
from tests.support.playbook import Playbook
from vmimage import errors

FLOW_MD = Path(__file__).parents[2] / "docs" / "flow.md"


@pytest.mark.parametrize(
    ("table", "first"), [(flow.REQUEST_FLOW, "waiting"), (flow.SERVICE_FLOW, "cold"), (flow.QUARANTINE_FLOW, "trusted")]
)
def test_every_state_of_a_table_is_reached_and_every_target_is_a_state(
    table: Mapping[str, Mapping[str, str]], first: str
) -> None:
    reached, frontier = {first}, [first]
    while frontier:
        for after in table[frontier.pop()].values():
            assert after in table
            if after not in reached:
                reached.add(after)
                frontier.append(after)
    assert reached == set(table)


def test_a_request_ends_and_nothing_follows_its_end() -> None:
    ends = {state for state, row in flow.REQUEST_FLOW.items() if not row}
    assert ends == {"done", "refused", "cut"}
    for state in flow.REQUEST_FLOW.keys() - ends:
        assert {"fail", "client_gone"} <= flow.REQUEST_FLOW[state].keys(), f"{state} cannot be ended from outside"


def test_a_service_can_be_replaced_in_every_state() -> None:
    assert all("replaced" in row for row in flow.SERVICE_FLOW.values())


def test_an_event_that_cannot_happen_is_a_defect_and_says_what_could() -> None:
    with pytest.raises(RuntimeError, match=r"'head' in state 'waiting', one of .*dispatch.* expected"):
        flow.step(flow.REQUEST_FLOW, "waiting", "head")


@pytest.mark.parametrize("event", ["dispatch", "head", "end"])
def test_an_event_as_a_table_is_as_strict_as_a_step(event: flow.RequestEvent) -> None:
    table = flow.after(event)
    for state, row in flow.REQUEST_FLOW.items():
        if event in row:
            assert table[state] == flow.step(flow.REQUEST_FLOW, state, event)
        else:
            with pytest.raises(RuntimeError, match=f"'{event}' in state '{state}'"):
                table[state]


def test_a_machine_takes_no_request_that_is_with_another() -> None:
    busy = Playbook().asked(1).expect("Open(a)").opened().expect("Dispatch(a#1, 1)")
    with pytest.raises(RuntimeError, match="'dispatch' in state 'asked'"):
        busy.machines["a#1"].add(busy.requests[1])


def test_the_drawing_in_the_docs_is_the_tables() -> None:
    assert FLOW_MD.read_text() == flow.drawing(), "run: python -m edge.model.flow > docs/flow.md"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (errors.UnknownService("x"), 421, "unknown_service"),
        (errors.OriginUnreachable("x"), 502, "origin_unreachable"),
        (errors.OriginTimeout("x"), 504, "origin_timeout"),
        (errors.VerificationError("x"), 502, "unverifiable"),
        (errors.OutOfTime("x"), 504, "out_of_time"),
        (errors.OutOfMemory("x"), 507, "out_of_memory"),
        (flow.WorkerLost("x"), 502, "worker_lost"),
        (flow.QuarantineFull(2.0), 503, "quarantine_full"),
        (flow.QueueFull("x"), 503, "queue_full"),
        (errors.OverBudget("x"), 507, "over_budget"),
        (flow.ClientError("bad_request"), 400, "bad_request"),
        (ZeroDivisionError("x"), 500, "internal"),
    ],
)
def test_each_error_has_its_status_and_reason(error: Exception, status: int, reason: str) -> None:
    assert flow.refusal(error)[:2] == (status, reason)


def test_a_pause_is_told_in_whole_seconds_upwards() -> None:
    assert flow.refusal(flow.BackingOff(0.2)) == flow.Refusal(503, "backing_off", 1)
    assert flow.refusal(flow.BackingOff(2.1)) == flow.Refusal(503, "backing_off", 3)
    assert flow.refusal(errors.OriginBusy("x", 6.1)) == flow.Refusal(503, "origin_busy", 7)
    assert flow.refusal(errors.Unavailable("x")).retry_after_s > 0


@pytest.mark.parametrize("name", ["GuestFault", "OutOfTime", "FormatError"])
def test_a_worker_names_an_error_class(name: str) -> None:
    assert type(flow.died_error(name, "m")) is getattr(errors, name)


@pytest.mark.parametrize("name", ["", "NoSuch", "ClassVar", "__name__", "None"])
def test_a_worker_cannot_name_anything_else(name: str) -> None:
    assert type(flow.died_error(name, "m")) is errors.GuestError


def replay(**changes: object) -> bool:
    case: dict[str, Any] = {
        "state": "asked",
        "method": "GET",
        "whole": True,
        "replayed": False,
        "seen": True,
        "guest_fault": False,
        **changes,
    }
    return flow.may_replay(**case)


def test_a_request_is_replayed_only_when_it_cannot_have_had_an_effect() -> None:
    assert replay(), "the worker died, nothing was sent, GET"
    assert not replay(method="POST"), "a POST may have had its effect"
    assert replay(method="POST", seen=False), "the guest never had it"
    assert not replay(guest_fault=True), "it may be what killed the guest"
    assert replay(guest_fault=True, seen=False), "another request killed the guest"
    assert not replay(replayed=True), "once is enough"
    assert not replay(blamed=True), "it may be what ended the worker"
    assert not replay(blamed=True, seen=False), "so may one that it had not begun with, as far as anybody knows"
    assert not replay(whole=False), "its body is gone"
    assert not replay(state="answering"), "the client has the head"


def test_the_one_who_stopped_is_blamed() -> None:
    assert flow.refusal(flow.silence("asked", True, True, 1.0)).status == 504
    assert flow.refusal(flow.silence("asked", False, True, 1.0)).status == 408
    assert "stream_timeout" in str(flow.silence("answering", True, True, 600.0))
    assert isinstance(flow.silence("answering", True, False, 30.0), flow.ClientError), "it does not read"
    assert isinstance(flow.silence("answering", True, False, 30.0, throttled=True), flow.ClientError), "nor then"
    assert isinstance(flow.silence("answering", False, True, 600.0), flow.ClientError), "its body does not come"


HERE = {1, 2, 3}


@pytest.mark.parametrize(
    ("cause", "page", "frame", "expected"),
    [
        ("died", 2, 0, 2),
        ("died", 0, 0, flow.NOBODY),
        ("died", 9, 1, flow.NOBODY),  # it names none of its own
        ("died", 0, 1, flow.NOBODY),  # what it sent before is no evidence
        ("wedged", 3, 1, 3),
        ("protocol", 2, 1, 1),  # it has gone on to another machine since it sent that
        ("protocol", 2, 9, flow.NOBODY),
        ("protocol", 2, 0, flow.NOBODY),
        ("defect", 2, 1, flow.NOBODY),  # we stumbled, whoever it was that sent it
    ],
)
def test_the_evidence_decides_which_machine_is_blamed(cause: flow.Cause, page: int, frame: int, expected: int) -> None:
    assert flow.blame(cause, page=page, frame=frame, machines=HERE) == expected


@pytest.mark.parametrize("cause", flow.EVIDENCE)
def test_a_worker_without_machines_has_nobody_to_blame(cause: flow.Cause) -> None:
    assert flow.blame(cause, page=1, frame=1, machines=()) == flow.NOBODY
    assert flow.blame(cause, page=0, frame=0, machines=HERE) == flow.NOBODY


def test_a_tenants_waiting_requests_hold_no_more_than_what_is_free_then() -> None:
    assert may_wait(100, 0, 0, 50)
    assert not may_wait(100, 0, 0, 51)
    assert may_wait(100, 40, 0, 30), "a newcomer beside one that has its share"
    assert not may_wait(100, 50, 50, 1)
