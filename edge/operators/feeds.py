"""Pages that go on: views, lines and requests of services, as server-sent events (HTML Living Standard, section 9.2).

An event's data is JSON in ASCII, one line whatever is in it. Each is made when the one before has been read, so who
reads slowly gets fewer views and not a queue of them.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NamedTuple, TypeVar

from edge.common.following import Follower
from edge.devices.tails import Tails
from edge.operators.query import Query
from edge.operators.tail import Requests, Wanted, described
from edge.operators.views import Views

FEEDS_MAX: Final = 16  # at once: half of the listener's connections
ALIVE_S: Final = 15.0  # without an event before a comment says that the connection stands
READ_S: Final = 30.0  # for a client to read an event
ALIVE: Final = b": still here\n\n"
CONTENT_TYPE: Final = "text/event-stream"

T = TypeVar("T")


class Feed(NamedTuple):
    """An answer whose parts come for as long as somebody reads them."""

    parts: AsyncGenerator[bytes, None]


def event(name: str, value: Any) -> bytes:
    """One event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps(value, separators=(",", ":")).encode())


async def views(made: Views, query: Query) -> AsyncGenerator[bytes, None]:
    """A view every few seconds."""
    async with aclosing(made.follow(query)) as following:
        async for view in following:
            yield event("view", view)


async def lines(tails: Tails, service: str) -> AsyncGenerator[bytes, None]:
    """The last lines of a service, and each that comes."""
    with tails.follow(service) as follower:
        yield event("following", {"service": service})
        while True:
            said, lost = await _next(follower) or ([], 0)
            yield event("lines", {"lines": [[line.at, line.text] for line in said], "lost": lost}) if said else ALIVE


async def requests(
    followed: Requests, wanted: Wanted, known: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    """Each request of a service that is wanted, from now on.

    :param known: says whether there is such a service, which may yet come.
    """
    with followed.follow(wanted) as follower:
        yield event("following", {"service": wanted.service, "known": await known()})
        while True:
            ended, lost = await _next(follower) or ([], 0)
            shown = [described(each, client=wanted.client) for each in ended]
            yield event("requests", {"requests": shown, "lost": lost}) if shown else ALIVE


async def _next(follower: Follower[T]) -> tuple[list[T], int] | None:
    """What comes next; None where for long nothing does."""
    try:
        async with asyncio.timeout(ALIVE_S):
            return await follower.next()
    except TimeoutError:
        return None
