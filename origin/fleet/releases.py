"""Releases in stages as an origin sees them: what edges report, added up, and the event that freezes a bad one.

What is too bad is `origin.model.release_sums`' to say. In memory, as the registry of edges is: after a restart the next
heart-beats say it again. An edge that goes on with a release that is frozen, because it was not there when the event
came, is told again.

    GET /fleet/releases/SERVICE     what edges report of a service's release: for the operator, and its tenant
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from aiohttp import web

from origin.fleet.feed import OriginFeed
from origin.model.release_sums import frozen
from origin.registry.server import Origin
from vmimage.canonical import is_name
from vmimage.errors import FormatError
from vmimage.heartbeat import TTL_S, Heartbeat
from vmimage.release import Candidate
from vmimage.release_report import Freeze, Report, parse_reports

SERVICES_MAX: Final = 10_000  # that are reported on, or looked up
AGAIN_S: Final = 10.0  # until an edge that goes on all the same is told again

_LOG: Final = logging.getLogger(__name__)


class Said(NamedTuple):
    """What an edge said of a release, and when."""

    report: Report
    pop: str
    at: float  # loop time


class ReleaseWatch:
    """All releases of one origin."""

    def __init__(self, feed: OriginFeed, site: Origin) -> None:
        self._feed, self._site = feed, site
        self._said: OrderedDict[str, dict[str, Said]] = OrderedDict()  # by service and edge
        self._candidates: dict[str, Candidate | None] = {}  # as the catalogue of this version has them
        self._version = -1
        self._frozen: OrderedDict[tuple[str, str], float] = OrderedDict()  # by service and release: when last told

    async def heard(self, beat: Heartbeat, now: float) -> None:
        """An edge, whose token was checked, has said how it is."""
        try:
            reports = parse_reports(beat.measured.get("releases", []))
        except FormatError as error:
            _LOG.warning("what edge %s reports of releases is not used: %s", beat.edge, error)
            return
        for report in reports:
            candidate = await self._candidate(report.service)
            if candidate is None:
                continue  # a release that is over, or of no service: what an edge makes up takes nobody's place
            self._said.setdefault(report.service, {})[beat.edge] = Said(report, beat.pop, now)
            self._said.move_to_end(report.service)
            await self._judge(report.service, candidate, now)
        while len(self._said) > SERVICES_MAX:
            self._said.popitem(last=False)

    def live(self, service: str, release: str, now: float) -> dict[str, Said]:
        """What live edges say of a release, by edge."""
        said = self._said.get(service, {})
        for edge in [edge for edge, each in said.items() if now - each.at > TTL_S]:
            del said[edge]
        return {edge: each for edge, each in said.items() if each.report.release == release}

    async def _judge(self, service: str, candidate: Candidate, now: float) -> None:
        key, said = (service, candidate.release), self.live(service, candidate.release, now)
        why = frozen({edge: each.report for edge, each in said.items()}, candidate.gates)
        goes_on = any(not each.report.stopped for each in said.values())
        told = self._frozen.get(key)
        if told is None and not why:
            return
        if told is None or (goes_on and now - told >= AGAIN_S):
            self._frozen[key] = now
            while len(self._frozen) > SERVICES_MAX:
                self._frozen.popitem(last=False)
            freeze = Freeze(service, candidate.release, why or "frozen")
            _LOG.warning("the release of %s is frozen on all edges: %s", service, freeze.cause)
            await asyncio.to_thread(self._feed.add, "release", freeze.to_json())

    async def _candidate(self, service: str) -> Candidate | None:
        """What the catalogue says now; it is read once for each version of it."""
        version = self._site.timestamp.snapshot_meta.version
        if version != self._version or len(self._candidates) >= SERVICES_MAX:
            self._version, self._candidates = version, {}
        known = self._candidates  # it may be another one after the look-up, of a newer catalogue
        if service not in known:
            record = await asyncio.to_thread(self._site.record, service)
            known[service] = record.candidate if record is not None else None
        return known[service]

    def route(self, now: Callable[[], float]) -> web.RouteDef:
        """The page.

        :param now: loop time.
        """

        async def show(request: web.Request) -> web.Response:
            service = request.match_info["service"]
            if not is_name(service) or not await self._site.authorise(request, service):
                return web.Response(status=404, text="no such service\n")
            return web.json_response(await self.describe(service, now()), headers={"Cache-Control": "no-store"})

        return web.get("/fleet/releases/{service}", show)

    async def describe(self, service: str, now: float) -> dict[str, Any]:
        """What is reported of a service's release, by edge."""
        candidate = await self._candidate(service)
        if candidate is None:
            return {"service": service, "frozen": False, "edges": []}
        said = self.live(service, candidate.release, now)
        edges = [{"edge": edge, "pop": each.pop, **_figures(each.report)} for edge, each in sorted(said.items())]
        return {"service": service, "frozen": (service, candidate.release) in self._frozen, "edges": edges}


def _figures(report: Report) -> dict[str, Any]:
    return {
        "stopped": report.stopped or None,
        "candidate": asdict(report.candidate),
        "stable": asdict(report.stable),
    }
