"""Answers that are in memory whole while they are sent: how many bytes of them there may be, and how long each takes.

A client address has a share of the budget, as of other room (`edge.common.fair_room`). Where there is no room for one
more, whoever asks is told to come again; who takes an answer too slowly is cut off.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from edge.common.fair_room import FairRoom, party_of
from edge.common.pace import Pace

SENDING_BYTES: Final = 128 << 20  # of answers of at most 4 MiB: 24 of one address, and some for others
PIECE: Final = 64 << 10
BUSY_S: Final = 5  # after which one for whom there is no room may come again


class Sending:
    """All such answers of one listener."""

    def __init__(self, most: int = SENDING_BYTES) -> None:
        """:param most: bytes."""
        self._room = FairRoom(most)

    @asynccontextmanager
    async def taken(self, request: web.Request, size: int) -> AsyncIterator[bool]:
        """So many bytes of the budget; whether there is room for them."""
        party = party_of(request.remote or "")
        if not self._room.take(party, size):
            yield False
            return
        try:
            yield True
        finally:
            self._room.give(party, size)

    async def send(self, request: web.Request, response: web.StreamResponse, data: bytes) -> web.StreamResponse:
        """All of an answer, whose head `response` has, or that there is no room for it."""
        async with self.taken(request, len(data)) as there_is_room:
            if not there_is_room:
                return busy()
            response.content_length = len(data)
            await response.prepare(request)
            if request.method != "HEAD":
                await write(request, response, [data])
            return response


def busy() -> web.Response:
    """What is said where there is no room."""
    return web.Response(status=503, headers={"Retry-After": str(BUSY_S)}, text="no room for one more\n")


async def write(request: web.Request, response: web.StreamResponse, parts: Sequence[bytes]) -> None:
    """Parts of an answer.

    :raises ConnectionError: the client is gone, or was cut off.
    """
    pace = Pace(sum(map(len, parts)))
    try:
        for data in parts:
            part = memoryview(data)
            for at in range(0, len(part), PIECE):
                async with pace.taking():
                    await response.write(part[at : at + PIECE])
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client takes its answer too slowly") from None
