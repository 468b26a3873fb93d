"""How long until every edge of a fleet knows of a purge: from the origin at once, through parents, past partitions.

A server writes to its listeners one after the other; each piece then travels. An edge that is cut off hears of it when
it looks at the catalogue, once it can again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SEND_S: Final = 45e-6  # to write one event to one listener: 13 ms for 300 of them, measured over loopback
FAR_S: Final = (0.005, 0.075)  # one way between the origin and a POP or a parent
NEAR_S: Final = (0.001, 0.010)  # one way between a parent and its POPs
REFRESH_S: Final = 5.0  # between two looks at the catalogue


@dataclass(frozen=True)
class Spread:
    """When each edge has it, in seconds since it was said, and how many listeners the origin has."""

    times_s: NDArray[np.float64]
    listeners: int

    def percentile_ms(self, percent: float) -> float:
        """In milliseconds."""
        return float(np.percentile(self.times_s, percent) * 1000)


def spread(pops: int, edges: int, parents: int, *, cut_off: float = 0.0, heals_s: float = 0.0, seed: int = 1) -> Spread:
    """One purge.

    :param edges: of each POP. :param parents: 0: every edge listens to the origin itself.
    :param cut_off: share of POPs that hear nothing until `heals_s`.
    """
    dice = np.random.default_rng([seed, 6])
    pop = np.repeat(np.arange(pops), edges)
    if parents:
        at_parent = (1 + np.arange(parents)) * SEND_S + _between(dice, FAR_S, parents)
        parent = pop % parents
        order = np.argsort(parent, kind="stable")
        place = np.empty(len(pop))
        place[order] = np.arange(len(pop)) - np.searchsorted(parent[order], parent[order], side="left") + 1
        times = at_parent[parent] + place * SEND_S + _between(dice, NEAR_S, pops)[pop]
    else:
        times = (1 + np.arange(len(pop))) * SEND_S + _between(dice, FAR_S, pops)[pop]
    late = dice.random(pops)[pop] < cut_off
    times[late] = heals_s + dice.random(int(late.sum())) * REFRESH_S
    return Spread(times, parents or len(pop))


def _between(dice: np.random.Generator, span: tuple[float, float], count: int) -> NDArray[np.float64]:
    return span[0] + (span[1] - span[0]) * dice.random(count)
