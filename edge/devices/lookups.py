"""Names of upstreams to addresses: in threads of their own, of which no tenant keeps the others from theirs.

Who serves a name decides how long it takes to look it up, and nothing ends a look-up that has begun: a publisher's own
name server that never answers holds a thread until the system's resolver gives up. So a place is held for as long as
the thread works, whoever still waits for it; places go round by tenant, and a tenant that waits for too many is told.
Which addresses may be reached is `upstream_policy`'s business.
"""

import asyncio
import errno
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from cachetools import TTLCache

from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.common.turns import Turns

THREADS: Final = 16  # look-ups at once; each is a thread that sleeps
EACH: Final = 4  # of one tenant
WAITING_EACH: Final = 64  # names that one tenant waits for, those that are looked up included: all that an image names
FRESH_S: Final = 10.0  # for which an answer is used again
KNOWN_MAX: Final = 1024  # answers that are kept, at some 500 bytes each

Found = list[tuple[socket.AddressFamily, int, tuple[str, int]]]  # family, protocol, address and port


class _Name(NamedTuple):
    host: str
    port: int
    family: socket.AddressFamily


class Lookups:
    """All look-ups for guests."""

    def __init__(self, counters: Counters) -> None:
        self.tasks = Tasks(counters)
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, "lookups")
        self._turns = Turns(THREADS, EACH)
        self._waiting: Counter[str] = Counter()  # by tenant
        # By tenant and name: nobody waits in another's queue.
        self._under_way: SingleFlight[tuple[str, _Name], Found] = SingleFlight(self.tasks, "lookup")
        self._known: TTLCache[_Name, Found] = TTLCache(KNOWN_MAX, FRESH_S)

    async def find(self, party: str, host: str, port: int, family: socket.AddressFamily) -> Found:
        """Addresses of a name, for a tenant.

        :raises OSError: there are none, or the tenant waits for too many names.
        """
        name = _Name(host, port, family)
        if (found := self._known.get(name)) is not None:
            return found
        if (party, name) not in self._under_way:
            if self._waiting[party] >= WAITING_EACH:
                raise OSError(errno.EAGAIN, f"at most {WAITING_EACH} names looked up at once expected of one tenant")
            self._waiting[party] += 1
        return await self._under_way.do((party, name), lambda: self._find(party, name))

    async def _find(self, party: str, name: _Name) -> Found:
        try:
            async with self._turns.taken(party, 1):
                found = await self._loop.run_in_executor(self._threads, _look_up, name)
        finally:
            self._waiting[party] -= 1
            if not self._waiting[party]:
                del self._waiting[party]
        self._known[name] = found
        return found

    async def close(self) -> None:
        """Begin no more, and wait for no thread that still works."""
        await self.tasks.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(name: _Name) -> Found:
    """Blocking. An address with a scope, of one interface of this machine, is none that a guest may reach."""
    infos = socket.getaddrinfo(
        name.host, name.port, type=socket.SOCK_STREAM, family=name.family, flags=socket.AI_ADDRCONFIG
    )
    return [
        (family, protocol, (str(address[0]), int(address[1])))
        for family, _, protocol, _, address in infos
        if len(address) == 2 or (len(address) == 4 and not address[3])
    ]
