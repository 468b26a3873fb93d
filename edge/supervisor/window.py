"""How services answered lately: how often, how fast, and whether their image was here. Pure: no clock, no tasks.

What is counted is the last quarter to half of a minute, in two generations of which the newer is being filled; so a
service that nobody asks costs nothing, and nothing has to be swept. Times are those from the request, whole or as far
as its client has sent it, to the head of its answer, as they are between supervisor and worker.
"""

from array import array
from typing import Final, NamedTuple

from edge.model.flow import Tier
from edge.model.services import Service

GENERATION_S: Final = 15.0
SERVICES_MAX: Final = 10_000  # counted in a generation, at some 500 bytes each; of others only the sum is known
# Buckets are quarters of powers of two of a microsecond, from 16 µs to a minute and more: a figure is an eighth off at
# most.
_FIRST_BITS: Final = 5
BUCKETS: Final = 4 * 24
MISSES: Final = BUCKETS  # the place after the buckets: answers whose image came from the origin


class Figures(NamedTuple):
    """What a window says of one service, or of all."""

    rate: float  # answers a second
    p50_ms: float | None  # None: there was none
    p99_ms: float | None
    hits: float | None  # the part of the answers for which the image was here, 0 to 1


def bucket_of(seconds: float) -> int:
    """Where a time is counted."""
    us = max(0, int(seconds * 1e6))
    bits = us.bit_length()
    if bits < _FIRST_BITS:
        return 0
    return min(4 * (bits - _FIRST_BITS) + (us >> (bits - 3) & 3), BUCKETS - 1)


def middle_ms(bucket: int) -> float:
    """The time that stands for a bucket."""
    bits, quarter = _FIRST_BITS + bucket // 4, bucket % 4
    width = 1 << (bits - 3)
    return ((4 + quarter) * width + width / 2) / 1e3


def percentile_ms(counts: "array[int]", total: int, share: float) -> float:
    """The time within which this share of the answers came.

    :param total: of all buckets, above 0.
    """
    rank, seen = share * total, 0
    for bucket in range(BUCKETS):
        seen += counts[bucket]
        if seen >= rank:
            return middle_ms(bucket)
    return middle_ms(BUCKETS - 1)


def _nothing() -> "array[int]":
    return array("I", bytes(4 * (BUCKETS + 1)))  # four bytes each: no generation has so many answers


class _Generation:
    """Counts that were begun at one time."""

    __slots__ = ("began", "by_service", "total")

    def __init__(self, began: float) -> None:
        self.began = began
        self.by_service: dict[Service, array[int]] = {}
        self.total = _nothing()


class Window:
    """Answers of all services, lately."""

    def __init__(self, now: float) -> None:
        """:param now: loop time, as everywhere here."""
        self._old, self._new = _Generation(now), _Generation(now)

    def answered(self, service: Service, tier: Tier, seconds: float, now: float) -> None:
        """An answer began, so long after its request. The time of a loop is too coarse to tell: it has milliseconds."""
        if now - self._new.began >= GENERATION_S:
            self._turn(now)
        new, bucket = self._new, bucket_of(seconds)
        counts = new.by_service.get(service)
        if counts is None:
            if len(new.by_service) >= SERVICES_MAX:
                counts = _nothing()  # that nobody looks at
            else:
                counts = new.by_service[service] = _nothing()
        counts[bucket] += 1
        new.total[bucket] += 1
        if tier == "origin":
            counts[MISSES] += 1
            new.total[MISSES] += 1

    def _turn(self, now: float) -> None:
        """Begin a generation; the one before is the old one, unless it is too old for that."""
        recent = now - self._new.began < 2 * GENERATION_S
        self._old = self._new if recent else _Generation(now - GENERATION_S)
        self._new = _Generation(now)

    def of(self, service: Service, now: float) -> Figures:
        """What is known of a service."""
        self._look(now)
        found = (each.by_service.get(service) for each in (self._old, self._new))
        return self._figures([counts for counts in found if counts is not None], now)

    def of_all(self, now: float) -> Figures:
        """All services together."""
        self._look(now)
        return self._figures([self._old.total, self._new.total], now)

    def span_s(self, now: float) -> float:
        """How long the window is, in seconds."""
        self._look(now)
        return max(now - self._old.began, 1.0)

    def _look(self, now: float) -> None:
        if now - self._new.began >= GENERATION_S:
            self._turn(now)

    def _figures(self, counted: "list[array[int]]", now: float) -> Figures:
        if not counted:
            return Figures(0.0, None, None, None)
        counts = counted[0] if len(counted) == 1 else array("Q", map(sum, zip(*counted, strict=True)))
        total = sum(counts) - counts[MISSES]
        if not total:
            return Figures(0.0, None, None, None)
        p50, p99 = percentile_ms(counts, total, 0.5), percentile_ms(counts, total, 0.99)
        return Figures(total / self.span_s(now), p50, p99, 1 - counts[MISSES] / total)
