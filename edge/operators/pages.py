"""The operator's pages under `/-/`: metrics, services, views, crash reports, health and readiness, the console; orders.

What they say and do. Who may ask, and how, is `door`'s business.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from edge.cache.purges import Purge
from edge.common import log
from edge.common.counters import Counters
from edge.common.durations import Durations
from edge.front.page import Page
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.operators import conditions, feeds, files, metrics, purging
from edge.operators.facts import facts_of
from edge.operators.feeds import Feed
from edge.operators.naming import is_there, nameless
from edge.operators.orders import ORDERS, Orders
from edge.operators.query import Query
from edge.operators.rows import describe
from edge.operators.tail import Requests, Wanted
from edge.operators.views import Views
from edge.supervisor.supervisor import Supervisor
from vmimage import abi
from vmimage.manifest import is_name

PREFIX: Final = "/-/"
ACTIONS: Final = frozenset((*ORDERS, "purge", "invalidate"))  # pages that change something: POST only
LIVE: Final = frozenset({"feed", "lines", "requests"})  # pages that go on: GET only
WITH_BODY: Final = frozenset({"invalidate"})  # pages that take one

_logger: Final = log.logger("operators")


def methods_of(path: str) -> bytes:
    """The methods of a page, as Allow lists them."""
    page = path.removeprefix(PREFIX)
    return b"POST" if page in ACTIONS else b"GET" if page in LIVE else b"GET, HEAD"


class Admin:
    """Answers for `/-/`."""

    def __init__(
        self,
        supervisor: Supervisor,
        counters: Counters,
        durations: Durations,
        drain: Callable[[], None],
        followed: Requests | None = None,
    ) -> None:
        """:param followed: requests that clients have; None where none are taken."""
        self._supervisor, self._counters, self._durations = supervisor, counters, durations
        self._followed = followed
        self._orders, self._views = Orders(supervisor, drain), Views(supervisor)
        self._files = files.load()
        self._loop = asyncio.get_running_loop()

    async def handle(self, method: str, path: str, query: str, body: bytes = b"", accept: str = "") -> Page | Feed:
        """One request.

        :param body: of an event, for the page that takes one. :param accept: the field, for the page of two forms.

        :raises ClientError: no such page, or not this method.
        """
        page = path.removeprefix(PREFIX) if path.startswith(PREFIX) else ""
        if page in LIVE and method == "GET":
            return Feed(self._live(page, query))
        match "GET" if method == "HEAD" else method, page:
            case "GET", "metrics":
                return metrics.page(self._counters, self._durations, lambda: gauges(self._supervisor), accept)
            case "GET", "services":
                return _json({"services": list(map(self._describe, self._supervisor.directory.by_name.values()))})
            case "GET", "service":
                found = self._supervisor.directory.by_name.get(_service_of(query))
                return _json({"service": None if found is None else self._describe(found)})
            case "GET", "view":
                return _json(await self._views.of(Query.parse(query)))
            case "GET", "reports":
                wanted = _service_of(query)
                return _json({"reports": [r for r in self._supervisor.reports if wanted in ("", r["service"])]})
            case "GET", "workers":
                workers = self._supervisor.workers
                return _json(
                    {"workers": [{**w.facts, **w.statistics, "index": w.index, "pid": w.pid} for w in workers]}
                )
            case "GET", "health" | "ready" as question:
                status, said = conditions.page(facts_of(self._supervisor), question)
                return _json(said | {"sources": self._supervisor.source_states()}, status)
            case "GET", "settings":
                return _json(self._supervisor.settings_said())
            case "GET", "secrets":
                return await self._secrets(query)
            case "GET", name if name in self._files:
                return self._files[name]
            case "POST", "purge":
                return await self._purge(purging.purges_of(query))
            case "POST", "invalidate":
                return await self._purge(purging.invalidations_of(body))
            case "POST", order if order in ORDERS:
                return _json(await self._orders.carry_out(order, query), 202 if order == "drain" else 200)
            case (
                _,
                "metrics"
                | "services"
                | "service"
                | "view"
                | "reports"
                | "workers"
                | "health"
                | "ready"
                | "settings"
                | "secrets",
            ):
                raise ClientError("method_not_allowed")
            case _, name if name in ACTIONS or name in LIVE or name in self._files:
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

    async def _purge(self, purges: Sequence[Purge]) -> Page:
        """Make kept answers void: it is done when this returns, also for the edge that comes after.

        :raises ClientError: the disk does not take it, and has answers that may come back.
        """
        responses = self._supervisor.responses
        done = [(responses.purge(purge, self._loop.time()), purge) for purge in purges]
        if not await responses.settled():
            raise ClientError("purge_not_kept")
        _logger.info(log.line("purged", first=done[0][0], last=done[-1][0], kind=done[0][1].kind))
        unknown = await nameless(self._supervisor.directory, purges)
        return _json({"purges": purging.shown(done), **({"unknown": unknown} if unknown else {})})

    def _describe(self, service: Service) -> dict[str, Any]:
        written = self._supervisor.disks.overlays.describe(service.name)
        return {**describe(self._supervisor, service, self._loop.time()), "written": written}

    def _live(self, page: str, query: str) -> AsyncGenerator[bytes, None]:
        if page == "feed":
            return feeds.views(self._views, Query.parse(query))
        if page == "requests":
            wanted = Wanted.parse(query)
            if self._followed is None:
                raise ClientError("no_such_page")
            directory = self._supervisor.directory
            known = partial(is_there, directory, "service", wanted.service)
            return feeds.requests(self._followed, wanted, known)
        service = _service_of(query)
        if not is_name(service):
            raise ClientError("bad_query")
        return feeds.lines(self._supervisor.tails, service)


def _service_of(query: str) -> str:
    """The service that a query names; "" for none."""
    return parse_qs(query, max_num_fields=5).get("service", [""])[0]


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
        **_below(supervisor),
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
        "catalogue_age_seconds": -1.0 if (ago := supervisor.directory.looked_ago_s) is None else ago,
        "candidates_stopped": float(len(supervisor.troubles()[0])),
        "fleet_settings_version": supervisor.settings_number(),
        "fleet_settings_back": float(any(supervisor.settings_troubles())),
        "feed_applied": supervisor.heard.applied,
        "feed_lag_seconds": supervisor.heard.lag_s,
    }


def _below(supervisor: Supervisor) -> dict[str, float]:
    below = supervisor.responses.below
    found = (0, 0, 0) if below is None else (below.answers, below.used_bytes, below.purges)
    return dict(zip(("response_disk_answers", "response_disk_bytes", "response_disk_purges"), found, strict=True))


def _ends(supervisor: Supervisor) -> dict[str, float]:
    known = supervisor.directory.expiries
    roles = ("root", "targets", "bins", "tenants")
    return {f"{role}_expires_timestamp_seconds": known[role].timestamp() if role in known else 0.0 for role in roles}


def _json(value: Any, status: int = 200) -> Page:
    return Page(status, json.dumps(value, indent=1).encode() + b"\n", "application/json")
