"""Crash reports for publishers: what the worker saw, with the image's own names for the addresses.

Symbols are a blob of their own that no request ever needs, so they are fetched when a machine has died, only for the
image of a report that is kept. A service that crashes again and again has its first crashes named and the others not;
tables are kept for a while, under a budget of bytes, and one is unpacked at a time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from edge.common import log
from edge.common.allowance import NAMINGS, Allowance
from edge.common.single_flight import SingleFlight
from edge.content.image import Image
from edge.content.images import Images
from edge.content.tiers import Tier
from vmimage.errors import GuestError, NunatakError
from vmimage.manifest import Blob
from vmimage.symbols import SymbolTable

KEPT: Final = 100
FRAMES_MAX: Final = 64  # named of one report; a worker sends 33 at most
NAMING_MAX: Final = 16  # reports at once that wait for their symbols
TABLES_BYTES: Final = 4 << 20  # of symbols in memory: some six images with the JavaScript runtime

_logger: Final = log.logger("reports")


class Reports:
    """The latest reports, oldest first."""

    def __init__(self, images: Images, clock: Callable[[], float] = time.monotonic) -> None:
        self._images = images
        self._thread: Executor = ThreadPoolExecutor(1, "symbols")  # one table at a time
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._naming: set[asyncio.Task[None]] = set()
        self._allowed = Allowance(NAMINGS, clock)
        self._tables: Tier[str, SymbolTable] = Tier(TABLES_BYTES)  # by the blob's digest
        self._loads: SingleFlight[str, SymbolTable] = SingleFlight(images.tasks, "symbols")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._kept)

    def add(self, service: str, image: Image, error: NunatakError, details: object) -> None:
        """Keep one, log its line, and name its frames as soon as the symbols are here, if it may have that."""
        _logger.warning(log.line("machine_died", service=service, error=error.counter, message=error))
        report: dict[str, Any] = {
            "time": time.time(),
            "service": service,
            "image": image.manifest.digest,
            "error": type(error).__name__,
            "message": str(error),
            "report": details,
        }
        self._kept.append(report)
        if isinstance(error, GuestError):
            error.report = report
        frames = details.get("frames") if isinstance(details, dict) else None
        if not isinstance(frames, list) or image.manifest.symbols is None:
            return
        if len(self._naming) >= NAMING_MAX or not self._allowed.take(service):
            return
        addresses = [address for address in frames[:FRAMES_MAX] if isinstance(address, int)]
        task = self._images.tasks.spawn("trace", self._name(report, image.manifest.symbols, addresses))
        self._naming.add(task)
        task.add_done_callback(self._naming.discard)

    async def named(self) -> None:
        """Until the frames of all that were added have their names."""
        await asyncio.gather(*self._naming, return_exceptions=True)

    async def _name(self, report: dict[str, Any], symbols: Blob, addresses: list[int]) -> None:
        try:
            table = await self._table(symbols, report["service"])
        except NunatakError as error:
            _logger.warning(log.line("no_symbols", image=report["image"], reason=error))
            return
        report["trace"] = [table.name(address) for address in addresses]
        _logger.warning(log.line("trace", service=report["service"], frames=" ".join(report["trace"][:8])))

    async def _table(self, symbols: Blob, party: str) -> SymbolTable:
        """The table of a blob: from memory, else fetched and unpacked once, however many crashes wait for it."""
        table = self._tables.get(symbols.digest)
        if table is not None:
            return table
        return await self._loads.do(symbols.digest, lambda: self._load(symbols, party))

    async def _load(self, symbols: Blob, party: str) -> SymbolTable:
        blob = await self._images.blob(symbols, party)
        table = await asyncio.get_running_loop().run_in_executor(self._thread, SymbolTable.decode, blob)
        self._tables.put(symbols.digest, table, table.cost_bytes)
        while self._tables.over():
            coldest = self._tables.coldest()
            assert coldest is not None
            self._tables.pop(coldest)
        return table
