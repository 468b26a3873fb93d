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
is none. And whoever asks may ask for what fails with every version, of the candidate alone: so errors and times have to
be bad also without any one network of clients, where the others ask often enough to be judged by (`sides.Heard`). A
window waits for these, but not for long. Pure: times are given.
"""

from collections import deque
from math import ceil, sqrt
from typing import Final, Literal

from edge.releases.sides import BAD, LONE_S, Heard, Party, Row, Side
from vmimage.release import ALL, Gates

Cause = Literal["all_failed", "crashes", "errors", "slow"]

WINDOW_S: Final = 5.0
OFTENER: Final = 2  # times as often as the stable version crashes
SLOWER: Final = 2
SLOWER_MS: Final = 50.0
NOISE: Final = 3  # standard deviations of chance that a share of failures is allowed beyond its gate
KNOWN: Final = 50  # answers of the stable version from which on its times are known


class Watch:
    """A release on one edge, or in a simulation of one."""

    def __init__(self, gates: Gates, now: float) -> None:
        """:param now: in seconds, as everywhere here."""
        self.candidate, self.stable = Heard(), Heard()  # in the window that is open
        self.total = {"candidate": Heard(), "stable": Heard()}  # since the release began here
        self._gates, self._opened = gates, now
        self.needed = ceil(gates.requests / gates.windows)  # requests of the candidate in a window
        self._bad: deque[set[Cause]] = deque(maxlen=gates.windows)
        self._known = Side()  # the stable version when it was last seen often enough
        self._crashes: deque[tuple[int, int, int, int]] = deque(maxlen=gates.windows)
        self._row = Row()

    def take_up(self, gates: Gates) -> None:
        """Go by other gates, which the publisher has signed since."""
        if gates != self._gates:
            self._gates, self.needed = gates, ceil(gates.requests / gates.windows)
            self._bad = deque(maxlen=gates.windows)
            self._crashes = deque(self._crashes, maxlen=gates.windows)

    def answered(
        self, *, candidate: bool, failed: bool, ms: float | None, now: float, parties: tuple[Party, ...] = ()
    ) -> Cause | None:
        """A request is over. Why the candidate is to be stopped, None while it may go on.

        :param failed: by the version's fault, as far as can be seen. :param ms: until its answer began.
        :param parties: whose it was; of the candidate's alone.
        """
        side, total = (self.candidate, self.total["candidate"]) if candidate else (self.stable, self.total["stable"])
        side.told(failed, ms, parties)
        total.told(failed, ms, parties)
        if candidate:
            self._row.answered(failed, now, parties)
        return self.look(now)

    def crashed(self, *, candidate: bool, times: int = 1) -> Cause | None:
        """Machines have crashed; as `answered`."""
        side, total = (self.candidate, self.total["candidate"]) if candidate else (self.stable, self.total["stable"])
        side.crashed(times)
        total.crashed(times)
        return "crashes" if candidate and self._crashes_too_often() else None

    def _crashes_too_often(self) -> bool:
        now = self.candidate.requests, self.candidate.crashes, self.stable.requests, self.stable.crashes
        requests, crashes, stable_requests, stable_crashes = map(sum, zip(*self._crashes, now, strict=True))
        oftener = crashes * max(stable_requests, 1) > OFTENER * stable_crashes * max(requests, 1)
        return crashes >= self._gates.crashes and oftener

    def look(self, now: float) -> Cause | None:
        """Called as time goes by: close a window that is over; as `answered`."""
        if self._row.is_all(now):
            return "all_failed"
        if not is_over(self.candidate, self.needed, now - self._opened):
            return None
        if self.stable.requests >= KNOWN:
            self._known = self.stable
        self._bad.append(judged_by_many(self.candidate, self._known, self._gates, self.needed))
        self._crashes.append(
            (self.candidate.requests, self.candidate.crashes, self.stable.requests, self.stable.crashes)
        )
        self.candidate, self.stable, self._opened = Heard(), Heard(), now
        if len(self._bad) < self._gates.windows:
            return None
        return min(set.intersection(*self._bad), default=None)


def is_over(side: Heard, needed: int, lasted_s: float) -> bool:
    """Whether a window is. :param needed: requests to judge by."""
    return lasted_s >= WINDOW_S and side.requests >= needed and (side.beside >= needed or lasted_s >= LONE_S)


def judged_by_many(side: Heard, stable: Side, gates: Gates, needed: int) -> set[Cause]:
    """As `judged`, and also without any one party where the others have asked often enough."""
    bad = judged(side, stable, gates)
    if bad:
        for rest in side.rests(needed):
            bad &= judged(rest, stable, gates)
    return bad


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
