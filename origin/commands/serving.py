"""An origin while it serves: what signals mean to it, what its service manager is told, whose listeners it takes."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.common.ending import Ending
from edge.common.service_manager import ServiceManager
from origin.registry.server import Origin, serve
from vmimage.errors import OperatorError

_LOG: Final = logging.getLogger(__name__)


async def serve_until_told(
    site: Origin, host: str | Path, port: int, reload: Callable[[], None], announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then let requests under way finish; a second one ends it at once.

    :param reload: reads again, on SIGHUP, what was read once, and says what cannot be used.
    :param announce: is told where the origin listens.
    :raises OperatorError: it cannot be listened on.
    """
    ending = Ending(lambda why: _LOG.error("ended at once: %s", why))
    manager = ServiceManager()

    def begin_anew() -> None:
        manager.reloading()
        reload()
        manager.ready("serving")

    def ready(url: str) -> None:
        announce(url)
        manager.ready(f"serving on {url}")

    async def ping() -> None:
        while True:
            manager.ping()
            await asyncio.sleep(manager.ping_s)

    async def stop() -> None:
        await ending.asked.wait()
        manager.stopping("finishes requests under way")

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, begin_anew)
    given = [each.socket for each in manager.held()]
    try:
        async with asyncio.TaskGroup() as group:
            pinging = group.create_task(ping()) if manager.ping_s else None
            stopping = group.create_task(stop())
            try:
                await serve(site, host, port, ready, ending.asked, given)
            finally:
                for task in (pinging, stopping):
                    if task is not None:
                        task.cancel()
    except* OperatorError as refused:
        raise refused.exceptions[0] from None
    ending.over()
