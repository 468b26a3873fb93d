"""Releases that an edge has stopped, and why: kept in a file, so that a restart sends nobody to a candidate again.

A stop stands until the catalogue names another release of the service, or none: what has been signed since decides. The
file is JSON: {"stopped": {SERVICE: {"release": NAME, "cause": WORD, "at": seconds since 1970, "by": "edge"}, ...}}. One
that cannot be read is begun anew, for what is lost by that is a few failed visitors; it is said.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.common.private import write_private
from edge.releases.kept_file import read_kept
from vmimage.manifest import is_name

STOPS_MAX: Final = 1000
FILE_MAX: Final = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """One of them."""

    release: str  # its name, see `vmimage.release.Candidate.release`
    cause: str  # a `gates.Cause`, or a word of who ordered it
    at: float  # seconds since 1970
    by: str  # "edge", or who else stopped it


class Stops:
    """Those of one edge, by service."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_service: dict[str, Stop] = read_kept(self._path, FILE_MAX, _parse, "stops_unreadable")

    def of(self, service: str, release: str) -> Stop | None:
        """Why a release of a service is stopped, None where it is not."""
        stop = self._by_service.get(service)
        return stop if stop is not None and stop.release == release else None

    def add(self, service: str, stop: Stop) -> None:
        """Keep one, in place of an earlier release's. It counts at once, also where the disk does not take it.

        :raises OSError: the disk does not.
        """
        self._by_service.pop(service, None)
        self._by_service[service] = stop
        while len(self._by_service) > STOPS_MAX:
            self._by_service.pop(next(iter(self._by_service)))
        self._write()

    def settle(self, service: str, release: str | None) -> None:
        """Forget what was kept of other releases of a service; `release` is the one that is under way, None for none.

        :raises OSError: as `add`.
        """
        stop = self._by_service.get(service)
        if stop is not None and stop.release != release:
            del self._by_service[service]
            self._write()

    def all(self) -> Mapping[str, Stop]:
        """All of them, by service."""
        return dict(self._by_service)

    def _write(self) -> None:
        stopped = {service: asdict(stop) for service, stop in self._by_service.items()}
        write_private(self._path, json.dumps({"stopped": stopped}, indent=1).encode() + b"\n")


def _parse(value: Any) -> dict[str, Stop]:
    stops = {service: Stop(**fields) for service, fields in value["stopped"].items()}
    if not all(is_name(service) and _is_stop(stop) for service, stop in stops.items()):
        raise ValueError("no stops")
    return stops


def _is_stop(stop: Stop) -> bool:
    words = (stop.release, stop.cause, stop.by)
    return isinstance(stop.at, int | float) and all(isinstance(word, str) and len(word) <= 200 for word in words)
