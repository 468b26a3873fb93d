"""An edge as operators run it: a node with the signed catalogue, listeners and files, until it is told to drain."""

import asyncio
import fcntl
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from edge.catalogue.catalogue import Catalogue
from edge.catalogue.directory import Directory
from edge.common import log
from edge.common.counters import Counters
from edge.common.private import private_folder
from edge.compiled.finder import install
from edge.compiled.interpreter import description
from edge.config.options import EdgeConfig
from edge.content.blobs import DiskStore
from edge.content.disk_tier import DiskTier
from edge.content.registry import OriginStore
from edge.content.seal import load_seal
from edge.front.http import Front
from edge.model import routes
from edge.node import running_node
from edge.operators.audit import Audit
from edge.operators.door import Operators
from edge.operators.pages import Admin
from edge.vmm.kernel.host import ask_for_short_slices
from edge.workers.process import COMMAND
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
        raise OperatorError(
            f"--cache: a folder of its own expected, got {folder}: another edge uses it: "
            "end that one, or name another folder"
        ) from None
    return lock


async def serve(config: EdgeConfig, *, worker_command: Sequence[str] = COMMAND) -> None:
    """Serve until SIGTERM, SIGINT or POST /-/drain; then finish what is in flight, park everything, and return.

    SIGHUP has it read the token and open the audit log anew, and look at the catalogue at once.

    :raises OperatorError: the machine or the configuration does not allow it.
    """
    os.umask(0o077)  # whatever is written under the cache folder is the edge's alone
    loop = asyncio.get_running_loop()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection each
    sys.setswitchinterval(THREAD_SWITCH_S)
    ask_for_short_slices(SLICE_NS)
    say = _logger.warning if install().kind == "stale" else _logger.info
    say(log.line("program", runs=description()))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # nothing was read yet that could be read again
    try:
        root = config.trust.read_bytes()
        if closed := private_folder(config.cache):
            _logger.info(log.line("cache_made_private", files=closed))
        lock = _take(config.cache)
    except OSError as error:
        raise OperatorError(f"{error.filename or config.cache}: {error.strerror or error}") from error

    counters = Counters()
    seal = load_seal(config.cache / "key")
    blobs = DiskTier(config.cache / "blobs", config.disk, counters)
    threads, keeping_thread = ThreadPoolExecutor(2, "images"), ThreadPoolExecutor(1, "kept")
    catalogue = Catalogue(config.cache / "tuf", config.origin.rstrip("/") + "/tuf/", root, counters)
    service_host = routes.named_host(config.service_host) if config.service_host else ""
    directory = Directory(catalogue, counters, config.negative, service_host)
    origin = OriginStore(config.origin, config.origin_timeout, counters)
    store = DiskStore(blobs, threads, keeping_thread, origin, counters)
    audit = Audit(config.cache / "audit.jsonl")
    async with running_node(config, counters, directory, store, seal, threads, worker_command) as supervisor:
        gc.freeze()  # modules live for ever: collections, of some 4 ms with them, need not look at them
        front = Front(supervisor, config, counters)
        operators = Operators(Admin(supervisor, counters, stop.set), audit, config, counters)
        where = await front.listen(config.address)
        await operators.listen()
        supervisor.upstreams.forbid([*front.listeners, *operators.listeners])
        loop.add_signal_handler(signal.SIGHUP, _begin_anew, operators, directory)
        log.announce(f"nunatak edge: operators' pages on {operators.where}")
        log.announce(f"nunatak edge ready on {where}")

        await stop.wait()
        _logger.info(log.line("draining", in_flight=len(front.busy)))
        supervisor.draining = True
        await front.drain(config.drain)
        await operators.close()
        if isinstance(config.address, Path):
            config.address.unlink(missing_ok=True)
    await origin.close()
    for pool in (threads, keeping_thread):
        pool.shutdown(wait=True)
    blobs.close()
    audit.close()
    lock.close()


def _begin_anew(operators: Operators, directory: Directory) -> None:
    """SIGHUP: what was read once is read again. What cannot be used is said, and changes nothing."""
    _logger.info(log.line("hangup"))
    try:
        operators.reload()
    except OperatorError as error:
        _logger.error(log.line("not_reloaded", error=error))
    directory.look_now()
