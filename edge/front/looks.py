"""Requests that wait for a look at the disk of kept answers: those for the same page for the same one.

When it is over they are taken again. Each request looks once: whom the look was not for, because it is for another
variant, looks then for its own, with those who want the same one. So however many variants are asked for, no request is
taken for each of them.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from edge.cache.asked import Asked, Key, Variant
from edge.cache.responses import Below, Entry, Responses
from edge.common.fair_room import FairRoom
from edge.front.fills import RELEASED_AT_ONCE
from edge.front.request import Request

LOOKS_MAX: Final = 64  # at once: behind so many on a slow disk a run of the guest is sooner done

Resume = Callable[[Request, bool], None]
Place = tuple[Key, str, Variant]  # a page, a tenant, and what is known of the variant


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
        self._waiting, self._looking = FairRoom(waiting_max_bytes), FairRoom(LOOKS_MAX)  # by tenant
        self._loop = asyncio.get_running_loop()
        self._at: Final[dict[Place, list[_Waiter]]] = {}  # who looks first

    def wait(self, request: Request, asked: Asked, tenant: str, size: int, resume: Resume) -> bool:
        """Have a request wait for what the disk has, if there may be something, and room to wait.

        :param tenant: whose its service is. :param size: of the request in bytes.
        :param resume: is called then, once, with whether the request goes on alone, as it did before.
        """
        if request.looked or self._below.is_empty or not self._below.may_have(*asked.where):
            return False
        if not self._waiting.take(tenant, size):
            return False
        place, waiter = (asked.key, tenant, asked.variant(request.look_vary)), _Waiter(request, asked, size, resume)
        waiters = self._at.get(place)
        if waiters is None and not self._looking.take(tenant):
            self._waiting.give(tenant, size)
            return False
        if waiters is not None:
            waiters.append(waiter)
            return True
        self._at[place] = [waiter]
        self._below.look(asked, tenant, asked.where[1], partial(self._landed, place))
        return True

    def _landed(self, place: Place, entry: Entry | None, vary: tuple[bytes, ...] | None) -> None:
        waiters, tenant = self._at.pop(place), place[1]
        self._looking.give(tenant)
        first = waiters[0]
        if entry is not None and not self._responses.holds(first.asked):
            self._responses.put(entry)
        names = vary or ()
        variant = first.asked.variant(names)
        for waiter in waiters:
            waiter.request.looked, waiter.request.look_vary = waiter.asked.variant(names) == variant, names
        self._release(tenant, waiters)

    def _release(self, tenant: str, waiters: list[_Waiter]) -> None:
        for request, _, size, resume in waiters[:RELEASED_AT_ONCE]:
            self._waiting.give(tenant, size)
            resume(request, request.alone)
        if len(waiters) > RELEASED_AT_ONCE:
            self._loop.call_soon(self._release, tenant, waiters[RELEASED_AT_ONCE:])
