"""How far an edge is in an origin's feed, and what follows from what it hears: decided without I/O and clock.

Events of a bus may be lost, repeated or out of order; of the log some may be gone; an origin may come back with an
older store. In every case each event is applied once and in order, or all kept answers are dropped in the place of
those that could not be applied.
"""

from dataclasses import dataclass
from typing import Final, Literal

from vmimage.feed import Event, Mark

BACK_S: Final = (
    15.0  # that a timestamp may lag behind an event: an origin signs it a second after, others copy it later
)
TRIES_BORNE: Final = 3  # looks in a row that the log does not have what the timestamp says there is

Heard = Literal["old", "apply", "gap", "unknown"]
Said = Literal["same", "gap", "begin"]


@dataclass
class Progress:
    """Of one edge."""

    mark: Mark | None = None  # the last event that was applied; None: it is not known which
    _ahead_since: float | None = None
    _tries: int = 0

    @property
    def applied(self) -> int:
        """Its number."""
        return self.mark.seq if self.mark is not None else -1

    def hear(self, event: Event) -> Heard:
        """An event has come, verified.

        "apply" it; look into the log for those before it ("gap"); or it says nothing new ("old"), or nothing that can
        be judged before the catalogue was looked at ("unknown").
        """
        if self.mark is None or event.origin != self.mark.origin:
            return "unknown"
        if event.seq <= self.mark.seq:
            return "old"
        return "apply" if event.seq == self.mark.seq + 1 else "gap"

    def look(self, said: Mark | None, now: float) -> Said:
        """The signed timestamp says where the feed stands.

        "begin" there, with all kept answers dropped: this edge does not know what it missed, the feed is another
        one, or its numbers went back. A stamp that is a little behind is none of these.
        """
        if said is None:
            return "same"
        if self.mark is None or said.origin != self.mark.origin:
            return "begin"
        if said.seq > self.mark.seq:
            self._ahead_since = None
            return "gap"
        if said.seq == self.mark.seq:
            self._ahead_since, self._tries = None, 0
            return "same"
        if self._ahead_since is None:
            self._ahead_since = now
        return "begin" if now - self._ahead_since >= BACK_S else "same"

    def begin(self, mark: Mark) -> None:
        """All kept answers are dropped: it goes on from here."""
        self.mark, self._ahead_since, self._tries = mark, None, 0

    def apply(self, event: Event) -> None:
        """An event is applied."""
        if self.mark is None or event.seq != self.mark.seq + 1:
            raise ValueError(f"the event after {self.applied} expected, got {event.seq}")
        self.mark, self._ahead_since, self._tries = self.mark._replace(seq=event.seq), None, 0

    def is_cut(self, first: int | None) -> bool:
        """Whether the log no longer has the next event.

        :param first: number of the first that it has after those that are applied; None: it has none, which may be so
            for a while where a mirror or a store is behind.
        """
        if first is not None:
            return first > self.applied + 1
        self._tries += 1
        return self._tries >= TRIES_BORNE
