"""Who goes when a budget is passed: the edge's own orders, and others that it might have, behind one interface.

`Recent` is `edge.content.tiers.Tier`, which machines, images and records of an edge stand in; `Queues` is
`edge.cache.shelves.Shelf`, which kept answers stand in. `Costly` and `Pinned` are candidates: GDSF (Cherkasova 1998),
and an order of use in which services with a high rate of requests stay longer.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from edge.cache.shelves import HITS_COUNTED, Shelf
from edge.content.tiers import Tier

PIN_SIGHT: Final = 8  # of the coldest, how many are looked at for one that is not pinned
HALF_LIFE: Final = 16  # requests for each entry that fits, after which a request counts half


class Policy(Protocol):
    """A tier of services, with sizes."""

    def hit(self, service: int) -> bool:
        """A service is asked for: whether it is here."""

    def add(self, service: int, size: int, cost: float) -> list[int]:
        """A service comes that was not here; who goes, which may be itself.

        :param size: bytes. :param cost: what it takes to have it back, in any unit.
        """

    def drop(self, service: int) -> None:
        """It is here no more, if it was."""

    def __contains__(self, service: int) -> bool: ...

    def __len__(self) -> int: ...


class Recent:
    """The least recently used goes."""

    def __init__(self, budget: int) -> None:
        self._tier: Tier[int, None] = Tier(budget)
        self._touch = self._tier.touch

    def hit(self, service: int) -> bool:
        try:
            self._touch(service)
        except KeyError:
            return False
        return True

    def add(self, service: int, size: int, cost: float) -> list[int]:
        tier, gone = self._tier, []
        tier.put(service, None, size)
        while tier.over():
            coldest = tier.coldest()
            assert coldest is not None
            tier.pop(coldest)
            gone.append(coldest)
        return gone

    def drop(self, service: int) -> None:
        self._tier.pop(service)

    def __contains__(self, service: int) -> bool:
        return service in self._tier

    def __len__(self) -> int:
        return len(self._tier)


class _Item:
    """A service on a shelf."""

    __slots__ = ("hits", "name", "size_bytes", "tenant", "wanted")

    def __init__(self, service: int, size: int) -> None:
        self.name, self.size_bytes, self.tenant, self.hits, self.wanted = service, size, "", 0, False


class Queues:
    """S3-FIFO: what is asked for once passes by what is used."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._shelf: Shelf[_Item] = Shelf()
        self._items: dict[int, _Item] = {}

    def hit(self, service: int) -> bool:
        item = self._items.get(service)
        if item is None:
            return False
        item.hits = min(item.hits + 1, HITS_COUNTED)
        return True

    def add(self, service: int, size: int, cost: float) -> list[int]:
        item = self._items[service] = _Item(service, size)
        self._shelf.add(item)
        gone = []
        while self._shelf.used_bytes > self._budget:
            gone.append(self._shelf.evict().name)
            del self._items[gone[-1]]
        return gone

    def drop(self, service: int) -> None:
        item = self._items.pop(service, None)
        if item is not None:
            self._shelf.remove(item)

    def __contains__(self, service: int) -> bool:
        return service in self._items

    def __len__(self) -> int:
        return len(self._items)


class Costly:
    """GDSF: the one goes whose requests, times what it costs to have it back, are least for its size.

    What went raises the bar for all who come after, so that nobody stays for what it was long ago. Requests are
    counted while a service is here.
    """

    def __init__(self, budget: int) -> None:
        self._budget, self._used, self._bar = budget, 0, 0.0
        self._here: dict[int, tuple[float, int, float, int]] = {}  # priority, size, cost for each byte, requests
        self._heap: list[tuple[float, int]] = []  # priorities as they were, the least first

    def hit(self, service: int) -> bool:
        found = self._here.get(service)
        if found is None:
            return False
        _, size, worth, count = found
        self._here[service] = self._bar + (count + 1) * worth, size, worth, count + 1
        return True

    def add(self, service: int, size: int, cost: float) -> list[int]:
        worth = cost / size
        self._here[service] = self._bar + worth, size, worth, 1
        self._used += size
        heapq.heappush(self._heap, (self._bar + worth, service))
        gone = []
        while self._used > self._budget:
            priority, least = heapq.heappop(self._heap)
            found = self._here.get(least)
            if found is None or found[0] < priority:
                continue
            if found[0] > priority:  # it was asked for since
                heapq.heappush(self._heap, (found[0], least))
                continue
            self._bar = priority
            self.drop(least)
            gone.append(least)
        return gone

    def drop(self, service: int) -> None:
        found = self._here.pop(service, None)
        if found is not None:
            self._used -= found[1]

    def __contains__(self, service: int) -> bool:
        return service in self._here

    def __len__(self) -> int:
        return len(self._here)


class Pinned:
    """Of the `PIN_SIGHT` least recently used the one goes that is asked for least often: pins by rate.

    A service's rate is counted with a half-life, whether it is here or not, so that what is popular stays through a
    pause in which others come and go.
    """

    def __init__(self, budget: int) -> None:
        self._budget, self._used, self._now = budget, 0, 0
        self._here: OrderedDict[int, int] = OrderedDict()
        self._rates: dict[int, tuple[float, int]] = {}  # as it was, and when

    def hit(self, service: int) -> bool:
        self._now += 1
        self._rates[service] = self._rate(service) + 1, self._now
        if service not in self._here:
            return False
        self._here.move_to_end(service)
        return True

    def add(self, service: int, size: int, cost: float) -> list[int]:
        self._here[service] = size
        self._used += size
        gone = []
        while self._used > self._budget:
            least = min(_first(self._here, PIN_SIGHT), key=self._rate)
            self.drop(least)
            gone.append(least)
        if len(self._rates) > 8 * len(self._here) + 1024:
            self._rates = {each: rate for each, rate in self._rates.items() if each in self._here}
        return gone

    def _rate(self, service: int) -> float:
        rate, at = self._rates.get(service, (0.0, 0))
        return rate * math.exp2((at - self._now) / (HALF_LIFE * (len(self._here) + 1)))

    def drop(self, service: int) -> None:
        size = self._here.pop(service, None)
        if size is not None:
            self._used -= size

    def __contains__(self, service: int) -> bool:
        return service in self._here

    def __len__(self) -> int:
        return len(self._here)


def _first(entries: OrderedDict[int, int], count: int) -> list[int]:
    return [entry for entry, _ in zip(entries, range(count), strict=False)]


POLICIES: Final[Mapping[str, Callable[[int], Policy]]] = {
    "lru": Recent,
    "s3-fifo": Queues,
    "gdsf": Costly,
    "pins": Pinned,
}
