"""What this edge keeps of services that are withdrawn or held, also where nobody has asked for them since it started.

A service that is asked for here ends with the look at the catalogue that does not find it (`life`). Of others this edge
may have parked records and pages that they wrote, from before it was off. After each look that found changes, and the
first one, it is seen which of them the signed catalogue says are withdrawn: their records go, and what they wrote is
kept aside, or deleted where the publisher wants that. Records of what is held go too: after a release it begins from
its image. What the catalogue does not know at all is left alone: it may be another origin's.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from edge.catalogue.directory import Directory
from edge.catalogue.names import Names
from edge.common import log
from edge.common.tasks import Tasks
from edge.content.records import Records, named_by, service_of
from edge.devices.overlays import Overlays
from vmimage.errors import NunatakError
from vmimage.trust import ServiceRecord

_logger: Final = log.logger("leftovers")


@dataclass
class Found:
    """What is left of services that are withdrawn or held."""

    services: list[ServiceRecord] = field(default_factory=list)  # that have written something
    records: list[str] = field(default_factory=list)  # keys


def find(names: Names, known: Collection[str], wrote: Collection[str], records: Collection[str]) -> Found:
    """Leftovers among these. Blocks.

    :param known: services that were asked for here; they are somebody else's business, but for what they wrote.
    :param wrote: services that have written something; the origin is asked for them where it must.
    :param records: keys; so much is not worth asking for.
    """
    found, holds = Found(), names.holds()
    for name in wrote:
        with suppress(NunatakError):  # it is seen at the next change
            record = names.find_withdrawn(name)
            found.services += [record] if record is not None else []
    gone = {record.service for record in found.services}
    for key in records:
        name, image, tenant = named_by(key)
        if holds.reason(image, name, tenant):
            found.records.append(key)
            continue
        with suppress(NunatakError):
            if name in gone or (name not in known and names.find_withdrawn(name, ask=False) is not None):
                found.records.append(key)
    return found


def dropped(record: ServiceRecord) -> set[str]:
    """Disks of a service that is withdrawn whose pages its publisher wants deleted: they begin with the withdrawal."""
    return {disk for disk, since in record.written if since == record.version}


class Leftovers:
    """Those of this edge."""

    def __init__(self, directory: Directory, overlays: Overlays, records: Records, tasks: Tasks) -> None:
        self._directory, self._overlays, self._records, self._tasks = directory, overlays, records, tasks

    def look(self) -> None:
        """See to them, without being waited for."""
        self._tasks.spawn("leftovers", self._clear())

    async def _clear(self) -> None:
        known, wrote, records = set(self._directory.by_name), self._overlays.names, self._records.keys()
        found = await self._directory.ask(lambda names: find(names, known, wrote, records))
        for key in found.records:
            if service_of(key) not in self._directory.by_name:  # it may be back by now
                self._records.forget(key)
        for record in found.services:
            if record.service in self._directory.by_name:
                continue
            self._overlays.leave(record.service, reason="withdrawn")
            self._overlays.forget(record.service, dropped(record))
        if found.records or found.services:
            _logger.info(log.line("withdrawn_cleared", records=len(found.records), written=len(found.services)))
