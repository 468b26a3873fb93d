"""Can a client, or a tenant, have a good candidate go back, or an edge leave a good version of its settings?

Clients choose what they ask for, and may ask for it of the candidate alone: pages that fail with every version, or that
take long by their nature. The others, who are served well, are to be heard beside them.
"""

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from edge.releases.gates import WINDOW_S, Cause, Watch
from edge.releases.sides import BAD, FEW, LONE_S, MANY, PARTIES_MAX, Party
from edge.settings.comparison import PROVEN_S
from edge.settings.following import TICK_S
from tests.support.connections import later
from tests.support.requests_over import over
from tests.support.settings_edge import GATES, Edge, played
from vmimage.fleet_settings import FleetSettings, Staged, Version
from vmimage.release import ALL, Gates

SINCE = "2026-01-31T10:00:00Z"
STABLE, NEW = (Version(number, SINCE, {"max_body": f"{9 - number}MiB"}) for number in (7, 8))
SIGNED = FleetSettings(8, STABLE, Staged(NEW, ALL, gates=GATES))
MALLORY = b"203.0.113.0/24"


def _networks(count: int) -> list[Party]:
    return [f"10.0.{number}.0/24".encode() for number in range(count)]


def _played(attack: dict[str, Any], *, others: int = 40, attackers: int = 1, each: int = 20) -> Cause | None:
    """Forty seconds of a release, ten requests a second of others; for each of them so many of the attackers."""
    watch, now = Watch(Gates(), 0.0), 0.0
    crowd, attackers_ = cycle(_networks(others)), cycle([b"203.0.%d.0/24" % place for place in range(attackers)])
    while now < 40:
        now += 0.1
        cause = watch.answered(candidate=False, failed=False, ms=20, now=now)
        cause = cause or watch.answered(candidate=True, failed=False, ms=20, now=now, parties=(next(crowd),))
        for _ in range(each if now > 1 else 0):
            about = {"failed": False, "ms": 20.0, **attack}
            cause = cause or watch.answered(candidate=True, now=now, parties=(next(attackers_),), **about)
        if cause is not None:
            return cause
    return None


@pytest.mark.parametrize("each", [1, MANY])
@pytest.mark.parametrize("others", [2, 100])
@pytest.mark.parametrize("attack", [{"failed": True}, {"ms": 9000.0}], ids=["errors", "slow"])
def test_a_client_who_asks_the_candidate_for_what_fails_or_takes_long(
    attack: dict[str, Any], others: int, each: int
) -> None:
    assert _played(attack, others=others, each=each) is None


def test_what_several_networks_meet_stops_it_all_the_same() -> None:
    assert _played({"failed": True}, attackers=2, each=20) == "all_failed"
    assert _played({"failed": True}, attackers=3, each=1) == "errors"
    assert _played({"ms": 9000.0}, attackers=2, each=2) == "slow"


def test_who_asks_alone_is_believed() -> None:
    watch, causes = Watch(Gates(), 0.0), []
    for number in range(100):
        now = number * WINDOW_S / 10
        causes.append(
            watch.answered(candidate=True, failed=number % 3 == 0, ms=1, now=now, parties=(MALLORY,)),
        )
    assert "errors" in causes


@pytest.mark.parametrize("others", [0, 1])
def test_the_first_requests_of_one_network_wait_for_others(others: int) -> None:
    """Who is quick is always the first."""
    watch = Watch(Gates(), 0.0)
    for _ in range(MANY):
        assert watch.answered(candidate=True, failed=True, ms=1, now=1.0, parties=(MALLORY,)) is None
    for other in _networks(others):
        assert watch.answered(candidate=True, failed=False, ms=1, now=2.0, parties=(other,)) is None
    for number in range(FEW):
        assert watch.answered(candidate=True, failed=True, ms=1, now=3.0 + number, parties=(MALLORY,)) is None
    assert watch.look(1.0 + LONE_S) == (None if others else "all_failed")
    first = Watch(Gates(), 0.0)
    causes = [first.answered(candidate=True, failed=True, ms=1, now=1.0, parties=(other,)) for other in _networks(FEW)]
    assert causes == [None] * (FEW - 1) + ["all_failed"]


