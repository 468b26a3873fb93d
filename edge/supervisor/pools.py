"""Services that more than one machine serves: who gets the next request, when another opens, when it goes again.

The first machine of a service is its own: it is parked and comes back with what it remembers. Those beside it start
from the image, share nothing with it, and are closed when they have had nothing to do for a while. Fresh machines, of
one request each, are no others: each is reset after its request, and takes the next. Pure, as `life`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from edge.model.services import Machine, Service
from edge.supervisor import commands as do

GROW_AT: Final = 2  # requests in the least busy machine from which another is worth its memory
IDLE_S: Final = 5.0  # without a request before a machine beside the first is closed


class Pools:
    """The machines beside the first, of all services."""

    def __init__(self, has_exchanges: Callable[[Machine], bool], out: deque[do.Command]) -> None:
        """:param has_exchanges: whether a machine has requests to upstreams under way."""
        self._has_exchanges, self._out = has_exchanges, out
        self._grown: set[Service] = set()  # with machines beside the first
        self._refused: set[Service] = set()  # another machine, since the last `retry`

    def choose(self, service: Service, first: Machine) -> Machine:
        """The machine for the next request of a service that is resident: the least busy one.

        Where that has much to do, or as much as it may have, another machine is asked for.
        """
        if service.queue:  # all have as much as they may
            self._grow(service, first)
            return first
        machine = min((first, *service.others), key=lambda machine: len(machine.streams))
        if len(machine.streams) >= min(GROW_AT, machine.limit):
            self._grow(service, first)
        return machine

    def relieve(self, service: Service) -> None:
        """Requests wait although the service is resident: another machine is asked for, if it may have one."""
        first = service.machine
        if first is not None and first.pool > 1 and service.queue and service.state == "resident":
            self._grow(service, first)

    def _grow(self, service: Service, first: Machine) -> None:
        if 1 + len(service.others) < first.pool and not service.growing:
            service.growing = True
            self._out.append(do.Grow(service, first))

    def grow_over(self, service: Service, *, grown: bool) -> None:
        """What was begun for another machine is over. One that was refused is not asked for before `retry`."""
        if grown:
            service.growing = False
            self.relieve(service)
        else:
            self._refused.add(service)

    def retry(self) -> None:
        """Called every second or so: those that were refused a machine may ask again."""
        refused, self._refused = self._refused, set()
        for service in refused:
            service.growing = False
            self.relieve(service)

    def enter(self, machine: Machine) -> None:
        """Another machine beside the first has opened."""
        machine.service.others.append(machine)
        self._grown.add(machine.service)

    def leave(self, machine: Machine) -> None:
        """A machine takes no more requests; a no-op for one that is not beside a first."""
        service = machine.service
        if machine in service.others:
            service.others.remove(machine)
            if not service.others:
                self._grown.discard(service)

    def promote(self, service: Service) -> bool:
        """The first machine is gone: another takes its place, if there is one."""
        successor = next((machine for machine in service.others if machine.worker.alive), None)
        if successor is None:
            return False
        self.leave(successor)
        service.machine = successor
        return True

    def idle(self, now: float) -> Iterator[Machine]:
        """Machines beside a first that have had nothing to do for a while; with infinity as `now`: for a moment."""
        for service in list(self._grown):
            for machine in list(service.others):
                if not machine.streams and now - machine.used > IDLE_S and not self._has_exchanges(machine):
                    yield machine
