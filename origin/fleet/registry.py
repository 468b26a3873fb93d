"""Which edges there are, by their heart-beats: who is live, where, and how far each is in the feed. Pure, no clock.

In memory: after a restart of the origin it is known again within a heart-beat. How many there can be is bounded by the
tokens of edges, and how often one may speak by its pace. Where several origins share a store, each knows of others what
they have heard (`origin/fleet/sharing.py`).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vmimage.heartbeat import TTL_S, Heartbeat
from vmimage.membership import MEMBERS_MAX, Member

REMEMBERED_S: Final = 600.0  # that an edge which is gone is still shown
STEPS_MAX: Final = 64  # of an edge's way through the feed that are remembered
EVERY_S: Final = 0.5  # between two heart-beats of one edge, on average
SAME_S: Final = 1.0  # two reports of one heart-beat are not further apart: each origin reckons its time anew
BURST: Final = 10  # heart-beats at once: each event that is applied is told


@dataclass
class Known:
    """What is known of one edge."""

    beat: Heartbeat
    at: float  # when it was heard, loop time
    seen_ms: int  # the same, milliseconds since 1970
    here: bool = True  # it spoke to this origin
    weight: float = 0.0  # among its peers, by its token; 0: that does not say where it is, and it is nobody's peer
    steps: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=STEPS_MAX))  # numbers, and since when

    def reached(self, number: int) -> float | None:
        """When it was first known to have applied an event; None: it has not."""
        found = None
        for applied, at in reversed(self.steps):
            if applied < number:
                break
            found = at
        return found


@dataclass(frozen=True)
class Reached:
    """How far an event has got."""

    applied: dict[str, float]  # by edge: seconds after it was given its number
    lagging: list[str]  # live edges that have not applied it

    def percentile_ms(self, share: float) -> float | None:
        """The time that so many of them took at most; None where there are none."""
        times = sorted(self.applied.values())
        return round(1e3 * times[min(len(times) - 1, int(share * len(times)))], 1) if times else None


class Fleet:
    """All edges that an origin has heard of."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._given: dict[int, float] = {}  # when events were given their numbers, loop time; the newest
        self._pace: dict[str, float] = {}

    def may_speak(self, edge: str, now: float) -> bool:
        """Whether an edge's heart-beat is taken now: as often as honest ones come, and no flood (GCRA)."""
        due = max(self._pace.get(edge, now), now) + EVERY_S
        if due - now > EVERY_S * BURST:
            return False
        self._pace[edge] = due
        return True

    def hear(self, beat: Heartbeat, now: float, now_ms: int, *, weight: float = 0.0) -> None:
        """An edge, whose token was checked, has said how it is.

        :param weight: among the peers of its POP, which its token says; 0 where that says of no POP.
        """
        known = self._known.get(beat.edge)
        if known is None:
            known = self._known[beat.edge] = Known(beat, now, now_ms)
        known.beat, known.at, known.seen_ms, known.here, known.weight = beat, now, now_ms, True, weight
        self._step(known)

    def told(self, beat: Heartbeat, at: float, at_ms: int, *, weight: float = 0.0) -> bool:
        """Another origin has heard an edge, at a time of this one's clocks; whether that is news."""
        known = self._known.get(beat.edge)
        if known is not None and at <= known.at + SAME_S:
            return False
        if known is None:
            known = self._known[beat.edge] = Known(beat, at, at_ms)
        known.beat, known.at, known.seen_ms, known.here, known.weight = beat, at, at_ms, False, weight
        self._step(known)
        return True

    def heard_here(self, now: float) -> list[Known]:
        """The live edges that spoke to this origin last, by name."""
        return [known for known in self.live(now) if known.here]

    @staticmethod
    def _step(known: Known) -> None:
        beat, now = known.beat, known.at
        if known.steps and beat.applied < known.steps[-1][0]:
            known.steps.clear()  # it has begun anew
        if not known.steps or beat.applied > known.steps[-1][0]:
            known.steps.append((beat.applied, now))

    def given(self, number: int, now: float) -> None:
        """An event has its number since now."""
        self._given[number] = now
        while len(self._given) > STEPS_MAX:
            del self._given[next(iter(self._given))]

    def all(self, now: float) -> Iterator[tuple[Known, bool]]:
        """Every edge by name, and whether it is live; one that is gone for long is forgotten."""
        for name in sorted(self._known):
            known = self._known[name]
            if now - known.at > REMEMBERED_S:
                del self._known[name]
                self._pace.pop(name, None)
            else:
                yield known, now - known.at <= TTL_S

    def live(self, now: float) -> list[Known]:
        """The live ones, by name."""
        return [known for known, is_live in self.all(now) if is_live]

    def members(self, pop: str, now: float) -> tuple[Member, ...]:
        """The live edges of a POP whose tokens say that they are there, as its peers are told of them."""
        found = (
            Member(
                beat.edge,
                beat.pop,
                beat.peer,
                beat.peer_sha256,
                beat.requests_s,
                beat.machines,
                beat.free_bytes,
                known.seen_ms,
                known.weight,
            )
            for known in self.live(now)
            if (beat := known.beat).pop == pop and known.weight
        )
        return tuple(found)[:MEMBERS_MAX]

    def reached(self, number: int, now: float) -> Reached:
        """Which live edges have applied an event, and how long after it was given its number."""
        given, applied, lagging = self._given.get(number), {}, []
        for known in self.live(now):
            at = known.reached(number)
            if at is None:
                lagging.append(known.beat.edge)
            else:
                applied[known.beat.edge] = max(0.0, at - given) if given is not None else 0.0
        return Reached(applied, lagging)
