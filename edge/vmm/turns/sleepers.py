"""Who waits for a deadline, and who is woken by it: idle machines without one are in no list and cause no wake-up."""

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final

SLEEP_MAX_NS: Final = 3600 * 1_000_000_000  # then one looks again; what a socket's timeout can hold is far more
LATE_S: Final = 1e-4  # better than to wake a moment before


class Sleepers:
    """Deadlines by number, as `time.monotonic_ns`. Operations cost O(log n) of those that have one."""

    def __init__(self) -> None:
        self.wakeups = 0  # deadlines that came, ever
        self._deadlines: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []  # by deadline; entries that are not in `_deadlines` are void

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, number: int, wake_at_ns: int) -> None:
        """Wake `number` then, and not when it was to be woken before."""
        self._deadlines[number] = wake_at_ns
        if len(self._heap) > 2 * len(self._deadlines) + 16:  # more than half are void
            self._heap = [(at_ns, other) for other, at_ns in self._deadlines.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (wake_at_ns, number))

    def of(self, number: int) -> int | None:
        """When `number` is to be woken; None for never."""
        return self._deadlines.get(number)

    def discard(self, number: int) -> None:
        """It is awake, or gone."""
        self._deadlines.pop(number, None)

    def next_ns(self) -> int | None:
        """When the first is to be woken; None for never."""
        heap = self._heap
        while heap and self._deadlines.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now_ns: int) -> Iterator[int]:
        """Those whose deadline has come; they have none any more."""
        while (wake_at_ns := self.next_ns()) is not None and wake_at_ns <= now_ns:
            number = heappop(self._heap)[1]
            del self._deadlines[number]
            self.wakeups += 1
            yield number


def seconds_until(deadlines_ns: Iterable[int | None], now_ns: int) -> float | None:
    """How long to sleep until the first of these, whatever they are; `None` for as long as nothing else comes."""
    due_ns = [deadline_ns for deadline_ns in deadlines_ns if deadline_ns is not None]
    if not due_ns:
        return None
    return min(max(0, min(due_ns) - now_ns), SLEEP_MAX_NS) / 1e9 + LATE_S
