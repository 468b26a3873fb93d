"""The operator's pages under `/-/`: metrics, services, crash reports, health, readiness; and park, purge and drain.

What they say and do. Who may ask, and how, is `operators`' business.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from edge.cache.purges import Purge
from edge.common import log
from edge.common.counters import Counters, exposition
from edge.front.page import Page
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.operators import conditions, purging
from edge.operators.facts import facts_of
from edge.supervisor.supervisor import Supervisor
from vmimage import abi

PREFIX: Final = "/-/"
ACTIONS: Final = frozenset({"park", "drain", "purge", "invalidate"})  # pages that change something: POST only

WITH_BODY: Final = frozenset({"invalidate"})  # pages that take one

_logger: Final = log.logger("operators")


def methods_of(path: str) -> bytes:
    """The methods of a page, as Allow lists them."""
    return b"POST" if path.removeprefix(PREFIX) in ACTIONS else b"GET, HEAD"


class Admin:
    """Answers for `/-/`."""

    def __init__(self, supervisor: Supervisor, counters: Counters, drain: Callable[[], None]) -> None:
        self._supervisor, self._counters, self._drain = supervisor, counters, drain

    async def handle(self, method: str, path: str, query: str, body: bytes = b"") -> Page:
        """One request.

        :param body: of an event, for the page that takes one.

        :raises ClientError: no such page, or not this method.
        """
        match "GET" if method == "HEAD" else method, path.removeprefix(PREFIX) if path.startswith(PREFIX) else "":
            case "GET", "metrics":
                text = exposition(self._counters, lambda: gauges(self._supervisor))
                return Page(200, text, "text/plain; version=0.0.4; charset=utf-8")
            case "GET", "services":
                services = self._supervisor.directory.by_name.values()
                return _json({"services": [describe(self._supervisor, service) for service in services]})
            case "GET", "reports":
                return _json({"reports": list(self._supervisor.reports)})
            case "GET", "workers":
                workers = self._supervisor.workers
                return _json(
                    {"workers": [{**w.facts, **w.statistics, "index": w.index, "pid": w.pid} for w in workers]}
                )
            case "GET", "health" | "ready" as question:
                status, said = conditions.page(facts_of(self._supervisor), question)
                return _json(said, status)
            case "GET", "secrets":
                return await self._secrets(query)
            case "POST", "park":
                return await self._park(query)
            case "POST", "drain":
                self._drain()
                return Page(202, b"draining\n")
            case "POST", "purge":
                return self._purge(purging.purges_of(query))
            case "POST", "invalidate":
                return self._purge(purging.invalidations_of(body))
            case _, "metrics" | "services" | "reports" | "workers" | "health" | "ready" | "secrets":
                raise ClientError("method_not_allowed")
            case _, name if name in ACTIONS:
                raise ClientError("method_not_allowed")
            case _:
                raise ClientError("no_such_page")

    async def _secrets(self, query: str) -> Page:
        """Names of the secrets of one service (`service=`), which the catalogue is asked for, or of all that have some.

        :raises NunatakError: there is no such service, or the catalogue cannot be asked.
        """
        given, names = self._supervisor.secrets, parse_qs(query).get("service")
        if names is not None:
            service = await self._supervisor.directory.find("service", names[0])
            return _json({"service": service.name, "tenant": service.tenant, "names": list(service.secrets.names)})
        held = given.holders if given is not None else {}
        return _json({"secrets": [{"holder": name, "names": list(held[name].names)} for name in sorted(held)]})

    def _purge(self, purges: Sequence[Purge]) -> Page:
        """Make kept answers void: it is done when this returns."""
        responses, now = self._supervisor.responses, asyncio.get_running_loop().time()
        done = [(responses.purge(purge, now), purge) for purge in purges]
        _logger.info(log.line("purged", first=done[0][0], last=done[-1][0], kind=done[0][1].kind))
        return _json({"purges": purging.shown(done)})

    async def _park_one(self, service: Service) -> bool:
        parking = self._supervisor.park(service)
        if parking is None:
            return False
        await parking
        return True

    async def _park(self, query: str) -> Page:
        """Park one service (`service=`) or every idle one, and wait until it is done."""
        names = parse_qs(query).get("service")
        by_name = self._supervisor.directory.by_name
        if names is None:
            services = list(by_name.values())
        elif names[0] in by_name:
            services = [by_name[names[0]]]
        else:
            raise ClientError("no_such_service")
        parked = await asyncio.gather(*map(self._park_one, services))
        return _json({"parked": sum(parked), "services": [describe(self._supervisor, service) for service in services]})


def gauges(supervisor: Supervisor) -> dict[str, float]:
    """Values for `counters.GAUGES`."""
    machines = [machine for worker in supervisor.workers for machine in worker.machines.values()]
    queued = sum(len(service.queue) for service in supervisor.life.waiting)
    return {
        "resident_machines": len(machines),
        "resident_bytes": supervisor.life.budget.tier.used_bytes,
        "parked_machines": len(supervisor.records.memory),
        "parked_bytes": supervisor.records.memory.used_bytes,
        "parked_disk_machines": supervisor.records.only_on_disk,
        "parked_unsaved_machines": supervisor.records.unsaved,
        "images": len(supervisor.images.held),
        "image_bytes": supervisor.images.held.used_bytes,
        "responses": len(supervisor.responses),
        "response_bytes": supervisor.responses.used_bytes,
        "overlays": len(supervisor.disks.overlays),
        "overlay_bytes": supervisor.disks.overlays.used_bytes,
        "overlays_aside": len(aside := supervisor.disks.overlays.aside()),
        "overlay_aside_bytes": sum(overlay.pages for overlay in aside) * abi.PAGE_SIZE,
        "written_services": supervisor.disks.overlays.services,
        "log_bytes": supervisor.disks.logs.used_bytes,
        "logs_waiting": supervisor.disks.logs.logs_waiting,
        "services": len(supervisor.directory.by_name),
        "streams": queued + sum(len(machine.streams) for machine in machines),
        "sockets": sum(len(service.sockets) for service in supervisor.directory.by_name.values()),
        "workers": len(supervisor.workers),
        "quarantined": len(supervisor.quarantine),
        "waiting_bytes": supervisor.life.waiting.used_bytes,
        "wakeups": sum(worker.statistics.get("wakeups", 0) for worker in supervisor.workers),
        "catalogue_expired": float(supervisor.directory.expired),
        **_ends(supervisor),
    }


def _ends(supervisor: Supervisor) -> dict[str, float]:
    known = supervisor.directory.expiries
    roles = ("root", "targets", "bins")
    return {f"{role}_expires_timestamp_seconds": known[role].timestamp() if role in known else 0.0 for role in roles}


def describe(supervisor: Supervisor, service: Service) -> dict[str, Any]:
    """One line of `/-/services`."""
    tier: str | None = "resident" if service.machine is not None else supervisor.records.tier_of(service.key)
    if tier is None:
        tier = "blob" if service.release.manifest_digest in supervisor.images.held else "cold"
    return {
        "service": service.name,
        "hosts": list(service.release.hosts),
        "image": service.release.manifest_digest,
        "version": service.release.version,
        "state": service.state,
        "tier": tier,
        "worker": service.machine.worker.index if service.machine else None,
        "parked_bytes": supervisor.records.memory.size_of(service.key),
        "resident_bytes": supervisor.life.budget.size_of(service.machine) if service.machine else 0,
        "requests": service.requests,
        "waiting": len(service.queue),
        "written": supervisor.disks.overlays.describe(service.name),
        "crashes": service.crashes,
        "quarantined": supervisor.quarantine.place(service).kind == "quarantine",
    }


def _json(value: Any, status: int = 200) -> Page:
    return Page(status, json.dumps(value, indent=1).encode() + b"\n", "application/json")
