"""Whose turn it is: a worker's CPU time, shared by weight among tenants, and a tenant's share among its services.

Both levels are a `FairQueue`, stacked as Bennett and Zhang stack packet queues ("Hierarchical Packet Fair Queueing
Algorithms", SIGCOMM 1996): the root picks a tenant, the tenant's queue picks a service. docs/adr/0003 says why.

Values only: no I/O and no clock; every time is the caller's `time.monotonic_ns`. Rules for callers: `charge` what ran
before anything else is told of it, then `sleep` it if it has nothing left; then ask `next` again. An operation costs
O(log n) of those that are awake or still in debt, amortised; those that sleep cost nothing.
"""

from heapq import heappop, heappush
from typing import Final

from edge.vmm.turns.charges import TENANT_QUOTA
from edge.vmm.turns.fair_queue import FairQueue, Node
from edge.vmm.turns.token_bucket import Bucket
from edge.vmm.turns.token_bucket import Quota as Quota

LATENCY_NS: Final = 8_000_000  # all that are runnable get a turn in about this time, while slices are above the floor
FLOOR_NS: Final = 500_000  # the shortest, but after waking: 7 times the dearest exit known (nested KVM, 70 us)
OUTSIDE_KEPT: Final = 256  # from which on those who have paid are looked for: each has a second at most to do so
IO_NS_PER_BYTE: Final = 3  # the supervisor's CPU time for a byte of response: 2.7 ns measured with 64 MiB over loopback


class Tenant(Node):
    """All services of one owner."""

    __slots__ = ("entities", "name", "outside", "queue", "short")

    def __init__(self, name: str, weight: int, outside: Bucket) -> None:
        """:param outside: time of the supervisor that its services may cause."""
        super().__init__(weight)
        self.name = name
        self.entities = 0
        self.outside = outside
        self.short = False  # that bucket held too little when it was last looked at
        self.queue: FairQueue[Entity] = FairQueue()


