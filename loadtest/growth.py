"""Does something grow while a load goes on? A straight line through samples, and budgets for its slope.

Pure: what was sampled comes in, what is wrong goes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Budget:
    """How much a quantity may grow from the first sample to the last, by its fitted line."""

    name: str
    unit: str
    share: float  # of where the line begins
    floor: float  # or so much, whichever is more: what a cache or an allocator does by itself

    def allowed(self, start: float) -> float:
        """For a line that begins there."""
        return max(self.floor, self.share * start)


@dataclass(frozen=True)
class Growth:
    """A fitted line: its start, and what it grew to the last sample."""

    start: float
    grown: float


def growth(at_s: Sequence[float], values: Sequence[float]) -> Growth:
    """The least-squares line through samples.

    :raises ValueError: fewer than 3 samples, or not as many values as times.
    """
    if len(at_s) < 3 or len(at_s) != len(values):
        raise ValueError(f"3 or more samples with a time each expected, got {len(values)} at {len(at_s)} times")
    slope, offset = np.polyfit(np.asarray(at_s) - at_s[0], np.asarray(values, dtype=float), 1)
    return Growth(float(offset), float(slope * (at_s[-1] - at_s[0])))


def judge(budget: Budget, at_s: Sequence[float], values: Sequence[float]) -> str:
    """What is wrong; empty when the budget holds."""
    line = growth(at_s, values)
    allowed = budget.allowed(line.start)
    if line.grown <= allowed:
        return ""
    seconds = at_s[-1] - at_s[0]
    return (
        f"{budget.name}: growth of at most {allowed:,.1f} {budget.unit} in {seconds:.0f} s expected, "
        f"got {line.grown:,.1f} {budget.unit} from {line.start:,.1f} {budget.unit}"
    )
