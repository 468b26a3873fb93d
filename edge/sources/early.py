"""Connections to sources that are made before they are wanted: while the catalogue is asked what a name is.

From far away a connection costs a round trip, with TLS two or three. When a name is looked up that the edge does not
know, content will most likely be fetched a round trip later; so the connections for it are made meanwhile. Nothing is
sent over them, and what is not used is closed by whoever is tired of it first.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, runtime_checkable

import aiohttp
from yarl import URL

from edge.common.tasks import Tasks

# A manifest and its snapshot begin at once, and the look-up itself may take one where it goes over the same session.
CONNECTIONS: Final = 3
AGAIN_S: Final = 5.0  # not before: an idle connection is kept for 15 s (aiohttp's default)


@runtime_checkable
class Early(Protocol):
    """A source whose connections can be made ahead."""

    async def connect(self, count: int) -> None:
        """Have so many idle connections, making those that are missing. It fails in silence."""
        ...


class Readiness:
    """Has the connections of one source made, and not too often, however many names are looked up."""

    def __init__(self, tasks: Tasks, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks, self._clock = tasks, clock
        self._not_before_s = 0.0

    def expect(self, source: object) -> None:
        """Something will be fetched from this source soon."""
        now = self._clock()
        if now >= self._not_before_s and isinstance(source, Early):
            self._not_before_s = now + AGAIN_S
            self._tasks.spawn("connect", source.connect(CONNECTIONS))


async def connect(session: aiohttp.ClientSession, url: str, count: int) -> None:
    """Have so many idle connections of a session to a URL's host. What cannot be made now is made when it is needed."""
    connector = session.connector
    if connector is None:
        return
    request = aiohttp.ClientRequest("GET", URL(url), loop=asyncio.get_running_loop(), session=session)

    async def have_one() -> None:
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            connection = await connector.connect(request, [], session.timeout)
            await asyncio.sleep(0)  # all have asked before the first is given back: so idle ones count, each once
            connection.release()

    await asyncio.gather(*(have_one() for _ in range(count)))
