"""The list of members as the origin signs it: asked for every few seconds, with this edge's own token.

It is signed with the origin's snapshot key, so nobody on the way makes a member. What is older than what was known, of
another POP, or much older than this edge's clock, changes nothing; nor does an origin that is away.
"""

import asyncio
import time
from collections.abc import Callable
from random import random
from typing import Final

import aiohttp
from tuf.api.metadata import Root

from edge.common import log
from edge.peers.members import Members, Peer
from vmimage.errors import NunatakError
from vmimage.membership import MEMBERSHIP_MAX, Membership, parse_membership

EVERY_S: Final = 5.0
JITTER: Final = 0.2  # of that time, either way
CALL_S: Final = 5.0
AGE_MAX_S: Final = 600.0  # by this edge's clock, which may be some minutes off

_logger: Final = log.logger("peers")


class Listed:
    """One edge's."""

    def __init__(
        self, url: str, pop: str, name: str, token: str, root: Callable[[], Root | None], members: Members
    ) -> None:
        """:param url: of the origin. :param name: of this edge. :param root: that the edge believes now."""
        self._url, self._pop, self._name = f"{url.rstrip('/')}/fleet/members?pop={pop}", pop, name
        self._headers = {"Authorization": f"Bearer {token}"}
        self._root, self._members = root, members
        self._at_ms = 0  # of the list that is known

    async def run(self) -> None:
        """Look for ever."""
        failing = ""
        async with aiohttp.ClientSession() as session:
            while True:
                why = await self.look(session)
                if why and why != failing:
                    _logger.warning(log.line("members_not_known", why=why))
                failing = why
                await asyncio.sleep(EVERY_S * (1 - JITTER + 2 * JITTER * random()))

    async def look(self, session: aiohttp.ClientSession) -> str:
        """Once; why the list stays as it was, "" where it does not."""
        root = self._root()
        if root is None:
            return "the catalogue was not seen yet"
        try:
            found = parse_membership(await self._fetched(session), root)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, NunatakError) as error:
            return str(error) or type(error).__name__
        return self._take(found)

    async def _fetched(self, session: aiohttp.ClientSession) -> bytes:
        """:raises ValueError: another status, or more than a list has."""
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        asked = session.get(self._url, headers=self._headers, timeout=timeout, allow_redirects=False)
        async with asked as response:
            if response.status != 200:
                raise ValueError(f"status 200 expected, got {response.status}")
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > MEMBERSHIP_MAX:
                    raise ValueError(f"at most {MEMBERSHIP_MAX} bytes expected")
            return bytes(data)

    def _take(self, found: Membership) -> str:
        if found.pop != self._pop:
            return f"members of {self._pop} expected, got those of {found.pop}"
        if found.at_ms < self._at_ms:
            return "a list that is older than the one before"
        if time.time() - found.at_ms / 1000 > AGE_MAX_S:
            return f"a list of the last {AGE_MAX_S:g} s expected, got an older one, or a clock is wrong"
        self._at_ms = found.at_ms
        peers = [
            Peer(each.id, each.pop, each.peer, each.sha256, float(each.weight), each.requests_s)
            for each in found.members
            if each.peer
        ]
        self._members.take(peers, self._name)
        return ""
