"""An edge put together: every part made once, wired in one place, run until it is told to drain."""

import asyncio
import fcntl
import resource
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from edge import log
from edge.admin import Admin
from edge.catalogue import Catalogue
from edge.config import EdgeConfig
from edge.counters import Counters
from edge.directory import Directory
from edge.disks import Disks
from edge.http import Front
from edge.images import DiskStore, Images, OriginStore
from edge.logs import Spool
from edge.overlays import Overlays
from edge.records import Records
from edge.supervisor import Supervisor
from edge.tiers import open_disk
from edge.vmm.host import ask_for_short_slices
from edge.workers import COMMAND
from vmimage.errors import OperatorError

# How long the event loop may wait for a thread that writes records or parses metadata: by default 5 ms, which was the
# p99 of a parked machine's first byte while records were being written.
THREAD_SWITCH_S: Final = 0.0005
# Of the supervisor's turns, so that it preempts a worker whose guest spins instead of waiting for the next tick (4 ms).
SLICE_NS: Final = 100_000

_logger: Final = log.logger("serve")


def _take(folder: Path) -> IO[bytes]:
    """Hold a cache folder for as long as this file is open: two edges would overwrite each other's parked machines.

    :raises OperatorError: another edge has it.
    """
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise OperatorError(f"--cache: a folder of its own expected, got {folder}: another edge uses it") from None
    return lock


async def serve(config: EdgeConfig, *, worker_command: Sequence[str] = COMMAND) -> None:
    """Serve until SIGTERM, SIGINT or POST /-/drain; then finish what is in flight, park everything, and return.

    :raises OperatorError: the machine or the configuration does not allow it.
    """
    loop = asyncio.get_running_loop()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection each
    sys.setswitchinterval(THREAD_SWITCH_S)
    ask_for_short_slices(SLICE_NS)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        root = config.trust.read_bytes()
        config.cache.mkdir(parents=True, exist_ok=True)
        lock = _take(config.cache)
        blobs = open_disk(config.cache / "blobs", config.disk)
        parked = open_disk(config.cache / "parked", config.parked_disk)
    except OSError as error:
        raise OperatorError(f"{error.filename or config.cache}: {error.strerror or error}") from error

    counters = Counters()
    threads, keeping_thread = ThreadPoolExecutor(2, "images"), ThreadPoolExecutor(1, "kept")
    parking_thread = ThreadPoolExecutor(1, "parked")
    catalogue = Catalogue(config.cache / "tuf", config.origin.rstrip("/") + "/tuf/", root)
    directory = Directory(catalogue, counters, config.negative)
    origin = OriginStore(config.origin, config.origin_timeout, counters)
    blob_store = DiskStore(blobs, threads, keeping_thread, origin, counters)
    images = Images(
        blob_store,
        threads,
        config.image_bytes,
        counters,
        machine_bytes=config.resident_bytes,
        remember_s=config.negative,
    )
    records = Records(config.parked_bytes, parked, parking_thread, counters)
    writing_thread = ThreadPoolExecutor(1, "written")
    overlays = Overlays(config.cache / "written.db", config.written_disk, writing_thread, counters)
    logs = Spool(config.cache / "logs", config.log_disk, config.origin, config.log_secret, counters)
    disks = Disks(blob_store, threads, overlays, logs, config.block_cache, counters)
    supervisor = Supervisor(config, counters, directory, images, records, disks, worker_command)
    front = Front(supervisor, Admin(supervisor, config, counters, stop.set), config, counters)

    await supervisor.start()
    host, port = config.address
    await front.listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"nunatak edge ready on http://{shown}:{front.port}", flush=True)

    await stop.wait()
    _logger.info(log.line("draining", in_flight=len(front.busy)))
    supervisor.draining = True
    await front.drain(config.drain)
    await supervisor.drain()
    await origin.close()
    for pool in (threads, keeping_thread, parking_thread, writing_thread):
        pool.shutdown(wait=True)
    overlays.close()
    logs.close()
    for disk in (blobs, parked):
        disk.close()
    lock.close()
    sys.stdout.flush()