class Entity(Node):
    """One service's machine, and what has been counted of it."""

    __slots__ = ("awake", "bucket", "cpu_ns", "hold", "since_ns", "slices", "tenant", "throttled_ns", "wait_ns")

    def __init__(self, tenant: Tenant, weight: int, bucket: Bucket | None) -> None:
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
        self._tenants: dict[str, Tenant] = {}  # that have services, or had some and may still be in debt: see `remove`
        self._gone: dict[str, Tenant] = {}  # of these, those without services: one is looked at in each turn
        self._outside: dict[str, Bucket] = {}  # of tenants without services, until they are full again
        self.runnable = 0  # entities that have work and are not throttled
        self._throttled: list[tuple[int, int, Entity]] = []  # by release, a heap; void entries as in `FairQueue`
        self._holds = 0

    def add(self, tenant: str, *, weight: int = 1, tenant_weight: int = 1, quota: Quota | None = None) -> Entity:
        """A service that may want CPU time, asleep. A tenant's weight is the last one named.

        :raises ValueError: a weight or a quota is out of range.
        """
        if quota is not None and (quota.cpu_ns_per_s < 1 or quota.burst_ns < self.floor_ns):
            raise ValueError(f"a rate above 0 and a burst of at least {self.floor_ns} ns expected, got {quota}")
        node = self._tenants.get(tenant)
        self._gone.pop(tenant, None)
        if node is None:
            outside = self._outside.pop(tenant, None)
            node = self._tenants[tenant] = Tenant(tenant, tenant_weight, outside or Bucket(TENANT_QUOTA))
            node.short = outside is not None
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
            if tenant.short or not tenant.outside.is_full(now_ns):
                self._keep_outside(tenant, now_ns)
            self._gone[tenant.name] = tenant

    def wake(self, entity: Entity, now_ns: int) -> None:
        """An entity has work. Nothing changes if it had some already."""
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
        if self._gone:
            self._look_at_gone()
        while True:
            tenant = self._root.pick()
            entity = tenant.queue.pick() if tenant is not None else None
            if tenant is None or entity is None:
                return None
            if not tenant.short or not self._throttle(entity, now_ns):
                break
            self._leave(entity)
        slice_ns = self._slice_ns()
        if self.runnable > 1:
            slice_ns = min(slice_ns, entity.request_ns, tenant.request_ns)
            for until_ns in (self._root.until_more_urgent_ns(tenant), tenant.queue.until_more_urgent_ns(entity)):
                if until_ns is not None:
                    slice_ns = min(slice_ns, max(until_ns, self.floor_ns))
        if entity.bucket is not None:
            slice_ns = min(slice_ns, entity.bucket.holds_ns(now_ns))
        entity.slices += 1
        entity.wait_ns += now_ns - entity.since_ns
        return entity, slice_ns

    def charge(self, entity: Entity, cpu_ns: int, now_ns: int, io_bytes: int = 0, outside_ns: int = 0) -> None:
        """What an entity has used: in its slice, or at any other time on its behalf.

        :param io_bytes: sent out of the machine; CPU time that others spend on it is charged to it.
        :param outside_ns: time that it made the supervisor spend; its tenant may cause only so much of that.
        """
        cost_ns = cpu_ns + io_bytes * self._io_ns_per_byte + outside_ns
        entity.cpu_ns += cost_ns
        entity.since_ns = now_ns
        tenant = entity.tenant
        request_ns = min(self._slice_ns(), max(2 * cost_ns, self.floor_ns // 2))
        tenant.queue.charge(entity, cost_ns, request_ns)
        self._root.charge(tenant, cost_ns, request_ns)
        if outside_ns:
            tenant.outside.holds_ns(now_ns)  # refilled up to now, and not by what comes after
            tenant.outside.take(outside_ns)
            tenant.short = tenant.outside.holds_ns(now_ns) < self.floor_ns
        if entity.bucket is not None:
            entity.bucket.take(cost_ns)
        if (entity.bucket is not None or tenant.short) and entity.wants and self._throttle(entity, now_ns):
            self._leave(entity)

    def next_release_ns(self) -> int | None:
        """When the first of those that are throttled may go on; `None` if nobody waits for that."""
        throttled = self._throttled
        while throttled and throttled[0][1] != throttled[0][2].hold:
            heappop(throttled)
        return throttled[0][0] if throttled else None

    def _slice_ns(self) -> int:
        return max(self.floor_ns, self._latency_ns // max(1, self.runnable))

    def _enter(self, entity: Entity, request_ns: int) -> None:
        tenant = entity.tenant
        self.runnable += 1
        tenant.queue.join(entity, request_ns)
        if not tenant.wants:
            self._root.join(tenant, request_ns)

    def _leave(self, entity: Entity) -> None:
        tenant = entity.tenant
        self.runnable -= 1
        tenant.queue.leave(entity)
        if not tenant.queue.wanting:
            self._root.leave(tenant)

    def _throttle(self, entity: Entity, now_ns: int) -> bool:
        """Whether its bucket or its tenant's holds less than the least slice; then it waits for that much."""
        tenant, floor_ns = entity.tenant, self.floor_ns
        release_ns = 0
        for bucket in (entity.bucket, tenant.outside if tenant.short else None):
            if bucket is not None and bucket.holds_ns(now_ns) < floor_ns:
                release_ns = max(release_ns, bucket.ready_ns(floor_ns))
            elif bucket is tenant.outside:
                tenant.short = False
        if not release_ns:
            return False
        self._holds = entity.hold = self._holds + 1
        heappush(self._throttled, (release_ns, entity.hold, entity))
        return True

    def _keep_outside(self, tenant: Tenant, now_ns: int) -> None:
        """What it caused is still paid for when it comes back: else it would come and go."""
        if len(self._outside) >= OUTSIDE_KEPT:
            self._outside = {name: bucket for name, bucket in self._outside.items() if not bucket.is_full(now_ns)}
        self._outside[tenant.name] = tenant.outside

    def _look_at_gone(self) -> None:
        """Forget the first of the tenants without services, unless the root queue still has it for its debt."""
        name, tenant = next(iter(self._gone.items()))
        del self._gone[name]
        if tenant.member:
            self._gone[name] = tenant
        else:
            del self._tenants[name]

    def _release(self, now_ns: int) -> None:
        while (release_ns := self.next_release_ns()) is not None and release_ns <= now_ns:
            entity = heappop(self._throttled)[2]
            entity.hold = 0
            entity.throttled_ns += now_ns - entity.since_ns
            entity.since_ns = now_ns
            self._enter(entity, self.floor_ns // 2)
