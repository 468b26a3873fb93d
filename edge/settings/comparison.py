"""How an edge is with another version of the fleet settings, beside how it was without. Pure: times are given.

Before the change requests are counted until there are enough, then after it in windows, which are judged as those of
releases in stages are (`edge.releases.gates`):

    all_failed   MANY requests failed in a row, or the first FEW where none was served well before
    crashes      machines crashed `Gates.crashes` times, and oftener for its requests than before
    errors       more of the answers failed than before, by more than `Gates.errors`, in all of `Gates.windows` windows
    slow         answers take longer than `Gates.p99_ms`, and than before, in as many

What fails is seen from outside: an answer of 500 and more, one that was cut, and what the edge refuses itself since a
setting says so (`REFUSED`), where the version makes that one narrower. So a limit that many clients meet fails, whether
it was meant or not. Neither one network of clients nor one tenant has an edge go back, where others are asked for often
enough to judge by (`edge.releases.sides`).
"""

from collections import deque
from collections.abc import Container, Mapping
from math import ceil
from typing import Final, NamedTuple

from edge.config.options import EdgeConfig
from edge.model.clients import CLIENTS
from edge.model.finished import CLIENT_GONE, Finished
from edge.model.flow import OnHold
from edge.releases.assignment import network_of
from edge.releases.gates import KNOWN, OFTENER, WINDOW_S, Cause, is_over, judged_by_many
from edge.releases.sides import Heard, Party, Row, Side
from vmimage.release import Gates

BEFORE_MAX_S: Final = 60.0  # that is measured before the change, however few requests come
PROVEN_S: Final = 60.0  # that a version is looked at, at least
PROVEN_MAX_S: Final = 600.0  # and at most: what comes later is seldom its doing

# What the edge refuses, or cuts, below 500, by the option that says when. A client brings it about as he likes.
REFUSED: Final[Mapping[str, str]] = {
    "max_body": "body_too_large",
    "request_timeout": "client_silent",
    "stream_timeout": "client_silent",
}
_OTHERS: Final = frozenset({OnHold.counter, *CLIENTS})
_KEPT: Final = frozenset({"hit", "stale", "collapsed"})  # answers for which nothing was asked of this edge's settings


class Seen(NamedTuple):
    """What one request says of an edge."""

    failed: bool
    ms: float | None  # from its machine's being asked for until its answer began; None where that is not known
    parties: tuple[Party, ...] = ()  # the client's network, and the tenant whose service it was


def narrowed(before: EdgeConfig, after: EdgeConfig) -> frozenset[str]:
    """What an edge refuses by other options that it might have taken by those before."""
    lower = [option for option in REFUSED if getattr(after, option) < getattr(before, option)]
    return frozenset(REFUSED[option] for option in lower)


def seen(finished: Finished, refused: Container[str] = ()) -> Seen | None:
    """What a request says, None where it says nothing: what is a client's or an operator's, whatever the settings are.

    :param refused: what counts of `REFUSED`.
    """
    if not finished.service or finished.status == CLIENT_GONE:
        return None
    reasons = [reason for reason in (finished.error, finished.cut) if reason]
    if any(reason in _OTHERS and reason not in refused for reason in reasons):
        return None
    failed = finished.status >= 500 or bool(reasons)
    if finished.cache in _KEPT and not failed:
        return None
    run, network = finished.run, network_of(finished.client.encode("latin-1"))
    parties: tuple[Party, ...] = tuple(party for party in (network, finished.tenant) if party)
    return Seen(failed, (run.answered_s - run.asked_s) * 1e3 if run is not None else None, parties)


class Comparison:
    """One version on one edge."""

    def __init__(self, gates: Gates, now: float) -> None:
        """:param now: in seconds, as everywhere here: from now on is before the change."""
        self.before, self.after = Heard(), Heard()
        self.gates = gates
        self._window = Heard()
        self._since = self._opened = now
        self._bad: deque[set[Cause]] = deque(maxlen=gates.windows)
        self._changed = False
        self._row = Row()

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
            self.before.told(*what)
            if not what.failed:  # else it would be said of the version later
                self._row.answered(False, now, what.parties)
            return None
        self.after.told(*what)
        self._window.told(*what)
        self._row.answered(what.failed, now, what.parties)
        return self.look(now)

    def crashed(self, times: int, tenant: str = "") -> Cause | None:
        """Machines have crashed, of one tenant's services; as `answered`."""
        side = self.after if self._changed else self.before
        side.crashed(times, (tenant,) if tenant else ())
        if not self._changed:
            return None
        too_often = self._crashes_too_often(self.after) and all(
            map(self._crashes_too_often, self.after.rests(self._needed))
        )
        return "crashes" if too_often else None

    def _crashes_too_often(self, after: Side) -> bool:
        before = self.before
        oftener = after.crashes * max(before.requests, 1) > OFTENER * before.crashes * max(after.requests, 1)
        return after.crashes >= self.gates.crashes and oftener

    @property
    def _needed(self) -> int:
        """Requests to judge by, in a window."""
        return ceil(self.gates.requests / self.gates.windows)

    def look(self, now: float) -> Cause | None:
        """Called as time goes by: close a window that is over; as `answered`."""
        failed_before = 0 < self.before.requests <= 2 * self.before.failed
        if self._changed and not failed_before and self._row.is_all(now):
            return "all_failed"
        if not self._changed or not is_over(self._window, self._needed, now - self._opened):
            return None
        self._bad.append(judged_by_many(self._window, self.before, self.gates, self._needed))
        self._window, self._opened = Heard(), now
        if len(self._bad) < self.gates.windows:
            return None
        return min(set.intersection(*self._bad), default=None)
