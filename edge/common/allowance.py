"""What the edge does for others, rationed by party: so much a second, and whose turn it is. Pure: no clock, no tasks.

A party is a tenant, a service, or whoever else is charged. `Allowance` says whether a party may have something now;
`Rotation` holds what waits and gives it out to parties in turn, however much one of them has waiting. Both remember a
bounded number of parties: a bucket that is full again is one that never was.

The rates are in one place, here, each with its reason: what a turn of the supervisor's event loop costs is paid by all
tenants, so no one of them may have more of it than leaves the others theirs.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Rate(NamedTuple):
    """So many a second in the long run, and so many at once after a rest."""

    per_s: float
    burst: float


# A request to an upstream costs the event loop some 0.4 ms (aiohttp client, measured), so this is a fifth of its time.
EXCHANGES: Final = Rate(500, 500)
# A call of a guest to its own cache costs the event loop some 0.04 ms where something is found, forgotten or purged by
# one tag, 0.12 ms where 1 kB is kept (measured), so this is a quarter of its time at most.
CACHE_CALLS: Final = Rate(2000, 2000)
# A line of a guest costs some 30 µs (formatting, spooling, its part of two writes), so this is under a hundredth of the
# loop's time.
LOG_LINES: Final = Rate(200, 400)
# A record for a log disk costs some 25 µs (JSON, a write), so this is an eighth of the loop's time.
LOG_RECORDS: Final = Rate(5000, 5000)
# Bytes that are flushed to copy-on-write disks. A page of 4 KiB costs the event loop some 7 µs, in parts of 64 KiB, and
# the thread that writes it 25 µs, so this is a thirtieth of the loop's time and a tenth of a thread's, and as much as a
# disk that spins can write.
FLUSH_BYTES: Final = Rate(16 << 20, 64 << 20)
# A block of a disk costs some 0.2 ms of the event loop and 0.3 ms of threads that contend with it (from the cache,
# verified, sent on), so this is a fifteenth of the loop's time and a sixth of a processor; the burst is 32 MiB, for a
# machine that has just begun to read.
BLOCKS: Final = Rate(333, 512)
# To fetch an image's symbols and name the frames of a crash is worth it for the first crashes, not for each of a loop.
NAMINGS: Final = Rate(1 / 10, 3)

PARTIES_MAX: Final = 4096  # that are remembered, at some 200 bytes each; those that have asked last


class Allowance:
    """Token buckets by party. What cannot be refused any more is owed: its answer waits until it is paid for."""

    def __init__(self, rate: Rate, clock: Callable[[], float], parties_max: int = PARTIES_MAX) -> None:
        """:param clock: seconds that never go back."""
        self._rate, self._clock, self._parties_max = rate, clock, parties_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when that was

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, party: str, most: int = 1) -> int:
        """How many of at most `most` the party may have now; they are charged to it."""
        left = self._left(party)
        taken = max(0, min(most, int(left)))
        self._keep(party, left - taken)
        return taken

    def owe(self, party: str, amount: float) -> float:
        """Charge it with what it has had in any case.

        :return: seconds until that is paid for; 0 where it was allowed.
        """
        left = self._left(party) - amount
        self._keep(party, left)
        return max(0.0, -left / self._rate.per_s)

    def _left(self, party: str) -> float:
        left, then = self._buckets.get(party, (self._rate.burst, 0.0))
        return min(self._rate.burst, left + (self._clock() - then) * self._rate.per_s)

    def _keep(self, party: str, left: float) -> None:
        self._buckets[party] = left, self._clock()
        self._buckets.move_to_end(party)
        if len(self._buckets) > self._parties_max:
            self._buckets.popitem(last=False)


class Rotation(Generic[Item]):
    """What waits, a queue for each party, served in rotation: first in, first out within a party."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Item]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def waiting(self, party: str) -> int:
        """How much waits for one party."""
        return len(self._queues.get(party, ()))

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        """Who is next of each party, in the order of their turns."""
        return iter([(party, queue[0]) for party, queue in self._queues.items()])

    def put(self, party: str, item: Item) -> None:
        """At the end of the party's queue; a party that had none waits for all others to have had a turn."""
        self._queues.setdefault(party, deque()).append(item)
        self._waiting += 1

    def pop(self, party: str | None = None) -> Item | None:
        """The next item of that party, or of the one whose turn it is, which is then the last to have another."""
        if party is None:
            party = next(iter(self._queues), None)
        queue = self._queues.pop(party, None) if party is not None else None
        if party is None or queue is None:
            return None
        item = queue.popleft()
        self._waiting -= 1
        if queue:
            self._queues[party] = queue
        return item

    def discard(self, party: str, item: Item) -> None:
        """Take out what need not wait any more; a no-op where it does not."""
        queue = self._queues.get(party)
        if queue is None or item not in queue:
            return
        queue.remove(item)
        self._waiting -= 1
        if not queue:
            del self._queues[party]
