"""Blobs and manifests of a parent: in memory for who asks now, on disk, or from its sources, once for all who wait.

What is in memory has one budget, of what is being fetched, what is being sent and what was asked for lately; only the
last makes room. A blob's size is taken from that budget before its first byte is read; where there is no room, whoever
asks is told to come again, and nothing is fetched. A blob is given on while it comes, see `coming`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from cachetools import TTLCache

from edge.common.counters import Counters
from edge.common.fetching import Missing
from edge.common.tasks import Tasks
from edge.content.blobs import Growing, Load, Ref, Store
from edge.content.coming import Coming, Held
from edge.content.tiers import Tier
from vmimage.errors import OriginBusy, OriginError
from vmimage.manifest import BLOB_MAX

MANIFEST_MAX: Final = 4 << 20  # "Pushing manifests" of the OCI distribution specification 1.1
FLIGHTS_MAX: Final = 256  # blobs that are fetched at once
ABSENT_MAX: Final = 4096  # names that are remembered to be nowhere
ROOM_S: Final = 1.0  # until who finds no room is to come again
CHUNK: Final = 256 << 10  # bytes of a piece

Kind = Literal["blobs", "manifests"]


@dataclass(frozen=True, slots=True)
class Found:
    """Content, and how it was come by."""

    held: Held
    how: str  # for Cache-Status
    before: str  # Cache-Status of who gave it; empty where it was here
    size: int
    coming: Coming | None = None  # where not all of it is here

    async def pieces(self, first: int, end: int) -> AsyncIterator[bytes | memoryview]:
        """The bytes from `first` to before `end`.

        :raises OriginError: not all of them will come.
        """
        if self.coming is not None:
            async for piece in self.coming.pieces(first, end, self.size, CHUNK):
                yield piece
            return
        data = memoryview(self.held.data)
        for at in range(first, end, CHUNK):
            yield data[at : min(at + CHUNK, end)]


class Blobs:
    """All content of a parent."""

    def __init__(self, store: Store, memory: int, negative_s: float, counters: Counters) -> None:
        """:param store: the disk over the sources. :param memory: bytes."""
        self._store, self._counters = store, counters
        self._tasks = Tasks(counters)
        self.held: Tier[str, Held] = Tier(memory)
        self._coming_bytes = 0  # of what is being fetched
        self._under_way: dict[tuple[Kind, str], tuple[Coming, asyncio.Task[Found]]] = {}
        self._absent: TTLCache[tuple[Kind, str], Missing] = TTLCache(ABSENT_MAX, negative_s)

    @property
    def used_bytes(self) -> int:
        """Of the budget."""
        return self.held.used_bytes + self._coming_bytes

    async def find(self, kind: Kind, digest: str, *, whole: bool = False) -> Found:
        """Content: verified where all of it is here, else to be verified before its end is given out.

        :param whole: wait until all of it is here; of manifests it always is.
        :raises Missing: no source has it.
        :raises OriginBusy: there is no room for it now, or too much is being fetched.
        :raises OriginError: no source gives it.
        """
        if (held := self.held.get(digest)) is not None:
            return Found(held, "hit; detail=memory", "", len(held.data))
        key = (kind, digest)
        if (missing := self._absent.get(key)) is not None:
            raise missing
        collapsed = "; collapsed" if key in self._under_way else ""
        if not collapsed and len(self._under_way) >= FLIGHTS_MAX:
            raise OriginBusy(f"{FLIGHTS_MAX} blobs are being fetched", ROOM_S)
        coming, loading = self._under_way.get(key) or self._begin(key)
        if kind == "blobs" and not whole and (size := await coming.begun()) is not None:
            return Found(coming.held, _from_source(collapsed), coming.cache_status, size, coming)
        found = await asyncio.shield(loading)
        if digest not in self.held:  # it was the coldest for a moment, and is in use now
            self.held.put(digest, found.held, found.size)
        if collapsed and found.how.startswith("fwd"):
            return Found(found.held, _from_source(collapsed), found.before, found.size)
        return found

    @contextmanager
    def in_use(self, held: Held) -> Iterator[None]:
        """Its bytes count for as long as somebody has them."""
        held.users += 1
        try:
            yield
        finally:
            held.users -= 1

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    def _begin(self, key: tuple[Kind, str]) -> tuple[Coming, "asyncio.Task[Found]"]:
        coming = Coming()
        loading = self._tasks.spawn("blob", self._load(key, coming), awaited=True)
        self._under_way[key] = coming, loading
        return coming, loading

    async def _load(self, key: tuple[Kind, str], coming: Coming) -> Found:
        kind, digest = key
        ref = Ref(kind, digest, MANIFEST_MAX if kind == "manifests" else BLOB_MAX, exact=False)
        taken = _Taken(self._make_room)

        def grown(growing: Growing) -> None:
            coming.cache_status = load.cache_status
            coming.grown(growing)

        load = Load(admit=taken.admit, progress=grown)
        error: OriginError | None = OriginBusy("the parent ends", ROOM_S)
        try:
            data = await self._store.get(ref, load)
            if not load.from_origin:
                taken.admit(len(data))
            error = None
        except OriginError as why:
            error = why
            if isinstance(why, Missing):
                self._absent[key] = why
            raise
        finally:
            del self._under_way[key]
            self._coming_bytes -= taken.bytes
            if error is not None:
                coming.over(error)
        coming.held.data = data
        self.held.put(digest, coming.held, len(data))
        coming.over()
        how = _from_source("") if load.from_origin else "hit; detail=disk"
        return Found(coming.held, how, load.cache_status, len(data))

    def _make_room(self, more: int) -> None:
        """:raises OriginBusy, OriginError: there is none for so many bytes more, now or ever."""
        if more > self.held.budget_bytes:
            raise OriginError(f"at most {self.held.budget_bytes} bytes expected, got a blob of {more}: see memory")
        while self.held.over(self._coming_bytes + more):
            coldest = self.held.coldest(lambda held: held.users == 0)
            if coldest is None:
                raise OriginBusy(f"room for {more} bytes expected, {self.used_bytes} are in use", ROOM_S)
            self.held.pop(coldest)
        self._coming_bytes += more


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


def _from_source(collapsed: str) -> str:
    return f"fwd=miss; fwd-status=200; stored{collapsed}"
