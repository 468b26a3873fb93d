"""What a version did, counted: in all, and by those who asked, so that no one of them alone decides over it. Pure.

Whoever asks is a client, and what he asks for is his choice: a page that fails with every version, or that takes long
by its nature. A party is a network of clients, or a tenant whose services they asked. What one party makes of a version
counts only where there is nobody else to judge it by.
"""

from array import array
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

Party = bytes | str  # a network (`assignment.network_of`), or the name of a tenant

FEW: Final = 5  # requests that all failed are enough: with 3 in 10 failing that happens once in 400 releases
MANY: Final = 20
BAD: Final = 3
LONE_S: Final = 15.0  # that is waited for others than who asks the most
PARTIES_MAX: Final = 64  # that are counted, those who ask the most: 1.3 KiB each

# Times are counted in eighths of powers of two of a millisecond from 1/8 ms on: a bound is off by an eighth at most.
_BUCKETS: Final = 8 * 20


def bucket_of(ms: float) -> int:
    """Where a time is counted."""
    eighths = max(0, int(ms * 8))
    bits = eighths.bit_length()
    if bits <= 3:
        return eighths
    return min(8 * (bits - 3) + (eighths >> (bits - 4) & 7), _BUCKETS - 1)


def least_ms(bucket: int) -> float:
    """The smallest time in a bucket."""
    if bucket < 8:
        return bucket / 8
    bits, eighth = bucket // 8 + 3, bucket % 8
    return float((8 + eighth) << (bits - 4)) / 8


class Side:
    """What one version did in a window."""

    __slots__ = ("crashes", "failed", "requests", "times")

    def __init__(self) -> None:
        self.requests = self.failed = self.crashes = 0
        self.times = array("L", bytes(array("L").itemsize * _BUCKETS))

    def answered(self, failed: bool, ms: float | None) -> None:
        """One request more. :param ms: until its answer began; None where that says nothing of the version."""
        self.requests += 1
        self.failed += failed
        if ms is not None:
            self.times[bucket_of(ms)] += 1

    @property
    def timed(self) -> int:
        """Answers whose times are known."""
        return sum(self.times)

    @property
    def p99_ms(self) -> float:
        """Within which 99 of 100 answers began, 0 where there was none; the lower end of its bucket."""
        rank, seen = ceil(0.99 * self.timed), 0
        for bucket, count in enumerate(self.times):
            seen += count
            if count and seen >= rank:
                return least_ms(bucket)
        return 0.0

    def slower_than(self, ms: float) -> int:
        """Answers that took longer, by buckets."""
        return sum(self.times[bucket_of(ms) + 1 :])

    def without(self, part: "Side") -> "Side":
        """All but a part of it."""
        rest = Side()
        rest.requests, rest.failed = self.requests - part.requests, self.failed - part.failed
        rest.crashes = self.crashes - part.crashes
        rest.times = array("L", [all_ - its for all_, its in zip(self.times, part.times, strict=True)])
        return rest


class Heard(Side):
    """The same, with the parts of those who asked the most."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[Party, Side] = {}

    def told(self, failed: bool, ms: float | None, parties: Iterable[Party] = ()) -> None:
        """As `answered`. :param parties: whose request it was, as far as that is known."""
        self.answered(failed, ms)
        for party in parties:
            self._part(party).answered(failed, ms)

    def crashed(self, times: int, parties: Iterable[Party] = ()) -> None:
        """Machines have crashed."""
        self.crashes += times
        for party in parties:
            self._part(party).crashes += times

    def _part(self, party: Party) -> Side:
        part = self._parts.get(party)
        if part is None:
            if len(self._parts) == PARTIES_MAX:
                del self._parts[min(self._parts, key=lambda each: self._parts[each].requests)]
            part = self._parts[party] = Side()
        return part

    @property
    def beside(self) -> int:
        """Requests beside those of the party that asked the most; all, where that one asked alone or none is known."""
        most = max((part.requests for part in self._parts.values()), default=0)
        return self.requests - most or self.requests

    def rests(self, least: int) -> Iterator[Side]:
        """All but each one of the parties, where at least so many requests are left."""
        for part in self._parts.values():
            if self.requests - part.requests >= least:
                yield self.without(part)

    def at_best(self, least: int) -> Side:
        """All but the party that met the most failures and crashes, where at least so many requests are left."""
        return min((self, *self.rests(least)), key=lambda side: side.failed + side.crashes)


class Row:
    """Requests that failed one after the other: whether that is all there is of a version."""

    def __init__(self) -> None:
        self._length, self._since = 0, 0.0
        self._of: dict[Party, int] = {}
        self._well: frozenset[Party] | None = None  # who took part in all that went well; None: nothing did

    def answered(self, failed: bool, now: float, parties: Iterable[Party] = ()) -> None:
        """A request is over."""
        if not failed:
            self._well = frozenset(parties) if self._well is None else self._well.intersection(parties)
            self._length, self._of = 0, {}
            return
        self._since = self._since if self._length else now
        self._length += 1
        for party in parties:
            if party in self._of or len(self._of) < PARTIES_MAX:
                self._of[party] = self._of.get(party, 0) + 1

    def is_all(self, now: float) -> bool:
        """Whether all fail: the first FEW, later MANY, of them at least BAD of others than any one party.

        Who asks alone is believed: at first where nobody else is served well for LONE_S, later if nobody else ever was.
        """
        lone = {party for party, count in self._of.items() if self._length - count < BAD}
        if self._well is None:
            return self._length >= FEW and (not lone or now - self._since >= LONE_S)
        return self._length >= MANY and lone <= self._well
