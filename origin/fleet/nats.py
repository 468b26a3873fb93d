"""Events of an origin for a NATS server, beside its own feed; needs the extra nunatak[nats].

A thread of its own holds the connection, so the origin waits for nothing. Events that come while there is none are lost
here: edges find them in the log.
"""

import asyncio
import itertools
import logging
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from nats.aio.client import Client

WAITING_MAX: Final = 1000  # events that wait for the server
PAUSE_S: Final = 0.5  # before it is tried again
CALL_S: Final = 2
PING_S: Final = 5  # two without an answer, and the server counts as gone

_LOG: Final = logging.getLogger(__name__)


class NatsPublisher:
    """What goes to one server."""

    def __init__(self, url: str, origin: str) -> None:
        """Begin.

        :param url: nats://HOST:PORT or tls://HOST:PORT. :param origin: identifier of the feed.
        :raises OperatorError: what it needs is not installed.
        """
        try:
            import nats  # noqa: F401
        except ImportError as error:
            raise OperatorError(
                f"--nats: the packages of the extra nunatak[nats] expected: {error}: install them, or leave it out"
            ) from None
        self._url, self._subject = url, f"nunatak.{origin}.feed"
        # With numbers of its own. The server may have an event twice: edges take each once.
        self._waiting: deque[tuple[int, bytes]] = deque(maxlen=WAITING_MAX)
        self._numbers = itertools.count(1)
        self._more, self._closing = asyncio.Event(), False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._keep()), name="nats", daemon=True)
        self._thread.start()

    def publish(self, _: int, data: bytes) -> None:
        """Send an event, from any thread."""
        self._waiting.append((next(self._numbers), data))
        self._look()

    def close(self) -> None:
        """Send no more."""
        self._closing = True
        self._look()
        self._thread.join()

    def _look(self) -> None:
        with suppress(RuntimeError):  # it has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._more.set)

    async def _keep(self) -> None:
        import nats

        from edge.feed.nats import Bounded

        self._loop, failing = asyncio.get_running_loop(), ""
        while not self._closing:
            try:
                client = Bounded()
                async with asyncio.timeout(CALL_S):  # the library's own is for one of its tries
                    await client.connect(
                        self._url,
                        allow_reconnect=False,
                        ping_interval=PING_S,
                        max_outstanding_pings=2,
                        error_cb=_ignored,
                    )
                failing = ""
                try:
                    await self._send(client)
                finally:
                    await client.close()
            except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
                if str(error) != failing:
                    _LOG.warning("NATS: %s: edges look at the catalogue meanwhile", str(error) or type(error).__name__)
                failing = str(error)
            await asyncio.sleep(PAUSE_S)

    async def _send(self, client: "Client") -> None:
        from edge.feed.nats import confirmed

        while client.is_connected and not self._closing:
            self._more.clear()
            sending = list(self._waiting)
            for _, data in sending:
                await client.publish(self._subject, data)
            await confirmed(client, CALL_S)
            while sending and self._waiting and self._waiting[0][0] <= sending[-1][0]:  # the server has them now
                self._waiting.popleft()
            await self._pause(PING_S)

    async def _pause(self, seconds: float) -> None:
        """Until there is more to do, at the latest after a time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._more.wait(), seconds)


async def _ignored(_: Exception) -> None:
    """What goes wrong ends the connection, which says so."""
