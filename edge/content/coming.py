"""Content in memory for others, of a parent or of a peer: whole and verified, or on its way and given on as it comes.

Whoever asks while it comes reads from the first byte, or from the one that it asks for, at a pace of its own; there is
one copy of it, however many read. No answer is complete before the digest is known to be right: the end of what each
reader is to get is held back until then. If it turns out wrong, the readers' connections are broken off, and they go on
elsewhere as after any other loss. What is small is answered when all of it is here.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from edge.content.blobs import Growing
from vmimage.errors import OriginError, OriginUnreachable

# Of an answer's last bytes. It fits into a segment of TCP with others, so it costs no round trip of its own.
HELD_BACK: Final = 1 << 10
# Below this an answer comes at once when it comes: ten segments of 1,460 bytes are the first window (RFC 6928).
GIVEN_ON_MIN: Final = 14_600


@dataclass(slots=True, eq=False)
class Held:
    """Content in memory."""

    data: bytes = b""  # empty until all of it is here
    users: int = 0  # requests that are being answered with it


def given_until(came: int, end: int) -> int:
    """Before which byte those that have come may be given to who wants all before `end`, while nothing is verified."""
    return min(came, end - HELD_BACK)


class Coming:
    """One blob on its way. The owner says when there is more of it, and when that is over."""

    def __init__(self) -> None:
        self.held = Held()
        self.cache_status = ""  # of who gives it
        self._growing: Growing | None = None
        self._over = False
        self._error: OriginError | None = None
        self._news = asyncio.Event()

    def grown(self, growing: Growing) -> None:
        """There is more of it, or something else."""
        self._growing = growing
        self._tell()

    def over(self, error: OriginError | None = None) -> None:
        """It is whole and `held` has it, or it will not come."""
        self._over, self._error = True, error
        self._tell()

    async def begun(self) -> int | None:
        """Its size, once it may be given on; None where it is over first."""
        while not self._over:
            size = self._growing.size if self._growing is not None else None
            if size is not None and size >= GIVEN_ON_MIN:
                return size
            await self._news.wait()
        return None

    async def pieces(self, first: int, end: int, size: int, most: int) -> AsyncIterator[bytes]:
        """The bytes from `first` to before `end`, as they come.

        :param size: of the whole, as `begun` has said it; where that said none, of what `held` has.
        :param most: bytes of a piece.
        :raises OriginError: the rest will not come, or is not the rest of what was given.
        """
        growing, at = self._growing, first
        drops = growing.drops if growing is not None else 0
        while at < end:
            if self._error is not None:
                raise self._error
            now_size = len(self.held.data) if growing is None or self._over else growing.size
            if now_size != size or (growing is not None and growing.drops != drops and at > first):
                raise OriginUnreachable("the source that it came from has broken off, and another one begins anew")
            drops = growing.drops if growing is not None else 0
            ready = end if growing is None or self._over else given_until(len(growing), end)
            if ready <= at:
                await self._news.wait()
                continue
            until = min(ready, at + most)
            piece = self.held.data[at:until] if growing is None or self._over else growing.part(at, until)
            at = until
            yield piece

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