def test_what_is_counted_of_parties_is_bounded_and_has_those_who_ask_the_most() -> None:
    watch = Watch(Gates(requests=1000, windows=1), 0.0)
    for number in range(PARTIES_MAX * 10):
        watch.answered(candidate=True, failed=False, ms=1, now=1.0, parties=(b"%d" % number,))
        watch.answered(candidate=True, failed=number % 2 == 0, ms=1, now=1.0, parties=(MALLORY,))
    side = watch.candidate
    assert len(list(side.rests(1))) == PARTIES_MAX
    assert (side.failed, side.at_best(1).failed) == (PARTIES_MAX * 5, 0)
    assert side.at_best(side.requests) is side, "nobody else is to judge by"
    well = Watch(Gates(), 0.0)
    for network in _networks(3):
        well.answered(candidate=True, failed=False, ms=1, now=1.0, parties=(network,))
    assert well.candidate.at_best(1) is well.candidate, "where nothing failed, nobody is left out"
    assert side.beside == PARTIES_MAX * 10


# Fleet settings.


async def _tried(edge: Edge, *, max_body: int = 1 << 20) -> None:
    """The edge goes by the candidate, in which bodies may be so large."""
    edge.sign(FleetSettings(7, STABLE))
    await later(PROVEN_S + TICK_S)
    config = edge.supervisor.config
    edge.layer.on_take = lambda _: setattr(edge.supervisor, "config", replace(config, max_body=max_body))
    edge.sign(SIGNED)
    await edge.measure()
    assert edge.state == (8, "trying", "")
    edge.serve(GATES.requests)
    await later(TICK_S)


async def _besides(edge: Edge, **attack: Any) -> None:
    """Windows in which one who is hostile asks twice as often as the others."""
    for _ in range(3 * GATES.windows):
        for number in range(GATES.requests):
            edge.serve(1, client=f"10.0.{number % 40}.1")
            edge.serve(2, **attack)
        await later(WINDOW_S)


ATTACKS: dict[str, dict[str, Any]] = {
    "pages that fail, of many tenants": {"client": "203.0.113.7", "status": 500},
    "pages that fail, of one tenant, from everywhere": {"tenant": "mallory", "status": 500},
    "pages that take long": {"client": "203.0.113.7", "ms": 9000.0},
    "bodies that are too large": {"client": "203.0.113.7", "status": 413, "error": "body_too_large", "run": None},
    "answers that are not read": {"client": "203.0.113.7", "whole": False, "cut": "client_silent"},
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_one_client_or_one_tenant_has_no_edge_go_back_from_settings(tmp_path: Path, attack: dict[str, Any]) -> None:
    async def play(edge: Edge) -> None:
        await _tried(edge)
        await _besides(edge, **attack)
        assert edge.state == (8, "trying", "")

    played(tmp_path, play)


def test_one_tenants_machines_that_crash_have_no_edge_go_back_and_those_of_two_do(tmp_path: Path) -> None:
    async def play(edge: Edge) -> None:
        await _tried(edge)
        edge.serve(GATES.requests, tenant="other")
        edge.crash(100, "mallory")
        await later(TICK_S)
        assert edge.state == (8, "trying", "")
        edge.crash(GATES.crashes, "acme")
        await later(TICK_S)
        assert edge.state == (7, "back", "crashes")

    played(tmp_path, play)


@pytest.mark.parametrize("max_body", [1 << 20, 64 << 20, 1 << 30])
def test_bodies_that_are_too_large_count_where_the_version_lets_fewer_in(tmp_path: Path, max_body: int) -> None:
    """From many networks, so that it is the limit that is judged and not who meets it."""

    async def play(edge: Edge) -> None:
        narrower = max_body < edge.supervisor.config.max_body
        await _tried(edge, max_body=max_body)
        for number in range(MANY + BAD):
            edge.tell(over(status=413, error="body_too_large", run=None, client=f"10.9.{number}.1"))
        await later(TICK_S)
        assert edge.state == ((7, "back", "all_failed") if narrower else (8, "trying", ""))

    played(tmp_path, play)
