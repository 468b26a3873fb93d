"""Whether a peer is worth asking, by what came of asking it: nobody is pinged. Pure.

After `FAILURES` failures in a row it is left alone for a while, which doubles with every failure after it. What one
request learns, all others know; when the time is over, the next request tries it.
"""

from typing import Final

FAILURES: Final = 3
PAUSE_MIN_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0


class Health:
    """One peer's."""

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self._until = 0.0

    def alive(self, now: float) -> bool:
        """Whether to ask it. :param now: loop time."""
        return now >= self._until

    def answered(self) -> None:
        """It did what it was asked."""
        self.failures, self._until = 0, 0.0

    def failed(self, now: float, chance: float) -> None:
        """It did not. :param chance: from 0 to 1, so that not all edges come back to it at once."""
        self.failures += 1
        if self.failures >= FAILURES:
            pause_s = min(PAUSE_MAX_S, PAUSE_MIN_S * 2.0 ** min(self.failures - FAILURES, 16))
            self._until = now + pause_s * (0.5 + chance / 2)
