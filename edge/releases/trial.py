"""One release of a service on this edge: its two versions, what is seen of them, and where it stands."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from edge.model.services import Observe, Service
from edge.releases.assignment import network_of
from edge.releases.gates import Cause, Watch
from edge.releases.sides import Side
from vmimage.release import Candidate
from vmimage.release_report import Counts, Report
from vmimage.trust import ServiceRecord

# Its image is being fetched and verified: nobody gets it yet; visitors get it; nobody gets it any more.
State = Literal["preparing", "under way", "stopped"]


def candidate_record(record: ServiceRecord, candidate: Candidate) -> ServiceRecord:
    """The record of a service as its candidate has it."""
    return replace(
        record,
        manifest_digest=candidate.digest,
        manifest_size=candidate.size,
        snapshot=candidate.snapshot,
        candidate=None,
    )


class Trial:
    """A release that this edge takes part in."""

    def __init__(self, stable: Service, candidate: Candidate, now: float) -> None:
        """:param now: loop time, as everywhere here."""
        self.stable, self.candidate = stable, candidate
        self.twin = Service(candidate_record(stable.release, candidate))  # the service as the candidate has it
        self.twin.is_candidate = True
        self.twin.secrets = stable.secrets
        self.watch = Watch(candidate.gates, now)
        self.state: State = "preparing"
        self.cause = ""  # why it is stopped, or not under way yet
        self.retry_at = math.inf  # loop time
        self.failures = 0  # to prepare it
        self._crashes = [_crashes_of(stable), _crashes_of(self.twin)]

    def take_up(self, record: ServiceRecord, candidate: Candidate) -> None:
        """The publisher has signed something else of the same release: its share, POPs, gates, or hosts."""
        self.candidate = candidate
        self.watch.take_up(candidate.gates)
        self.twin.release = candidate_record(record, candidate)

    def open(self, observe: Callable[["Trial", Cause | None], None], clock: Callable[[], float]) -> None:
        """Let visitors come.

        :param observe: is told after each request of either version what is to be done.
        """

        def of(version: Service) -> Observe:
            candidate = version is self.twin

            def observed(failed: bool, ms: float | None, address: bytes) -> None:
                cause = self.look_at_crashes()
                parties = (network_of(address),) if candidate and address else ()
                seen = self.watch.answered(candidate=candidate, failed=failed, ms=ms, now=clock(), parties=parties)
                observe(self, cause or seen)

            return observed

        self.state, self.cause = "under way", ""
        self.stable.observe, self.twin.observe = of(self.stable), of(self.twin)
        self.stable.candidate = self.twin

    def close(self) -> None:
        """Let nobody come any more; who is being answered is answered."""
        self.state = "stopped"
        self.stable.observe = self.twin.observe = None
        self.stable.candidate = None

    def look_at_crashes(self) -> Cause | None:
        """Count machines that have crashed since the last look."""
        causes: list[Cause | None] = []
        for place, service in enumerate((self.stable, self.twin)):
            if (new := _crashes_of(service) - self._crashes[place]) > 0:
                self._crashes[place] += new
                causes.append(self.watch.crashed(candidate=service is self.twin, times=new))
        return next((cause for cause in causes if cause is not None), None)

    def report(self, *, at_best: bool = False) -> Report:
        """What is seen of it.

        :param at_best: without the network of clients that met the most failures with the candidate, if others asked.
        """
        total: dict[str, Side] = dict(self.watch.total)
        if at_best:
            total["candidate"] = self.watch.total["candidate"].at_best(self.watch.needed)
        stopped = self.cause if self.state == "stopped" else ""
        name = self.candidate.release
        return Report(self.stable.name, name, stopped, counts_of(total["candidate"]), counts_of(total["stable"]))


def _crashes_of(service: Service) -> int:
    """What its program did; a machine that was ended since others needed the memory says nothing of it."""
    return service.crashes - service.made_room


def counts_of(side: Side) -> Counts:
    """What a version did, as it is reported."""
    return Counts(side.requests, side.failed, side.crashes, math.ceil(side.p99_ms))
