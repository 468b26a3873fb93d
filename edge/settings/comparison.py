"""How an edge is with another version of the fleet settings, beside how it was without. Pure: times are given.

Before the change requests are counted until there are enough, then after it in windows, which are judged as those of
releases in stages are (`edge.releases.gates`):

    all_failed   the first FEW requests failed, all of them; later MANY in a row
    crashes      machines crashed `Gates.crashes` times, and oftener for its requests than before
    errors       more of the answers failed than before, by more than `Gates.errors`, in all of `Gates.windows` windows
    slow         answers take longer than `Gates.p99_ms`, and than before, in as many

What fails is seen from outside: an answer of 500 and more, one that was cut, and what the edge refuses itself since a
setting says so (`REFUSED`). So a limit that many clients meet fails, whether it was meant or not.
"""

from collections import deque
from math import ceil
from typing import Final, NamedTuple

from edge.model.finished import CLIENT_GONE, Finished
from edge.releases.gates import FEW, KNOWN, MANY, OFTENER, WINDOW_S, Cause, Side, judged
from vmimage.release import Gates

BEFORE_MAX_S: Final = 60.0  # that is measured before the change, however few requests come
PROVEN_S: Final = 60.0  # that a version is looked at, at least
PROVEN_MAX_S: Final = 600.0  # and at most: what comes later is seldom its doing

REFUSED: Final = frozenset({"body_too_large", "client_silent"})  # by the edge, below 500: max_body, request_timeout
# 500 and more for what is the client's, the publisher's or an operator's, whatever the settings are.
_OTHERS: Final = frozenset({"on_hold", "loop", "not_cached", "unknown_coding", "unknown_method", "unknown_version"})
_KEPT: Final = frozenset({"hit", "stale", "collapsed"})  # answers for which nothing was asked of this edge's settings


class Seen(NamedTuple):
    """What one request says of an edge."""

    failed: bool
    ms: float | None  # from its machine's being asked for until its answer began; None where that is not known


def seen(finished: Finished, *, cut: bool) -> Seen | None:
    """What a request says, None where it says nothing.

    :param cut: the edge has cut its answer.
    """
    if not finished.service or finished.status == CLIENT_GONE or finished.error in _OTHERS:
        return None
    failed = finished.status >= 500 or finished.error in REFUSED or cut
    if finished.cache in _KEPT and not failed:
        return None
    run = finished.run
    return Seen(failed, (run.answered_s - run.asked_s) * 1e3 if run is not None else None)


class Comparison:
    """One version on one edge."""

    def __init__(self, gates: Gates, now: float) -> None:
        """:param now: in seconds, as everywhere here: from now on is before the change."""
        self.before, self.after = Side(), Side()
        self.gates = gates
        self._window = Side()
        self._since = self._opened = now
        self._bad: deque[set[Cause]] = deque(maxlen=gates.windows)
        self._changed = False
        self._failed_in_row = 0
        self._ever_good = False

    def change(self, now: float) -> None:
        """From now on is after the change."""
        self._changed, self._since, self._opened = True, now, now

    def take_up(self, gates: Gates) -> None:
        """Go by other gates, which the operator has signed since."""
        if gates != self.gates:
            self.gates, self._bad = gates, deque(maxlen=gates.windows)

    def is_measured(self, now: float) -> bool:
        """Whether enough is known of how it is without."""
        enough = self.before.requests >= KNOWN and now - self._since >= WINDOW_S
        return enough or now - self._since >= BEFORE_MAX_S

    def is_proven(self, now: float) -> bool:
        """Whether it was looked at for long enough since the change."""
        enough = self.after.requests >= self.gates.requests and now - self._since >= PROVEN_S
        return self._changed and (enough or now - self._since >= PROVEN_MAX_S)

    def answered(self, what: Seen, now: float) -> Cause | None:
        """A request is over. Why the edge is to go back, None while it may go on."""
        if not self._changed:
            self.before.answered(what.failed, what.ms)
            return None
        self.after.answered(what.failed, what.ms)
        self._window.answered(what.failed, what.ms)
        self._failed_in_row = self._failed_in_row + 1 if what.failed else 0
        self._ever_good |= not what.failed
        failed_before = 0 < self.before.requests <= 2 * self.before.failed
        if self._failed_in_row >= (MANY if self._ever_good else FEW) and not failed_before:
            return "all_failed"
        return self.look(now)

    def crashed(self, times: int) -> Cause | None:
        """Machines have crashed; as `answered`."""
        side = self.after if self._changed else self.before
        side.crashes += times
        before, after = self.before, self.after
        oftener = after.crashes * max(before.requests, 1) > OFTENER * before.crashes * max(after.requests, 1)
        return "crashes" if self._changed and after.crashes >= self.gates.crashes and oftener else None

    def look(self, now: float) -> Cause | None:
        """Called as time goes by: close a window that is over; as `answered`."""
        needed = ceil(self.gates.requests / self.gates.windows)
        if not self._changed or now - self._opened < WINDOW_S or self._window.requests < needed:
            return None
        self._bad.append(judged(self._window, self.before, self.gates))
        self._window, self._opened = Side(), now
        if len(self._bad) < self.gates.windows:
            return None
        return min(set.intersection(*self._bad), default=None)
