"""Sources of blobs that do what a test says, one word for each time they are asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from edge.common.fetching import Missing
from edge.content.blobs import Ref
from edge.sources.source import Opened
from vmimage.errors import OriginBusy, OriginError, OriginUnreachable
from vmimage.manifest import digest_of

BLOB = bytes(range(256)) * 64
HALF = len(BLOB) // 2
DRIP_S = 0.02
REF = Ref("blobs", digest_of(BLOB), len(BLOB))


class Scripted:
    """A source of one blob.

    :param script: a word for each request, the last one for all that follow: ok, missing, refused, away, busy, silent
        (never answers), half (breaks off), half-lie (other bytes, and breaks off), stall (stops in the middle), drip
        (a byte now and then), lie (other bytes), long (more bytes), short.
    :param sized: whether it says how long the blob is.
    """

    def __init__(self, name: str, script: str, *, ranges: bool = True, sized: bool = False) -> None:
        self.name = name
        self.asked: list[int] = []  # from which byte
        self.closed = 0
        self.cancelled = 0
        self._script, self._ranges, self._sized = script.split(), ranges, sized

    async def open(self, ref: Ref, first: int, give_up_s: float) -> Opened:
        """See `BlobSource`."""
        word = self._script[min(len(self.asked), len(self._script) - 1)]
        self.asked.append(first)
        errors: dict[str, OriginError] = {
            "missing": Missing(f"{self.name}: none"),
            "refused": OriginError(f"{self.name}: no"),
            "away": OriginUnreachable(f"{self.name}: away"),
            "busy": OriginBusy(f"{self.name}: busy", 0.01),
        }
        if word in errors:
            raise errors[word]
        if word == "silent":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        begins = first if self._ranges else 0
        return Opened(begins, len(BLOB) if self._sized else None, self._chunks(word, begins), self._close)

    async def _chunks(self, word: str, first: int) -> AsyncIterator[bytes]:
        data = {"lie": BLOB[::-1], "half-lie": BLOB[::-1], "long": BLOB + b"x", "short": BLOB[:-1]}.get(word, BLOB)
        if word == "drip":
            for at in range(first, len(data)):
                yield data[at : at + 1]
                await asyncio.sleep(DRIP_S)
        for chunk in _pieces(data[first : HALF if word in ("half", "half-lie", "stall") else None]):
            yield chunk
            await asyncio.sleep(0)  # who reads what has come does so
        if word in ("half", "half-lie"):
            raise OriginUnreachable(f"{self.name}: broke off")
        if word == "stall":
            await asyncio.Event().wait()

    def _close(self) -> None:
        self.closed += 1

    async def close(self) -> None:
        """Nothing is open."""


def _pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]
