"""How much of what counts for nothing an edge takes from a source of events before it leaves it. The clock is given.

To find that an event is forged costs a check of a signature, some 0.14 ms (measured); a source that sends nothing else
would have the edge do that for ever. Events that are known already cost the same, and a bus that repeats is no fault:
of these there may be more, but not without end.
"""

from collections.abc import Callable
from typing import Final

from edge.common.allowance import Allowance, Rate

REFUSED_MAX: Final = 20  # events in a row; a source whose keys are the fleet's has none
LINES: Final = Rate(1 / 60, 3)  # of the log, about events that were refused
# Events that say nothing new: a publisher that lost its bus sends up to 1,000 again. In the long run 20 a second are a
# three-hundredth of the loop's time.
REPEATED: Final = Rate(20, 2000)


class Patience:
    """With the source that is followed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """:param clock: seconds that never go back."""
        self._refused = 0  # in a row
        self._lines, self._repeated = Allowance(LINES, clock), Allowance(REPEATED, clock)
        self._why = ""

    @property
    def is_good(self) -> bool:
        """Whether its last event counted, if it has sent any."""
        return self._refused == 0

    @property
    def over(self) -> str:
        """Why it is to be left; empty: it is not."""
        return self._why

    def counted(self) -> None:
        """An event was the origin's, and new."""
        self._refused = 0

    def refused(self) -> None:
        """An event was not the origin's."""
        self._refused += 1
        if self._refused >= REFUSED_MAX:
            self._why = f"{REFUSED_MAX} events in a row were not the origin's"

    def line(self) -> bool:
        """Whether an event that was refused, of whatever source, is worth a line of the log."""
        return self._lines.take("") == 1

    def repeated(self) -> None:
        """An event said nothing that can be used."""
        if not self._repeated.take(""):
            self._why = "it repeats without end what it has said"

    def left(self) -> None:
        """It was left. The next one may send as much again, but is not good before an event of it counts."""
        self._refused, self._why = min(self._refused, 1), ""
