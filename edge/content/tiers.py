"""What a cache tier does: a byte budget and an order of use. Who is evicted, and where to, is decided by its user."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Tier(Generic[Key, Value]):
    """Entries of known size in order of use, the coldest first."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.touch: Callable[[Key], None] = self._entries.move_to_end  # KeyError for what is not here

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def values(self) -> Iterator[Value]:
        """Values, the coldest first."""
        for value, _ in self._entries.values():
            yield value

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Enter or replace as the most recently used. The budget may be passed: see `coldest`."""
        self.pop(key)
        self._entries[key] = value, size_bytes
        self.used_bytes += size_bytes

    def resize(self, key: Key, size_bytes: int) -> None:
        """Correct an entry's size, in its place in the order of use.

        :raises KeyError: it is not here.
        """
        value, before_bytes = self._entries[key]
        self._entries[key] = value, size_bytes
        self.used_bytes += size_bytes - before_bytes

    def get(self, key: Key) -> Value | None:
        """The value, now the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def peek(self, key: Key) -> Value | None:
        """The value, which is no more recently used for it."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def size_of(self, key: Key) -> int:
        """Bytes of an entry; 0 for what is not here."""
        entry = self._entries.get(key)
        return entry[1] if entry else 0

    def pop(self, key: Key) -> Value | None:
        """Take out."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.used_bytes -= entry[1]
        return entry[0]

    def over(self, coming_bytes: int = 0) -> bool:
        """Whether the budget is passed, or would be with so many bytes more."""
        return self.used_bytes + coming_bytes > self.budget_bytes

    def coldest(self, may_go: Callable[[Value], bool] = lambda _: True) -> Key | None:
        """The least recently used entry that may go."""
        return next((key for key, (value, _) in self._entries.items() if may_go(value)), None)
