"""What `nunatak ps` and `nunatak top` show of an edge: looks at its pages, and what lies between two of them. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from vmimage.errors import OperatorError

Sort = Literal["rate", "memory", "requests", "crashes", "name"]
SORTS: Final[tuple[Sort, ...]] = ("rate", "memory", "requests", "crashes", "name")
TIERS: Final = ("resident", "parked", "disk", "blob", "cold")  # of the page `services`, from warm to cold


@dataclass(frozen=True, slots=True)
class Look:
    """The edge at one moment."""

    at: float  # seconds on a clock that never goes back
    services: Sequence[Mapping[str, Any]]  # as on the page `services`
    workers: Sequence[Mapping[str, Any]]
    health: Sequence[str]  # lines of the page: "ok", "draining" and so on, then what is not well


@dataclass(frozen=True, slots=True)
class Line:
    """A service."""

    service: str
    version: int
    tier: str
    state: str
    worker: int | None
    rate: float | None  # requests a second since the look before; None: there was none
    requests: int
    waiting: int
    crashes: int
    memory: int  # bytes: of its machine, or of its parked record
    quarantined: bool


def lines(now: Look, before: Look | None, sort: Sort, match: str = "") -> list[Line]:
    """The services whose name or hosts contain `match`, largest first; by name where they are equal.

    :param before: an earlier look, for rates.
    """
    seconds = now.at - before.at if before is not None else 0.0
    earlier = {entry["service"]: entry for entry in before.services} if before is not None else {}
    found = []
    for entry in now.services:
        name = entry["service"]
        if match and not any(match in text for text in (name, *entry["hosts"])):
            continue
        old = earlier.get(name, {"requests": 0})
        # A service that was withdrawn and published anew counts from 0 again.
        new_requests = max(0, entry["requests"] - old["requests"])
        found.append(
            Line(
                name,
                entry["version"],
                entry["tier"],
                entry["state"],
                entry["worker"],
                new_requests / seconds if seconds > 0 else None,
                entry["requests"],
                entry["waiting"],
                entry["crashes"],
                entry["resident_bytes"] or entry["parked_bytes"] or 0,
                entry["quarantined"],
            )
        )
    found.sort(key=lambda line: (-_SIZES[sort](line), line.service))
    return found


_SIZES: Final[Mapping[Sort, Callable[[Line], float]]] = {
    "rate": lambda line: line.rate or 0.0,
    "memory": lambda line: line.memory,
    "requests": lambda line: line.requests,
    "crashes": lambda line: line.crashes,
    "name": lambda line: 0,
}


@dataclass(frozen=True, slots=True)
class Summary:
    """An edge in a few numbers."""

    rate: float | None  # requests a second of all services
    services: int
    by_tier: Mapping[str, int]
    workers: int
    waiting: int  # requests
    crashes: int  # since the edge started
    resident_bytes: int
    parked_bytes: int


def summary(now: Look, before: Look | None) -> Summary:
    """All services together."""
    every = lines(now, before, "name")
    tiers = [line.tier for line in every]
    return Summary(
        sum(line.rate or 0.0 for line in every) if before is not None else None,
        len(every),
        {tier: tiers.count(tier) for tier in TIERS if tier in tiers},
        len(now.workers),
        sum(line.waiting for line in every),
        sum(line.crashes for line in every),
        sum(entry["resident_bytes"] for entry in now.services),
        sum(entry["parked_bytes"] or 0 for entry in now.services),
    )


def health_lines(body: bytes) -> list[str]:
    """The page `health` as lines: how the edge is, then each thing that is wrong."""
    try:
        said = json.loads(body)
        return [str(said["status"]), *(f"{each['name']}: {each['what']}" for each in said["conditions"])]
    except (ValueError, TypeError, KeyError):
        return ["no health page"]


def sort_of(text: str) -> Sort:
    """:raises OperatorError: no such order."""
    for sort in SORTS:
        if sort == text:
            return sort
    raise OperatorError(f"--sort: {', '.join(SORTS)} expected, got {text!r}")
