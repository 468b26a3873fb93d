"""Names for lines of programs, as an image's sources give them: fetched when a program first logs such a line.

A table is a blob of its own that no request needs (`vmimage.sources`). It is fetched once for all who wait for it, in
turn, and the tables that were used last are kept, under a budget of bytes. A service whose table cannot be had is not
asked for it at every line.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

from edge.common import log
from edge.common.allowance import NAMINGS, Allowance
from edge.common.single_flight import SingleFlight
from edge.content.images import Images
from edge.content.tiers import Tier
from vmimage.errors import NunatakError
from vmimage.manifest import Blob
from vmimage.sources import SourceTable

TABLES_BYTES: Final = 4 << 20  # in memory, some hundred programs in several modules; one that is larger stays alone

_logger: Final = log.logger("names")


class Names:
    """Source tables by the digest of their blobs."""

    def __init__(self, images: Images, clock: Callable[[], float]) -> None:
        """:param clock: seconds that never go back."""
        self._images = images
        self._thread: Executor = ThreadPoolExecutor(1, "sources")  # one table at a time
        self._tables: Tier[str, SourceTable] = Tier(TABLES_BYTES)
        self._loads: SingleFlight[str, SourceTable] = SingleFlight(images.tasks, "sources")
        self._allowed = Allowance(NAMINGS, clock)

    def here(self, sources: Blob) -> SourceTable | None:
        """The table, if nothing has to be fetched for it."""
        return self._tables.get(sources.digest)

    def may_load(self, service: str) -> bool:
        """Whether the service may have a table fetched now; it is charged for it."""
        return self._allowed.take(service) > 0

    async def table(self, sources: Blob, service: str) -> SourceTable | None:
        """The table, fetched; None where it cannot be had or is none, which is logged."""
        try:
            return await self._loads.do(sources.digest, lambda: self._load(sources, service))
        except NunatakError as error:
            _logger.warning(log.line("no_sources", service=service, reason=error))
            return None

    async def _load(self, sources: Blob, service: str) -> SourceTable:
        blob = await self._images.blob(sources, service)
        table = await asyncio.get_running_loop().run_in_executor(self._thread, SourceTable.decode, blob)
        self._tables.put(sources.digest, table, table.cost_bytes)
        while self._tables.over() and len(self._tables) > 1:
            coldest = self._tables.coldest()
            assert coldest is not None
            self._tables.pop(coldest)
        return table
