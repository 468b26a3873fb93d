"""The last lines of services, and who follows them live: for operators who look. What publishers get is `spool`'s.

Few lines of few services are kept, those that spoke last, so that who begins to follow sees how it came to this.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from edge.common.following import Follower

SERVICES_MAX: Final = 128  # whose lines are kept
LINES_MAX: Final = 40  # of each
TEXT_MAX: Final = 500  # characters of a line: with these bounds all of them have 2.5 MB of ASCII at most


class Line(NamedTuple):
    """Something that a service said, or that was said of it."""

    at: float  # seconds since 1970
    text: str  # somebody else's: to be escaped where it is shown


class Tails:
    """The last lines of all services."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """:param clock: seconds since 1970."""
        self._clock = clock
        self._kept: OrderedDict[str, deque[Line]] = OrderedDict()  # who spoke last is last
        self._followers: dict[str, list[Follower[Line]]] = {}

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
    def follow(self, service: str) -> Iterator[Follower[Line]]:
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
