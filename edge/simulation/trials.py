"""A bad candidate among an edge's visitors: who meets it before the edge's own gates stop it, and when that is.

Each edge judges by itself, from what its own visitors meet (`edge.releases.gates`). That an origin freezes a release
everywhere when edges have reported is not played: figures are what edges do alone.
"""

import random
from dataclasses import dataclass
from typing import Final

from edge.releases.gates import Watch
from vmimage.release import ALL, Gates

STABLE_MS: Final = 8.0  # of the stable version, in the middle
SPREAD: Final = 0.5  # of the logarithm of times


@dataclass(frozen=True)
class Candidate:
    """What is wrong with it."""

    fails: float = 0.0  # share of its answers
    crashes: bool = False  # each failure is a machine that crashed
    slower: float = 1.0  # times the stable version's


@dataclass(frozen=True)
class Outcome:
    """What came of it, on all edges together."""

    failed: int  # visitors who met a failure
    met: int  # visitors who were sent to the candidate
    stopped: int  # edges that stopped it
    last_s: float  # when the last of them did
    causes: tuple[str, ...]


def trial(candidate: Candidate, *, edges: int, rate: float, share: int, for_s: float, seed: int = 1) -> Outcome:
    """One release.

    :param rate: requests a second to all edges together. :param share: of visitors, in hundredths of a percent.
    :param for_s: for how long it is watched.
    """
    failed = met = 0
    stops: list[tuple[float, str]] = []
    for edge in range(edges):
        dice, now, watch = random.Random(f"{seed} edge {edge}"), 0.0, Watch(Gates(), 0.0)
        while (now := now + dice.expovariate(rate / edges)) < for_s:
            meets = dice.random() < share / ALL
            fails = meets and dice.random() < candidate.fails
            ms = dice.lognormvariate(0.0, SPREAD) * STABLE_MS * (candidate.slower if meets else 1.0)
            met, failed = met + meets, failed + fails
            cause = watch.crashed(candidate=True) if fails and candidate.crashes else None
            cause = cause or watch.answered(candidate=meets, failed=fails, ms=ms, now=now)
            if cause is not None:
                stops.append((now, cause))
                break
    last_s = max((at for at, _ in stops), default=0.0)
    return Outcome(failed, met, len(stops), last_s, tuple(sorted({cause for _, cause in stops})))
