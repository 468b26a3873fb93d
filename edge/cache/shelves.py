"""What is kept within a byte budget: S3-FIFO for each tenant, and what goes is taken from the one who has most.

S3-FIFO (Yang et al., SOSP 2023): what is new stands in a small queue, and only what is asked for there again comes into
the large one; so a scan, or pages that are asked for once, pass by what is used. A hit moves nothing, it counts. With
a shelf for each tenant nobody can drive out more of the others than they hold beyond an equal share.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

SMALL_SHARE: Final = 10  # part of a shelf for what is new, as in the paper
HITS_COUNTED: Final = 3  # as in the paper: two bits


class Item(Protocol):
    """What stands on a shelf."""

    tenant: str
    size_bytes: int
    hits: int  # counted up to HITS_COUNTED, by whoever uses it
    wanted: bool  # asked for again, by whoever uses it, or since it came back after it went

    @property
    def name(self) -> int:
        """What it will be known by when it comes again, after it went."""


I = TypeVar("I", bound=Item)  # noqa: E741


class Shelf(Generic[I]):
    """The items of one tenant."""

    def __init__(self) -> None:
        self.used_bytes = 0
        self._small_bytes = 0
        self._small: OrderedDict[I, None] = OrderedDict()  # the oldest first
        self._main: OrderedDict[I, None] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # names of what went from the small queue

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[I]:
        yield from self._main
        yield from self._small

    def add(self, item: I) -> None:
        """Put an item on the shelf."""
        self.used_bytes += item.size_bytes
        if item.name in self._ghosts:
            del self._ghosts[item.name]
            self._main[item] = None
            item.wanted = True
        else:
            self._small[item] = None
            self._small_bytes += item.size_bytes

    def remove(self, item: I) -> bool:
        """Take an item away; whether it was here."""
        if item in self._small:
            del self._small[item]
            self._small_bytes -= item.size_bytes
        elif item in self._main:
            del self._main[item]
        else:
            return False
        self.used_bytes -= item.size_bytes
        return True

    def evict(self) -> I:
        """Take away the item that is missed least. There is one."""
        while True:
            if self._small and (self._small_bytes * SMALL_SHARE > self.used_bytes or not self._main):
                item, _ = self._small.popitem(last=False)
                self._small_bytes -= item.size_bytes
                if item.hits > 1:
                    item.hits = 0
                    self._main[item] = None
                    continue
                self._ghosts[item.name] = None
                while len(self._ghosts) > len(self._main) + len(self._small):
                    self._ghosts.popitem(last=False)
            else:
                item, _ = self._main.popitem(last=False)
                if item.hits > 0:
                    item.hits -= 1
                    self._main[item] = None
                    continue
            self.used_bytes -= item.size_bytes
            return item


class Shelves(Generic[I]):
    """All tenants' items within one budget."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._shelves: dict[str, Shelf[I]] = {}
        self._by_size: list[tuple[int, str]] = []  # a heap of sizes, negative, as they were; a size is looked up again

    def __len__(self) -> int:
        return sum(map(len, self._shelves.values()))

    def __iter__(self) -> Iterator[I]:
        for shelf in self._shelves.values():
            yield from shelf

    def used_by(self, tenant: str) -> int:
        """Bytes of one tenant's items."""
        shelf = self._shelves.get(tenant)
        return shelf.used_bytes if shelf is not None else 0

    def add(self, item: I) -> list[I]:
        """Keep an item, which fits the budget; what went for it, which may be the item itself."""
        shelf = self._shelves.get(item.tenant)
        if shelf is None:
            shelf = self._shelves[item.tenant] = Shelf()
        shelf.add(item)
        self.used_bytes += item.size_bytes
        heapq.heappush(self._by_size, (-shelf.used_bytes, item.tenant))
        if len(self._by_size) > 4 * len(self._shelves) + 64:
            self._by_size = [(-shelf.used_bytes, tenant) for tenant, shelf in self._shelves.items()]
            heapq.heapify(self._by_size)
        gone = []
        while self.used_bytes > self.budget_bytes:
            gone.append(self._evict())
        return gone

    def remove(self, item: I) -> None:
        """Take an item away; a no-op for one that went before."""
        shelf = self._shelves.get(item.tenant)
        if shelf is not None and shelf.remove(item):
            self.used_bytes -= item.size_bytes
            self._forget_empty(item.tenant, shelf)

    def _evict(self) -> I:
        while True:
            size, tenant = self._by_size[0]
            shelf = self._shelves.get(tenant)
            if shelf is None:
                heapq.heappop(self._by_size)
            elif -size != shelf.used_bytes:  # every growth is in the heap, so this one has become smaller
                heapq.heapreplace(self._by_size, (-shelf.used_bytes, tenant))
            else:
                item = shelf.evict()
                self.used_bytes -= item.size_bytes
                self._forget_empty(tenant, shelf)
                return item

    def _forget_empty(self, tenant: str, shelf: Shelf[I]) -> None:
        if not len(shelf):
            del self._shelves[tenant]
