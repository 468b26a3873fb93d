"""When an edge stops sending visitors to a candidate: gates over what it and the stable version do at the same time.

What is counted is cut into windows of WINDOW_S seconds and more: one lasts until the candidate had its part of the
requests that are to be judged, so that a few visitors are judged as many are, only later. A gate is broken by all of
`Gates.windows` windows in a row; what is plain is seen at once:

    all_failed   the first FEW requests failed, all of them; later MANY in a row
    crashes      machines of it crashed `Gates.crashes` times, and oftener for its requests than the stable version's
    errors       more of its answers failed than of the stable version's, by more than `Gates.errors`
    slow         more than 1 % of its answers took longer than `Gates.p99_ms` and than 99 % of the stable version's, or
                 than SLOWER times these and SLOWER_MS

At least BAD answers of a window have to be bad, and more than chance explains, so that an accident among few requests
is none. Pure: times are given.
"""

from array import array
from collections import deque
from math import ceil, sqrt
from typing import Final, Literal

from vmimage.release import ALL, Gates

Cause = Literal["all_failed", "crashes", "errors", "slow"]

WINDOW_S: Final = 5.0
FEW: Final = 5  # requests that all failed are enough: with 3 in 10 failing that happens once in 400 releases
MANY: Final = 20
BAD: Final = 3
OFTENER: Final = 2  # times as often as the stable version crashes
SLOWER: Final = 2
SLOWER_MS: Final = 50.0
NOISE: Final = 3  # standard deviations of chance that a share of failures is allowed beyond its gate
KNOWN: Final = 50  # answers of the stable version from which on its times are known

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


class Watch:
    """A release on one edge, or in a simulation of one."""

    def __init__(self, gates: Gates, now: float) -> None:
        """:param now: in seconds, as everywhere here."""
        self.candidate, self.stable = Side(), Side()  # in the window that is open
        self.total = {"candidate": Side(), "stable": Side()}  # since the release began here
        self._gates, self._opened = gates, now
        self._needed = ceil(gates.requests / gates.windows)  # requests of the candidate in a window
        self._bad: deque[set[Cause]] = deque(maxlen=gates.windows)
        self._known = Side()  # the stable version when it was last seen often enough
        self._crashes: deque[tuple[int, int, int, int]] = deque(maxlen=gates.windows)
        self._failed_in_row = 0
        self._ever_good = False

    def take_up(self, gates: Gates) -> None:
        """Go by other gates, which the publisher has signed since."""
        if gates != self._gates:
            self._gates, self._needed = gates, ceil(gates.requests / gates.windows)
            self._bad = deque(maxlen=gates.windows)
            self._crashes = deque(self._crashes, maxlen=gates.windows)

    def answered(self, *, candidate: bool, failed: bool, ms: float | None, now: float) -> Cause | None:
        """A request is over. Why the candidate is to be stopped, None while it may go on.

        :param failed: by the version's fault, as far as can be seen. :param ms: until its answer began.
        """
        side, total = (self.candidate, self.total["candidate"]) if candidate else (self.stable, self.total["stable"])
        side.answered(failed, ms)
        total.answered(failed, ms)
        if candidate:
            self._failed_in_row = self._failed_in_row + 1 if failed else 0
            self._ever_good |= not failed
            if self._failed_in_row >= (MANY if self._ever_good else FEW):
                return "all_failed"
        return self.look(now)

    def crashed(self, *, candidate: bool, times: int = 1) -> Cause | None:
        """Machines have crashed; as `answered`."""
        side, total = (self.candidate, self.total["candidate"]) if candidate else (self.stable, self.total["stable"])
        side.crashes += times
        total.crashes += times
        return "crashes" if candidate and self._crashes_too_often() else None

    def _crashes_too_often(self) -> bool:
        now = self.candidate.requests, self.candidate.crashes, self.stable.requests, self.stable.crashes
        requests, crashes, stable_requests, stable_crashes = map(sum, zip(*self._crashes, now, strict=True))
        oftener = crashes * max(stable_requests, 1) > OFTENER * stable_crashes * max(requests, 1)
        return crashes >= self._gates.crashes and oftener

    def look(self, now: float) -> Cause | None:
        """Called as time goes by: close a window that is over; as `answered`."""
        if now - self._opened < WINDOW_S or self.candidate.requests < self._needed:
            return None
        if self.stable.requests >= KNOWN:
            self._known = self.stable
        self._bad.append(judged(self.candidate, self._known, self._gates))
        self._crashes.append(
            (self.candidate.requests, self.candidate.crashes, self.stable.requests, self.stable.crashes)
        )
        self.candidate, self.stable, self._opened = Side(), Side(), now
        if len(self._bad) < self._gates.windows:
            return None
        return min(set.intersection(*self._bad), default=None)


def judged(side: Side, stable: Side, gates: Gates) -> set[Cause]:
    """What is too bad of one side beside another, in one window."""
    bad: set[Cause] = set()
    share = gates.errors / ALL + (stable.failed / stable.requests if stable.requests else 0.0)
    allowed = share * side.requests
    if side.failed >= BAD and side.failed > allowed + NOISE * sqrt(allowed):
        bad.add("errors")
    bounds = [float(gates.p99_ms)]
    if stable.timed >= KNOWN:
        p99_ms = stable.p99_ms
        bounds = [max(bounds[0], p99_ms), SLOWER * p99_ms + SLOWER_MS]
    slow = side.slower_than(min(bounds))
    if slow >= BAD and slow > side.timed / 100:
        bad.add("slow")
    return bad
