"""A POP: edges behind a balancer that sends each client anywhere, and who of them serves what.

With owners, an edge that does not hold a machine sends the request to one that does, and asks the owner of an image
for its bytes before it asks farther away: `edge.peers.placement` says who that is. What the POP has not is fetched
from outside of it; those fetches are handed on with their times.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.peers.placement import OWNERS, Hot, Loads, Member, Owners, place, service_key
from edge.simulation.nodes import TIERS, Budgets, Node
from edge.simulation.sizes import Sizes

BEAT_S: Final = 5.0  # between two heart-beats of an edge
EDGES_MAX: Final = 250  # of a POP
_UNKNOWN: Final = 255

Tables = dict[tuple[int, ...], bytearray]  # by the edges that are there: OWNERS bytes for each service


class Outage(NamedTuple):
    """An edge of each POP is gone from one time to another, in seconds."""

    edge: int
    from_s: float
    to_s: float


class PopResult(NamedTuple):
    """What a POP did."""

    tiers: list[int]  # requests by tier that answered them, as TIERS
    evictions: list[int]  # by tier that something went from
    served: list[int]  # requests by edge
    forwarded: int  # requests that one edge sent to another
    from_peer: int  # images that came from the owner
    peer_bytes: int  # on the wire within the POP, of images
    fetched: NDArray[np.int64]  # services whose images came from outside, in order
    fetched_s: NDArray[np.float64]  # and when
    fetched_warm: int  # so many of them while it was getting warm


class _Counts(NamedTuple):
    """Where the counters of a POP are."""

    tiers: list[int]
    evictions: list[int]
    served: list[int]
    forwarded: int
    from_peer: int
    peer_bytes: int
    fetched: int


class Pop:
    """The edges of one POP.

    :param owners: whether services have owners; without, each edge is on its own.
    """

    def __init__(
        self,
        budgets: Budgets,
        sizes: Sizes,
        edges: int,
        *,
        owners: bool,
        rate: float,
        outages: Sequence[Outage] = (),
        seed: int = 0,
        parked_stays: bool = True,
        tables: "Tables | None" = None,
    ) -> None:
        """:param rate: requests a second, of the POP.

        :param parked_stays: whether an edge with a parked machine keeps the request, as one with a resident one does.
        :param tables: owners that were found before; POPs whose edges have the same names may share them.
        """
        self.nodes = [Node(budgets, sizes) for _ in range(edges)]
        self._owned, self._rate, self._outages = owners, rate, outages
        self._sizes = sizes
        self._dice = np.random.default_rng([seed, 5])
        self._tables: Tables = tables if tables is not None else {}
        self._parked_stays = parked_stays
        self._hot = [Hot() for _ in range(edges)]
        self._tiers = [0] * len(TIERS)
        self._forwarded = self._from_peer = self._peer_bytes = 0
        self._fetched: list[int] = []
        self._fetched_s: list[float] = []
        self._now = 0.0
        self._there: tuple[int, ...] = ()
        self._loads: list[Loads] = []
        self._gather(tuple(range(edges)), [0.0] * edges)

    def play(self, demand: Iterable[NDArray[np.int64]], warm: int = 0) -> PopResult:
        """All requests, in order; what the first `warm` of them did to the tiers is not in the result."""
        count, beat_s, at_beat = 0, 0.0, [0] * len(self.nodes)
        before = self._counts()
        for services in demand:
            doors = (self._dice.random(len(services)) * len(self.nodes)).astype(np.int64).tolist()
            for service, door in zip(services.tolist(), doors, strict=True):
                if count == warm:
                    before = self._counts()
                self._now = count / self._rate
                count += 1
                if self._now >= beat_s + BEAT_S or (self._outages and self._away() != self._there):
                    served = [node.served for node in self.nodes]
                    loads = [
                        (now - then) / max(self._now - beat_s, 1e-9) for now, then in zip(served, at_beat, strict=True)
                    ]
                    self._gather(self._away(), loads)
                    beat_s, at_beat = self._now, served
                self._ask(service, self._there[door % len(self._there)])
        after = self._counts()
        return PopResult(
            [now - then for now, then in zip(after.tiers, before.tiers, strict=True)],
            [now - then for now, then in zip(after.evictions, before.evictions, strict=True)],
            [now - then for now, then in zip(after.served, before.served, strict=True)],
            after.forwarded - before.forwarded,
            after.from_peer - before.from_peer,
            after.peer_bytes - before.peer_bytes,
            np.array(self._fetched, dtype=np.int64),
            np.array(self._fetched_s),
            before.fetched,
        )

    def _counts(self) -> "_Counts":
        return _Counts(
            list(self._tiers),
            [sum(node.evictions[tier] for node in self.nodes) for tier in range(len(TIERS))],
            [node.served for node in self.nodes],
            self._forwarded,
            self._from_peer,
            self._peer_bytes,
            len(self._fetched),
        )

    def _away(self) -> tuple[int, ...]:
        """The edges that are there now."""
        gone = {outage.edge for outage in self._outages if outage.from_s <= self._now < outage.to_s}
        return tuple(edge for edge in range(len(self.nodes)) if edge not in gone)

    def _gather(self, there: tuple[int, ...], loads: Sequence[float]) -> None:
        """The members have changed, or said what they do."""
        members = [Member(_id(edge), load=loads[edge]) for edge in there]
        if there == self._there:
            for each in self._loads:
                each.heard(members)
            return
        for edge in set(self._there) - set(there):
            self.nodes[edge].forget()
        self._there = there
        self._members = Owners(members)
        names = tuple(there)
        if names not in self._tables:
            self._tables[names] = bytearray(b"\xff" * (OWNERS * len(self._sizes.image)))
        self._table = self._tables[names]
        self._loads = [Loads(members) for _ in self.nodes]

    def _owners_of(self, service: int) -> tuple[int, ...]:
        """Of what is known by the service: its requests and, since each has an image of its own, its image."""
        at, table = OWNERS * service, self._table
        if table[at] == _UNKNOWN:
            for number, owner in enumerate(self._members.of(service_key(str(service)))):
                table[at + number] = int(owner)
        return tuple(owner for owner in table[at : at + OWNERS] if owner != _UNKNOWN)

    def _ask(self, service: int, door: int) -> None:
        edge = door
        if self._owned:
            hot = self._hot[door].asked(str(service))
            node, loads = self.nodes[door], self._loads[door]
            owners = [_id(owner) for owner in self._owners_of(service)]
            kept = node.holds(service) if self._parked_stays else service in node.machines
            at = place(owners, _id(door), kept=kept, hot=hot, fits=loads.fits)
            loads.placed(owners, at)
            edge = int(at.member)
            self._forwarded += edge != door
        self._at = edge
        self._tiers[self.nodes[edge].ask(service, self._fetch)] += 1

    def _fetch(self, service: int) -> None:
        """An image that the edge does not have: from its owner, which fetches it if it must."""
        if self._owned:
            owner = self.nodes[self._owners_of(service)[0]]
            if owner is not self.nodes[self._at]:
                self._peer_bytes += self._sizes.image[service]
                self._from_peer += 1
                if owner.blobs.hit(service):
                    return
                owner.keep(service)
        self._fetched.append(service)
        self._fetched_s.append(self._now)


def _id(edge: int) -> str:
    return str(edge)
