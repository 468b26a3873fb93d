"""All client connections together: how many there may be, who goes when there are too many, and bytes held for them.

Rules for the choice, in this order:

- A client address may have three quarters of all connections (an IPv6 client is its /64, RFC 6177): behind a proxy all
  clients are one address, and a quarter is left for the others.
- When all places are taken, a connection of the address that has most of them makes room, so nobody pushes out a client
  that has fewer. Of a few of its oldest, it is the one that has had nothing to do for longest; when all have something
  to do, the new connection is not taken.
- When the bytes held for all pass their budget, a connection that holds more than an equal share is not read on until
  some are gone. Nobody is cut for that: what has arrived is answered, and a head that does not come ends by its time.
- When answers that are not read pass a budget of that size, the connection goes that has read nothing for longest.

Places are looked at a few at a time, so that a flood of connections costs the same for each, however many there are.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from edge.common.counters import Counters
from edge.common.fair_room import party_of

# An idle connection with its parser, transport and timer takes some 9 KiB (measured, uvloop 0.22); the rest is for what
# it sends, within the budget of bytes.
BYTES_EACH: Final = 16 << 10
FILES_SPARE: Final = 512  # descriptors for workers, caches, upstreams and the origin: 256 of them are for upstreams
CONNECTIONS_MIN: Final = 64
HELD_SHARE: Final = 8  # of the edge's memory: an eighth for what clients have sent and nobody has taken yet
HELD_EACH_MIN: Final = 4 << 10  # bytes that any connection may have; an ordinary head has about one
READ_BYTES: Final = 16 << 10  # at a time from one connection: what is read and not yet looked at is no more than that
LOOKS: Final = 16  # connections that are looked at for one that has nothing to do


class Member(Protocol):
    """A connection."""

    remote: str

    @property
    def idle_since(self) -> float | None:
        """Loop time since when nothing is asked of it; None while there is something to do."""

    def abort(self) -> None: ...


class Client(Member, Protocol):
    """A connection that may be asked to end."""

    def close(self) -> None: ...


def connections_max(files: int, memory_bytes: int) -> int:
    """How many connections an edge takes with so many descriptors and so much memory."""
    return max(CONNECTIONS_MIN, min(files - FILES_SPARE, memory_bytes // BYTES_EACH))


M = TypeVar("M", bound=Member)


class Crowd(Generic[M]):
    """The connections that there are."""

    def __init__(
        self, most: int, held_max_bytes: int, counters: Counters, *, each: int = 0, unread_max_bytes: int = 0
    ) -> None:
        """:param most: connections. :param held_max_bytes: for all together.
        :param unread_max_bytes: for answers that clients have not read; as much again where it is 0.
        :param each: connections of one client; three quarters of all where it is 0.
        """
        self.most, self.each = most, each or max(1, most * 3 // 4)
        self.held_max_bytes = held_max_bytes
        self.unread_max_bytes = unread_max_bytes or held_max_bytes
        self.held_bytes = 0
        self.unread_bytes = 0  # of answers that wait for their clients
        self._unread: OrderedDict[M, int] = OrderedDict()  # who has read nothing for longest first
        self.full = False  # those who hold much should not be read on
        self.buffer = memoryview(bytearray(READ_BYTES))  # what is read next, from whichever connection
        self._counters = counters
        self._members: dict[M, str] = {}
        self._by_party: dict[str, OrderedDict[M, None]] = {}
        self._by_size: dict[int, OrderedDict[str, None]] = {}  # parties by how many connections they have
        self._largest = 0

    @classmethod
    def of(cls, files: int, memory_bytes: int, counters: Counters) -> "Crowd[M]":
        """For an edge with so many descriptors and so much memory."""
        return cls(connections_max(files, memory_bytes), memory_bytes // HELD_SHARE, counters)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[M]:
        return iter(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def of_party(self, remote: str) -> int:
        """How many connections a client has."""
        return len(self._by_party.get(party_of(remote), ()))

    def add(self, member: M) -> bool:
        """Take a new connection; where there are too many it, or one that makes room for it, is aborted.

        :return: whether it was taken.
        """
        party = party_of(member.remote)
        crowded = party if len(self._by_party.get(party, ())) >= self.each else None
        if crowded is None and len(self._members) >= self.most:
            crowded = next(iter(self._by_size[self._largest]))
        if crowded is not None:
            victim = self._longest_idle(crowded)
            if victim is None:
                self._counters.connections_refused += 1
                member.abort()
                return False
            self._counters.connections_closed += 1
            self.discard(victim)
            victim.abort()
        self._members[member] = party
        members = self._by_party.setdefault(party, OrderedDict())
        members[member] = None
        self._resize(party, len(members) - 1, len(members))
        return True

    def discard(self, member: M) -> None:
        """A connection is gone; a no-op for one that is not here."""
        self.resumed_reading(member)
        party = self._members.pop(member, None)
        if party is None:
            return
        members = self._by_party[party]
        del members[member]
        self._resize(party, len(members) + 1, len(members))
        if not members:
            del self._by_party[party]

    def _resize(self, party: str, old: int, new: int) -> None:
        if old:
            del self._by_size[old][party]
            if not self._by_size[old]:
                del self._by_size[old]
        if new:
            self._by_size.setdefault(new, OrderedDict())[party] = None
        if new > self._largest or (old == self._largest and old not in self._by_size):
            self._largest = new

    def _longest_idle(self, party: str) -> M | None:
        """Of some of the party's connections; those that were looked at are the last to be looked at again."""
        members = self._by_party[party]
        longest: tuple[float, M] | None = None
        for _ in range(min(LOOKS, len(members))):
            member, _ = members.popitem(last=False)
            members[member] = None
            since = member.idle_since
            if since is not None and (longest is None or since < longest[0]):
                longest = since, member
        return longest[1] if longest is not None else None

    # Answers that are not read.

    def stopped_reading(self, member: M, size: int) -> None:
        """So many bytes of answers wait for a client: who has read nothing for longest goes where that is too much."""
        self.resumed_reading(member)
        self._unread[member] = size
        self.unread_bytes += size
        while self.unread_bytes > self.unread_max_bytes:
            slowest = next(iter(self._unread))
            self.resumed_reading(slowest)
            self._counters.connections_unread += 1
            slowest.abort()

    def resumed_reading(self, member: M) -> None:
        """It has read most of it, or is gone; a no-op for one that always did."""
        self.unread_bytes -= self._unread.pop(member, 0)

    def is_unread(self, member: object) -> bool:
        """Whether answers wait for a client."""
        return member in self._unread

    # Bytes that are held.

    def hold(self, more: int) -> None:
        """So many bytes more, or fewer, are held for clients."""
        self.held_bytes += more
        self.full = self.held_bytes >= self.held_max_bytes

    @property
    def share_bytes(self) -> int:
        """What each may hold when they hold too much together."""
        return max(HELD_EACH_MIN, self.held_max_bytes // max(1, len(self._members)))
