"""When an origin freezes a release on all edges: what they report, added up. Pure.

An edge stops by itself what is bad there (`edge.releases.gates`). The origin sees what no edge sees alone: a little of
it everywhere. It freezes a release where

- QUORUM edges have stopped it by themselves, or
- what all edges report together breaks a gate, and does so still when any one of them is left out.

So one edge that lies cannot freeze the fleet, and whatever it reports as good, two that have stopped do. A fleet of one
edge needs no freeze: that edge has stopped.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from math import sqrt
from typing import Final, Literal

from vmimage.release import ALL, Gates
from vmimage.release_report import Counts, Report

QUORUM: Final = 2
FEW: Final = 5  # requests of visitors that all failed are enough
OFTENER: Final = 2  # times as often as the stable version crashes
SELDOM: Final = 1000  # requests; crashes that are further apart are judged by each edge alone
FAILED_LEAST: Final = 5
NOISE: Final = 3  # standard deviations of chance that failures are allowed beyond their gate

Why = Literal["", "stopped", "all_failed", "crashes", "errors"]


def frozen(reports: Mapping[str, Report], gates: Gates) -> Why:
    """Why a release is to be frozen everywhere, "" while it may go on.

    :param reports: of this release, the last of each live edge, by the edge's identifier.
    """
    if sum(bool(report.stopped) for report in reports.values()) >= QUORUM:
        return "stopped"
    edges = [edge for edge, report in reports.items() if report.candidate.requests or report.candidate.crashes]
    if len(edges) < QUORUM:
        return ""
    found = {_broken([report for edge, report in reports.items() if edge != left_out], gates) for left_out in edges}
    return found.pop() if len(found) == 1 else ("" if "" in found else min(found))


def _broken(reports: Iterable[Report], gates: Gates) -> Why:
    reports = list(reports)
    candidate = reduce(Counts.plus, (report.candidate for report in reports), Counts())
    stable = reduce(Counts.plus, (report.stable for report in reports), Counts())
    if candidate.requests >= FEW and candidate.failed >= candidate.requests:
        return "all_failed"
    oftener = candidate.crashes * max(stable.requests, 1) > OFTENER * stable.crashes * max(candidate.requests, 1)
    if candidate.crashes >= gates.crashes and oftener and candidate.crashes * SELDOM >= candidate.requests:
        return "crashes"
    share = gates.errors / ALL + (stable.failed / stable.requests if stable.requests else 0.0)
    allowed = share * candidate.requests
    enough = candidate.requests >= gates.requests and candidate.failed >= FAILED_LEAST
    return "errors" if enough and candidate.failed > allowed + NOISE * sqrt(allowed) else ""
