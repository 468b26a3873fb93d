"""An answer that is on its way from a guest, as caching sees it: whom else it is for, and what becomes of it."""

from collections.abc import Callable
from typing import Final, NamedTuple

from edge.cache.asked import Asked, Key, Variant
from edge.cache.responses import Entry
from edge.cache.storing import Fields, Kept

Place = tuple[Key, Variant]  # what requests for the same answer have in common, as far as is known before it is here
Resume = Callable[[bool], None]  # called once, with whether the request is to go on without waiting for another


class Head(NamedTuple):
    """Of an answer whose body is on its way: its status, the line of its date, and the lines that are kept."""

    status: int
    date: bytes
    lines: bytes


class Fill:
    """One request's, from when it is passed on until all of its answer is here, or none will come."""

    __slots__ = (
        "asked",
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
        "waiters",
    )

    def __init__(self, asked: Asked, tenant: str, run: int, entry: Entry | None) -> None:
        """:param run: the number of the last purge. :param entry: kept, and stale: it may stand in."""
        self.asked: Final = asked
        self.tenant: Final = tenant
        self.run: Final = run
        self.entry: Final = entry
        self.validates = False  # the guest is asked whether `entry` still holds
        self.place: Place | None = None  # where others wait for it; None where nobody does
        self.waiters: list[Resume] = []
        self.kept: Kept | None = None  # once its head is here and says so
        self.said: Fields = ()
        self.head: Head | None = None
        self.parts: list[bytes] = []
        self.size = 0
