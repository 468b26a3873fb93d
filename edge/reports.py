"""Crash reports for publishers: what the worker saw, with the image's own names for the addresses.

Symbols are a blob of their own that no request ever needs, so they are fetched when a machine has died, once a crash,
and only for the image of a report that is kept.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from edge import log
from edge.images import Image, Images
from vmimage.errors import GuestError, NunatakError, OriginError
from vmimage.symbols import SymbolTable

KEPT: Final = 100
FRAMES_MAX: Final = 64  # named of one report; a worker sends 33 at most

_logger: Final = log.logger("reports")


class Reports:
    """The latest reports, oldest first."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._naming: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._kept)

    def add(self, service: str, image: Image, error: NunatakError, details: object) -> None:
        """Keep one, log its line, and name its frames as soon as the symbols are here."""
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
        if isinstance(frames, list) and image.manifest.symbols is not None:
            addresses = [address for address in frames[:FRAMES_MAX] if isinstance(address, int)]
            task = asyncio.get_running_loop().create_task(self._name(report, image, addresses))
            self._naming.add(task)
            task.add_done_callback(self._naming.discard)

    async def named(self) -> None:
        """Until the frames of all that were added have their names."""
        await asyncio.gather(*self._naming, return_exceptions=True)

    async def _name(self, report: dict[str, Any], image: Image, addresses: list[int]) -> None:
        assert image.manifest.symbols is not None
        try:
            blob = await self._images.blob(image.manifest.symbols)
            table = await asyncio.to_thread(SymbolTable.decode, blob)
        except OriginError as error:
            _logger.warning(log.line("no_symbols", image=image.manifest.digest, reason=error))
            return
        report["trace"] = [table.name(address) for address in addresses]
        _logger.warning(log.line("trace", service=report["service"], frames=" ".join(report["trace"][:8])))
