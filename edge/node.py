"""The parts of every edge, whatever its catalogue and its origin: made once, wired in one place, closed in order."""

import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from edge.cache.answer_file import AnswerFile
from edge.cache.disk import DiskAnswers
from edge.cache.purges import Purges
from edge.cache.responses import Responses
from edge.catalogue.directory import Directory
from edge.common.counters import Counters
from edge.config.options import EdgeConfig
from edge.content.blobs import Store
from edge.content.disk_tier import DiskTier
from edge.content.images import Images
from edge.content.records import Records
from edge.content.seal import Seal
from edge.devices.disks import Disks
from edge.devices.overlays import Overlays
from edge.devices.secrets import Given
from edge.devices.spool import Spool
from edge.supervisor.supervisor import Supervisor
from edge.workers.process import COMMAND

BELOW_SHARE: Final = 8  # of the memory for kept answers is for those on disk: an index, and what is on its way


@asynccontextmanager
async def running_node(
    config: EdgeConfig,
    counters: Counters,
    directory: Directory,
    store: Store,
    seal: Seal,
    threads: Executor,
    worker_command: Sequence[str] = COMMAND,
) -> AsyncIterator[Supervisor]:
    """A supervisor that serves until the block is left; then every machine is parked and everything is closed.

    :param store: where images and disks come from. :param threads: in which their bytes are verified.
    :raises OperatorError: the machine or the configuration does not allow it.
    """
    parked = DiskTier(config.cache / "parked", config.parked_disk, counters)
    with (
        ThreadPoolExecutor(1, "parked") as parking_thread,
        ThreadPoolExecutor(1, "written") as writing_thread,
        ThreadPoolExecutor(1, "answers") as answers_thread,
    ):
        images = Images(
            store,
            threads,
            config.image_bytes,
            counters,
            machine_bytes=config.resident_bytes,
            remember_s=config.negative,
        )
        records = Records(config.parked_bytes, parked, seal, parking_thread, counters)
        overlays = Overlays(config.cache / "written.db", config.written_disk, writing_thread, seal, counters)
        if overlays.is_open:
            seal.settle()
        logs = Spool(config.cache / "logs", config.log_disk, config.origin, config.log_secret, counters)
        disks = Disks(store, threads, overlays, logs, config.block_cache, counters)
        secrets = Given(config.secrets_folder, seal)
        secrets.look()
        # Numbers of purges go up over restarts too: no edge makes a thousand a second.
        purges = Purges(int(time.time() * 1000))
        below = _below(config, purges, seal, answers_thread, counters)
        responses = Responses(config.response_memory, config.response_size, purges, counters, below)
        supervisor = Supervisor(config, counters, directory, images, records, disks, worker_command, secrets, responses)
        supervisor.fleet_secret = config.log_secret.encode() or seal.tag("releases 1")
        await supervisor.start()
        try:
            yield supervisor
        finally:
            await supervisor.drain()
            if below is not None:
                await below.close(responses.worth_keeping())
    overlays.close()
    logs.close()
    parked.close()


def _below(config: EdgeConfig, purges: Purges, seal: Seal, thread: Executor, counters: Counters) -> DiskAnswers | None:
    """Kept answers on disk, where there is to be room for them; else none that are left there outlive this edge."""
    file = AnswerFile(config.cache / "responses.db", config.response_disk, config.response_size, seal)
    if not (config.response_disk and config.response_memory):
        file.delete()
        return None
    return DiskAnswers(file, purges, thread, config.response_memory // BELOW_SHARE, counters)
