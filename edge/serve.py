"""An edge as operators run it: a node with the signed catalogue, listeners and files, until it is told to drain.

It tells a service manager how it is, takes listeners from one or from an edge before it, and reads its configuration
again when it is told to. `edge.place` says who may use a cache folder.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from edge.access.access_log import AccessLog
from edge.catalogue.asking import metadata_sources
from edge.catalogue.directory import Directory
from edge.catalogue.urgent import FedCatalogue
from edge.common import log
from edge.common.counters import Counters
from edge.common.ending import Ending
from edge.common.private import private_folder
from edge.common.service_manager import ServiceManager
from edge.compiled.finder import install
from edge.compiled.interpreter import description
from edge.config.options import EdgeConfig
from edge.content.blobs import DiskStore
from edge.content.disk_tier import DiskTier
from edge.content.seal import load_seal
from edge.feed.joining import Joined
from edge.feed.releases import join_releases
from edge.front import handover
from edge.front.handover import Handover
from edge.front.http import Front
from edge.model import routes
from edge.node import running_node
from edge.operators.audit import Audit
from edge.operators.door import Operators
from edge.operators.pages import Admin
from edge.operators.tail import Requests
from edge.peers.pop import pop_of
from edge.place import places_of, take_place
from edge.running import Own, Parts, Running, begin_with, kept_settings
from edge.settings.following import Following
from edge.sources.credentials import read_credentials
from edge.sources.made import web_sources
from edge.supervisor.supervisor import PARK_S
from edge.telemetry.begin import begin
from edge.vmm.kernel.host import ask_for_short_slices
from edge.workers.process import COMMAND
from vmimage.errors import OperatorError

# How long the event loop may wait for a thread that writes records or parses metadata: by default 5 ms, which was the
# p99 of a parked machine's first byte while records were being written.
THREAD_SWITCH_S: Final = 0.0005
# Of the supervisor's turns, so that it preempts a worker whose guest spins instead of waiting for the next tick (4 ms).
SLICE_NS: Final = 100_000
# At the end of an edge, beside its requests and its machines: clients between requests, records, workers and threads.
LEAVE_S: Final = 20.0

_logger: Final = log.logger("serve")


async def serve(
    own: Own,
    *,
    again: Callable[[], Own] | None = None,
    take_over: bool = False,
    worker_command: Sequence[str] = COMMAND,
) -> None:
    """Serve until SIGTERM, SIGINT or POST /-/drain; then finish what is in flight, park everything, and return.

    SIGHUP has it read its configuration, the token and the catalogue again, and open its logs anew. A second SIGTERM or
    SIGINT ends it at once.

    :param own: its own options, under which fleet settings come. :param again: reads them again.
    :param take_over: whether to take the place of an edge that runs on the same cache folder, listeners included.
    :raises OperatorError: the machine or the configuration does not allow it.
    """
    config = own.config
    os.umask(0o077)  # whatever is written under the cache folder is the edge's alone
    loop = asyncio.get_running_loop()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection each
    sys.setswitchinterval(THREAD_SWITCH_S)
    ask_for_short_slices(SLICE_NS)
    say = _logger.warning if install().kind == "stale" else _logger.info
    say(log.line("program", runs=description()))
    ending = Ending(lambda why: _logger.error(log.line("ended_at_once", why=why)))
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # nothing was read yet that could be read again
    manager = ServiceManager()
    held = manager.held()
    root = _given(config)
    try:
        if closed := private_folder(config.cache):
            _logger.info(log.line("cache_made_private", files=closed))
        offer = handover.ask(config.cache) if take_over else None
        lock = await take_place(config.cache, offer)
    except OSError as error:
        raise OperatorError(f"{error.filename or config.cache}: {error.strerror or error}") from error

    memory = kept_settings(config.cache)
    (config, _), ended = begin_with(own, memory)
    counters = Counters()
    traces = begin(config, counters)
    seal = load_seal(config.cache / "key")
    blobs = DiskTier(config.cache / "blobs", config.disk, counters)
    threads, keeping_thread = ThreadPoolExecutor(2, "images"), ThreadPoolExecutor(1, "kept")
    metadata = metadata_sources(config.places)
    catalogue = FedCatalogue(config.cache / "tuf", metadata, root, counters, ahead_bytes=config.catalogue_ahead)
    service_host = routes.named_host(config.service_host) if config.service_host else ""
    directory = Directory(catalogue, counters, config.negative, service_host, stale_s=config.catalogue_stale)
    sources = web_sources(config.places, config.origin_timeout, counters, read_credentials(config.registry_auth))
    directory.on_look_up = sources.expect
    pop = pop_of(config, counters)
    store = DiskStore(blobs, threads, keeping_thread, pop.store(sources) if pop is not None else sources, counters)
    audit = Audit(config.cache / "audit.jsonl")
    async with running_node(config, counters, directory, store, seal, threads, worker_command) as supervisor:
        gc.freeze()  # modules live for ever: collections, of some 4 ms with them, need not look at them
        standings = {"blobs": sources.standing, "catalogue": catalogue.asking.standing}
        supervisor.source_states = lambda: {what: standing.states for what, standing in standings.items()}
        joined = Joined(config, catalogue, supervisor)
        front = Front(supervisor, config, counters)
        access = AccessLog(config, counters, front.telling.listen)
        if traces is not None:
            front.telling.listen(traces.on_finished)
            supervisor.upstreams.on_fetched = traces.on_fetched
        admin = Admin(supervisor, counters, front.telling.durations, ending.begin, Requests(front.telling))
        operators = Operators(admin, audit, config, counters)
        places, private = places_of(config.listeners, held, offer)
        await front.listeners.open(places)
        await operators.listen(private)
        if pop is not None:
            await pop.begin(front, supervisor, store)
            pop.follow(lambda: catalogue.root)
            joined.facts.peer = pop.said
        peers = pop.listeners if pop is not None else []
        supervisor.upstreams.forbid([*front.listeners.addresses, *operators.listeners, *peers])
        supervisor.serves_on = front.listeners.where
        where = " and ".join(supervisor.serves_on)
        parts = Parts(supervisor, front, operators, access, directory, manager, pop)
        running = Running(parts, own, memory.in_force, f"serving on {where}")
        following = Following(supervisor, memory, running, front.telling.listen, ended)
        running.on_own = following.look
        supervisor.settings_said = lambda: {**following.describe(), "options": running.said()}
        supervisor.settings_number = lambda: following.report().number
        join_releases(joined, front.versions.releases, following)
        loop.add_signal_handler(signal.SIGHUP, running.begin_anew, again)
        leaving = Handover(
            config.cache, front.listeners.by_place, lambda: supervisor.config.drain * 2 + PARK_S + LEAVE_S
        )
        leaving.on_take = ending.begin
        if manager.ping_s:
            supervisor.tasks.keep("watchdog", lambda: _ping(manager))
        log.announce(f"nunatak edge: operators' pages on {operators.where}")
        log.announce(f"nunatak edge ready on {where}")
        manager.ready(running.status)

        await ending.asked.wait()
        _logger.info(log.line("draining", in_flight=len(front.busy)))
        manager.stopping(f"drains: {len(front.busy)} requests in flight")
        supervisor.draining = True
        leaving.stop()
        await front.drain(supervisor.config.drain, 0.0 if leaving.taken else supervisor.config.drain_delay)
        if pop is not None:
            await pop.close()
        await operators.close()
        await access.close()
        await joined.close()
        if not leaving.taken:
            front.listeners.remove_files()
    following.close()
    await sources.close()
    if traces is not None:
        await traces.close()
    for pool in (threads, keeping_thread):
        pool.shutdown(wait=True)
    blobs.close()
    audit.close()
    lock.close()
    leaving.close()
    ending.over()


async def _ping(manager: ServiceManager) -> None:
    """Tell the watchdog for ever that the event loop turns."""
    while True:
        manager.ping()
        await asyncio.sleep(manager.ping_s)


def _given(config: EdgeConfig) -> bytes:
    """The trust root, and a look at the other files that options name, before anything is begun.

    :raises OperatorError: one cannot be read.
    """
    config.log_secret, config.admin_secret, config.edge_secret  # noqa: B018
    try:
        return config.trust.read_bytes()
    except OSError as error:
        raise OperatorError(
            f"trust: root.json of `nunatak keygen` expected at {config.trust}: {error.strerror or error}: name the one "
            "that the origin's operator gives"
        ) from None
