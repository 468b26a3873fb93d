"""Does something grow or swing while a load goes on? A straight line through samples, and budgets for both.

Pure: what was sampled comes in, what is wrong goes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Budget:
    """How much a quantity may grow from the first sample to the last, by its fitted line; and be off that line.

    What is freed late, all at once, does not grow, but swings.
    """

    name: str
    unit: str
    share: float  # of where the line begins
    floor: float  # or so much, whichever is more: what a cache or an allocator does by itself
    swing: float  # from the lowest to the highest sample, as a share of where the line begins
    swing_floor: float  # or so much

    def growth_allowed(self, start: float) -> float:
        """For a line that begins there."""
        return max(self.floor, self.share * start)

    def swing_allowed(self, start: float) -> float:
        """For a line that begins there."""
        return max(self.swing_floor, self.swing * start)


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
    for what, got, allowed in (
        ("growth", line.grown, budget.growth_allowed(line.start)),
        ("a swing", max(values) - min(values), budget.swing_allowed(line.start)),
    ):
        if got > allowed:
            unit = f" {budget.unit}".rstrip()
            return (
                f"{budget.name}: {what} of at most {allowed:,.1f}{unit} in {at_s[-1] - at_s[0]:.0f} s expected, "
                f"got {got:,.1f}{unit} from {line.start:,.1f}{unit}"
            )
    return ""
