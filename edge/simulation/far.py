"""What is beyond the POPs: parents that keep images for many of them, and the origin.

A fetch asks the POP's parent, the next parent where that gives nothing, and then the origin; a source that failed
lately is asked last (`edge.sources.health`, one for each POP and source). What a parent has not it fetches from the
origin, once however many wait.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.simulation.policies import Recent
from edge.simulation.sizes import MANIFEST_BYTES, Sizes
from edge.sources.health import Health

PARENTS_ASKED: Final = 2  # of a POP, before it turns to the origin


class Gone(NamedTuple):
    """A parent, or the origin, is gone from one time to another, in seconds."""

    parent: int  # -1: the origin
    from_s: float
    to_s: float


@dataclass
class FarResult:
    """What parents and origin did."""

    parent_hits: int = 0
    origin_fetches: int = 0
    origin_bytes: int = 0
    parent_bytes: int = 0  # from parents to POPs
    tries_in_vain: int = 0  # sources that were asked and were gone
    failed: int = 0  # fetches that nobody could answer
    origin_by_second: dict[int, int] = field(default_factory=dict)

    @property
    def origin_peak(self) -> int:
        """Most fetches of one second."""
        return max(self.origin_by_second.values(), default=0)


class Far:
    """Parents and an origin.

    :param keep: bytes that each parent keeps.
    """

    def __init__(self, sizes: Sizes, parents: int, keep: int, gone: Sequence[Gone] = ()) -> None:
        self._sizes, self._gone = sizes, gone
        self._parents = [Recent(keep) for _ in range(parents)]
        self._health: dict[tuple[int, int], Health] = {}  # by POP and source
        self._dice = random.Random("pauses")
        self.result = FarResult()

    def play(
        self,
        pops: NDArray[np.int64],
        services: NDArray[np.int64],
        times_s: NDArray[np.float64],
        warm_s: float = 0.0,
    ) -> FarResult:
        """All fetches of all POPs, in order of time; what was before `warm_s` is not in the result."""
        warm = warm_s > 0
        for index in np.lexsort((services, pops, times_s)):
            if warm and times_s[index] >= warm_s:
                self.result, warm = FarResult(), False
            self._fetch(int(pops[index]), int(services[index]), float(times_s[index]))
        return self.result

    def _fetch(self, pop: int, service: int, now: float) -> None:
        size = self._sizes.image[service] + MANIFEST_BYTES
        for source in self._order(pop, now):
            health = self._health_of(pop, source)
            health.begin(now)
            if self._gives(source, service, size, now):
                health.succeeded()
                return
            self.result.tries_in_vain += 1
            health.failed("gone", now, self._dice.random())
        self.result.failed += 1

    def _gives(self, source: int, service: int, size: int, now: float) -> bool:
        """Whether a source that is asked has it, or can have it."""
        if self._away(source, now):
            return False
        if source < 0:
            self._origin(size, now)
            return True
        if self._parents[source].hit(service):
            self.result.parent_hits += 1
        elif self._away(-1, now):
            return False
        else:
            self._origin(size, now)
            self._parents[source].add(service, size, 1)
        self.result.parent_bytes += size
        return True

    def _health_of(self, pop: int, source: int) -> Health:
        return self._health.setdefault((pop, source), Health())

    def _order(self, pop: int, now: float) -> list[int]:
        """Sources of a POP, those that are open last; -1 is the origin."""
        count = len(self._parents)
        sources = [*((pop + each) % count for each in range(min(PARENTS_ASKED, count))), -1]
        return sorted(sources, key=lambda source: not self._health_of(pop, source).in_turn(now))

    def _origin(self, size: int, now: float) -> None:
        result = self.result
        result.origin_fetches += 1
        result.origin_bytes += size
        result.origin_by_second[int(now)] = result.origin_by_second.get(int(now), 0) + 1

    def _away(self, source: int, now: float) -> bool:
        return any(gone.parent == source and gone.from_s <= now < gone.to_s for gone in self._gone)
