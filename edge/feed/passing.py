"""A parent's feed: what its source says, as it is, to whoever follows here.

A parent has no keys and judges nothing: it keeps the newest events, asks its source for older ones, and looks at the
catalogue's timestamp anew before it hands on that there is another, so that who looks here then finds it.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import random
from typing import Final

from cachetools import TTLCache

from edge.common import log
from edge.feed.backoff import pause_s
from edge.feed.feed import EventLog, Feed
from edge.feed.relay import Numbered, Relay
from vmimage.errors import OriginError
from vmimage.feed import EVENT_MAX
from vmimage.terms import COUNT_MAX

KEPT: Final = 1000  # events, and of these so many bytes
KEPT_BYTES: Final = 8 << 20
ASKED_EVERY_S: Final = 1.0  # the source, for the events after one number
ASKED_BYTES: Final = 16 << 20  # of its answers, which are at most `sse.LOG_MAX` each
ANSWER_BYTES: Final = 1 << 10  # of an answer without events: its number, a list and their places

_logger: Final = log.logger("feed")


class Passing:
    """The feed of one parent."""

    def __init__(self, feed: Feed, events: EventLog, look: Callable[[], Awaitable[object]]) -> None:
        """:param look: has the timestamp fetched anew."""
        self.relay = Relay(self._read)
        self._feed, self._log, self._look = feed, events, look
        self._kept: OrderedDict[int, bytes] = OrderedDict()  # numbers that follow upon each other
        self._bytes = 0
        self._asked: TTLCache[int, list[Numbered]] = TTLCache(ASKED_BYTES, ASKED_EVERY_S, getsizeof=_size_of)
        self._asking = asyncio.Lock()
        self._open = False

    @property
    def facts(self) -> dict[str, object]:
        """How it is, for people and JSON."""
        return {
            "open": self._open,
            "last": next(reversed(self._kept), 0),
            "followers": len(self.relay),
            "held_bytes": self.held_bytes,
        }

    @property
    def held_bytes(self) -> int:
        """Of events in memory: the newest, and answers of the source."""
        return self._bytes + int(self._asked.currsize)

    async def run(self) -> None:
        """Hand on what comes, for ever."""
        failures, failing = 0, ""
        while True:
            why = "it ended"
            try:
                async for data in self._feed.events(next(reversed(self._kept), -1)):
                    self._open, failures, failing = True, 0, ""
                    if data is None:
                        self._forget()
                    else:
                        await self.hand_on(data)
            except (OriginError, ValueError) as error:
                why = str(error)
            if why != failing:
                _logger.warning(log.line("feed_broke", why=why))
            self._open, failures, failing = False, failures + 1, why
            await asyncio.sleep(pause_s(failures, random(), self._feed.spread_s))

    async def close(self) -> None:
        """Send all away, and let go of the source."""
        self.relay.close()
        await self._feed.close()
        await self._log.close()

    async def hand_on(self, data: bytes) -> None:
        """Send an event to all.

        :raises ValueError: it is none.
        """
        number, kind = _said(data)
        if self._kept.get(number) == data:
            return  # two parents that are each other's sources would send it round for ever
        if kind in ("catalogue", "hold"):
            with suppress(OriginError):  # who looks here is told that it is away
                await self._look()
        if number != next(reversed(self._kept), number - 1) + 1:
            self._forget()  # some were lost: who follows asks for them
        self._asked.clear()
        self._kept[number] = data
        self._bytes += len(data)
        while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)
        self.relay.pass_on(number, data)

    def _forget(self) -> None:
        self._kept.clear()
        self._asked.clear()
        self._bytes = 0

    async def _read(self, after: int) -> list[Numbered]:
        last = next(reversed(self._kept), None)
        if last is not None and next(iter(self._kept)) <= after + 1:
            return [(number, self._kept[number]) for number in range(after + 1, last + 1)]
        async with self._asking:  # many come again at once, and ask for the same
            asked = self._asked.get(after)
            if asked is None:
                asked = self._asked[after] = await self._ask(after)
        return asked

    async def _ask(self, after: int) -> list[Numbered]:
        found = []
        with suppress(OriginError):
            for data in await self._log.after(after):
                with suppress(ValueError):
                    found.append((_said(data)[0], data))
        return [event for event in found if event[0] > after]


def _size_of(events: list[Numbered]) -> int:
    return ANSWER_BYTES + sum(len(data) for _, data in events)


def _said(data: bytes) -> tuple[int, object]:
    """Number and kind of an event, which is not verified.

    :raises ValueError: it is none.
    """
    try:
        said = json.loads(data)["signed"] if len(data) <= EVENT_MAX else {}
        number, kind = said["seq"], said["kind"]
    except (LookupError, TypeError, RecursionError):
        raise ValueError("an event expected") from None
    if type(number) is not int or not 0 < number <= COUNT_MAX:
        raise ValueError("the number of an event expected")
    return number, kind
