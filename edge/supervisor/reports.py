"""Crash reports for publishers: what the worker saw, with the image's own names for the addresses.

Operators see them whole; the service's log has a line of each: what ended, at which requests, why, where in the
program, and what helps. Where the program wrote a stack of its own language, that is where.

Symbols are a blob of their own that no request ever needs, so they are fetched when a machine has died, only for the
image of a report that is kept. A service that crashes again and again has its first crashes named and the others not;
tables are kept for a while, under a budget of bytes, and one is unpacked at a time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final, Protocol

from edge.common import log
from edge.common.allowance import NAMINGS, Allowance
from edge.common.single_flight import SingleFlight
from edge.content.image import Image
from edge.content.images import Images
from edge.content.tiers import Tier
from edge.devices.traces import Traces
from edge.model.services import Service, StreamState
from vmimage.errors import GuestError, NunatakError
from vmimage.manifest import Blob
from vmimage.symbols import SymbolTable

KEPT: Final = 100
FRAMES_MAX: Final = 64  # named of one report; a worker sends 33 at most
NAMING_MAX: Final = 16  # reports at once that wait for their symbols
STREAMS_MAX: Final = 64  # requests that a machine may have open
REQUESTS_MAX: Final = 3  # named of those that a machine had
SAID_MAX: Final = 200  # characters of a client's URL, or of a message, in a line
FRAMES_SAID: Final = 8
TABLES_BYTES: Final = 4 << 20  # of symbols in memory: some six images with the JavaScript runtime

_logger: Final = log.logger("reports")


Requests = Sequence[StreamState]


class Told(Protocol):
    """What services say, and what is said to their publishers (`edge.devices.lines`)."""

    traces: Traces

    def tell(self, service: Service, text: str) -> None:
        """Put a line into a service's log, if it may have another one now."""

    async def settled(self, service: Service) -> None:
        """Until every line that the service has said has its names."""


class Reports:
    """The latest reports, oldest first."""

    def __init__(self, images: Images, told: Told, clock: Callable[[], float] = time.monotonic) -> None:
        self._images, self._told = images, told
        self._thread: Executor = ThreadPoolExecutor(1, "symbols")  # one table at a time
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._naming: set[asyncio.Task[None]] = set()
        self._allowed = Allowance(NAMINGS, clock)
        self._tables: Tier[str, SymbolTable] = Tier(TABLES_BYTES)  # by the blob's digest
        self._loads: SingleFlight[str, SymbolTable] = SingleFlight(images.tasks, "symbols")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._kept)

    def add(self, service: Service, image: Image, error: NunatakError, details: object, requests: Requests) -> None:
        """Keep one, log its line, and name its frames as soon as the symbols are here, if it may have that.

        :param requests: those that the machine had when it ended.
        """
        _logger.warning(log.line("machine_died", service=service.name, error=error.counter, message=error))
        report: dict[str, Any] = {
            "time": time.time(),
            "service": service.name,
            "image": image.manifest.digest,
            "error": type(error).__name__,
            "message": str(error),
            "report": details,
            "requests": [_asked(stream.payload) for stream in requests[:REQUESTS_MAX]],
        }
        self._kept.append(report)
        if isinstance(error, GuestError):
            error.report = report
        frames = details.get("frames") if isinstance(details, dict) else None
        symbols = image.manifest.symbols
        may_name = symbols is not None and len(self._naming) < NAMING_MAX and self._allowed.take(service.name)
        if not isinstance(frames, list) or symbols is None or not may_name:
            self._told.tell(service, line_of(report, error, len(requests)))
            return
        addresses = [address for address in frames[:FRAMES_MAX] if isinstance(address, int)]
        named = self._name(service, report, symbols, addresses, error, requests)
        task = self._images.tasks.spawn("trace", named)
        self._naming.add(task)
        task.add_done_callback(self._naming.discard)

    async def named(self) -> None:
        """Until the frames of all that were added have their names."""
        await asyncio.gather(*self._naming, return_exceptions=True)

    async def _name(
        self,
        service: Service,
        report: dict[str, Any],
        symbols: Blob,
        addresses: list[int],
        error: NunatakError,
        requests: Requests,
    ) -> None:
        """The stack of the program's own language, where it wrote one, and names for the addresses."""
        await self._told.settled(service)
        own = self._told.traces.of(service.name, _ids(requests))
        if own is not None:
            report["program"] = {"what": own.what, "trace": list(own.frames)}
        try:
            table = await self._table(symbols, service.name)
            report["trace"] = [table.name(address) for address in addresses]
            _logger.warning(log.line("trace", service=service.name, frames=" ".join(report["trace"][:FRAMES_SAID])))
        except NunatakError as missing:
            _logger.warning(log.line("no_symbols", image=report["image"], reason=missing))
        self._told.tell(service, line_of(report, error, len(requests)))

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


def line_of(report: dict[str, Any], error: NunatakError, requests: int) -> str:
    """What the service's log says of a report.

    :param requests: how many the machine had, named or not.
    """
    named = [f"{each['method']} {each['path']} ({each['id']})" for each in report["requests"]]
    more = [f"{requests - len(named)} more"] if requests > len(named) else []
    at = f" at {', '.join(named + more)}" if named else ""
    trace = report.get("program", report).get("trace")
    where = f" In {' < '.join(trace[:FRAMES_SAID])}." if trace else ""
    return f"nunatak: the machine ended{at}: {error.counter}: {report['message'][:SAID_MAX]}.{where} {error.remedy}"


def _ids(requests: Requests) -> Collection[str]:
    return {_asked(stream.payload)["id"] for stream in requests[:STREAMS_MAX]}


def _asked(block: bytes) -> dict[str, str]:
    """Method, path and identifier of a request, from its head as the front writes it: names and values with NULs."""
    parts = block.split(b"\0")
    fields = dict(zip(parts[0::2], parts[1::2], strict=False))
    names = {"method": b"REQUEST_METHOD", "path": b"PATH_INFO", "id": b"HTTP_X_REQUEST_ID"}
    return {name: fields.get(field, b"").decode("utf-8", "replace")[:SAID_MAX] for name, field in names.items()}
