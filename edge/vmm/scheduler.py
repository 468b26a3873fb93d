"""Whose turn it is: a worker's CPU time, shared by weight among tenants, and a tenant's share among its services.

Each of the two levels is a `FairQueue`: earliest eligible virtual deadline first (EEVDF; Stoica and Abdel-Wahab,
"Earliest Eligible Virtual Deadline First", Old Dominion University TR-95-22, 1995), stacked as Bennett and Zhang stack
packet queues ("Hierarchical Packet Fair Queueing Algorithms", SIGCOMM 1996). docs/adr/0003 says why.

Values only: no I/O and no clock; every time is the caller's `time.monotonic_ns`. Rules for callers: `charge` what ran
before anything else is told of it, then `sleep` it if it has nothing left; then ask `next` again. An operation costs
O(log n) of those that are awake or still in debt, amortised; those that sleep cost nothing.
"""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

LATENCY_NS: Final = 8_000_000  # all that are runnable get a turn in about this time, while slices are above the floor
FLOOR_NS: Final = 500_000  # the shortest, but after waking: 7 times the dearest exit known (nested KVM, 70 us)
IO_NS_PER_BYTE: Final = 3  # the supervisor's CPU time for a byte of response: 2.7 ns measured with 64 MiB over loopback
WEIGHT_MAX: Final = 10_000  # as cpu.weight of Linux control groups
BURST_NS: Final = 100_000_000  # CPU time a bucket holds: the default period of CFS bandwidth control

_SHIFT: Final = 20  # virtual time counts 2**-20 ns at weight 1, so that an hour's rounding stays far below a slice
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """CPU time of one service, however idle the worker is."""

    cpu_ns_per_s: int  # above 0; the long-term rate
    burst_ns: int = BURST_NS  # at least a scheduler's floor; what may be used at once after a pause


