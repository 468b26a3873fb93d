"""What a registry is shown that asks for it: a password, or a token that is fetched where the registry says.

Tokens are kept until shortly before their end. A password is shown to the host that the operator wrote it down for, and
to no other; a token to the registry that asked for it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from edge.sources.challenges import ANSWER_MAX, Challenge, parse_token
from edge.sources.credentials import Credentials, host_of
from edge.sources.sessions import Sessions
from vmimage.errors import OriginError

KEPT_MAX: Final = 16  # tokens, by what they are for: one repository has one


class Tokens:
    """Of one registry."""

    def __init__(self, credentials: Credentials, host: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """:param host: the registry's, with its port."""
        self._credentials, self._host, self._clock = credentials, host, clock
        self._kept: dict[Challenge, tuple[str, float]] = {}  # fields, and until when each serves
        self._last: Challenge | None = None
        self._asking = asyncio.Lock()

    def kept(self) -> str:
        """What opened the door last and still serves; empty where there is none."""
        field, until_s = self._kept.get(self._last, ("", 0.0)) if self._last is not None else ("", 0.0)
        return field if self._clock() < until_s else ""

    async def answer(self, sessions: Sessions, challenge: Challenge, base: str, shown: str) -> str:
        """The Authorization field for a challenge; empty where there is nothing to show.

        :param base: the registry's URL. :param shown: the field that did not do.
        :raises OriginError: who gives tokens gives none.
        """
        async with self._asking:  # one asks, the others have what came of it
            kept = self.kept() if challenge == self._last else ""
            return kept if kept and kept != shown else await self._asked(sessions, challenge, base)

    async def _asked(self, sessions: Sessions, challenge: Challenge, base: str) -> str:
        self._last = challenge
        if challenge.scheme == "basic":
            return self._keep(challenge, self._credentials.get(self._host, ""), float("inf"))
        if base.startswith("https:") and not challenge.realm.startswith("https:"):
            raise OriginError(f"{base}: tokens by https expected, it names {challenge.realm:.200}")
        asked = {name: said for name in ("service", "scope") if (said := getattr(challenge, name))}
        host = host_of(challenge.realm)
        password = self._credentials.get(host, "")
        session = sessions.home() if host == self._host or password else sessions.abroad()
        headers = {"Authorization": password} if password else {}
        async with session.get(challenge.realm, params=asked, headers=headers, allow_redirects=False) as response:
            body = await response.content.read(ANSWER_MAX)
            while len(body) < ANSWER_MAX and (more := await response.content.read(ANSWER_MAX - len(body))):
                body += more
        if response.status != 200:
            hint = "" if password else f"; registry_auth has nothing for {host}"
            raise OriginError(f"{challenge.realm:.200}: status 200 expected for a token, got {response.status}{hint}")
        token = parse_token(body)
        return self._keep(challenge, f"Bearer {token.text}", self._clock() + token.serves_s)

    def _keep(self, challenge: Challenge, field: str, until_s: float) -> str:
        self._kept.pop(challenge, None)
        self._kept[challenge] = field, until_s
        if len(self._kept) > KEPT_MAX:
            self._kept.pop(next(iter(self._kept)))
        return field
