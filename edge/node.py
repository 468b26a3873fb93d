"""The parts of every edge, whatever its catalogue and its origin: made once, wired in one place, closed in order."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

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
    with ThreadPoolExecutor(1, "parked") as parking_thread, ThreadPoolExecutor(1, "written") as writing_thread:
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
        supervisor = Supervisor(config, counters, directory, images, records, disks, worker_command, secrets)
        await supervisor.start()
        try:
            yield supervisor
        finally:
            await supervisor.drain()
    overlays.close()
    logs.close()
    parked.close()
