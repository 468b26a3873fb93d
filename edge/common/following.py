"""Who follows something live and may be slow: what waits for them is bounded, and they are told how much they lost."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

WAITING_MAX: Final = 500  # things for one who follows

T = TypeVar("T")


class Follower(Generic[T]):
    """One who follows. Who does not keep up loses the oldest of what waits."""

    def __init__(self, first: Sequence[T] = ()) -> None:
        self._waiting: deque[T] = deque(first, WAITING_MAX)
        self._lost = 0
        self._more = asyncio.Event()
        if first:
            self._more.set()

    def add(self, things: Sequence[T]) -> None:
        """More of them."""
        self._lost += max(0, len(self._waiting) + len(things) - WAITING_MAX)
        self._waiting.extend(things)
        self._more.set()

    async def next(self) -> tuple[list[T], int]:
        """What came since the last time, at least one, and how many were lost before it."""
        await self._more.wait()
        self._more.clear()
        things, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        return things, lost
