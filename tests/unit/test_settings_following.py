"""Does an edge take fleet settings up in turn, measure them, and go back from bad ones, also over a restart?"""

from dataclasses import replace
from pathlib import Path

import pytest

from edge.releases.gates import KNOWN, WINDOW_S
from edge.releases.sides import FEW, MANY
from edge.settings.comparison import BEFORE_MAX_S, PROVEN_MAX_S, PROVEN_S
from edge.settings.following import TICK_S
from edge.settings.memory import Memory
from tests.support.connections import later
from tests.support.settings_edge import GATES, Edge, played
from vmimage.fleet_settings import NOTHING, FleetSettings, Staged, Stop, Version
from vmimage.release import ALL

SINCE = "2026-01-31T10:00:00Z"
STABLE, NEW = (Version(number, SINCE, {"max_body": f"{number}MiB"}) for number in (7, 8))
EVERYWHERE = Staged(NEW, ALL, gates=GATES)


async def with_stable(edge: Edge, said: FleetSettings = FleetSettings(8, STABLE)) -> None:  # noqa: B008  # a value
    """The stable version has proved itself."""
    edge.sign(said)
    await later(PROVEN_S + TICK_S)
    assert edge.memory.good == STABLE


# In turn.


def test_a_candidate_is_measured_then_tried_then_kept_then_stable(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        assert edge.state == (0, "kept", "")
        edge.sign(FleetSettings(7, STABLE))
        assert (edge.layer.taken, edge.state) == ([STABLE.name], (7, "trying", ""))
        await later(PROVEN_S - 2 * TICK_S)
        assert edge.memory.good == NOTHING
        await later(3 * TICK_S)
        assert (edge.memory.good, edge.state) == (STABLE, (7, "kept", ""))

        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        assert edge.state == (7, "measuring", "")
        edge.serve(KNOWN)
        await later(WINDOW_S / 2)
        assert edge.state == (7, "measuring", ""), "a moment says little"
        await later(WINDOW_S / 2 + TICK_S)
        assert (edge.layer.taken[-1], edge.state) == (NEW.name, (8, "trying", ""))
        assert Memory(tmp_path / "fleet_settings.json").trying == NEW.name
        await edge.prove()
        assert (edge.memory.kept, edge.memory.good, edge.state) == (NEW, STABLE, (8, "kept", ""))
        assert not edge.is_listening
        report = edge.following.report()
        assert (report.tried, report.before.requests) == (NEW.name, KNOWN)
        assert report.after.requests >= GATES.requests

        edge.sign(FleetSettings(8, NEW))
        assert (edge.memory.good, edge.memory.kept, edge.state) == (NEW, None, (8, "kept", ""))
        assert edge.layer.taken == [STABLE.name, NEW.name], "what it went by goes on"
        assert edge.counted == {"tried": 2, "kept": 2}

    played(tmp_path, play)


def test_an_edge_waits_for_its_turn_and_goes_by_the_stable_version_again_when_it_is_taken_back(tmp_path: Path) -> None:
    names = [f"edge-{number}" for number in range(100)]
    late = next(name for name in names if not replace(EVERYWHERE, share=5000).takes(name, "fra"))

    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign(FleetSettings(8, STABLE, replace(EVERYWHERE, share=5000)))
        edge.sign(FleetSettings(8, STABLE, replace(EVERYWHERE, pops=("ams",))))
        assert (edge.state, edge.is_listening) == ((7, "kept", ""), False)
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await edge.measure()
        assert edge.state == (8, "trying", "")
        edge.sign(FleetSettings(8, STABLE))
        assert (edge.layer.taken[-1], edge.state, edge.is_listening) == (STABLE.name, (7, "kept", ""), False)
        assert (edge.memory.trying, edge.memory.back) == ("", {})

    played(tmp_path, play, name=late)


def test_an_edge_that_nobody_asks_tries_all_the_same(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await later(BEFORE_MAX_S + TICK_S)
        assert edge.state == (8, "trying", "")
        await later(PROVEN_S + TICK_S)
        assert edge.state == (8, "trying", "")
        await later(PROVEN_MAX_S)
        assert edge.state == (8, "kept", "")

    played(tmp_path, play)


def test_what_is_finished_during_its_trial_has_no_gates_any_more(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        edge.sign(FleetSettings(8, NEW))
        assert (edge.state, edge.is_listening) == ((8, "trying", ""), False), "it is taken up at once"
        edge.serve(4 * FEW, every=1)
        await later(PROVEN_S + TICK_S)
        assert (edge.memory.good, edge.state) == (NEW, (8, "kept", ""))

    played(tmp_path, play)


def test_a_word_to_finish_comes_before_a_gate_that_is_broken_at_the_same_time(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await until_tried(edge)
        await fails(edge)
        edge.sign(FleetSettings(8, NEW))
        await later(TICK_S)
        assert (edge.state, edge.memory.back) == ((8, "trying", ""), {})

    played(tmp_path, play)


async def until_tried(edge: Edge) -> None:
    await with_stable(edge)
    edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
    await edge.measure()
    assert edge.state == (8, "trying", "")


# Back.


async def fails(edge: Edge) -> None:
    edge.serve(MANY, every=1)


async def fails_at_times(edge: Edge) -> None:
    for _ in range(GATES.windows + 1):
        edge.serve(GATES.requests, every=4)
        await later(WINDOW_S)


async def is_slow(edge: Edge) -> None:
    for _ in range(GATES.windows + 1):
        edge.serve(GATES.requests, ms=5000.0)
        await later(WINDOW_S)


async def crashes(edge: Edge) -> None:
    edge.serve(1)
    edge.crash(GATES.crashes)


BAD = {"all_failed": fails, "errors": fails_at_times, "slow": is_slow, "crashes": crashes}


@pytest.mark.parametrize("cause", BAD)
def test_an_edge_goes_back_by_itself_and_remembers_it(tmp_path: Path, cause: str) -> None:
    said = FleetSettings(8, STABLE, EVERYWHERE)

    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign(said)
        await edge.measure()
        told = edge.news
        await BAD[cause](edge)
        await later(TICK_S)
        assert (edge.layer.taken, edge.state) == ([STABLE.name, NEW.name, STABLE.name], (7, "back", cause))
        assert (edge.memory.trying, edge.counted[cause], edge.is_listening) == ("", 1, False)
        assert edge.news > told, "the origin is to know"
        assert edge.following.troubles() == ([f"version {NEW.name} ({cause}), it goes by version 7"], [])
        edge.sign(replace(said, last=9))
        await later(BEFORE_MAX_S + TICK_S)
        assert edge.state == (7, "back", cause), "it is not tried again"

    async def again(edge: Edge) -> None:
        edge.sign(said)
        await later(BEFORE_MAX_S + TICK_S)
        assert (edge.memory.in_force, edge.state, edge.layer.taken) == (STABLE, (7, "back", cause), [])
        edge.sign(FleetSettings(8, NEW))
        assert edge.state == (8, "trying", ""), "the stable version is the operator's last word"

    played(tmp_path, play)
    played(tmp_path, again)


def test_what_was_as_bad_before_is_not_the_candidates_doing(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await crashes(edge)
        edge.serve(KNOWN, every=4)
        await later(WINDOW_S + TICK_S)
        assert edge.state == (8, "trying", "")
        await later(TICK_S)
        await fails_at_times(edge)
        await crashes(edge)
        await later(TICK_S)
        assert edge.state == (8, "trying", "")
        report = edge.following.report()
        assert (report.before.crashes, report.after.crashes) == (GATES.crashes, GATES.crashes)

    played(tmp_path, play)


def test_gates_that_are_signed_during_a_trial_count_from_then_on(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await until_tried(edge)
        edge.sign(FleetSettings(8, STABLE, replace(EVERYWHERE, gates=replace(GATES, crashes=2 * GATES.crashes))))
        await crashes(edge)
        await later(TICK_S)
        assert edge.state == (8, "trying", "")
        await crashes(edge)
        await later(TICK_S)
        assert edge.state == (7, "back", "crashes")

    played(tmp_path, play)


@pytest.mark.parametrize("known", [True, False], ids=["while it is tried", "before it is known"])
def test_the_origin_stops_a_candidate_everywhere(tmp_path: Path, known: bool) -> None:
    async def play(edge: Edge) -> None:
        await with_stable(edge)
        if known:
            edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
            await edge.measure()
        edge.following.stop({"settings": "nothing"})
        edge.following.stop(Stop(STABLE.name, "stopped").to_json())
        assert edge.memory.back == {}, "what is none, and what the operator has signed as stable, is not stopped"
        edge.following.stop(Stop(NEW.name, "stopped").to_json())
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await later(BEFORE_MAX_S + TICK_S)
        assert edge.state == (7, "back", "stopped")
        assert edge.memory.back[NEW.name].by == "origin"

    played(tmp_path, play)


# Over a restart.


def test_a_version_that_was_tried_when_the_edge_was_killed_has_ended_it(tmp_path: Path) -> None:
    async def after(edge: Edge) -> None:
        assert (edge.memory.in_force, edge.counted) == (STABLE, {"ended": 1})
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await later(BEFORE_MAX_S + TICK_S)
        assert (edge.state, edge.layer.taken) == ((7, "back", "ended"), [])

    played(tmp_path, until_tried)
    played(tmp_path, after)


def test_an_edge_that_ends_as_it_should_tries_it_anew(tmp_path: Path) -> None:
    async def ends(edge: Edge) -> None:
        await until_tried(edge)
        edge.following.close()

    async def after(edge: Edge) -> None:
        assert (edge.memory.in_force, edge.counted) == (STABLE, {})
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        assert edge.state == (7, "measuring", "")

    played(tmp_path, ends)
    played(tmp_path, after)


@pytest.mark.parametrize("tried", [False, True], ids=["signed at once", "finished while it was tried"])
def test_a_stable_version_that_ends_an_edge_gives_way_to_the_one_before_until_the_next(
    tmp_path: Path, tried: bool
) -> None:
    async def play(edge: Edge) -> None:
        await (until_tried(edge) if tried else with_stable(edge))
        edge.sign(FleetSettings(8, NEW))
        assert edge.state == (8, "trying", "")

    async def after(edge: Edge) -> None:
        edge.sign(FleetSettings(8, NEW))
        await later(PROVEN_S + TICK_S)
        assert (edge.memory.in_force, edge.state) == (STABLE, (7, "back", "ended"))
        edge.sign(FleetSettings(9, replace(NEW, number=9)))
        assert edge.state == (9, "trying", "")

    played(tmp_path, play)
    played(tmp_path, after)


# What cannot be.


def test_what_cannot_be_read_is_said_and_the_last_that_could_goes_on(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign({"last": "8"})
        edge.sign({"last": "8"})
        assert (edge.state, edge.counted["malformed"]) == ((7, "refused", "malformed"), 1)
        assert edge.following.troubles()[1]
        edge.sign(FleetSettings(7, STABLE))
        assert edge.state == (7, "kept", "")

    played(tmp_path, play)


def test_a_version_that_cannot_be_used_here_is_not_tried(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await with_stable(edge)
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        assert (edge.state, edge.counted["refused"]) == ((7, "refused", "refused"), 1)
        assert edge.following.troubles()[1] == [
            f"version {NEW.name} cannot be used here, it goes by version 7: version 8 cannot be used"
        ]
        assert edge.layer.taken == [STABLE.name]

    played(tmp_path, play, NEW)


def test_an_edge_that_takes_none_goes_by_its_own(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await later(BEFORE_MAX_S + TICK_S)
        assert (edge.state, edge.layer.taken, edge.is_listening) == ((0, "off", ""), [], False)

    played(tmp_path, play, off=True)


def test_what_the_disk_does_not_remember_is_not_tried(tmp_path: Path) -> None:
    """An edge that it ends would try it for ever."""

    async def play(edge: Edge) -> None:
        await with_stable(edge)
        path = tmp_path / "fleet_settings.json"
        path.unlink()
        path.mkdir()  # as little to be written to as a full disk
        edge.sign(FleetSettings(8, STABLE, EVERYWHERE))
        await edge.measure()
        assert (edge.state, edge.layer.taken) == ((7, "measuring", ""), [STABLE.name])
        path.rmdir()
        await later(TICK_S)
        assert edge.state == (8, "trying", "")

    played(tmp_path, play)


def test_what_went_back_is_told_to_operators(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await until_tried(edge)
        await fails(edge)
        await later(TICK_S)
        said = edge.following.describe()
        assert (said["in_force"], said["values"]) == (STABLE.name, STABLE.values)
        [(name, back)] = said["back"].items()
        assert (name, back["cause"], back["by"]) == (NEW.name, "all_failed", "edge")

    played(tmp_path, play)
