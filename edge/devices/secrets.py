"""The secrets that this edge gives services: read from the operator's folder again and again, told when they change.

A service's secrets are its tenant's: where a name comes into other hands, the new tenant finds none of the old one's.
What cannot be used is said, in the log and in `health`, and what was in use stays.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge.common import log
from edge.common.secret_files import NotPrivate, files, folders
from edge.config.secrets import COUNT_MAX, NONE, VALUE_MAX, Secrets, block_of, check_name, holder, is_holder, value_of
from edge.content.seal import Seal

HOLDERS_MAX: Final = 10_000  # services with secrets
PAUSE_TIMES: Final = 20  # of what a look took, at least, until the next: it is never more than a twentieth of a thread
MARK_CHARACTERS: Final = 32  # 128 bits

_logger: Final = log.logger("secrets")


class Given:
    """Those of all services of an edge."""

    def __init__(self, folder: Path | None, seal: Seal) -> None:
        """:param folder: None: no service has any."""
        self._folder, self._seal = folder, seal
        self._held: Mapping[str, Secrets] = {}
        self._problems: list[str] = []
        self._awake = asyncio.Event()
        self.on_change: Callable[[str], None] = lambda _holder: None

    def of(self, service: str, tenant: str) -> Secrets:
        """What a service has."""
        return self._held.get(holder(service, tenant), NONE)

    @property
    def holders(self) -> Mapping[str, Secrets]:
        """All that there are, by holder."""
        return self._held

    def health(self) -> list[str]:
        """What cannot be used, a line each."""
        return [f"secrets: {problem}" for problem in self._problems]

    def look(self) -> None:
        """Read the folder; for the start."""
        self._take(*self._read())

    async def watch(self, interval_s: Callable[[], float]) -> None:
        """Read the folder for ever, and tell of holders whose secrets are not what they were.

        :param interval_s: asked after each look.
        """
        while self._folder is not None:
            began = time.monotonic()
            found = await asyncio.to_thread(self._read)
            took = time.monotonic() - began
            self._take(*found)
            self._awake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), max(interval_s(), PAUSE_TIMES * took))

    def look_now(self) -> None:
        """Have `watch` read the folder without waiting for its time."""
        self._awake.set()

    def _take(self, found: Mapping[str, Secrets], problems: list[str]) -> None:
        before, self._held = self._held, found
        for problem in problems:
            if problem not in self._problems:
                _logger.error(log.line("secrets_refused", why=problem))
        self._problems = problems
        for name in sorted(before.keys() | found.keys()):
            now = found.get(name, NONE)
            if before.get(name, NONE).mark != now.mark:
                _logger.info(log.line("secrets_changed", holder=name, names=" ".join(now.names) or "none"))
                self.on_change(name)

    def _read(self) -> tuple[dict[str, Secrets], list[str]]:
        """What there is, and what of it cannot be used: there what was in use stays."""
        if self._folder is None:
            return {}, []
        try:
            names = folders(self._folder, HOLDERS_MAX)
        except (OSError, NotPrivate) as error:
            return dict(self._held), [str(error)]
        if len(names) > HOLDERS_MAX:
            return dict(self._held), [f"at most {HOLDERS_MAX} services expected in {self._folder}"]
        found, problems = {}, []
        for name in names:
            try:
                found[name] = self._read_one(self._folder, name)
            except (OSError, NotPrivate, ValueError) as error:
                problems.append(str(error) if isinstance(error, NotPrivate) else f"{name}: {error}")
                if name in self._held:
                    found[name] = self._held[name]
        return found, problems

    def _read_one(self, folder: Path, name: str) -> Secrets:
        if not is_holder(name):
            raise ValueError("a folder named SERVICE or SERVICE@TENANT expected")
        values = {}
        for each, data in files(folder, name, COUNT_MAX, VALUE_MAX + 2).items():
            try:
                check_name(each)
                values[each] = value_of(data)
            except ValueError as error:
                raise ValueError(f"{each}: {error}") from None
        if not values:
            return NONE
        block = block_of(values)
        mark = self._seal.tag("secrets 1", block).hex()[:MARK_CHARACTERS]
        return Secrets(tuple(sorted(values)), block, mark)


def read_secrets(folder: Path, seal: Seal) -> tuple[Mapping[str, Secrets], list[str]]:
    """What an edge would find in a folder, by holder, and what it could not use."""
    given = Given(folder, seal)
    given.look()
    return given.holders, given.health()
