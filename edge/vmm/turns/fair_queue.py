"""One level of fair queueing: service shared among nodes by weight, within one request of the ideal.

Earliest eligible virtual deadline first (EEVDF): Stoica and Abdel-Wahab, "Earliest Eligible Virtual Deadline First: A
Flexible and Accurate Mechanism for Proportional Share Resource Allocation", Old Dominion University TR-95-22, 1995. Of
those who have not had more than their share (eligible), the one whose request the fluid ideal would have finished first
goes next. Leaving with a debt follows Linux's delayed dequeue (kernel/sched/fair.c since 6.12), here exact.

All numbers are integers and nothing is lost to rounding: sums stay what they should be for ever. Each operation costs
O(log n) of the members, amortised over their entries in two heaps; nodes without work are in neither.
"""

from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

WEIGHT_MAX: Final = 10_000  # as cpu.weight of Linux control groups

_SHIFT: Final = 20  # virtual time counts 2**-20 ns at weight 1: 100 units for a ns at the greatest weight


class Node:
    """What a `FairQueue` shares service among. Its lag is what it is owed: (virtual time - start) * weight."""

    __slots__ = ("member", "request_ns", "start", "ticket", "wants", "weight")

    def __init__(self, weight: int) -> None:
        if not 1 <= weight <= WEIGHT_MAX:
            raise ValueError(f"a weight of 1 to {WEIGHT_MAX} expected, got {weight}")
        self.weight = weight
        self.wants = False  # has work
        self.member = False  # its weight counts: it has work, or has had more than its share
        self.start = 0  # virtual time from which on it may have service (the paper's eligible time)
        self.request_ns = 0  # what it asks for at `start`, which makes its deadline
        self.ticket = 0  # of its entry in a heap; entries with another ticket are void

    @property
    def deadline(self) -> int:
        """Virtual time by which the fluid ideal would have given it what it asks for."""
        return self.start + (self.request_ns << _SHIFT) // self.weight


N = TypeVar("N", bound=Node)


class FairQueue(Generic[N]):
    """One level: the fluid ideal's virtual time, and the members in order of it.

    Virtual time is the weighted mean of all members' starts, and never goes back. A member that stops wanting while it
    is ahead of its share stays until virtual time has caught up, so a nap wipes out no debt; one that stops while it is
    behind gives what it was owed to those who stay. Whoever joins does so at the present virtual time, owed nothing.
    """

    __slots__ = ("_ahead", "_due", "_members", "_rest", "_solo", "_tickets", "_weight", "virtual", "wanting")

    def __init__(self) -> None:
        self.virtual = 0
        self.wanting = 0  # nodes with work
        self._solo: N | None = None  # has been alone since it joined: in no heap, no member, and never owed anything
        self._weight = 0  # of all members
        self._members = 0
        self._rest = 0  # service given and not yet in `virtual`, below `_weight`
        self._due: list[tuple[int, int, N]] = []  # by deadline: may have service now, all want it
        self._ahead: list[tuple[int, int, N]] = []  # by start: have had their share for now
        self._tickets = 0

    def join(self, node: N, request_ns: int) -> None:
        """A node without work has some again; its first request is for so much."""
        node.wants = True
        node.request_ns = request_ns
        self.wanting += 1
        if self.wanting == 1 and not self._members:
            self._solo = node
        elif not node.member:  # else it waits in `_ahead` for its debt to be paid, and goes on waiting
            self._admit(node)
            self._place(node)

    def leave(self, node: N) -> None:
        """A node with work has none any more."""
        node.wants = False
        self.wanting -= 1
        if node is self._solo:
            self._solo = None
        elif node.start <= self.virtual:
            self._dismiss(node)

    def pick(self) -> N | None:
        """The node whose turn it is, None only if none has work.

        Virtual time is a mean of the members' starts, so it is never below all of them: somebody is due.
        """
        if self._solo is not None:
            return self._solo
        due = self._due
        while due:
            _, ticket, node = due[0]
            if ticket == node.ticket:
                return node
            heappop(due)
        return None

    def until_more_urgent_ns(self, node: N) -> int | None:
        """Service to `node`, whose turn it is, after which one that has had its share for now goes before it.

        None where nobody does: only the first of those that become due is looked at. The others come later.
        """
        ahead = self._ahead
        while ahead and ahead[0][1] != ahead[0][2].ticket:
            heappop(ahead)
        if not ahead:
            return None
        start, _, first = ahead[0]
        if not first.wants or first.deadline >= node.deadline:
            return None
        return (start - self.virtual) * self._weight >> _SHIFT

    def charge(self, node: N, service_ns: int, request_ns: int) -> None:
        """Service that a node has had, whether it was its turn or not; its next request is for so much."""
        node.request_ns = request_ns
        if node is self._solo:
            return
        if not node.member:
            self._admit(node)
        node.ticket = 0
        step = (service_ns << _SHIFT) // node.weight
        node.start += step
        self._advance(step * node.weight)
        self._place(node)

    def reweight(self, node: N, weight: int) -> None:
        """Change a node's weight; it keeps its lag."""
        old, node.weight = node.weight, weight
        if node.member:
            lag = (self.virtual - node.start) * old
            self._weight += weight - old
            node.start = self.virtual - lag // weight
            node.ticket = 0
            self._advance(lag % weight)  # what rounding took from it
            self._place(node)

    def _admit(self, node: N) -> None:
        solo = self._solo
        if solo is not None:
            self._solo = None
            self._admit(solo)
            self._place(solo)
        node.member = True
        node.start = self.virtual
        self._weight += node.weight
        self._members += 1

    def _dismiss(self, node: N) -> None:
        """It is a member no longer; what it was owed, and what is left over for fewer now, goes to those who stay."""
        self._take_out(node)
        self._advance(max(0, self.virtual - node.start) * node.weight)

    def _take_out(self, node: N) -> None:
        node.member = False
        node.ticket = 0
        self._weight -= node.weight
        self._members -= 1

    def _place(self, node: N) -> None:
        """Enter a member whose start or virtual time has changed where it belongs."""
        self._tickets = node.ticket = self._tickets + 1
        if node.start > self.virtual:
            heap, key = self._ahead, node.start
        elif node.wants:
            heap, key = self._due, node.deadline
        else:
            self._dismiss(node)
            return
        if len(heap) > 2 * self._members + 16:  # more than half of them are void
            heap[:] = [entry for entry in heap if entry[1] == entry[2].ticket]
            heapify(heap)
        heappush(heap, (key, node.ticket, node))

    def _advance(self, service: int) -> None:
        """Virtual time goes on by service, in units of its own, spread over all members."""
        service += self._rest
        ahead = self._ahead
        while ahead:
            start, ticket, node = ahead[0]
            if ticket == node.ticket:
                gap = (start - self.virtual) * self._weight
                if gap > service:
                    break
                if node.wants:
                    heappush(self._due, (node.deadline, ticket, node))
                else:  # out of debt at this very moment: the rest goes to the others alone
                    self.virtual = start
                    service -= gap
                    self._take_out(node)
            heappop(ahead)
        if self._weight:
            step, self._rest = divmod(service, self._weight)
            self.virtual += step
        else:
            self._rest = 0
