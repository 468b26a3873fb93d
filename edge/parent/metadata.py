"""The catalogue's files at a parent: those with a number never change and are kept; timestamp.json for a second.

A parent has no keys and judges no signature. What it checks is that a file is of the role and number that its name
says, so that no error page is kept. A source that lies in more than that is found out by the edges, which then ask
their next source; a request that says `no-cache` has a numbered file fetched anew.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from cachetools import LRUCache, TTLCache

from edge.common import log
from edge.common.allowance import Allowance, Rate
from edge.common.counters import Counters
from edge.common.fetching import Missing
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.content.disk_tier import DiskTier
from edge.parent.kept_timestamp import KeptTimestamp
from edge.sources.outcomes import most_telling
from edge.sources.standing import Standing
from edge.sources.web import WebSource
from vmimage.errors import OriginError, OriginTimeout, VerificationError
from vmimage.trust import SNAPSHOT_MAX, TARGETS_MAX

TIMESTAMP: Final = "timestamp.json"
FRESH_S: Final = 1.0  # for which a timestamp is given out without a look: thousands of pollers become one a second
FILE_MAX: Final = max(SNAPSHOT_MAX, TARGETS_MAX)  # bytes of one
MEMORY_BYTES: Final = 8 * FILE_MAX  # of files that were asked for lately
FLIGHTS_MAX: Final = 64
ABSENT_MAX: Final = 4096
ANEW: Final = Rate(1, 10)  # fetches of what is here already, for who says no-cache
NAME: Final = re.compile(r"(?:([1-9][0-9]{0,9})\.)?([a-z0-9_-]{1,80})\.json", re.ASCII)

_logger: Final = log.logger("parent")
_T = TypeVar("_T")


class File(NamedTuple):
    """One file as it is given out."""

    data: bytes
    etag: str
    how: str  # for Cache-Status


class Metadata:
    """All files of the catalogue that a parent has."""

    def __init__(
        self,
        sources: Sequence[WebSource],
        disk: DiskTier,
        threads: Executor,
        counters: Counters,
        *,
        timeout_s: float,
        negative_s: float,
        stale_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param sources: that have the catalogue, in order. :param timeout_s: for a file of one of them.

        :param stale_s: see the option `stale`.
        """
        self.standing = Standing([source.name for source in sources], counters)
        self._sources, self._disk, self._threads, self._clock = tuple(sources), disk, threads, clock
        self._timeout_s, self._stale_s = timeout_s, stale_s
        self._tasks = Tasks(counters)
        self._flights: SingleFlight[str, File] = SingleFlight(self._tasks, "metadata")
        self._lately: LRUCache[str, bytes] = LRUCache(MEMORY_BYTES, len)
        self._absent: TTLCache[str, Missing] = TTLCache(ABSENT_MAX, negative_s)
        self._anew = Allowance(ANEW, clock)
        self._timestamp = KeptTimestamp.read(disk.get(TIMESTAMP))
        self.on_fetch: Callable[[], None] = lambda: None  # somebody looks up what is not here: blobs follow

    async def find(self, name: str, *, anew: bool = False) -> File:
        """A file of the catalogue.

        :param anew: whoever asks has no use for the one that is here.
        :raises Missing: there is no such file, or there can be none of that name.
        :raises OriginError: no source gives it.
        """
        match = NAME.fullmatch(name)
        if match is None or (match[1] is None and name != TIMESTAMP) or not self._sources:
            raise Missing(f"{name[:100]}: no file of the catalogue")
        if name == TIMESTAMP:
            if self._timestamp is not None and self._timestamp.age_s(self._clock()) < FRESH_S:
                return _file(self._timestamp.data, "hit")
            return await self._flights.do(name, self._look)
        if not (anew and self._anew.take("")):
            if (data := self._lately.get(name)) is not None:
                return _file(data, "hit; detail=memory")
            if (missing := self._absent.get(name)) is not None:
                raise missing
        if name not in self._flights and len(self._flights) >= FLIGHTS_MAX:
            raise OriginError(f"{FLIGHTS_MAX} files are being fetched")
        return await self._flights.do(name, lambda: self._load(name, anew=anew))

    async def look(self) -> None:
        """Have the timestamp as it is from now on, for who was told that there is another.

        :raises OriginError: no source gives it.
        """
        if TIMESTAMP in self._flights:  # which may have been answered before
            with suppress(OriginError):
                await self._flights.do(TIMESTAMP, self._look)
        await self._flights.do(TIMESTAMP, self._look)

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    async def _look(self) -> File:
        """The timestamp as it is now; the last one where no source says."""
        kept = self._timestamp
        try:
            source, data, etag = await self._fetched(TIMESTAMP, kept)
        except OriginError as error:
            if kept is None or isinstance(error, Missing) or (age_s := kept.age_s(self._clock())) > self._stale_s:
                raise
            _logger.warning(log.line("timestamp_stale", age_s=round(age_s), error=error))
            return _file(kept.data, f"hit; ttl={-int(age_s)}; detail=stale")
        changed = kept is None or data not in (None, kept.data)
        body = data if data is not None else kept.data if kept is not None else b""
        self._timestamp = KeptTimestamp(body, source.name, etag, time.time(), self._clock())
        if changed:
            await self._in_thread(self._disk.put, TIMESTAMP, self._timestamp.to_bytes())
        return _file(body, "fwd=stale; fwd-status=200" if changed else "hit; fwd=stale; fwd-status=304")

    async def _load(self, name: str, *, anew: bool) -> File:
        data = None if anew else await self._in_thread(self._disk.get, name)
        how = "hit; detail=disk"
        if data is None:
            self.on_fetch()
        if data is None:
            try:
                _, data, _ = await self._fetched(name, None)
            except Missing as missing:
                self._absent[name] = missing
                raise
            assert data is not None
            await self._in_thread(self._disk.put, name, data)
            how = "fwd=miss; fwd-status=200; stored"
        self._lately[name] = data
        return _file(data, how)

    async def _fetched(self, name: str, kept: KeptTimestamp | None) -> tuple[WebSource, bytes | None, str | None]:
        """From the first source that gives it; None where that has what is kept of it."""
        errors: list[OriginError] = []
        for source in self.standing.order(self._sources):
            self.standing.begin(source)
            etag = kept.etag if kept is not None and kept.source == source.name else None
            try:
                data, etag = await self._asked(source, name, etag)
            except OriginError as error:
                self.standing.failed(source, error)
                errors.append(error)
                continue
            except BaseException:
                self.standing.given_up(source)
                raise
            self.standing.succeeded(source)
            return source, data, etag
        # That nobody who answers has it is an answer: by it an edge knows the last of all roots.
        raise next((error for error in errors if isinstance(error, Missing)), None) or most_telling(errors)

    async def _asked(self, source: WebSource, name: str, etag: str | None) -> tuple[bytes | None, str | None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                data, etag = await source.metadata(name, etag, FILE_MAX)
        except TimeoutError as error:
            raise OriginTimeout(f"{source.name}: {name}: no complete answer in {self._timeout_s:g} s") from error
        if data is not None:
            check(name, data)
        return data, etag

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def check(name: str, data: bytes) -> None:
    """That a file is what its name says, as far as one sees without keys.

    :raises VerificationError: it is not.
    """
    match = NAME.fullmatch(name)
    assert match is not None
    try:
        signed: dict[str, Any] = json.loads(data)["signed"]
        kind, version = signed["_type"], signed["version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise VerificationError(f"{name}: signed metadata expected") from None
    wanted = match[2] if match[2] in ("root", "timestamp", "snapshot") else "targets"
    if kind != wanted or (match[1] is not None and version != int(match[1])):
        raise VerificationError(f"{name}: {wanted} {match[1] or ''} expected, got {kind!r:.20} {version!r:.20}")


def _file(data: bytes, how: str) -> File:
    return File(data, f'"{hashlib.sha256(data).hexdigest()[:32]}"', how)
