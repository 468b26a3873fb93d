"""For how long one source may be silent before another one is asked too, and how often that may be. Pure.

A fetch that has heard nothing for as long as 95 of the last 100 took to begin is hedged: the next source is asked, the
first that answers counts, the other is cancelled (Dean and Barroso, "The Tail at Scale", 2013). When all is slow,
hedges would double the load that makes it so: they are paid for out of a budget, a tenth of all fetches.
"""

from collections import deque
from typing import Final

WINDOW: Final = 100  # fetches that the percentile is taken of
KNOWN_MIN: Final = 20  # of these, below which it says nothing
PATIENCE_FIRST_S: Final = 1.0  # until then
PATIENCE_MIN_S: Final = 0.02  # answers of a source on this machine take 1 ms, and the loop may have a turn of 10
QUANTILE: Final = 0.95
EARNED: Final = 0.1  # hedges by each fetch
SAVED_MAX: Final = 10.0  # hedges at once after a rest
STALL_MIN_S: Final = 1.0  # in a body that has begun: a connection that lost a packet goes on in that time


class Hedging:
    """What the fetches of an edge have taken to begin, and how many hedges it may have."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=WINDOW)
        self._saved = SAVED_MAX

    def fetching(self) -> None:
        """One more fetch."""
        self._saved = min(SAVED_MAX, self._saved + EARNED)

    def began(self, took_s: float) -> None:
        """A source has begun to answer after so long."""
        self._took.append(took_s)

    @property
    def patience_s(self) -> float:
        """For how long a source may be silent before another is asked."""
        if len(self._took) < KNOWN_MIN:
            return PATIENCE_FIRST_S
        return max(PATIENCE_MIN_S, sorted(self._took)[int(len(self._took) * QUANTILE)])

    @property
    def stall_s(self) -> float:
        """For how long a body that has begun may be silent before it is gone on with elsewhere."""
        return max(STALL_MIN_S, 4 * self.patience_s)

    def take(self) -> bool:
        """Whether there may be one more hedge, which is then paid for."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