class Node:
    """What a `FairQueue` shares service among. Its lag is what it is owed: (virtual time - start) * weight."""

    __slots__ = ("__weakref__", "member", "request_ns", "start", "ticket", "wants", "weight")

    def __init__(self, weight: int) -> None:
        if not 1 <= weight <= WEIGHT_MAX:
            raise ValueError(f"a weight of 1 to {WEIGHT_MAX} expected, got {weight}")
        self.weight = weight
        self.wants = False  # has work
        self.member = False  # its weight counts: it has work, or has had more than its share
        self.start = 0  # virtual time from which on it may have service (the paper's eligible time)
        self.request_ns = 0  # what it asks for at `start`, which makes its deadline
        self.ticket = 0  # of its entry in a heap; entries with another ticket are void


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
        if not self.wanting + self._members - 1:
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
        """Who is next; somebody, if anybody has work: the mean of starts cannot be below all of them."""
        if self._solo is not None:
            return self._solo
        due = self._due
        while due:
            _, ticket, node = due[0]
            if ticket == node.ticket:
                return node
            heappop(due)
        return None

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
        node.member = False
        node.ticket = 0
        self._weight -= node.weight
        self._members -= 1
        if node.start < self.virtual:
            self._advance((self.virtual - node.start) * node.weight)

    def _place(self, node: N) -> None:
        """Enter a member whose start or virtual time has changed where it belongs."""
        self._tickets = node.ticket = self._tickets + 1
        if node.start > self.virtual:
            heap, key = self._ahead, node.start
        elif node.wants:
            heap, key = self._due, node.start + (node.request_ns << _SHIFT) // node.weight
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
                    heappush(self._due, (start + (node.request_ns << _SHIFT) // node.weight, ticket, node))
                else:  # out of debt at this very moment: the rest goes to the others alone
                    self.virtual = start
                    service -= gap
                    self._dismiss(node)
            heappop(ahead)
        if self._weight:
            step, self._rest = divmod(service, self._weight)
            self.virtual += step
        else:
            self._rest = 0


class Tenant(Node):
    """All services of one owner."""

    __slots__ = ("entities", "queue")

    def __init__(self, weight: int) -> None:
        super().__init__(weight)
        self.entities = 0
        self.queue: FairQueue[Entity] = FairQueue()


class Entity(Node):
    """One service's machine, and what has been counted of it."""

    __slots__ = ("awake", "bucket", "cpu_ns", "hold", "since_ns", "slices", "tenant", "throttled_ns", "wait_ns")

    def __init__(self, tenant: Tenant, weight: int, bucket: "Bucket | None") -> None:
        super().__init__(weight)
        self.tenant = tenant
        self.bucket = bucket
        self.awake = False  # has work, though it may be throttled
        self.hold = 0  # ticket of its entry among the throttled
        self.since_ns = 0  # when it last began to wait, or to be throttled
        self.slices = 0
        self.cpu_ns = 0  # charged, input and output included
        self.wait_ns = 0  # runnable, until it ran
        self.throttled_ns = 0  # awake, with its quota used up


class Bucket:
    """A token bucket of CPU time; full at first, below 0 after a slice that went on for too long."""

    __slots__ = ("_level", "_now_ns", "_quota")

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._level = quota.burst_ns * _SECOND_NS  # in 1e-9 ns, so that refilling does not round
        self._now_ns: int | None = None

    def take(self, cpu_ns: int) -> None:
        """Use so much."""
        self._level -= cpu_ns * _SECOND_NS

    def holds_ns(self, now_ns: int) -> int:
        """What may be used now."""
        if self._now_ns is not None:
            refilled = self._level + max(0, now_ns - self._now_ns) * self._quota.cpu_ns_per_s
            self._level = min(refilled, self._quota.burst_ns * _SECOND_NS)
        self._now_ns = now_ns
        return self._level // _SECOND_NS

    def ready_ns(self, cpu_ns: int) -> int:
        """When it will hold so much again, if nothing is used meanwhile; to be asked after `holds_ns`."""
        missing = cpu_ns * _SECOND_NS - self._level
        return (self._now_ns or 0) + max(0, -(-missing // self._quota.cpu_ns_per_s))


class Scheduler:
    """Weighted fair queueing of CPU time among tenants, then among the services of each.

    :param latency_ns: the longest slice; shared by all that are runnable, down to the floor.
    :param floor_ns: the shortest slice of one who goes on; whoever has just woken asks for half of it first.
    """

    def __init__(
        self, *, latency_ns: int = LATENCY_NS, floor_ns: int = FLOOR_NS, io_ns_per_byte: int = IO_NS_PER_BYTE
    ) -> None:
        if not 2 <= floor_ns <= latency_ns:
            raise ValueError(f"a floor of 2 to {latency_ns} ns expected, got {floor_ns}")
        self.floor_ns = floor_ns
        self._latency_ns = latency_ns
        self._io_ns_per_byte = io_ns_per_byte
        self._root: FairQueue[Tenant] = FairQueue()
        # A tenant lives as long as it has services, or the root queue keeps it for its debt.
        self._tenants: WeakValueDictionary[str, Tenant] = WeakValueDictionary()
        self._runnable = 0
        self._throttled: list[tuple[int, int, Entity]] = []  # by release, a heap; void entries as in `FairQueue`
        self._holds = 0

    def add(self, tenant: str, *, weight: int = 1, tenant_weight: int = 1, quota: Quota | None = None) -> Entity:
        """A service that may want CPU time, asleep. A tenant's weight is the last one named.

        :raises ValueError: a weight or a quota is out of range.
        """
        if quota is not None and (quota.cpu_ns_per_s < 1 or quota.burst_ns < self.floor_ns):
            raise ValueError(f"a rate above 0 and a burst of at least {self.floor_ns} ns expected, got {quota}")
        node = self._tenants.get(tenant)
        if node is None:
            node = self._tenants[tenant] = Tenant(tenant_weight)
        elif node.weight != tenant_weight:
            self._root.reweight(node, Node(tenant_weight).weight)
        entity = Entity(node, weight, None if quota is None else Bucket(quota))
        node.entities += 1
        return entity

    def remove(self, entity: Entity, now_ns: int) -> None:
        """It is gone and must not be used again; its tenant still pays for what it had.

        What is added in its place begins with a full bucket: keep the entity of a service with a quota over a park.
        """
        self.sleep(entity, now_ns)
        tenant = entity.tenant
        tenant.entities -= 1
        if not tenant.entities:
            tenant.queue = FairQueue()  # nobody is left to be fair to

    def wake(self, entity: Entity, now_ns: int) -> None:
        """It has work. Harmless when it had some."""
        if not entity.awake:
            entity.awake = True
            entity.since_ns = now_ns
            if not self._throttle(entity, now_ns):
                self._enter(entity, self.floor_ns // 2)

    def sleep(self, entity: Entity, now_ns: int) -> None:
        """It has no work any more. Harmless when it had none."""
        if entity.awake:
            entity.awake = False
            if entity.wants:
                self._leave(entity)
            elif entity.hold:
                entity.hold = 0
                entity.throttled_ns += now_ns - entity.since_ns

    def next(self, now_ns: int) -> tuple[Entity, int] | None:
        """Who runs now, and for how long at most, in nanoseconds of CPU time; `None` when nobody may.

        It may be given less, once it has had the floor: let it give way then when something arrives for others.
        """
        if self._throttled:
            self._release(now_ns)
        tenant = self._root.pick()
        entity = tenant.queue.pick() if tenant is not None else None
        if tenant is None or entity is None:
            return None
        slice_ns = self._slice_ns()
        if self._runnable > 1:
            slice_ns = min(slice_ns, entity.request_ns, tenant.request_ns)
        if entity.bucket is not None:
            slice_ns = min(slice_ns, max(self.floor_ns, entity.bucket.holds_ns(now_ns)))
        entity.slices += 1
        entity.wait_ns += now_ns - entity.since_ns
        return entity, slice_ns

    def charge(self, entity: Entity, cpu_ns: int, now_ns: int, io_bytes: int = 0) -> None:
        """What an entity has used: in its slice, or at any other time on its behalf.

        :param io_bytes: sent out of the machine; CPU time that others spend on it is charged to it.
        """
        cost_ns = cpu_ns + io_bytes * self._io_ns_per_byte
        entity.cpu_ns += cost_ns
        entity.since_ns = now_ns
        tenant = entity.tenant
        request_ns = self._slice_ns()
        tenant.queue.charge(entity, cost_ns, request_ns)
        self._root.charge(tenant, cost_ns, request_ns)
        if entity.bucket is not None:
            entity.bucket.take(cost_ns)
            if entity.wants and self._throttle(entity, now_ns):
                self._leave(entity)

    def next_release_ns(self) -> int | None:
        """When the first of those that are throttled may go on; `None` if nobody waits for that."""
        throttled = self._throttled
        while throttled and throttled[0][1] != throttled[0][2].hold:
            heappop(throttled)
        return throttled[0][0] if throttled else None

    def _slice_ns(self) -> int:
        runnable = self._runnable
        return max(self.floor_ns, self._latency_ns // runnable) if runnable > 1 else self._latency_ns

    def _enter(self, entity: Entity, request_ns: int) -> None:
        tenant = entity.tenant
        self._runnable += 1
        tenant.queue.join(entity, request_ns)
        if not tenant.wants:
            self._root.join(tenant, request_ns)

    def _leave(self, entity: Entity) -> None:
        tenant = entity.tenant
        self._runnable -= 1
        tenant.queue.leave(entity)
        if not tenant.queue.wanting:
            self._root.leave(tenant)

    def _throttle(self, entity: Entity, now_ns: int) -> bool:
        """Whether its bucket holds less than the least slice; then it waits for that much."""
        bucket = entity.bucket
        if bucket is None or bucket.holds_ns(now_ns) >= self.floor_ns:
            return False
        self._holds = entity.hold = self._holds + 1
        heappush(self._throttled, (bucket.ready_ns(self.floor_ns), entity.hold, entity))
        return True

    def _release(self, now_ns: int) -> None:
        while (release_ns := self.next_release_ns()) is not None and release_ns <= now_ns:
            entity = heappop(self._throttled)[2]
            entity.hold = 0
            entity.throttled_ns += now_ns - entity.since_ns
            entity.since_ns = now_ns
            self._enter(entity, self.floor_ns // 2)
