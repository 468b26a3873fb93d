"""What a source of blobs is, to who asks it: the interface that registries, buckets, parents and peers fill.

A source gives bytes as they come. Whoever fetches has them verified (`edge.sources.fetch`), so a source checks nothing
but that the answer is one to the question.
"""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

from edge.content.blobs import Ref


class Opened(NamedTuple):
    """An answer that has begun."""

    first: int  # of the blob's bytes, with which the chunks begin: what was asked for, or 0 where it knows no ranges
    size: int | None  # of the whole blob, where the answer says it
    chunks: AsyncIterator[bytes]  # raises OriginError where it breaks off
    close: Callable[[], None]  # ends it, read or not; may be called again
    cache_status: str = ""  # what caches on its way say of themselves (RFC 9211)


class BlobSource(Protocol):
    """One place that may have content.

    To put a peer before all other sources, make one of these and have `Sources.ahead` name it for the digests that it
    owns.
    """

    @property
    def name(self) -> str:
        """What it is called in metrics, pages and log lines; of a bounded number of names."""
        ...

    async def open(self, ref: Ref, first: int, give_up_s: float) -> Opened:
        """Ask for a blob from its byte `first` on. It may be cancelled at any time.

        :param give_up_s: at which time of the loop nobody waits for the answer any more.
        :raises Missing: it has no such thing, and is as well as before.
        :raises OriginBusy: it wants to be asked later.
        :raises OriginError: it gives none.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
