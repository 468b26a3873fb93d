"""An edge reports releases of services that it has made up, or while the catalogue changes: whom does it push out?"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from origin.fleet import releases
from origin.fleet.releases import ReleaseWatch
from vmimage.heartbeat import Heartbeat
from vmimage.release import Candidate
from vmimage.release_report import REPORTS_MAX, Counts, Report, reports_value

CANDIDATE = Candidate("sha256:" + "cd" * 32, 1000, None, "2026-11-27T01:02:03Z", 100)
GOOD = Counts(requests=100)


class Site:
    """The catalogue of an origin, of which one service has a candidate."""

    def __init__(self) -> None:
        self.version, self.candidate = 1, CANDIDATE
        self.looked_up: list[str] = []
        self.during: Callable[[], None] = lambda: None  # a look-up

    @property
    def timestamp(self) -> Any:
        return SimpleNamespace(snapshot_meta=SimpleNamespace(version=self.version))

    def record(self, service: str) -> Any:
        self.looked_up.append(service)
        found = SimpleNamespace(candidate=self.candidate) if service == "shop" else None
        self.during()
        return found


def beat(edge: str, *services: str, candidate: Candidate = CANDIDATE) -> Heartbeat:
    reports = [Report(service, candidate.release, "", GOOD, GOOD) for service in services]
    return Heartbeat(edge=edge, pop="fra", version="1", measured={"releases": reports_value(reports)})


def watched(site: Site) -> ReleaseWatch:
    fakes: Any = SimpleNamespace(), site
    return ReleaseWatch(*fakes)


def test_services_that_there_are_not_push_no_report_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "SERVICES_MAX", 50)

    async def scenario() -> None:
        watch = watched(Site())
        await watch.heard(beat("honest", "shop"), 0.0)
        for number in range(5):
            await watch.heard(beat("liar", *(f"made-up-{number}-{n}" for n in range(REPORTS_MAX))), 1.0)
        assert watch.live("shop", CANDIDATE.release, 2.0).keys() == {"honest"}
        assert watch.live("made-up-0-0", CANDIDATE.release, 2.0) == {}

    asyncio.run(scenario())


def test_a_catalogue_that_changes_during_a_look_up_is_looked_up_again() -> None:
    async def scenario() -> None:
        site, begun, go_on = Site(), threading.Event(), threading.Event()
        watch = watched(site)
        newer = replace(CANDIDATE, since="2026-11-27T09:00:00Z")

        def hold_up() -> None:
            site.during = lambda: None
            begun.set()
            go_on.wait()

        site.during = hold_up
        early = asyncio.create_task(watch.heard(beat("one", "shop"), 0.0))
        await asyncio.to_thread(begun.wait)
        site.version, site.candidate = 2, newer
        await watch.heard(beat("two", "shop", candidate=newer), 1.0)
        go_on.set()
        await early
        described = await watch.describe("shop", 1.0)
        assert [edge["edge"] for edge in described["edges"]] == ["two"], "what counts is the newer release"
        assert site.looked_up == ["shop", "shop"]

    asyncio.run(scenario())
