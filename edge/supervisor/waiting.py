"""Requests that wait for a machine, of all services: what they hold in memory is bounded, and charged to their tenants.

The order in which one service's requests are served is that of its queue; every change of a queue goes through here, so
that the sums are right. How many may wait for one service is the configuration's business.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from edge.model.flow import QueueFull
from edge.model.services import Service, StreamState

# What a waiting request takes beside its payload: stream, future, parsed head, queue entries (the resident memory of an
# edge with 1,000 small GETs waiting grew by 2.4 KiB for each, payload included).
STREAM_BYTES: Final = 2 << 10
WAITING_MIN: Final = 8 << 20  # bytes, on the smallest edge: some 3,500 small requests


def waiting_bytes(memory_bytes: int) -> int:
    """How much all waiting requests of an edge may hold: a sixteenth of its memory, and not less than is of use."""
    return max(WAITING_MIN, memory_bytes // 16)


def may_wait(budget_bytes: int, used_bytes: int, mine_bytes: int, size_bytes: int) -> bool:
    """Whether a tenant may let one more request wait: never more than is still free then.

    One tenant alone has half of the budget, two have a third each, and there is always room for one that comes anew
    (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998, with alpha 1).
    """
    return mine_bytes + size_bytes <= budget_bytes - used_bytes - size_bytes


class Waiting:
    """The queues of all services; iteration sees the services that have, or a tick ago had, requests in theirs."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._by_tenant: dict[str, int] = {}
        self._services: set[Service] = set()

    def __iter__(self) -> Iterator[Service]:
        return iter(list(self._services))

    def bytes_of(self, tenant: str) -> int:
        """What a tenant's requests hold."""
        return self._by_tenant.get(tenant, 0)

    def add(self, stream: StreamState) -> None:
        """Let a request wait, behind the others of its service.

        :raises QueueFull: its tenant has as much waiting as it may have, beside what all others have.
        """
        service, size = stream.service, STREAM_BYTES + len(stream.payload)
        mine = self.bytes_of(service.tenant)
        if not may_wait(self.budget_bytes, self.used_bytes, mine, size):
            room = f"{self.budget_bytes - self.used_bytes} of {self.budget_bytes} bytes are free"
            raise QueueFull(f"{service.name}: requests of its tenant hold {mine} bytes, {size} more expected, {room}")
        self._enter(stream, size).append(stream)

    def again(self, stream: StreamState) -> None:
        """Let a request wait that a machine had and lost, before the others. It was admitted before."""
        self._enter(stream, STREAM_BYTES + len(stream.payload)).appendleft(stream)

    def _enter(self, stream: StreamState, size: int) -> deque[StreamState]:
        """Count a request; the queue that it is to stand in."""
        self._services.add(stream.service)
        self.used_bytes += size
        stream.charged = tenant = stream.service.tenant
        self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + size
        return _queue_of(stream.service)

    def next(self, service: Service) -> StreamState:
        """Take the first request of a service's queue, which is not empty."""
        stream = _queue_of(service).popleft()
        self._left(stream)
        return stream

    def remove(self, stream: StreamState) -> None:
        """Take a request out from wherever it stands."""
        _queue_of(stream.service).remove(stream)
        self._left(stream)

    def _left(self, stream: StreamState) -> None:
        tenant, size = stream.charged, STREAM_BYTES + len(stream.payload)
        self.used_bytes -= size
        if left := self._by_tenant[tenant] - size:
            self._by_tenant[tenant] = left
        else:
            del self._by_tenant[tenant]

    def sweep(self) -> None:
        """Called every second or so: forget services for which nothing waits."""
        for service in self:
            if not service.queue:
                self._services.discard(service)
                service.queue = ()


def _queue_of(service: Service) -> deque[StreamState]:
    """A service's queue, made when a request waits: an empty one takes 760 bytes, and most services are idle."""
    queue = service.queue
    if not isinstance(queue, deque):
        queue = service.queue = deque()
    return queue
