"""Work that comes in bulk, done in rotation and no more than a slice of it in one turn of the event loop.

One thread serves all tenants, and whatever one of them causes in a single turn of its loop is a wait for all others. So
what a worker says is taken a piece at a time, and when a turn's slice is used up the rest waits for later turns, in
which the loop has served everybody's sockets first. A source that has little is done at once, as long as none waits.

Rules for callers: a piece is small, below a few tenths of a millisecond, since it is never interrupted; a source stops
what fills it while it waits, so that what waits is bounded.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

# What others wait for at a time. A request takes some 0.2 ms of the loop, so this is as if two or three came before.
SLICE_S: Final = 0.0005


class Source(Protocol):
    """Whoever has work in pieces."""

    def step(self) -> bool:
        """Do the next piece, if there is one; whether there are more."""


class Slices:
    """Those of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """:param clock: seconds that never go back."""
        self._clock = clock
        self._until = 0.0  # when the slice of this turn ends
        self._in_turn = False  # this turn has begun its slice
        self._waiting: deque[Source] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def run(self, source: Source) -> None:
        """Do a source's work, now as far as this turn's slice goes, and else when it is its turn.

        To be called when it has some; one that waits already stays where it is.
        """
        if source in self._waiting:
            return
        if not self._in_turn:
            self._begin(self._turn_ends)
        elif self._waiting or self._clock() >= self._until:
            self._waiting.append(source)
            return
        while source.step():
            if self._clock() >= self._until:
                self._waiting.append(source)
                return

    def _begin(self, then: Callable[[], None]) -> None:
        self._in_turn = True
        self._until = self._clock() + SLICE_S
        asyncio.get_running_loop().call_soon(then)

    def _turn_ends(self) -> None:
        """What sockets brought is done, and they are not looked at yet; callbacks of this one come after that."""
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next_turn)
        else:
            self._in_turn = False

    def _next_turn(self) -> None:
        if not self._waiting:
            self._in_turn = False
            return
        self._begin(self._next_turn)
        while self._waiting:
            source, more = self._waiting.popleft(), True
            try:
                more = source.step()
            finally:
                if more:  # also after a defect, which the loop logs: what is left is not forgotten for it
                    self._waiting.append(source)
            if self._clock() >= self._until:
                return
