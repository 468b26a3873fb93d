"""Blobs and manifests of a parent: in memory for who asks now, on disk, or from its sources, once for all who wait.

What is in memory has one budget, of what is being fetched, what is being sent and what was asked for lately; only the
last makes room. A blob's size is taken from that budget before its first byte is read; where there is no room, whoever
asks is told to come again, and nothing is fetched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from cachetools import TTLCache

from edge.common.counters import Counters
from edge.common.fetching import Missing
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref, Store
from edge.content.tiers import Tier
from vmimage.errors import OriginBusy, OriginError
from vmimage.manifest import BLOB_MAX

MANIFEST_MAX: Final = 4 << 20  # "Pushing manifests" of the OCI distribution specification 1.1
FLIGHTS_MAX: Final = 256  # blobs that are fetched at once
ABSENT_MAX: Final = 4096  # names that are remembered to be nowhere
ROOM_S: Final = 1.0  # until who finds no room is to come again

Kind = Literal["blobs", "manifests"]


@dataclass(slots=True, eq=False)
class Held:
    """Content in memory."""

    data: bytes
    users: int = 0  # requests that are being answered with it


class Found(NamedTuple):
    """Content, and how it was come by."""

    held: Held
    how: str  # for Cache-Status
    before: str  # Cache-Status of who gave it; empty where it was here


class Blobs:
    """All content of a parent."""

    def __init__(self, store: Store, memory: int, negative_s: float, counters: Counters) -> None:
        """:param store: the disk over the sources. :param memory: bytes."""
        self._store, self._counters = store, counters
        self._tasks = Tasks(counters)
        self.held: Tier[str, Held] = Tier(memory)
        self._coming = 0  # bytes that are being fetched
        self._flights: SingleFlight[tuple[Kind, str], Found] = SingleFlight(self._tasks, "blob")
        self._absent: TTLCache[tuple[Kind, str], Missing] = TTLCache(ABSENT_MAX, negative_s)

    @property
    def used_bytes(self) -> int:
        """Of the budget."""
        return self.held.used_bytes + self._coming

    async def find(self, kind: Kind, digest: str) -> Found:
        """Content, verified.

        :raises Missing: no source has it.
        :raises OriginBusy: there is no room for it now, or too much is being fetched.
        :raises OriginError: no source gives it.
        """
        if (held := self.held.get(digest)) is not None:
            return Found(held, "hit; detail=memory", "")
        key = (kind, digest)
        if (missing := self._absent.get(key)) is not None:
            raise missing
        collapsed = key in self._flights
        if not collapsed and len(self._flights) >= FLIGHTS_MAX:
            raise OriginBusy(f"{FLIGHTS_MAX} blobs are being fetched", ROOM_S)
        found = await self._flights.do(key, lambda: self._load(key))
        if digest not in self.held:  # it was the coldest for a moment, and is in use now
            self.held.put(digest, found.held, len(found.held.data))
        return found._replace(how=f"{found.how}; collapsed") if collapsed and found.how.startswith("fwd") else found

    @contextmanager
    def in_use(self, held: Held) -> Iterator[bytes]:
        """Its bytes, which count for as long as somebody has them."""
        held.users += 1
        try:
            yield held.data
        finally:
            held.users -= 1

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    async def _load(self, key: tuple[Kind, str]) -> Found:
        kind, digest = key
        ref = Ref(kind, digest, MANIFEST_MAX if kind == "manifests" else BLOB_MAX, exact=False)
        taken = _Taken(self._make_room)
        load = Load(admit=taken.admit)
        try:
            data = await self._store.get(ref, load)
            held = Held(data)
            if not load.from_origin:
                taken.admit(len(data))
        except Missing as missing:
            self._absent[key] = missing
            raise
        finally:
            self._coming -= taken.bytes
        self.held.put(digest, held, len(data))
        how = "fwd=miss; fwd-status=200; stored" if load.from_origin else "hit; detail=disk"
        return Found(held, how, load.cache_status)

    def _make_room(self, more: int) -> None:
        """:raises OriginBusy, OriginError: there is none for so many bytes more, now or ever."""
        if more > self.held.budget_bytes:
            raise OriginError(f"at most {self.held.budget_bytes} bytes expected, got a blob of {more}: see memory")
        while self.held.over(self._coming + more):
            coldest = self.held.coldest(lambda held: held.users == 0)
            if coldest is None:
                raise OriginBusy(f"room for {more} bytes expected, {self.used_bytes} are in use", ROOM_S)
            self.held.pop(coldest)
        self._coming += more


class _Taken:
    """How much of the budget one fetch has."""

    def __init__(self, make_room: Callable[[int], None]) -> None:
        self.bytes = 0
        self._make_room = make_room

    def admit(self, size: int) -> None:
        """:raises OriginError: there is no room."""
        if size > self.bytes:
            self._make_room(size - self.bytes)
            self.bytes = size


def type_of(error: OriginError) -> str:
    """What an error counts as, see `parent_requests`."""
    return "missing" if isinstance(error, Missing) else "busy" if isinstance(error, OriginBusy) else "error"
