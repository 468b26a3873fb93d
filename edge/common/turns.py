"""A capacity that parties share in turn: bytes that may be in memory at once, or places to do something in.

Whoever wants some waits until there is room, in rotation by party. What does not fit waits at the head of its queue and
nothing of another party overtakes it for ever: a party that has all it may is passed over, one that wants much is not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from edge.common.allowance import Rotation


class _Wanted(NamedTuple):
    amount: int
    granted: "asyncio.Future[None]"


class Turns:
    """Who holds how much of a capacity."""

    def __init__(self, capacity: int, each: int | None = None) -> None:
        """:param each: the most that one party may hold; all of it where nothing is said."""
        self.capacity = capacity
        self.each = capacity if each is None else each
        self.held = 0
        self._by_party: dict[str, int] = {}
        self._queues: Rotation[_Wanted] = Rotation()

    def held_by(self, party: str) -> int:
        """How much a party holds."""
        return self._by_party.get(party, 0)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queues)

    @asynccontextmanager
    async def taken(self, party: str, amount: int) -> AsyncIterator[None]:
        """Hold so much, as soon as it is this party's turn and there is room.

        :raises ValueError: there never could be.
        """
        await self._take(party, amount)
        try:
            yield
        finally:
            self.give_back(party, amount)

    async def _take(self, party: str, amount: int) -> None:
        if amount > self.each:
            raise ValueError(f"at most {self.each} expected, got {amount}")
        if not self._queues and self.take_now(party, amount):
            return
        wanted = _Wanted(amount, asyncio.get_running_loop().create_future())
        self._queues.put(party, wanted)
        self._serve()  # those who wait may all have what they may
        try:
            await wanted.granted
        except asyncio.CancelledError:
            if wanted.granted.done() and not wanted.granted.cancelled():
                self.give_back(party, amount)
            else:
                self._queues.discard(party, wanted)
                self._serve()
            raise

    def take_now(self, party: str, amount: int) -> bool:
        """Hold so much, if there is room at this moment; those who wait are not asked."""
        if self.held + amount > self.capacity or self.held_by(party) + amount > self.each:
            return False
        self.take_anyway(party, amount)
        return True

    def take_anyway(self, party: str, amount: int) -> None:
        """Hold so much, room or not."""
        self.held += amount
        self._by_party[party] = self.held_by(party) + amount

    def give_back(self, party: str, amount: int) -> None:
        """Hold so much less."""
        self.held -= amount
        left = self._by_party.pop(party, 0) - amount
        if left:
            self._by_party[party] = left
        self._serve()

    def _serve(self) -> None:
        served = True
        while served:
            served = False
            for party, wanted in self._queues:
                if wanted.granted.done():  # cancelled, and not yet taken out by the one who waited
                    self._queues.pop(party)
                elif self.held_by(party) + wanted.amount > self.each:
                    continue
                elif not self.take_now(party, wanted.amount):
                    return
                else:
                    self._queues.pop(party)
                    wanted.granted.set_result(None)
                served = True
                break
