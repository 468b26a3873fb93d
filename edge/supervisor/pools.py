"""Services that more than one machine serves: who gets the next request, when another opens, when it goes again.

The first machine of a service is its own: it is parked and comes back with what it remembers. Those beside it start
from the image, share nothing with it, and are closed when they have had nothing to do for a while.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.model.flow import WorkerLost
from edge.model.services import Machine, Service
from edge.supervisor.residents import Residents
from edge.workers.fleet import Fleet
from vmimage.errors import NunatakError

GROW_AT: Final = 2  # requests in the least busy machine from which another is worth its memory
IDLE_S: Final = 5.0  # without a request before a machine beside the first is closed

_logger: Final = log.logger("pools")


class Pools:
    """The machines beside the first, of all services."""

    def __init__(
        self,
        fleet: Fleet,
        residents: Residents,
        counters: Counters,
        tasks: Tasks,
        on_grown: Callable[[Machine], None],
    ) -> None:
        """:param on_grown: told of each machine that has opened, to give it what waits."""
        self._fleet, self._residents, self._counters = fleet, residents, counters
        self._tasks, self._on_grown = tasks, on_grown
        self._loop = asyncio.get_running_loop()
        self._grown: set[Service] = set()  # with machines beside the first

    def choose(self, service: Service, first: Machine) -> Machine:
        """The machine for the next request of a service that is resident: the least busy one."""
        machine = min((first, *service.others), key=lambda machine: len(machine.streams))
        if len(machine.streams) >= GROW_AT and 1 + len(service.others) < first.pool and not service.growing:
            service.growing = True
            self._tasks.spawn("pool_grow", self._grow(service, first))
        return machine

    async def _grow(self, service: Service, first: Machine) -> None:
        image = first.image
        image.pins += 1
        try:
            worker = await self._fleet.pick(service, beside=True)
            if self._residents.full(image):
                return  # what others have parked for would be too dear
            with suppress(WorkerLost):
                await worker.give(image)
            attached = await self._residents.prepare(service, image)
            here = worker.alive and not worker.leaving and worker.place == self._fleet.place_of(service)
            if not here or service.machine is not first:
                return
            machine = self._residents.open(worker, service, image, None, attached)
            service.others.append(machine)
            self._grown.add(service)
            self._counters.pool_grown += 1
            self._on_grown(machine)
        except NunatakError as error:
            _logger.warning(log.line("pool_not_grown", service=service.name, reason=error))
        finally:
            image.pins -= 1
            service.growing = False

    def leave(self, machine: Machine) -> bool:
        """A machine takes no more requests; whether it was one beside the first."""
        service = machine.service
        if machine not in service.others:
            return False
        service.others.remove(machine)
        if not service.others:
            self._grown.discard(service)
        return True

    def promote(self, service: Service) -> bool:
        """The first machine is gone: another takes its place, if there is one."""
        heir = next((machine for machine in service.others if machine.worker.alive), None)
        if heir is None:
            return False
        self.leave(heir)
        service.machine = heir
        return True

    def shrink(self) -> None:
        """Called every second or so: close those that have nothing to do."""
        now = self._loop.time()
        for service in list(self._grown):
            for machine in list(service.others):
                if not machine.streams and not machine.exchanges and now - machine.used > IDLE_S:
                    self.leave(machine)
                    self._residents.close(machine)
