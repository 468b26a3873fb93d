"""Content by digest, and what came from the origin kept on disk. Stores wrap stores.

`DiskStore(disk, ..., Sources(...))` is the whole cache, the latter from `edge.sources.fetch`. Each hands out bytes only
after their length and SHA-256 were checked, whoever had them. What the bytes mean is `images`' and `disks`' business.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from edge.common import log
from edge.common.bloom import BloomFilter
from edge.common.counters import Counters
from edge.common.threads import submit
from edge.content.disk_tier import DiskTier
from vmimage.errors import VerificationError
from vmimage.manifest import Blob, digest_of, is_digest

WRITES_WAITING: Final = 16 << 20  # bytes on their way to the disk, from which on what comes is not kept there
THERE_BYTES: Final = 256 << 10  # for which blobs the disk may have: of 60,000 it is wrong about one in seven others

_logger: Final = log.logger("blobs")


class Ref(NamedTuple):
    """What to fetch: content named by digest. `size` is exact, or the most there may be where `exact` is false."""

    kind: Literal["manifests", "blobs"]
    digest: str
    size: int
    exact: bool = True

    def check(self, data: bytes, digest: str = "") -> bytes:
        """`data`, verified.

        :param digest: of it, where it was computed already.
        :raises VerificationError: another length or SHA-256.
        """
        if len(data) != self.size if self.exact else len(data) > self.size:
            raise VerificationError(f"{self.digest}: {self.size} bytes expected, got {len(data)}")
        if (got := digest or digest_of(data)) != self.digest:
            raise VerificationError(f"{self.digest} expected, got {got}")
        return data


class Growing(Protocol):
    """A blob on its way: bytes that nobody has verified yet."""

    size: int | None  # of the whole, as its source says it
    drops: int  # grows when what has come is not what will be there: it was dropped, or its size is another

    def __len__(self) -> int:
        """Bytes that have come."""
        ...

    def part(self, first: int, end: int) -> bytes:
        """What has come of the bytes from `first` to before `end`."""
        ...


@dataclass(slots=True)
class Load:
    """Where the time of one load went, and whether the origin was asked."""

    fetch_s: float = 0.0
    verify_s: float = 0.0
    from_origin: bool = False
    from_peer: bool = False
    for_peer: bool = False  # another edge of the POP asks: those are not asked in turn
    cache_status: str = ""  # what caches on its way have said of themselves (RFC 9211)
    admit: Callable[[int], None] = lambda _: None  # is told a blob's size before it is read; raises OriginError
    progress: Callable[[Growing], None] = lambda _: None  # is told of what comes of a source, whenever there is more

    @property
    def tier(self) -> Literal["origin", "peer", "blob"]:
        """The furthest place that something of it came from."""
        return "origin" if self.from_origin else "peer" if self.from_peer else "blob"


class Store(Protocol):
    """Content by digest."""

    async def get(self, ref: Ref, load: Load) -> bytes:
        """Verified bytes.

        :raises OriginError: they cannot be had.
        """
        ...


class DiskStore:
    """What was verified once, kept on disk; verified again whenever it is taken from there."""

    def __init__(self, disk: DiskTier, threads: Executor, writer: Executor, inner: Store, counters: Counters) -> None:
        """:param writer: a thread of its own, since others wait for `threads`."""
        self._disk, self._threads, self._inner, self._counters = disk, threads, inner, counters
        self._writer = writer
        self._writing, self._lock = 0, threading.Lock()  # bytes that wait to be written
        self._waiting: dict[str, bytes] = {}  # what they are, by digest: who asks meanwhile has them from here
        # What the disk may have. What it drops by itself stays in here, and costs a look that finds nothing.
        self._there = BloomFilter(THERE_BYTES)
        self._there.add_all(map(_name, filter(is_digest, disk.keys())))

    async def get(self, ref: Ref, load: Load) -> bytes:
        """From disk, else from the inner store, whose answer is kept.

        :raises OriginError: see the inner store.
        """
        loop = asyncio.get_running_loop()
        data = self._waiting.get(ref.digest)
        if data is not None:
            return ref.check(data, ref.digest)
        if _name(ref.digest) in self._there:
            data = await loop.run_in_executor(self._threads, self._read, ref) or self._waiting.get(ref.digest)
        if data is None:
            data = await self._inner.get(ref, load)
            if self._writing + len(data) <= WRITES_WAITING or not self._writing:  # else the next miss asks the origin
                with self._lock:
                    self._writing += len(data)
                self._waiting[ref.digest] = data
                self._there.add(_name(ref.digest))
                submit(self._writer, "keep blob", self._write, ref.digest, data)  # nobody waits for it
        return data

    def _write(self, digest: str, data: bytes) -> None:
        try:
            self._disk.put(digest, data)
        finally:
            self._waiting.pop(digest, None)
            with self._lock:
                self._writing -= len(data)

    def _read(self, ref: Ref) -> bytes | None:
        data = self._disk.get(ref.digest)
        if data is None:
            return None
        try:
            ref.check(data)
            self._counters.disk_hits += 1
            return data
        except VerificationError as error:
            self._counters.disk_bad += 1
            _logger.warning(log.line("disk_bad", digest=ref.digest, error=error))
            self._disk.delete(ref.digest)
            return None


def _name(digest: str) -> bytes:
    return bytes.fromhex(digest[-64:-32])


def ref_of(blob: Blob) -> Ref:
    """A blob that a verified manifest names."""
    return Ref("blobs", blob.digest, blob.size)
