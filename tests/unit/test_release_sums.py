"""Does the origin freeze what is bad on several edges together, on no single edge's word, and how soon in a fleet?"""

from dataclasses import asdict
from random import Random
from typing import Any

import pytest

from edge.releases.assignment import key_of, version_for
from edge.releases.gates import Watch
from origin.model.release_sums import frozen
from vmimage.errors import FormatError
from vmimage.release import Candidate, Gates
from vmimage.release_report import REPORTS_MAX, Counts, Freeze, Report, parse_freeze, parse_reports, reports_value

GOOD = Counts(requests=1000, failed=2, p99_ms=20)
NAME = "sha256:" + "cd" * 32 + "@2026-11-27T01:02:03Z"


def _report(stopped: str = "", candidate: Counts = GOOD, stable: Counts = GOOD) -> Report:
    return Report("hello", NAME, stopped, candidate, stable)


def test_two_edges_that_have_stopped_freeze_it_whatever_others_say() -> None:
    liar = _report(candidate=Counts(requests=1 << 40))
    assert frozen({"a": _report("slow"), "b": _report("errors"), "c": liar}, Gates()) == "stopped"


@pytest.mark.parametrize(
    "lie",
    [
        _report("crashes", Counts(1 << 40, 1 << 40, 1 << 40, 1 << 20)),
        _report("", Counts(1000, 1000, 1000)),
        _report("", Counts(0, 0, 1000)),
    ],
)
def test_one_edge_alone_freezes_nothing_whatever_it_says(lie: Report) -> None:
    assert frozen({"liar": lie}, Gates()) == ""
    assert frozen({"liar": lie, "b": _report(), "c": _report()}, Gates()) == ""
    assert frozen({"liar": lie, "b": _report(candidate=Counts())}, Gates()) == ""


def test_a_little_everywhere_adds_up() -> None:
    failing, crashing = Counts(20, 3), Counts(2, 2, 2)
    assert frozen({str(n): _report("", failing) for n in range(2)}, Gates()) == ""  # not enough were asked
    assert frozen({str(n): _report("", failing) for n in range(4)}, Gates()) == "errors"
    assert frozen({str(n): _report("", crashing) for n in range(4)}, Gates()) in ("all_failed", "crashes")
    assert frozen({str(n): _report("", GOOD) for n in range(40)}, Gates()) == ""


def test_what_the_stable_version_does_too_is_not_the_candidates_fault() -> None:
    both = Counts(1000, 200, 20)
    assert frozen({str(n): _report("", both, both) for n in range(5)}, Gates()) == ""


def test_reports_come_back_and_no_more_than_there_may_be() -> None:
    reports = [_report("slow"), _report()]
    assert parse_reports(reports_value(reports)) == tuple(reports)
    assert len(reports_value([_report()] * 999)) == REPORTS_MAX
    bent: list[Any] = [
        7,
        [7],
        [asdict(_report())] * (REPORTS_MAX + 1),
        [{**asdict(_report()), "more": 1}],
        [{**asdict(_report()), "service": "No!"}],
        [{**asdict(_report()), "stopped": "x" * 200}],
        [{**asdict(_report()), "candidate": {"requests": 1}}],
        [{**asdict(_report()), "candidate": {**asdict(GOOD), "failed": -1}}],
        [{**asdict(_report()), "candidate": {**asdict(GOOD), "failed": 1 << 60}}],
        [{**asdict(_report()), "candidate": {**asdict(GOOD), "failed": 1.5}}],
    ]
    for value in bent:
        with pytest.raises(FormatError):
            parse_reports(value)


def test_a_freeze_comes_back_and_nothing_else_does() -> None:
    freeze = Freeze("hello", NAME, "crashes")
    assert parse_freeze(freeze.to_json()) == freeze
    bent: list[Any] = [7, {}, {**freeze.to_json(), "more": 1}, {**freeze.to_json(), "service": "No!"}]
    for value in (*bent, {**freeze.to_json(), "cause": "x" * 121}, {**freeze.to_json(), "release": "a\nb"}):
        with pytest.raises(FormatError):
            parse_freeze(value)


class Fleet:
    """Edges and their origin over the policy that they run, in virtual time: visitors, heart-beats, the event."""

    BEAT_S = 5.0
    EVENT_S = 0.2  # from the origin's decision to every edge

    def __init__(self, edges: int, seed: int) -> None:
        self.chance = Random(seed)
        self.candidate = Candidate("sha256:" + "cd" * 32, 1300, None, "2026-11-27T01:02:03Z", 100)
        self.watches = {f"edge-{n}": Watch(self.candidate.gates, 0.0) for n in range(edges)}
        self.stopped: dict[str, str] = {}
        self.told: dict[str, Report] = {}
        self.beats = {edge: self.chance.uniform(0, self.BEAT_S) for edge in self.watches}
        self.frozen_at: float | None = None
        self.last_failure, self.failed = 0.0, set[bytes]()

    def run(self, rate: float, seconds: float) -> None:
        """Always another visitor, at a random edge; the candidate crashes for each."""
        key, edges = key_of(b"fleet"), list(self.watches)
        for number in range(round(rate * seconds)):
            now, visitor, edge = number / rate, b"visitor %d" % number, self.chance.choice(edges)
            self._beat(now)
            if self.frozen_at is not None and now > self.frozen_at + self.EVENT_S:
                return
            watch = self.watches[edge]
            if edge in self.stopped or version_for(key, "hello", self.candidate, visitor) == "stable":
                watch.answered(candidate=False, failed=False, ms=20, now=now)
                continue
            self.failed.add(visitor)
            self.last_failure = now
            cause = watch.crashed(candidate=True) or watch.answered(candidate=True, failed=True, ms=None, now=now)
            if cause is not None:
                self.stopped[edge] = cause

    def _beat(self, now: float) -> None:
        for edge, at in self.beats.items():
            if now < at or self.frozen_at is not None:
                continue
            self.beats[edge] = at + self.BEAT_S
            sides = [Counts(s.requests, s.failed, s.crashes) for s in self.watches[edge].total.values()]
            self.told[edge] = Report("hello", NAME, self.stopped.get(edge, ""), *sides)
            if frozen(self.told, self.candidate.gates):
                self.frozen_at = now


@pytest.mark.parametrize("edges", [1, 2, 10, 50])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_candidate_that_always_crashes_at_one_percent_of_1000_requests_a_second(edges: int, seed: int) -> None:
    fleet = Fleet(edges, seed)
    fleet.run(1000, 30)
    assert 0 < len(fleet.failed) <= 50
    assert fleet.last_failure < 30
    assert fleet.frozen_at is not None or edges == 1
    if edges == 1:
        assert len(fleet.failed) == 3  # its own gate alone
