"""Versions that do not come up on this edge: kept over restarts, and tried again, ever more seldom.

Which they are `edge.supervisor.fallback` decides. The file says what goes on in their place, so that an edge that
starts while the origin has lost an image serves what it served before. It is JSON, {"good": {SERVICE: {"refused":
DIGEST, and the record that goes on}}}; one that cannot be read is begun anew.
"""

import asyncio
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from edge.common import log
from edge.common.private import write_private
from edge.model.services import Service
from edge.releases.kept_file import read_kept
from edge.supervisor.supervisor import Supervisor
from vmimage.canonical import Blob, is_digest, is_name
from vmimage.errors import NunatakError
from vmimage.manifest import SNAPSHOT_TYPE
from vmimage.trust import ServiceRecord

FILE_MAX: Final = 4 << 20  # bytes
KEPT_MAX: Final = 1000
RETRY_FIRST_S: Final = 30.0  # until one is tried again, doubled each time
RETRY_MAX_S: Final = 3600.0

_logger: Final = log.logger("releases")


class LastGood:
    """Those of one edge."""

    def __init__(self, supervisor: Supervisor, path: Path) -> None:
        self._supervisor, self._path = supervisor, path
        self._loop = asyncio.get_running_loop()
        self._good: dict[str, dict[str, Any]] = read_kept(self._path, FILE_MAX, _parse, "last_good_unreadable")
        self._waits: dict[Service, float] = {}  # until what loop time
        self._pauses: dict[tuple[str, str], float] = {}  # by service and refused image
        self._fallen: set[Service] = set()
        supervisor.driver.on_fallback = self._fell_back

    def meet(self, service: Service) -> None:
        """A service is known, or another than it was: what goes on in its place is known too, if it did before."""
        kept, record = self._good.get(service.name), service.release
        if kept is None:
            return
        if kept["refused"] != record.manifest_digest:
            self._forget(service.name)
        elif service.last_good is None and not service.works and kept["tenant"] == record.tenant:
            service.last_good = _record(record, kept)

    def _fell_back(self, service: Service, refused: ServiceRecord, error: NunatakError) -> None:
        key = service.name, refused.manifest_digest
        pause_s = min(RETRY_MAX_S, 2 * self._pauses.get(key, RETRY_FIRST_S / 2))
        self._pauses[key] = pause_s
        while len(self._pauses) > KEPT_MAX:
            self._pauses.pop(next(iter(self._pauses)))
        self._fallen.add(service)
        self._waits[service] = self._loop.time() + pause_s
        said = f"nunatak: version {refused.version} does not come up here ({error.counter}), version"
        self._supervisor.lines.tell(service, f"{said} {service.release.version} goes on")
        if len(self._good) < KEPT_MAX or service.name in self._good:
            self._good[service.name] = _fields(service.release, refused)
            self._write()

    def troubles(self) -> list[str]:
        """What does not come up here, a line each."""
        self._fallen = {service for service in self._fallen if service.refused is not None and not service.withdrawn}
        return sorted(f"version {each.refused.version} of {each.name}" for each in self._fallen if each.refused)

    def tick(self) -> None:
        """Called every second or so: try again what is due."""
        now = self._loop.time()
        for service, at in list(self._waits.items()):
            if service.refused is None or service.withdrawn:
                del self._waits[service]
            elif self._supervisor.directory.holds(service.release):  # what went on must not
                del self._waits[service]
                self._supervisor.try_again(service)
            elif now >= at:
                del self._waits[service]
                self._supervisor.tasks.spawn("try_again", self._try(service, service.refused))

    async def _try(self, service: Service, refused: ServiceRecord) -> None:
        """Have the image first, so that what works goes on if it still cannot be had."""
        about = refused.manifest_digest, refused.manifest_size, refused.snapshot, refused.tenant
        try:
            await self._supervisor.images.load(*about)
        except NunatakError as error:
            if service.refused is refused:
                self._fell_back(service, refused, error)
            return
        if service.refused is refused:
            _logger.info(log.line("tried_again", service=service.name, image=refused.manifest_digest))
            if service.name in self._good:
                self._forget(service.name)
            self._supervisor.try_again(service)

    def _forget(self, name: str) -> None:
        del self._good[name]
        self._write()

    def _write(self) -> None:
        try:
            write_private(self._path, json.dumps({"good": self._good}, indent=1).encode() + b"\n")
        except OSError as error:
            _logger.error(log.line("last_good_not_kept", reason=error.strerror or error))


def _parse(value: Any) -> dict[str, dict[str, Any]]:
    good = value["good"]
    if len(good) > KEPT_MAX or not all(_is_kept(*item) for item in good.items()):
        raise ValueError("no last good versions")
    return dict(good)


def _fields(record: ServiceRecord, refused: ServiceRecord) -> dict[str, Any]:
    return {
        "refused": refused.manifest_digest,
        "digest": record.manifest_digest,
        "size": record.manifest_size,
        "snapshot": asdict(record.snapshot) if record.snapshot is not None else None,
        "version": record.version,
        "written": dict(record.written),
        "tenant": record.tenant,
    }


def _record(now: ServiceRecord, kept: dict[str, Any]) -> ServiceRecord:
    snapshot = kept["snapshot"]
    return replace(
        now,
        manifest_digest=kept["digest"],
        manifest_size=kept["size"],
        snapshot=Blob(SNAPSHOT_TYPE, snapshot["digest"], snapshot["size"]) if snapshot is not None else None,
        version=kept["version"],
        written=tuple(sorted(kept["written"].items())),
        candidate=None,
    )


def _is_kept(name: str, kept: dict[str, Any]) -> bool:
    snapshot, written = kept["snapshot"], kept["written"]
    numbers = [kept["size"], kept["version"], *written.values(), *([snapshot["size"]] if snapshot is not None else [])]
    digests = [kept["refused"], kept["digest"], *([snapshot["digest"]] if snapshot is not None else [])]
    return is_name(name) and all(type(n) is int for n in numbers) and all(map(is_digest, digests))
