"""Which service each request of a POP is for: Zipf's law with drift, flash crowds and a scan. Seeded, no clock, no I/O.

All POPs share one ranking, which drifts; part of a POP's requests follow a ranking of its own, as its languages and
customers are its own. A crowd wants one cold service everywhere at the same time, a scan asks each POP for every
service in order. Numbers come from numpy's PCG64 by `random` alone, so that a seed gives the same requests always.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALPHA: Final = 0.9  # of requests for services; 0.64 to 0.83 for pages in proxies (Breslau 1999), 0.8 to 1.1 at CDNs
CHUNK: Final = 4096  # requests drawn at a time, between two drifts

Services = NDArray[np.int64]


@dataclass(frozen=True)
class Demand:
    """What visitors want.

    :raises ValueError: a field is out of range.
    """

    services: int
    alpha: float = ALPHA
    own: float = 0.2  # share of a POP's requests that follow its own ranking
    drift: float = 0.0  # share of ranks that change their service with each CHUNK
    flash: float = 0.0  # share of requests that a crowd has while it lasts: the middle tenth of the run
    scan: float = 0.0  # share of requests of a robot that asks for every service in order
    seed: int = 1

    def __post_init__(self) -> None:
        if self.services < 1:
            raise ValueError(f"services: 1 or more expected, got {self.services}")
        shares = (self.own, self.drift, self.flash, self.scan)
        if not all(0 <= share <= 1 for share in shares) or self.flash + self.scan > 1:
            raise ValueError(f"shares from 0 to 1 expected, flash and scan together too, got {shares}")
        if not 0 <= self.alpha <= 10:
            raise ValueError(f"alpha: 0 to 10 expected, got {self.alpha}")


class Law:
    """Zipf's law over so many ranks, and rankings of services."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        ranks = np.arange(1, demand.services + 1, dtype=np.float64)
        self._cumulated = np.cumsum(ranks**-demand.alpha)

    def ranks(self, rolls: NDArray[np.float64]) -> Services:
        """Ranks, from 0, of numbers in [0, 1)."""
        found = np.searchsorted(self._cumulated, rolls * self._cumulated[-1], side="right")
        ranks: Services = np.minimum(found, self.demand.services - 1).astype(np.int64)
        return ranks

    def share(self, rank: int) -> float:
        """Of all requests, what goes to the service at a rank, counted from 0."""
        return float((rank + 1) ** -self.demand.alpha / self._cumulated[-1])

    def ranking(self, name: int) -> Services:
        """Services by rank, by a number that names the ranking."""
        dice = np.random.default_rng([self.demand.seed, name])
        return np.argsort(dice.random(self.demand.services), kind="stable").astype(np.int64)


def requests(law: Law, common: Services, pop: int, count: int) -> Iterator[Services]:
    """The services that `count` requests of a POP are for, in order, in pieces.

    :param common: the ranking of all POPs, from `law.ranking(0)`; not changed.
    """
    demand = law.demand
    dice = np.random.default_rng([demand.seed, 1, pop])
    drifting = np.random.default_rng([demand.seed, 2])  # the same for all POPs
    ranking, own = common.copy(), law.ranking(3 + pop) if demand.own else common
    crowd = int(common[-1 - demand.services // 20])  # among the coldest tenth
    scanned = 0
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        ranks, which, part = law.ranks(dice.random(size)), dice.random(size), dice.random(size)
        chosen = np.where(which < demand.own, own[ranks], ranking[ranks])
        if demand.flash and 0.45 * count <= first < 0.55 * count:
            chosen[part < demand.flash] = crowd
        if demand.scan:
            robot = part >= 1 - demand.scan
            asked = int(robot.sum())
            chosen[robot] = np.arange(scanned, scanned + asked) % demand.services
            scanned += asked
        yield chosen
        if demand.drift:
            moved = int(demand.services * demand.drift)
            a, b = (np.unique((drifting.random(moved) * demand.services).astype(np.int64)) for _ in "ab")
            both = np.union1d(a, b)
            ranking[both] = ranking[np.roll(both, len(both) // 2)]
