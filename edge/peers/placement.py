"""Which edge of a POP serves what: two owners of each key, bounded load, and services that stay everywhere. Pure.

Owners are found by weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by the logarithm method of
Schindelhauer and Schomaker, 2005): each member draws a number for a key, and the lowest wins. All who have the same
list of members find the same owners without a word between them, and a member that comes or goes moves its own share
of the keys and no other. Above `BOUND` times its share of the load a member gets nothing new (bounded load, Mirrokni,
Thorup and Zadimoghaddam, 2018). A key is that of a service (`service_key`) or a digest.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from edge.common.frequent import Frequent

OWNERS: Final = 2  # of a key: one may die, or be full, and most of what it had is still in one other place
# Times a member's share of the load; 1.25 is what Vimeo runs. With chance and with what its own clients bring, the
# busiest of eight edges has 1.2 times the mean where services are 400, and 1.3 in the worst of some dozens of worlds.
BOUND: Final = 1.25
# The same by heart-beats. They are seconds old, but see what no edge sees by itself: clients that come to one edge more
# than to others. It is wider, since who is above it by chance gets nothing until its next heart-beat.
BOUND_BY_BEATS: Final = 1.4
# Requests for each member after which counts of what was sent are halved. With fewer the bound turns away what is no
# load but chance; with more it comes too late where what is popular has changed.
WINDOW: Final = 64
FREE_SENT: Final = 0.5  # of its share of a window, that any member may get: the bound is not for the first few
HOT_SHARE: Final = 0.05  # of a POP's requests, from which on a service is everywhere
HOT_WINDOW: Final = 8192  # requests after which the counts of services are halved
HOT_AFTER: Final = 256  # requests before which no service is called hot: the share of fewer says little
HOT_PLACES: Final = 128  # services that are counted at a time: errs by less than a percent of the requests
FREE_LOAD: Final = 16.0  # requests a second that anybody may have, by heart-beats
REMEMBERED: Final = 1 << 14  # keys whose owners are remembered

_SPAN: Final = float(1 << 64)

Why = Literal["kept", "hot", "owner", "second", "none"]


class Member(NamedTuple):
    """An edge of a POP, as its POP knows it."""

    id: str  # without NUL
    weight: float = 1.0  # of the keys and of the load it has a share by this: more than 0
    load: float = 0.0  # at its last heart-beat, in requests a second


class Place(NamedTuple):
    """Where a request is served, and why there."""

    member: str
    why: Why


def draw(member: Member, key: bytes) -> float:
    """What a member draws for a key; whoever draws least is its first owner."""
    digest = blake2b(b"%b\0%b" % (member.id.encode(), key), digest_size=8).digest()
    number = (int.from_bytes(digest, "big") + 0.5) / _SPAN  # in (0, 1)
    return -math.log(number) / member.weight


class Owners:
    """The owners of all keys by one list of members. Lists that say the same, in any order, give the same owners."""

    def __init__(self, members: Iterable[Member]) -> None:
        """:raises ValueError: two members of one id, or a weight that is not above 0."""
        self.members: Final = tuple(sorted(members))
        if len({member.id for member in self.members}) < len(self.members):
            raise ValueError("an id for each member expected, got one twice")
        if not all(0 < member.weight < math.inf for member in self.members):
            raise ValueError("a weight above 0 expected of each member")
        self.of: Final[Callable[[bytes], tuple[str, ...]]] = lru_cache(REMEMBERED)(self._of)

    def ranked(self, key: bytes) -> list[str]:
        """The ids of all members, the first owner first."""
        return [each.id for each in sorted(self.members, key=lambda member: (draw(member, key), member.id))]

    def _of(self, key: bytes) -> tuple[str, ...]:
        """The owners of a key, the first one first; fewer where there are fewer members."""
        return tuple(self.ranked(key)[:OWNERS])


def within_bound(load: float, load_of_all: float, share: float, free: float, bound: float = BOUND) -> bool:
    """Whether a member may get one more, of a load in any unit. A member alone always may.

    :param share: its part of the weight of all. :param free: load that anybody may have.
    :param bound: times its share of the load.
    """
    return load < free or load + 1 <= math.ceil(bound * (load_of_all + 1) * share)


class Loads:
    """Who is within its bound, by what this edge has sent where and by what the members said last.

    Heart-beats show what all edges together do, and are seconds old; what this edge has sent by itself is known at
    once. A member that is above its bound by either gets nothing new: by heart-beats alone whole POPs would turn from
    one edge to the next and back with every beat.

    Clients come to all edges alike, so what this edge does with its own says what the others do with theirs: what is
    served where it comes to is a load of all, and who is sent no more still serves what comes to it by itself.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        weight = sum(member.weight for member in members)
        self._shares = {member.id: member.weight / weight for member in members}
        self._window = WINDOW * len(members)
        self.heard(members)
        self._sent = dict.fromkeys(self._shares, 0)
        self._turned_away = dict.fromkeys(self._shares, 0)  # from a first owner to the second
        self._everywhere = 0  # served where they came to
        self._all = 0

    def heard(self, members: Sequence[Member]) -> None:
        """The same members have said anew what their load is."""
        self._said = {member.id: member.load for member in members}
        self._said_of_all = sum(self._said.values())

    def placed(self, owners: Sequence[str], at: Place) -> None:
        """A request was placed there. In the counts nothing is very old.

        :param owners: of its service, members all.
        """
        if at.why == "hot" or at.member not in owners:
            self._everywhere += 1
        else:
            self._sent[at.member] += 1
            if at.member != owners[0]:
                self._turned_away[owners[0]] += 1
        self._all += 1
        if self._all >= self._window:
            self._halve()

    def _halve(self) -> None:
        self._sent = {each: count // 2 for each, count in self._sent.items()}
        self._turned_away = {each: count // 2 for each, count in self._turned_away.items()}
        self._everywhere //= 2
        self._all = self._everywhere + sum(self._sent.values())

    def fits(self, member: str) -> bool:
        """Whether a member may get one more."""
        share = self._shares.get(member)
        if share is None:
            return False
        sent = self._sent[member]
        load = sent + (self._everywhere + self._turned_away[member]) * share
        by_sent = sent < FREE_SENT * share * self._window or within_bound(load, self._all, share, 0)
        return by_sent and within_bound(self._said[member], self._said_of_all, share, FREE_LOAD, BOUND_BY_BEATS)


class Hot:
    """Which services have so many of the requests that each edge serves them by itself."""

    def __init__(self) -> None:
        self._counts, self._all = Frequent(HOT_PLACES), 0

    def asked(self, service: str) -> bool:
        """A client of this edge asked a service: whether it is hot."""
        self._counts.add(service)
        self._all += 1
        if self._all >= HOT_WINDOW:
            self._counts.halve()
            self._all //= 2
        return self._all >= HOT_AFTER and self._counts.counts.get(service, 0) > HOT_SHARE * self._all


def service_key(service: str) -> bytes:
    """The key of a service: of its requests, and of what is kept of its answers."""
    return b"service\0" + service.encode()


def place(owners: Sequence[str], here: str, *, kept: bool, hot: bool, fits: Callable[[str], bool]) -> Place:
    """Where to serve a request.

    :param owners: of its service. :param here: the edge that has it.
    :param kept: a machine of the service is resident or parked here.
    :param fits: whether a member is alive and within its bound.
    """
    if hot:
        return Place(here, "hot")
    if kept:
        return Place(here, "kept")
    for owner, why in zip(owners, ("owner", "second"), strict=False):
        if fits(owner):
            return Place(owner, "owner" if why == "owner" else "second")
    return Place(here, "none")
