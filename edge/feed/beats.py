"""Heart-beats: an edge says to its origin how it is, every few seconds and soon after it has applied an event.

The origin knows by them which edges there are, and who lags. Nothing here depends on the answers.
"""

import asyncio
from collections.abc import Callable
from random import random
from typing import Final

import aiohttp

from edge.common import log
from edge.common.counters import Counters
from vmimage.heartbeat import EVERY_S, Heartbeat
from vmimage.urls import is_guarded

JITTER: Final = 0.2  # of the time between two, either way
SOON_S: Final = 0.5  # between two that events ask for, so that many events are told together
CALL_S: Final = 5.0

_logger: Final = log.logger("heartbeats")


class Beats:
    """One edge's."""

    def __init__(self, url: str, token: str, say: Callable[[], Heartbeat], counters: Counters) -> None:
        """:param url: of the origin. :param token: of this edge. :param say: how it is at that moment."""
        self._url, self._say, self._counters = f"{url.rstrip('/')}/fleet/heartbeats", say, counters
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._soon = asyncio.Event()

    def soon(self) -> None:
        """Something was applied: it is told before its time."""
        self._soon.set()

    async def run(self) -> None:
        """Beat for ever."""
        if not is_guarded(self._url):
            why = "everybody on the way can read a token that is sent by http"
            _logger.warning(log.line("edge_token_in_the_clear", url=self._url, why=why))
        failing = ""
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            while True:
                why = await self._beat(session)
                if why and why != failing:
                    _logger.warning(log.line("heartbeat_failed", why=why))
                failing = why
                await asyncio.sleep(SOON_S * (0.2 + random()))
                try:
                    await asyncio.wait_for(self._soon.wait(), EVERY_S * (1 - JITTER + 2 * JITTER * random()) - SOON_S)
                except TimeoutError:
                    pass

    async def _beat(self, session: aiohttp.ClientSession) -> str:
        """Once; why it failed, "" where it did not."""
        self._soon.clear()
        try:
            async with session.post(self._url, data=self._say().to_bytes(), allow_redirects=False) as response:
                why = "" if response.status == 200 else f"status 200 expected, got {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
        self._counters.add(self._counters.heartbeats, "failed" if why else "taken")
        return why
