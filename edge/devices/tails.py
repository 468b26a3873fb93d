"""The last lines of services, and who follows them live: for operators who look. What publishers get is `spool`'s.

Few lines of few services are kept, those that spoke last, so that who begins to follow sees how it came to this. Who
follows and does not keep up loses the oldest of what waits, and is told how many.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

SERVICES_MAX: Final = 128  # whose lines are kept
LINES_MAX: Final = 40  # of each
TEXT_MAX: Final = 500  # characters of a line: with these bounds all of them have 2.5 MB of ASCII at most
WAITING_MAX: Final = 500  # lines for one who follows


class Line(NamedTuple):
    """Something that a service said, or that was said of it."""

    at: float  # seconds since 1970
    text: str  # somebody else's: to be escaped where it is shown


class Follower:
    """Who follows the lines of one service."""

    def __init__(self, first: Sequence[Line]) -> None:
        self._waiting: deque[Line] = deque(first, WAITING_MAX)
        self._lost = 0
        self._more = asyncio.Event()
        if first:
            self._more.set()

    def add(self, lines: Sequence[Line]) -> None:
        """More of them."""
        self._lost += max(0, len(self._waiting) + len(lines) - WAITING_MAX)
        self._waiting.extend(lines)
        self._more.set()

    async def next(self) -> tuple[list[Line], int]:
        """What came since the last time, at least a line, and how many lines were lost before it."""
        await self._more.wait()
        self._more.clear()
        lines, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        return lines, lost


class Tails:
    """The last lines of all services."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """:param clock: seconds since 1970."""
        self._clock = clock
        self._kept: OrderedDict[str, deque[Line]] = OrderedDict()  # who spoke last is last
        self._followers: dict[str, list[Follower]] = {}

    def add(self, service: str, texts: Sequence[str]) -> None:
        """A service said something."""
        if not texts:
            return
        now = self._clock()
        lines = [Line(now, text[:TEXT_MAX]) for text in texts]
        kept = self._kept.setdefault(service, deque(maxlen=LINES_MAX))
        kept.extend(lines)
        self._kept.move_to_end(service)
        if len(self._kept) > SERVICES_MAX:
            self._kept.popitem(last=False)
        for follower in self._followers.get(service, ()):
            follower.add(lines)

    @contextmanager
    def follow(self, service: str) -> Iterator[Follower]:
        """Follow a service, whether it exists or not, from its last lines on."""
        follower = Follower(list(self._kept.get(service, ())))
        self._followers.setdefault(service, []).append(follower)
        try:
            yield follower
        finally:
            followers = self._followers[service]
            followers.remove(follower)
            if not followers:
                del self._followers[service]
