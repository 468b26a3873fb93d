"""Who is in quarantine, for how long, and what leads out of it: the table played, and the sums around it."""

import pytest

from edge.model import flow
from edge.model.flow import SHARED, Place
from edge.model.services import Service
from edge.supervisor.quarantine import (
    CALM_S,
    HEALTHY_FIRST_S,
    HEALTHY_MAX_S,
    KEPT_MAX,
    PAUSE_MAX_S,
    TENANT_SERVICES,
    Blame,
    Quarantine,
    blamed,
    healthy_after_s,
)
from vmimage.trust import ServiceRecord


def service(name: str, tenant: str = "") -> Service:
    return Service(ServiceRecord(name, (f"{name}.test",), "sha256:" + "0" * 64, 100, 1, owner=tenant))


def nobody(_: str) -> bool:
    return False


def test_the_first_pause_is_none_and_the_others_double_up_to_a_bound() -> None:
    blame, now, pauses = Blame(), 1000.0, []
    for _ in range(14):
        blame = blamed(blame, now)
        pauses.append(blame.pause_until - now)
        now = blame.pause_until + 1
    assert pauses[:5] == [0.0, 2.0, 4.0, 8.0, 16.0]
    assert max(pauses) == pauses[-1] == PAUSE_MAX_S


def test_a_row_of_blames_ends_with_calm_after_the_pause_and_not_within_it() -> None:
    blame = Blame("quarantined", 1, in_row=20, at=0.0, pause_until=PAUSE_MAX_S)
    assert blamed(blame, PAUSE_MAX_S + CALM_S - 1).in_row == 21
    assert blamed(blame, PAUSE_MAX_S + CALM_S).in_row == 1


def test_each_return_doubles_the_time_until_release() -> None:
    assert [healthy_after_s(times) / HEALTHY_FIRST_S for times in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert healthy_after_s(100) == HEALTHY_MAX_S


def test_a_service_that_was_never_blamed_is_where_its_tenant_may_be() -> None:
    quarantine = Quarantine(lambda tenant: tenant == "alone")
    assert quarantine.place(service("a")) == SHARED
    assert quarantine.place(service("b", "alone")) == Place("tenant", "alone")
    quarantine.blame(service("c"), 0.0)
    assert quarantine.place(service("a")) == SHARED
    assert quarantine.place(service("b", "alone")) == Place("tenant", "alone")


def test_one_that_is_blamed_is_alone_even_if_its_tenant_is() -> None:
    quarantine = Quarantine(lambda tenant: tenant == "alone")
    one, other = service("a", "alone"), service("b", "alone")
    quarantine.blame(one, 0.0)
    assert quarantine.place(one) == Place("quarantine", "a")
    assert quarantine.place(other) == Place("tenant", "alone")


def test_time_without_blame_leads_out_and_blame_counts_anew() -> None:
    quarantine, one = Quarantine(nobody), service("a")
    quarantine.blame(one, 0.0)
    quarantine.blame(one, 500.0)
    assert quarantine.sweep(500.0 + HEALTHY_FIRST_S - 1) == []
    assert quarantine.sweep(500.0 + HEALTHY_FIRST_S) == ["a"]
    assert quarantine.place(one) == SHARED
    assert len(quarantine) == 0
    assert quarantine.blame(one, 2000.0).times == 2
    assert quarantine.sweep(2000.0 + HEALTHY_FIRST_S) == []
    assert quarantine.sweep(2000.0 + 2 * HEALTHY_FIRST_S) == ["a"]


def test_a_new_version_leads_out_once_and_not_twice() -> None:
    quarantine, one = Quarantine(nobody), service("a")
    quarantine.blame(one, 0.0)
    quarantine.on_version(one)
    assert quarantine.place(one) == SHARED
    assert quarantine.pause_s(one, 0.0) == 0
    quarantine.blame(one, 1.0)
    quarantine.on_version(one)
    assert quarantine.place(one) == Place("quarantine", "a")


def test_a_version_does_not_shorten_a_pause_of_one_that_stays() -> None:
    quarantine, one = Quarantine(nobody), service("a")
    quarantine.blame(one, 0.0)
    quarantine.on_version(one)
    quarantine.blame(one, 1.0)
    quarantine.blame(one, 2.0)
    quarantine.on_version(one)
    assert quarantine.pause_s(one, 2.0) == 4.0, "the third blame in a row"


def test_to_withdraw_a_service_and_publish_it_anew_is_no_way_out() -> None:
    quarantine = Quarantine(nobody)
    quarantine.blame(service("a"), 0.0)
    assert quarantine.place(service("a")) == Place("quarantine", "a")


def test_a_tenant_of_several_blamed_services_is_confined_as_a_whole_until_they_are_forgotten() -> None:
    quarantine = Quarantine(nobody)
    for number in range(TENANT_SERVICES - 1):
        quarantine.blame(service(f"m{number}", "mallory"), 0.0)
    assert quarantine.place(service("innocent", "mallory")) == SHARED
    quarantine.blame(service("m0", "mallory"), 0.0)
    assert quarantine.place(service("innocent", "mallory")) == SHARED, "one service twice is one service"
    quarantine.blame(service("last", "mallory"), 0.0)
    assert quarantine.place(service("innocent", "mallory")) == Place("quarantine", "tenant mallory")
    assert quarantine.place(service("bob")) == SHARED
    quarantine.sweep(HEALTHY_MAX_S)
    quarantine.sweep(10 * HEALTHY_MAX_S)
    assert quarantine.place(service("innocent", "mallory")) == SHARED
    assert quarantine.of("last") is None


def test_what_is_remembered_is_bounded() -> None:
    quarantine = Quarantine(nobody)
    for number in range(KEPT_MAX + 10):
        quarantine.blame(service(f"s{number}"), 0.0)
    assert len(quarantine) == KEPT_MAX
    assert quarantine.place(service("s0")) == SHARED
    assert quarantine.place(service(f"s{KEPT_MAX + 9}")).kind == "quarantine"


@pytest.mark.parametrize("standing", flow.QUARANTINE_FLOW)
def test_blame_always_confines(standing: flow.Standing) -> None:
    assert blamed(Blame(standing), 0.0).confined
