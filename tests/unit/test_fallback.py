"""Does a version that does not come up leave the one that works in place, and nothing else go back?"""

from dataclasses import replace
from typing import Any

import pytest

from edge.supervisor import commands as do
from edge.supervisor.fallback import CRASHES, Fallback, changing
from tests.support.playbook import Playbook, release
from vmimage.errors import GuestFault, ImageTooLarge, NunatakError, OriginError, OverBudget, Unavailable
from vmimage.errors import VerificationError as Unverifiable
from vmimage.trust import ServiceRecord

GOOD, NEW = release("a"), release("a", version=2)
MISSING = OriginError("404")


class Edge:
    """One service whose version 1 works, and version 2 is what the catalogue says now."""

    def __init__(self, new: ServiceRecord | None = NEW, *, works: bool = True) -> None:
        self.play = Playbook()
        self.service, self.fallback = self.play.service("a"), Fallback(self.play.life)
        self.service.works = works
        self.change(new)

    def change(self, new: ServiceRecord | None) -> None:
        changing(self.service, new)
        if new is not None:
            self.service.release = new

    def opening(self) -> None:
        """Somebody asks, and nothing is known yet."""
        self.service.step("request")

    def goes_back(self, error: Exception = MISSING) -> bool:
        return self.fallback.not_opened(self.service, error)

    def out(self) -> list[str]:
        """What follows, by name."""
        names = [type(command).__name__ for command in self.play.life.out]
        self.play.life.out.clear()
        return names


@pytest.mark.parametrize("error", [MISSING, Unverifiable("not signed"), ImageTooLarge("x"), OverBudget("x")])
def test_the_version_before_goes_on_where_the_new_one_cannot_be_had(error: NunatakError) -> None:
    edge = Edge()
    edge.opening()
    assert edge.goes_back(error)
    assert (edge.service.release, edge.service.refused) == (GOOD, NEW)
    assert edge.service.state == "cold"
    assert edge.out() == ["FellBack", "WantSoon"]


def test_it_does_not_where_nothing_worked_before_or_the_failure_says_nothing_of_the_version() -> None:
    for edge, error in (
        (Edge(works=False), MISSING),
        (Edge(), Unavailable("busy")),
        (Edge(), RuntimeError("ours")),
        (Edge(release("a", "another", 2)), MISSING),
        (Edge(replace(NEW, manifest_digest=GOOD.manifest_digest)), MISSING),
    ):
        edge.opening()
        assert not edge.goes_back(error), error
        assert edge.service.refused is None
        assert edge.out() == []


def test_a_version_that_was_opened_once_is_not_gone_back_from_when_it_is_missing_later() -> None:
    edge = Edge()
    edge.service.works = True
    edge.opening()
    assert not edge.goes_back()


def test_what_an_operator_holds_is_not_gone_back_to() -> None:
    edge = Edge()
    edge.fallback.is_held = lambda record: record == GOOD
    edge.opening()
    assert not edge.goes_back()


def test_several_versions_that_cannot_be_had_leave_the_last_that_worked() -> None:
    edge = Edge()
    edge.change(release("a", version=3))
    edge.opening()
    assert edge.goes_back()
    edge.change(release("a", version=4))
    edge.opening()
    assert edge.goes_back()
    assert edge.service.release == GOOD


def test_a_withdrawn_service_is_gone() -> None:
    edge = Edge(None)
    assert edge.service.last_good is None


def _crash(edge: Edge, *, worked: bool) -> None:
    machine = _machine(edge, worked)
    edge.service.crashes_in_row += 1
    edge.service.state = "backoff"
    edge.fallback.crashed(machine, GuestFault("null"))


def _machine(edge: Edge, worked: bool) -> Any:
    return type("Crashed", (), {"service": edge.service, "version": NEW.manifest_digest, "did_its_work": worked})()


def test_machines_that_crash_again_and_again_without_an_answer_leave_the_version_before() -> None:
    edge = Edge()
    for number in range(1, CRASHES + 1):
        _crash(edge, worked=False)
        assert (edge.service.release == GOOD) is (number == CRASHES)
    assert (edge.service.state, edge.service.crashes_in_row) == ("cold", 0)
    assert edge.out() == ["FellBack", "WantSoon"]


def test_a_version_that_has_answered_is_never_gone_back_from() -> None:
    edge = Edge()
    _crash(edge, worked=True)
    for _ in range(2 * CRASHES):
        _crash(edge, worked=False)
    assert edge.service.release == NEW


def test_the_command_names_what_is_refused() -> None:
    edge = Edge()
    edge.opening()
    edge.goes_back()
    command = edge.play.life.out[0]
    assert isinstance(command, do.FellBack)
    assert (command.refused, command.error) == (NEW, MISSING)
