"""When something was last made void by a request that may have changed it, by service and URI. Bounded, and pure.

Kept answers of this edge go at once, and nothing has to remember that. Another edge may have others of the same URI:
who asks it wants none of a run that began before. Where something is forgotten here, all that was known as long ago
counts as void then, so that less is reused than might be, and never more.
"""

from collections import OrderedDict
from typing import Final

VOIDS_MAX: Final = 1 << 14  # some 4 MiB
OF_SERVICE_MAX: Final = 1 << 10  # of one service, so that its requests forget nothing of others' before that


class Voids:
    """Those of one edge."""

    def __init__(self) -> None:
        self._at: dict[str, OrderedDict[str, float]] = {}  # by service, the oldest first
        self._floors: dict[str, float] = {}  # by service: before that all counts as void
        self._floor = 0.0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def note(self, where: tuple[str, str], now: float) -> None:
        """What is kept of a service's URI is void. :param now: loop time."""
        service, uri = where
        known = self._at.setdefault(service, OrderedDict())
        self._count -= known.pop(uri, None) is not None
        known[uri] = now
        self._count += 1
        if len(known) > OF_SERVICE_MAX:
            self._floors[service] = known.popitem(last=False)[1]
            self._count -= 1
        if self._count > VOIDS_MAX:
            self._floor, self._count = now, 0
            self._at.clear()
            self._floors.clear()

    def last(self, where: tuple[str, str]) -> float:
        """When it was void last, loop time; 0 for never."""
        service, uri = where
        known = self._at.get(service)
        at = known.get(uri, 0.0) if known is not None else 0.0
        return max(at, self._floors.get(service, 0.0), self._floor)
