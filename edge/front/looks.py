"""Requests that wait for a look at the disk of kept answers: those for the same page for the same one.

When it is over they are taken again. Each request looks once: whom the look was not for, because it is for another
variant, looks for itself then.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from edge.cache.asked import Asked, Key
from edge.cache.responses import Below, Entry, Responses
from edge.front.fills import RELEASED_AT_ONCE
from edge.front.request import Request

LOOKS_MAX: Final = 64  # at once: behind so many on a slow disk a run of the guest is sooner done

Resume = Callable[[Request, bool], None]


class _Waiter(NamedTuple):
    """A request, and what it takes."""

    request: Request
    asked: Asked
    size: int
    resume: Resume


class Looks:
    """Those that are under way."""

    def __init__(self, responses: Responses, below: Below, waiting_max_bytes: int) -> None:
        """:param waiting_max_bytes: what requests that wait may take together."""
        self._responses, self._below = responses, below
        self._waiting_bytes, self._waiting_max_bytes = 0, waiting_max_bytes
        self._loop = asyncio.get_running_loop()
        self._at: Final[dict[tuple[Key, str], list[_Waiter]]] = {}  # by page and tenant, who looks first

    def wait(self, request: Request, asked: Asked, tenant: str, uri: str, size: int, resume: Resume) -> bool:
        """Have a request wait for what the disk has, if there may be something, and room to wait.

        :param tenant: whose its service is. :param uri: as purges name it. :param size: of the request in bytes.
        :param resume: is called then, once, with whether the request goes on alone, as it did before.
        """
        if request.looked or not self._below.may_have(asked.key[0], uri):
            return False
        if self._waiting_bytes + size > self._waiting_max_bytes:
            return False
        place, waiter = (asked.key, tenant), _Waiter(request, asked, size, resume)
        waiters = self._at.get(place)
        if waiters is None and len(self._at) == LOOKS_MAX:
            return False
        self._waiting_bytes += size
        if waiters is not None:
            waiters.append(waiter)
            return True
        self._at[place] = [waiter]
        self._below.look(asked, tenant, uri, partial(self._landed, place))
        return True

    def _landed(self, place: tuple[Key, str], entry: Entry | None, vary: tuple[bytes, ...] | None) -> None:
        waiters = self._at.pop(place)
        first = waiters[0]
        if entry is not None and not self._responses.holds(first.asked):
            self._responses.put(entry)
        names = vary or ()
        variant = first.asked.variant(names)
        for waiter in waiters:
            waiter.request.looked = waiter.asked.variant(names) == variant
        self._release(waiters)

    def _release(self, waiters: list[_Waiter]) -> None:
        for request, _, size, resume in waiters[:RELEASED_AT_ONCE]:
            self._waiting_bytes -= size
            resume(request, request.alone)
        if len(waiters) > RELEASED_AT_ONCE:
            self._loop.call_soon(self._release, waiters[RELEASED_AT_ONCE:])
