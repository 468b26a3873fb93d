"""How a source has done lately, and whether it is asked in its turn: a table, and the numbers that it goes by. Pure.

Nobody asks a source how it is: what comes of fetches says it. One that failed several times in a row is *resting*: it
is asked after all others until a pause is over; then it is *on trial*: one fetch asks it in its turn, and what comes of
that decides. All others are *well*. No source is ever left out: where the others have nothing, a resting one is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["well", "resting", "on trial"]
Event = Literal["succeeded", "failed", "failed too often", "pause over", "given up"]

FAILURES_MAX: Final = 3  # in a row, from which on a source is resting
PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0  # doubled from the first on: a source that is back is seen within this time

TABLE: Final[Mapping[tuple[State, Event], State]] = {
    ("well", "succeeded"): "well",
    ("well", "failed"): "well",
    ("well", "failed too often"): "resting",
    ("well", "given up"): "well",
    ("resting", "succeeded"): "well",  # it was asked after all others
    ("resting", "failed"): "resting",
    ("resting", "failed too often"): "resting",
    ("resting", "pause over"): "on trial",
    ("resting", "given up"): "resting",
    ("on trial", "succeeded"): "well",
    ("on trial", "failed"): "resting",
    ("on trial", "failed too often"): "resting",
    ("on trial", "given up"): "resting",  # the next one may try
}


@dataclass(slots=True)
class Health:
    """One source's."""

    state: State = "well"
    failures: int = 0  # in a row
    until_s: float = 0.0  # of a resting one: when its pause is over
    error: str = ""  # what the last failure was; empty after a success

    def in_turn(self, now_s: float) -> bool:
        """Whether it is asked in its turn, and not after all others."""
        return self.state == "well" or (self.state == "resting" and now_s >= self.until_s)

    def begin(self, now_s: float) -> None:
        """It is being asked."""
        if self.state == "resting" and now_s >= self.until_s:
            self._go("pause over")

    def succeeded(self) -> None:
        """It gave what it was asked for, or said that it has no such thing."""
        self._go("succeeded")
        self.failures, self.error = 0, ""

    def failed(self, error: str, now_s: float, chance: float) -> None:
        """It gave nothing, or what does not verify.

        :param chance: from 0 to 1, by which pauses of several edges differ.
        """
        self.failures += 1
        self.error = error
        before = self.state
        self._go("failed too often" if self.failures >= FAILURES_MAX else "failed")
        if self.state == "resting" and (before != "resting" or now_s >= self.until_s):
            self.until_s = now_s + pause_s(self.failures, chance)

    def given_up(self, now_s: float) -> None:
        """Whoever asked it does not want the answer any more, which says nothing of it."""
        if self.state == "on trial":
            self.until_s = now_s
        self._go("given up")

    def _go(self, event: Event) -> None:
        self.state = TABLE[self.state, event]


def pause_s(failures: int, chance: float) -> float:
    """For how long a source rests after so many failures in a row: 1, 2, 4 ... 30 s, less up to a half by chance."""
    longest = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(max(failures - FAILURES_MAX, 0) + 1, 16))
    return max(PAUSE_FIRST_S, longest * (1.0 - chance / 2))
