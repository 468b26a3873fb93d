"""Fleet settings as an origin sees them: what edges report, added up, and the event that stops a bad candidate.

What is too bad is `origin.model.release_sums`' to say, of edges before and after as of versions beside each other. In
memory, as the registry of edges is. An edge that goes on with a candidate that is stopped is told again.

    GET /fleet/settings     what live edges report, for the operator
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from aiohttp import web

from origin.fleet.feed import OriginFeed
from origin.model.release_sums import frozen
from origin.registry.server import Origin
from vmimage.errors import FormatError
from vmimage.fleet_settings import Staged, Stop, parse_settings
from vmimage.fleet_settings_report import SettingsReport, parse_settings_report
from vmimage.heartbeat import TTL_S, Heartbeat
from vmimage.release_report import Report

AGAIN_S: Final = 10.0  # until an edge that goes on all the same is told again

_LOG: Final = logging.getLogger(__name__)


class Said(NamedTuple):
    """What an edge said of them, and when."""

    report: SettingsReport
    pop: str
    at: float  # loop time


class SettingsWatch:
    """Those of one origin."""

    def __init__(self, feed: OriginFeed, site: Origin) -> None:
        self._feed, self._site = feed, site
        self._said: dict[str, Said] = {}  # by edge, as many as there are tokens
        self._staged: Staged | None = None  # as the catalogue of this version has it
        self._version = -1
        self._stopped: tuple[str, float] = ("", 0.0)  # name of the version that was stopped last, and when it was told

    async def heard(self, beat: Heartbeat, now: float) -> None:
        """An edge, whose token was checked, has said how it is."""
        if "settings" not in beat.measured:
            return
        try:
            report = parse_settings_report(beat.measured["settings"])
        except FormatError as error:
            _LOG.warning("what edge %s reports of fleet settings is not used: %s", beat.edge, error)
            return
        self._said[beat.edge] = Said(report, beat.pop, now)
        staged = await self._candidate()
        if staged is not None:
            await self._judge(staged, now)

    def live(self, now: float) -> dict[str, Said]:
        """What live edges say, by edge."""
        for edge in [edge for edge, each in self._said.items() if now - each.at > TTL_S]:
            del self._said[edge]
        return self._said

    async def _judge(self, staged: Staged, now: float) -> None:
        name = staged.version.name
        tried = {edge: each.report for edge, each in self.live(now).items() if each.report.tried == name}
        why = frozen({edge: _as_release(report) for edge, report in tried.items()}, staged.gates)
        goes_on = any(report.state in ("measuring", "trying", "kept") for report in tried.values())
        stopped, told = self._stopped
        is_new = stopped != name
        if is_new and not why:
            return
        if is_new or (goes_on and now - told >= AGAIN_S):
            self._stopped = name, now
            stop = Stop(name, why or "stopped")
            _LOG.warning("version %s of the fleet settings is stopped on all edges: %s", name, stop.cause)
            await asyncio.to_thread(self._feed.add, "release", stop.to_json())

    async def _candidate(self) -> Staged | None:
        """What the catalogue says now; it is read once for each version of it."""
        version = self._site.timestamp.snapshot_meta.version
        if version != self._version:
            holds = await asyncio.to_thread(self._site.holds)
            try:
                staged = parse_settings(holds.settings).candidate
            except FormatError as error:
                _LOG.warning("the fleet settings that are signed cannot be read: %s", error)
                staged = None
            self._version, self._staged = version, staged
        return self._staged

    def route(self, now: Callable[[], float]) -> web.RouteDef:
        """The page.

        :param now: loop time.
        """

        async def show(request: web.Request) -> web.Response:
            self._site.door.operator(request, "to see the fleet's settings")
            staged, (stopped, _) = await self._candidate(), self._stopped
            edges = [
                {"edge": edge, "pop": each.pop, **asdict(each.report)}
                for edge, each in sorted(self.live(now()).items())
            ]
            said: dict[str, Any] = {"stopped": staged is not None and staged.version.name == stopped, "edges": edges}
            return web.json_response(said, headers={"Cache-Control": "no-store"})

        return web.get("/fleet/settings", show)


def _as_release(report: SettingsReport) -> Report:
    """How an edge is with a version beside without, as one release beside another."""
    by_itself = report.cause if report.state == "back" else ""
    return Report("settings", report.tried, by_itself, report.after, report.before)
