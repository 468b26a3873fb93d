"""What an operator can order, by name: park, restart, hold, release and drain, and how each is carried out.

Orders to services name one with `service=NAME`; `park` without it means every idle machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from edge.catalogue.directory import NOWHERE
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.operators.rows import describe
from edge.supervisor.supervisor import Supervisor
from vmimage.errors import OperatorError, UnknownService
from vmimage.manifest import is_name

ORDERS: Final = ("park", "restart", "hold", "release", "drain")
OPENING_S: Final = 5.0  # for a machine that is being opened, before the order is refused
LOOK_S: Final = 0.01


class Orders:
    """Carries them out."""

    def __init__(self, supervisor: Supervisor, drain: Callable[[], None]) -> None:
        self._supervisor, self._drain_edge = supervisor, drain
        self._loop = asyncio.get_running_loop()
        self._by_name: Mapping[str, Callable[[str | None], Awaitable[dict[str, Any]]]] = {
            "park": self._park,
            "restart": self._restart,
            "hold": self._hold,
            "release": self._release,
            "drain": self._drain,
        }

    async def carry_out(self, order: str, query: str) -> dict[str, Any]:
        """What came of an order, when it is done; of `drain` when it has begun.

        :param order: one of ORDERS.
        :raises ClientError: it cannot be carried out.
        """
        names = parse_qs(query, max_num_fields=5).get("service")
        return await self._by_name[order](names[0] if names else None)

    def _met(self, name: str | None) -> Service:
        """A service that this edge has met."""
        service = self._supervisor.directory.by_name.get(name) if name is not None else None
        if service is None:
            raise ClientError("no_such_service")
        return service

    def _about(self, *services: Service) -> list[dict[str, Any]]:
        return [describe(self._supervisor, service, self._loop.time()) for service in services]

    async def _park(self, name: str | None) -> dict[str, Any]:
        every = name is None
        services = list(self._supervisor.directory.by_name.values()) if every else [self._met(name)]
        parked = await asyncio.gather(*map(self._park_one, services))
        return {"parked": sum(parked), "services": self._about(*services)}

    async def _park_one(self, service: Service) -> bool:
        parking = self._supervisor.park(service)
        if parking is None:
            return False
        await parking
        return True

    async def _restart(self, name: str | None) -> dict[str, Any]:
        service = self._met(name)
        deadline = self._loop.time() + OPENING_S
        while (machines := self._supervisor.restart(service)) is None:
            if self._loop.time() > deadline:
                raise ClientError("being_opened")
            await asyncio.sleep(LOOK_S)
        return {"restarted": machines, "services": self._about(service)}

    async def _hold(self, name: str | None) -> dict[str, Any]:
        try:
            if name is None or not is_name(name):
                raise UnknownService("no name")
            service = await self._supervisor.directory.find("service", name)  # it need not have been asked for
        except NOWHERE:
            raise ClientError("no_such_service") from None
        try:
            self._supervisor.hold(service)
        except OperatorError:
            raise ClientError("too_many_held") from None
        except OSError:
            raise ClientError("not_kept") from None
        return {"held": service.name, "services": self._about(service)}

    async def _release(self, name: str | None) -> dict[str, Any]:
        if name is None or not is_name(name) or name not in self._supervisor.holds.names:
            raise ClientError("not_held")
        try:
            self._supervisor.release(name)
        except OSError:
            raise ClientError("not_kept") from None
        service = self._supervisor.directory.by_name.get(name)
        return {"released": name, "services": self._about(service) if service is not None else []}

    async def _drain(self, _: str | None) -> dict[str, Any]:
        self._drain_edge()
        return {"draining": True}
