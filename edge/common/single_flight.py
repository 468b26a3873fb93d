"""One piece of work for all who ask for the same thing while it is under way, as a cache collapses requests."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from edge.common.tasks import Tasks

Key = TypeVar("Key")
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Work under way, by key. Nothing is remembered: whoever asks after the end begins anew."""

    def __init__(self, tasks: Tasks, name: str) -> None:
        """:param name: of each task, for its owner's log lines and counters."""
        self._tasks, self._name = tasks, name
        self._under_way: dict[Key, asyncio.Task[Value]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._under_way)

    def __contains__(self, key: Key) -> bool:
        return key in self._under_way

    async def do(self, key: Key, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """What the work for a key gives, or raises: `work()` where none is under way, else that which is.

        One who is cancelled leaves the work to those who still wait for it, and to nobody if none does.
        """
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = self._tasks.spawn(self._name, work(), awaited=True)
            task.add_done_callback(lambda _: self._under_way.pop(key))
        return await asyncio.shield(task)

    def cancel(self) -> None:
        """End all of it, and whoever waits for it."""
        for task in self._under_way.values():
            task.cancel()
