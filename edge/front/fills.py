"""Answers that are on their way from guests, as caching sees them: what they are for, and who waits for them."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from edge.cache.asked import Asked, Key, Variant, Where
from edge.cache.responses import Entry
from edge.cache.storing import Fields, Kept
from edge.common.fair_room import FairRoom

RELEASED_AT_ONCE: Final = 64  # requests, in one turn of the loop: each takes some 20 us

Place = tuple[Key, Variant]  # what requests for the same answer have in common, as far as is known before it is here
Resume = Callable[[bool], None]  # called once, with whether a request is to go on without waiting for another


class Head(NamedTuple):
    """Of an answer whose body is on its way: its status, the line of its date, and the lines that are kept."""

    status: int
    date: bytes
    lines: bytes


class Fill:
    """One request's, from when it is passed on until all of its answer is here, or none will come."""

    __slots__ = (
        *(
            "asked",
            "began",
            "entry",
            "head",
            "kept",
            "parts",
            "place",
            "run",
            "said",
            "size",
            "tenant",
            "validates",
            "void",
        ),
        *("waiters", "where"),
    )

    def __init__(self, asked: Asked, tenant: str, run: int, entry: Entry | None, began: float = 0.0) -> None:
        """:param run: the number of the last purge. :param entry: kept, and stale: it may stand in.
        :param began: loop time since when the run may be under way that makes its answer."""
        self.asked = asked
        self.where: Final[Where] = asked.where
        self.tenant: Final = tenant
        self.run: Final = run
        self.entry: Final = entry
        self.began = began
        self.validates = False  # the guest is asked whether `entry` still holds
        self.void = False  # what it is about was changed meanwhile
        self.place: Place | None = None  # where others wait for it; None where nobody does
        self.waiters: list[Resume] = []
        self.kept: Kept | None = None  # once its head is here and says so
        self.said: Fields = ()
        self.head: Head | None = None
        self.parts: list[bytes] = []
        self.size = 0


class UnderWay:
    """All fills of requests that change nothing, and the requests that wait for one."""

    def __init__(self, waiting_max_bytes: int) -> None:
        """:param waiting_max_bytes: what requests that wait may take together."""
        self._waiting = FairRoom(waiting_max_bytes)
        self._at: dict[Place, Fill] = {}
        self._by_where: dict[Where, set[Fill]] = {}
        self._loop = asyncio.get_running_loop()

    def at(self, place: Place) -> Fill | None:
        """The fill that others wait for there."""
        return self._at.get(place)

    def begin(self, fill: Fill, place: Place | None) -> None:
        """A request is passed on.

        :param place: where others wait for its answer; None where nobody is to.
        """
        self._by_where.setdefault(fill.where, set()).add(fill)
        if place is not None:
            fill.place = place
            self._at[place] = fill

    def wait(self, fill: Fill, size: int, resume: Resume) -> bool:
        """Have a request of so many bytes wait; whether there is room for it."""
        if not self._waiting.take(fill.tenant, size):
            return False
        fill.waiters.append(partial(self._resume, resume, fill.tenant, size))
        return True

    def _resume(self, resume: Resume, tenant: str, size: int, alone: bool) -> None:
        self._waiting.give(tenant, size)
        resume(alone)

    def land(self, fill: Fill, *, alone: bool) -> None:
        """Nobody is to wait for a fill any more; let go who does.

        :param alone: they are to go on without waiting again.
        """
        if fill.place is not None and self._at.get(fill.place) is fill:
            del self._at[fill.place]
        waiters, fill.waiters = fill.waiters, []
        if waiters:
            self._release(waiters, alone)

    def _release(self, waiters: list[Resume], alone: bool) -> None:
        for resume in waiters[:RELEASED_AT_ONCE]:
            self._loop.call_soon(resume, alone)
        if len(waiters) > RELEASED_AT_ONCE:
            self._loop.call_soon(self._release, waiters[RELEASED_AT_ONCE:], alone)

    def end(self, fill: Fill, *, alone: bool) -> None:
        """A fill is over; a no-op but for its waiters where it is of a request that changes something."""
        self.land(fill, alone=alone)
        same = self._by_where.get(fill.where)
        if same is not None:
            same.discard(fill)
            if not same:
                del self._by_where[fill.where]

    def void(self, where: Where) -> None:
        """What is under way to one URI of a service is for nobody but those who asked."""
        for fill in self._by_where.get(where, ()):
            fill.void = True
            self.land(fill, alone=True)
