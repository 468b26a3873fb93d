"""An edge that serves nobody: all its parts are real, but its workers are not started and its catalogue is empty."""

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.cache.answer_file import AnswerFile
from edge.cache.disk import DiskAnswers
from edge.cache.purges import Purges
from edge.cache.responses import Responses
from edge.catalogue.directory import Directory
from edge.common.counters import Counters
from edge.config.options import EdgeConfig
from edge.content.disk_tier import DiskTier
from edge.content.images import Images
from edge.content.records import Records
from edge.content.seal import new_seal
from edge.devices.disks import Disks
from edge.devices.overlays import Overlays
from edge.devices.spool import Spool
from edge.model.services import Service
from edge.node import BELOW_SHARE
from edge.supervisor.supervisor import Supervisor
from tests.support.playbook import release
from vmimage.holds import Holds
from vmimage.trust import ServiceRecord


class Nobody:
    """A catalogue that knows no service. `held` is what its operator holds."""

    expired, expired_for_s = False, 0.0

    def __init__(self) -> None:
        self.held = Holds()

    def expiries(self) -> Mapping[str, datetime]:
        return {"root": datetime(2040, 1, 1, tzinfo=UTC)}

    def refresh(self) -> bool:
        return False

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        return None

    def fetch_ahead(self) -> bool:
        return False

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        return None

    def holds(self) -> Holds:
        return self.held

    def is_held(self, kind: str, name: str) -> bool:
        return False

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        return None


@asynccontextmanager
async def idle_edge(
    folder: Path, *services: str, keeps: bool = False, catalogue: Nobody | None = None
) -> AsyncIterator[Supervisor]:
    """Its supervisor, which has met these services.

    :param keeps: answers, in memory and on disk, within the budgets that edges have of themselves.
    :param catalogue: None: one in which nothing is held.
    """
    counters, seal, thread = Counters(), new_seal(), ThreadPoolExecutor(1)
    config = EdgeConfig(origin="http://origin.test", trust=folder / "root.json", cache=folder)
    nobody: Any = None  # nothing is fetched here
    images = Images(nobody, thread, 1 << 30, counters)
    records = Records(1 << 20, DiskTier(folder / "parked", 1 << 20, counters), seal, thread, counters)
    overlays = Overlays(folder / "written.db", 1 << 20, thread, seal, counters)
    logs = Spool(folder / "logs", 1 << 20, "http://origin.test", "", counters)
    disks = Disks(nobody, thread, overlays, logs, 1 << 20, counters)
    directory = Directory(catalogue or Nobody(), counters, 0.0)
    directory.by_name.update({name: Service(release(name)) for name in services})
    purges, below = Purges(), None
    if keeps:
        file = AnswerFile(folder / "responses.db", config.response_disk, config.response_size, seal)
        below = DiskAnswers(file, purges, thread, config.response_memory // BELOW_SHARE, counters)
    responses = Responses(config.response_memory if keeps else 0, config.response_size, purges, counters, below)
    supervisor = Supervisor(config, counters, directory, images, records, disks, responses=responses)
    try:
        yield supervisor
    finally:
        await supervisor.tasks.close()
        if below is not None:
            await below.close([])
        directory.close()
        images.close()
        logs.close()
        overlays.close()
        thread.shutdown()
