"""Releases on one edge: candidates prepared, opened to visitors, watched, stopped, and closed with their release.

A candidate is a service of its own beside the stable one, with machines, queue and back-off of its own, under the same
name. It gets visitors once its image is here, verified, and may run here: one that cannot be had, or that writes to a
copy-on-write disk (both versions would write to the same pages), takes nobody from the version that works. When a gate
is broken it gets no more visitors, its machines end when they have answered, and the stop is kept over restarts. It
stands until the publisher signs another release, or none; an origin that sees more may order it too (`freeze`).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from edge.common import log
from edge.common.counters import Counters
from edge.model.services import Service
from edge.releases.gates import Cause
from edge.releases.last_good import LastGood
from edge.releases.stops import Stop, Stops
from edge.releases.trial import Trial
from edge.supervisor.supervisor import Supervisor
from vmimage.errors import FormatError, NunatakError, PublisherError
from vmimage.release import percent_text
from vmimage.release_report import Report, parse_freeze
from vmimage.trust import ServiceRecord

TICK_S: Final = 1.0
RETRY_FIRST_S: Final = 2.0  # to have an image that could not be had, doubled each time
RETRY_MAX_S: Final = 300.0

_logger: Final = log.logger("releases")


class Releases:
    """All that are under way here."""

    def __init__(self, supervisor: Supervisor, counters: Counters, pop: Callable[[], str] = str) -> None:
        """:param pop: where this edge is, "" where nobody has said it."""
        self._supervisor, self._counters, self.pop = supervisor, counters, pop
        self._stops = Stops(supervisor.config.cache / "releases.json")
        self._loop = asyncio.get_running_loop()
        self._last_good = LastGood(supervisor, supervisor.config.cache / "last_good.json")
        self.by_service: dict[str, Trial] = {}
        self.on_stop: Callable[[Report], None] = lambda _: None  # who tells the origin may do it at once
        supervisor.on_met, supervisor.release_of, supervisor.troubles = self.meet, self.describe, self.troubles
        for service in list(supervisor.directory.by_name.values()):
            self.meet(service)
        supervisor.tasks.keep("releases", self._tick)

    # What the catalogue says.

    def meet(self, service: Service) -> None:
        """A service is known, is another release, or is gone: begin, go on with, or end what is under way of it."""
        self._last_good.meet(service)
        record = service.release
        signed = record.candidate if not service.withdrawn else None
        self._guarded(self._stops.settle, service.name, signed.release if signed is not None else None)
        candidate = signed if signed is not None and signed.meant_for(self.pop()) else None
        trial = self.by_service.get(service.name)
        if trial is not None and (
            trial.stable is not service or candidate is None or trial.candidate.release != candidate.release
        ):
            self._end(trial)
            trial = None
        if candidate is None:
            return
        if trial is None:
            self._begin(service, record)
        else:
            moved = trial.twin.tenant != record.tenant
            trial.take_up(record, candidate)
            if moved:
                self._supervisor.replace(trial.twin)

    def _begin(self, service: Service, record: ServiceRecord) -> None:
        assert record.candidate is not None
        trial = self.by_service[service.name] = Trial(service, record.candidate, self._loop.time())
        stop = self._stops.of(service.name, record.candidate.release)
        if stop is not None:
            trial.state, trial.cause = "stopped", stop.cause
        else:
            self._prepare(trial)

    def _end(self, trial: Trial) -> None:
        """Another release, or none: the version that is not meant any more ends."""
        del self.by_service[trial.stable.name]
        if trial.state == "under way":
            trial.close()
            self._supervisor.replace(trial.twin)
        trial.state = "stopped"

    # Images.

    def _prepare(self, trial: Trial) -> None:
        trial.retry_at = float("inf")
        self._supervisor.tasks.spawn("candidate", self._have_image(trial))

    async def _have_image(self, trial: Trial) -> None:
        release, tenant = trial.twin.release, trial.twin.tenant
        try:
            image, _ = await self._supervisor.images.load(
                release.manifest_digest, release.manifest_size, release.snapshot, tenant
            )
            if any(ref.kind == "cow" for ref in image.manifest.disks):
                raise PublisherError(
                    f"{release.service}: a candidate without copy-on-write disks expected: publish it at once"
                )
            self._supervisor.life.budget.admit(image.manifest)
        except NunatakError as error:
            self._not_prepared(trial, error)
            return
        if self.by_service.get(trial.stable.name) is not trial or trial.state != "preparing":
            return
        trial.open(self._observed, self._loop.time)
        share = percent_text(trial.candidate.share)
        _logger.info(log.line("release_open", service=trial.stable.name, image=release.manifest_digest, share=share))

    def _not_prepared(self, trial: Trial, error: NunatakError) -> None:
        """The stable version goes on as if there were no release; the image is tried again, ever more seldom."""
        if trial.cause != error.counter:
            self._counters.add(self._counters.releases_not_begun, error.counter)
            _logger.error(log.line("release_not_begun", service=trial.stable.name, reason=error))
            self._supervisor.lines.tell(trial.stable, f"nunatak: candidate not begun here: {error.counter}")
        trial.cause = error.counter
        trial.retry_at = self._loop.time() + min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(trial.failures, 16))
        trial.failures += 1

    # What is seen.

    def _observed(self, trial: Trial, cause: Cause | None) -> None:
        if cause is not None and trial.state == "under way":
            self._stop(trial, cause, "edge")

    def freeze(self, body: object) -> None:
        """The origin has stopped a release everywhere. One that is not known here yet is stopped before it begins.

        :param body: of the event that says so, whose signature was checked.
        """
        try:
            said = parse_freeze(body)
        except FormatError as error:
            _logger.error(log.line("freeze_refused", error=error))
            return
        trial = self.by_service.get(said.service)
        if trial is None:
            self._guarded(self._stops.add, said.service, Stop(said.release, said.cause, time.time(), "origin"))
        elif trial.candidate.release == said.release and trial.state != "stopped":
            self._stop(trial, said.cause, "origin")

    def _stop(self, trial: Trial, cause: str, by: str) -> None:
        was_under_way, name = trial.state == "under way", trial.stable.name
        trial.close()
        trial.cause = cause
        self._counters.add(self._counters.releases_stopped, cause)
        report = trial.report()
        seen = report.candidate
        about = {"requests": seen.requests, "failed": seen.failed, "crashes": seen.crashes, "p99_ms": seen.p99_ms}
        digest = trial.candidate.digest
        _logger.error(log.line("release_stopped", service=name, image=digest, cause=cause, by=by, **about))
        said = ", ".join(f"{word} {count}" for word, count in about.items())
        self._supervisor.lines.tell(trial.stable, f"nunatak: candidate {digest} stopped by the {by}: {cause} ({said})")
        self._guarded(self._stops.add, name, Stop(trial.candidate.release, cause, time.time(), by))
        if was_under_way:
            # Not from within the request that broke the gate, whose machine this ends.
            self._loop.call_soon(self._supervisor.replace, trial.twin)
        self.on_stop(report)

    async def _tick(self) -> None:
        while True:
            now = self._loop.time()
            self._last_good.tick()
            for trial in list(self.by_service.values()):
                if trial.state == "under way":
                    self._observed(trial, trial.look_at_crashes() or trial.watch.look(now))
                elif trial.state == "preparing" and now >= trial.retry_at:
                    self._prepare(trial)
            await asyncio.sleep(TICK_S)

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except OSError as error:
            _logger.error(log.line("stops_not_kept", reason=error.strerror or error))

    # For operators, and for the origin.

    def reports(self) -> Iterable[Report]:
        """What the origin is told of each release that has begun here, so that no client alone decides everywhere."""
        return [trial.report(at_best=True) for trial in self.by_service.values() if trial.state != "preparing"]

    def troubles(self) -> tuple[list[str], list[str]]:
        """Candidates that are stopped, and versions that do not come up, a line each."""
        stopped = [each for each in self.by_service.values() if each.state == "stopped"]
        lines = [f"the candidate of {each.stable.name} ({each.cause})" for each in stopped]
        return sorted(lines), self._last_good.troubles()

    def describe(self, service: str) -> Mapping[str, Any] | None:
        """A release as operators see it, None where none is under way of the service."""
        trial = self.by_service.get(service)
        if trial is None:
            return None
        report, candidate = trial.report(), trial.candidate
        return {
            "image": candidate.digest,
            "since": candidate.since,
            "share": candidate.share / 100,
            "state": trial.state,
            "cause": trial.cause or None,
            "machines": len(trial.twin.others) + (trial.twin.machine is not None),
            "candidate": asdict(report.candidate),
            "stable": asdict(report.stable),
        }
