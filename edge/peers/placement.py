"""Which edge of a POP serves what: two owners of each key, bounded load, and services that stay everywhere. Pure.

Owners are found by weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by the logarithm method of
Schindelhauer and Schomaker, 2005): each member draws a number for a key, and the lowest wins. All who have the same
list of members find the same owners without a word between them, and a member that comes or goes moves its own share
of the keys and no other. Above `BOUND` times its share of the load a member gets nothing new (bounded load, Mirrokni,
Thorup and Zadimoghaddam, 2018); 1.25 is what Vimeo runs. A key is that of a service (`service_key`) or a digest.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from edge.common.frequent import Frequent

OWNERS: Final = 2  # of a key: one may die, or be full, and most of what it had is still in one other place
BOUND: Final = 1.25  # times a member's share of the load
# The same by heart-beats, which are seconds old: a member that is above it gets nothing until its next one, and what it
# owns is opened elsewhere meanwhile. At 1.25 that happened to members that were no busier than their keys make them,
# and a fifth of the hits went (`nunatak simulate owners`); at 1.4 nobody has 1.3 times its share, and none goes.
BOUND_BY_BEATS: Final = 1.4
HOT_SHARE: Final = 0.05  # of a POP's requests, from which on a service is everywhere
WINDOW: Final = 4096  # requests after which counts are halved: what counts is about the last 8,000
HOT_AFTER: Final = 256  # requests before which no service is called hot: the share of fewer says little
HOT_PLACES: Final = 128  # services that are counted at a time: errs by less than a percent of the requests
FREE_SENT: Final = 256  # requests in a window that anybody may get: the bound is for loads, not for the first few
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
    """

    def __init__(self, members: Sequence[Member]) -> None:
        weight = sum(member.weight for member in members)
        self._shares = {member.id: member.weight / weight for member in members}
        self.heard(members)
        self._sent = dict.fromkeys(self._shares, 0)
        self._sent_to_all = 0

    def heard(self, members: Sequence[Member]) -> None:
        """The same members have said anew what their load is."""
        self._said = {member.id: member.load for member in members}
        self._said_of_all = sum(self._said.values())

    def sent(self, member: str) -> None:
        """A request was placed there; in the counts nothing is very old."""
        if member not in self._sent:
            return
        self._sent[member] += 1
        self._sent_to_all += 1
        if self._sent_to_all >= WINDOW:
            self._sent = {each: count // 2 for each, count in self._sent.items()}
            self._sent_to_all = sum(self._sent.values())

    def fits(self, member: str) -> bool:
        """Whether a member may get one more."""
        share = self._shares.get(member)
        if share is None:
            return False
        by_beats = within_bound(self._said[member], self._said_of_all, share, FREE_LOAD, BOUND_BY_BEATS)
        return by_beats and within_bound(self._sent[member], self._sent_to_all, share, FREE_SENT)


class Hot:
    """Which services have so many of the requests that each edge serves them by itself."""

    def __init__(self) -> None:
        self._counts, self._all = Frequent(HOT_PLACES), 0

    def asked(self, service: str) -> bool:
        """A client of this edge asked a service: whether it is hot."""
        self._counts.add(service)
        self._all += 1
        if self._all >= 2 * WINDOW:
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
    if kept:
        return Place(here, "kept")
    if hot:
        return Place(here, "hot")
    for owner, why in zip(owners, ("owner", "second"), strict=False):
        if fits(owner):
            return Place(owner, "owner" if why == "owner" else "second")
    return Place(here, "none")
