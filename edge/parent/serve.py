"""A parent as operators run it: its parts put together, two listeners, and an end in order."""

import asyncio
import os
import resource
import signal
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from edge.common import log
from edge.common.counters import Counters
from edge.common.ending import Ending
from edge.common.private import private_folder
from edge.common.service_manager import Held, ServiceManager
from edge.common.tasks import Tasks
from edge.config.listeners import OPERATORS
from edge.content.blobs import DiskStore
from edge.content.disk_tier import DiskTier
from edge.feed.passing import Passing
from edge.feed.sse import HttpLog, SseFeed
from edge.parent.blobs import Blobs
from edge.parent.listening import Door
from edge.parent.metadata import Metadata
from edge.parent.options import ParentConfig
from edge.parent.pages import Pages
from edge.parent.server import Parent, fields_onward
from edge.place import take_place
from edge.sources.credentials import read_credentials
from edge.sources.fetch import Sources
from edge.sources.web import WebSource
from vmimage.errors import OperatorError

ADMIN_CONNECTIONS: Final = 32  # a few operators, a scraper and a probe
_logger: Final = log.logger("parent")


async def serve(config: ParentConfig) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is under way, and return.

    SIGHUP has it read the files of its token and its credentials again; all other options wait for a restart.

    :raises OperatorError: the machine or the configuration does not allow it.
    """
    os.umask(0o077)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a connection each
    ending = Ending(lambda why: _logger.error(log.line("ended_at_once", why=why)))
    manager, counters = ServiceManager(), Counters()
    held = manager.held()
    try:
        private_folder(config.cache)
        lock = await take_place(config.cache, None)
    except OSError as error:
        raise OperatorError(f"{error.filename or config.cache}: {error.strerror or error}") from error
    credentials = read_credentials(config.registry_auth)
    sources = [WebSource(each, config.origin_timeout, credentials, fields_onward) for each in config.places]
    fetching = Sources(sources, config.origin_timeout, counters)
    disks = [DiskTier(config.cache / name, size, counters) for name, size in _rooms(config)]
    # Verified in threads, written in one of their own, since others wait for the former.
    threads, keeping = ThreadPoolExecutor(2, "blobs"), ThreadPoolExecutor(1, "kept")
    blobs = Blobs(DiskStore(disks[0], threads, keeping, fetching, counters), config.memory, config.negative, counters)
    metadata = Metadata(
        [source for source, place in zip(sources, config.places, strict=True) if place.metadata_url],
        disks[1],
        threads,
        counters,
        timeout_s=config.origin_timeout,
        negative_s=config.negative,
        stale_s=config.stale,
    )
    metadata.on_fetch = fetching.expect
    parent = Parent(blobs, metadata, f"nunatak-{os.urandom(8).hex()}", counters)
    feeds = [place.base for place in config.places if place.kind == "origin"]
    passing = Passing(SseFeed(feeds), HttpLog(feeds, fields_onward), metadata.look) if feeds else None
    more = passing.relay.routes() if passing is not None else ()
    door = Door(parent.app(more), config.connections, lambda: _count_refused(counters))
    pages = Pages(
        counters,
        {"blobs": fetching.standing, "catalogue": metadata.standing},
        lambda: {
            "held_bytes": blobs.used_bytes,
            "held": len(blobs.held),
            "feed": passing.facts if passing is not None else None,
        },
        config.admin_secret,
        () if isinstance(config.admin_address, Path) else (config.admin_address[0],),
    )
    admin = Door(pages.app(), ADMIN_CONNECTIONS)
    tasks = Tasks(counters)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _read_again, config, sources, pages)
    try:
        where = await admin.listen("admin_listen", config.admin_address, _sockets(held, admin=True))
        log.announce(f"nunatak parent: operators' pages on {where}")
        where = await door.listen("listen", config.address, _sockets(held, admin=False))
        log.announce(f"nunatak parent ready on {where}")
        manager.ready(f"serving on {where}")
        if manager.ping_s:
            tasks.keep("watchdog", lambda: _ping(manager))
        if passing is not None:
            tasks.keep("feed", passing.run)
        await ending.asked.wait()
        pages.draining = True
        manager.stopping("finishes requests under way")
    finally:
        if passing is not None:
            await _closed(passing.close())  # first: who follows would be waited for
        for close in (door.close, admin.close, tasks.close, blobs.close, metadata.close, fetching.close):
            await _closed(close())
        for pool in (threads, keeping):
            pool.shutdown(wait=True)
        for disk in disks:
            disk.close()
        lock.close()
        if ending.asked.is_set():
            ending.over()


def _read_again(config: ParentConfig, sources: Sequence[WebSource], pages: Pages) -> None:
    """What cannot be used is said, and changes nothing."""
    try:
        credentials, token = read_credentials(config.registry_auth), config.admin_secret
    except OperatorError as error:
        _logger.error(log.line("not_reloaded", error=error))
        return
    for source in sources:
        source.show(credentials)
    pages.token = token
    _logger.info(log.line("reloaded"))


def _rooms(config: ParentConfig) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("blobs", config.disk), ("metadata", config.metadata_disk)


def _sockets(held: list[Held], *, admin: bool) -> list[Any]:
    return [each.socket for each in held if (each.name == OPERATORS) == admin]


def _count_refused(counters: Counters) -> None:
    counters.connections_refused += 1


async def _closed(closing: Coroutine[Any, Any, None]) -> None:
    """One part's end, which keeps no other from its own."""
    try:
        await closing
    except Exception:
        _logger.exception(log.line("not_closed"))


async def _ping(manager: ServiceManager) -> None:
    while True:
        manager.ping()
        await asyncio.sleep(manager.ping_s)
