"""Two actors over one store, one call at a time, in an order that a test chooses."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

_CALLS: Final = frozenset({"get", "read", "put", "put_if_absent", "swap", "head", "delete", "list"})


class Turns:
    """Whose call is next: as the order says, as long as it lasts; then the first actor's, and then the other's."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order, self._next = list(order), 0
        self._done = [False, False]
        self._changed = threading.Condition()

    def take(self, actor: int) -> None:
        """Wait for a turn, which lasts until the next call of this."""
        with self._changed:
            self._changed.wait_for(lambda: self._whose() == actor)
            self._next += 1
            self._changed.notify_all()

    def _whose(self) -> int:
        if self._next < len(self._order):
            actor = self._order[self._next]
            return actor if not self._done[actor] else 1 - actor
        return 0 if not self._done[0] else 1

    def run(self, acts: Sequence[Callable[[], Any]]) -> list[Any]:
        """What both said.

        :param acts: of the first and the second actor; each of their calls takes a turn.
        """
        said: list[Any] = [None, None]

        def one(actor: int) -> None:
            try:
                said[actor] = acts[actor]()
            finally:
                with self._changed:
                    self._done[actor] = True
                    self._changed.notify_all()

        threads = [threading.Thread(target=one, args=(actor,)) for actor in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return said


class Taking:
    """A store each of whose calls takes a turn of an actor."""

    def __init__(self, inner: Any, turns: Turns | None, actor: int) -> None:
        """:param turns: None for calls that take none, until there are some."""
        self._inner, self.turns, self._actor = inner, turns, actor

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if name not in _CALLS:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.turns is not None:
                self.turns.take(self._actor)
            return real(*args, **kwargs)

        return call
