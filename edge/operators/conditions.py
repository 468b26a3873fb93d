"""How an edge is: a table of all that can be wrong with it, and what it means for who asks. Pure.

Two questions are asked of an edge. *Health*: does it work, or would a new process do better? *Readiness*: should it get
requests? An edge that serves what it has is ready, whatever else is wrong: where an origin is away all its edges are in
the same place, and a load balancer that left them all would make it worse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

LEAST_FREE_BYTES: Final = 4 << 20  # of the cache folder's disk: SQLite's log is brought in at 1,000 pages of 4 KiB
LEAST_FREE_FILES: Final = 64  # a record of its own, an upload, a database's log and index

Look = Literal["", "away", "unverified", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an edge at one moment."""

    draining: bool
    workers: int  # for all, that take work
    workers_wanted: int
    catalogue: bool  # a verified one is here, from now or from before a restart
    expired: bool  # and past its date
    look: Look  # what the last look at the origin's catalogue failed by; "" when it did not
    look_error: str  # in words
    free_bytes: int  # that the cache folder's disk has for this user
    free_files: int
    overdue: bool = False  # and that for longer than the operator lets services go on
    sources: Sequence[str] = ()  # that are asked last, since they fail, a line each
    failing: Sequence[str] = ()  # work of the edge's own, a line each
    stopped: Sequence[str] = ()  # candidates that no visitor is sent to, a line each
    refused: Sequence[str] = ()  # versions that do not come up, a line each
    settings_back: Sequence[str] = ()  # fleet settings that the edge went back from, a line each
    settings_refused: Sequence[str] = ()  # those that it cannot read or use, a line each
    secrets: Sequence[str] = ()  # of services, that cannot be used, a line each
    ending: Sequence[str] = ()  # what is signed by hand and ends soon, a line each


class Row(NamedTuple):
    """Something that can be wrong."""

    name: str
    holds: Callable[[Facts], bool]
    what: Callable[[Facts], str]
    remedy: str
    health: bool = False  # with it an edge does not work
    ready: bool = False  # with it an edge should get no requests


TABLE: Final[tuple[Row, ...]] = (
    Row(
        "draining",
        lambda facts: facts.draining,
        lambda facts: "it finishes what is in flight, parks its machines and ends",
        "wait for its end, or start it anew with --take-over",
        health=True,
        ready=True,
    ),
    Row(
        "no_worker",
        lambda facts: facts.workers == 0,
        lambda facts: f"none of {facts.workers_wanted} workers takes work",
        "read event=worker_not_started and event=worker_killed in the log; nunatak doctor says what this machine lacks",
        health=True,
        ready=True,
    ),
    Row(
        "worker_missing",
        lambda facts: 0 < facts.workers < facts.workers_wanted,
        lambda facts: f"{facts.workers} of {facts.workers_wanted} workers take work, the others are being started",
        "wait; where it lasts see nunatak_workers_lost_total and event=worker_not_started in the log",
    ),
    Row(
        "wrong_root",
        lambda facts: facts.look == "unverified" and not facts.catalogue,
        lambda facts: f"what the origin signs does not follow from this edge's trust root: {facts.look_error}",
        "compare the file of `trust` with root.json of the origin's keys, and `origin` with the origin's address",
        ready=True,
    ),
    Row(
        "catalogue_refused",
        lambda facts: facts.look == "unverified" and facts.catalogue,
        lambda facts: f"the origin's catalogue does not verify, what was verified before is served: {facts.look_error}",
        "see that `origin` is the right one and who has its keys; the log has the first such line",
    ),
    Row(
        "origin_never_seen",
        lambda facts: facts.look != "unverified" and not facts.catalogue,
        lambda facts: f"no catalogue has come from the origin yet: {facts.look_error or 'the first look is under way'}",
        "see that the origin runs, and that `origin` names it and is reached from here",
        ready=True,
    ),
    Row(
        "origin_away",
        lambda facts: facts.look == "away" and facts.catalogue,
        lambda facts: f"the origin does not answer, what was verified is served: {facts.look_error}",
        "see that the origin runs and is reached from here",
    ),
    Row(
        "catalogue_expired",
        lambda facts: facts.look == "expired" or (facts.catalogue and facts.expired),
        lambda facts: "the catalogue is past its date: what was verified is served, new images are refused",
        "see why the origin does not renew it, and whether this machine's clock is right",
    ),
    Row(
        "catalogue_stale",
        lambda facts: facts.overdue,
        lambda facts: "the catalogue is past its date for longer than catalogue_stale: requests are refused",
        "see why no source has a newer one; raise catalogue_stale and start the edge anew if services are to go on",
        ready=True,
    ),
    Row(
        "source_away",
        lambda facts: bool(facts.sources),
        lambda facts: "; ".join(facts.sources),
        "see that it runs and is reached from here; others stand in for it meanwhile",
    ),
    Row(
        "disk_full",
        lambda facts: facts.free_bytes < LEAST_FREE_BYTES or facts.free_files < LEAST_FREE_FILES,
        lambda facts: f"{facts.free_bytes} bytes and {facts.free_files} files are free for the cache folder",
        "make room, or lower disk, parked_disk, written_disk, log_disk and response_disk: it serves on, and keeps "
        "nothing new",
    ),
    Row(
        "work_fails",
        lambda facts: bool(facts.failing),
        lambda facts: "; ".join(facts.failing),
        "read event=task_failed in the log; the edge tries again by itself",
    ),
    Row(
        "secrets_refused",
        lambda facts: bool(facts.secrets),
        lambda facts: "; ".join(facts.secrets),
        "put it right with `nunatak secrets`; what services had before stays theirs meanwhile",
    ),
    Row(
        "candidate_stopped",
        lambda facts: bool(facts.stopped),
        lambda facts: "; ".join(facts.stopped),
        "tell its publisher, who reads the service's log and signs the next step; its visitors have the stable version",
    ),
    Row(
        "version_refused",
        lambda facts: bool(facts.refused),
        lambda facts: "; ".join(facts.refused),
        "read event=fell_back in the log; the version before is served, and the new one is tried again",
    ),
    Row(
        "settings_back",
        lambda facts: bool(facts.settings_back),
        lambda facts: "; ".join(facts.settings_back),
        "read event=settings_back in the log, and nunatak settings status; the origin's operator signs another version",
    ),
    Row(
        "settings_refused",
        lambda facts: bool(facts.settings_refused),
        lambda facts: "; ".join(facts.settings_refused),
        "see that this edge is as new as the origin; its operator signs another version, this edge may say "
        "fleet_settings = off",
    ),
    Row(
        "trust_ends",
        lambda facts: bool(facts.ending),
        lambda facts: "; ".join(facts.ending),
        "have the origin's operator renew it",
    ),
)


def conditions(facts: Facts) -> list[Row]:
    """What is wrong, the gravest first."""
    return [row for row in TABLE if row.holds(facts)]


def page(facts: Facts, question: Literal["health", "ready"]) -> tuple[int, dict[str, Any]]:
    """The answer to a question: an HTTP status, and what is wrong in words and names."""
    found = conditions(facts)
    fails = any(getattr(row, question) for row in found)
    entries = [
        {
            "name": row.name,
            "what": row.what(facts),
            "do": row.remedy,
            "fails": [name for name in ("health", "ready") if getattr(row, name)],
        }
        for row in found
    ]
    status = "draining" if facts.draining else "failing" if fails else "degraded" if found else "ok"
    return (503 if fails else 200), {"status": status, "conditions": entries}
