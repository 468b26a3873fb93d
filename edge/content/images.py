"""Images: fetched, verified, and held ready for workers, which get them as sealed memfds.

Trust only grows, in one order: the catalogue's digest, the manifest's bytes, the blob's bytes, the pages. Each step
hands out a value only after its check. Stores wrap stores: `DiskStore(disk, OriginStore(url))` is the whole cache.

What an image costs is known from its manifest, and is admitted before a byte of its blob is fetched: one that this edge
could never hold is refused, others wait in turn, by tenant, until what is being prepared leaves room for them.
"""

import asyncio
import hashlib
import mmap
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np

from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.common.turns import Turns
from edge.content.blobs import Ref, Store, Trip, ref_of
from edge.content.tiers import Tier
from edge.vmm.memory.image_memory import base_memfd_of, sealed_memfd
from edge.vmm.wire.images import Layout, NewImage
from vmimage import abi, snapshot
from vmimage.errors import FormatError, ImageTooLarge, OriginError, VerificationError
from vmimage.manifest import MANIFEST_MAX, Blob, ImageManifest, parse_manifest
from vmimage.pages import PageNos, Pages, page_view

IMAGE_OVERHEAD_BYTES: Final = (
    4 << 10
)  # manifest, service, catalogue and tier entries; measured 3.7 KB for each of 1,500
INLINE_MAX: Final = 256 << 10  # bytes of a derived image that travels in a frame: copying them takes about 50 µs
# What is being prepared may take as much as what is held, and on a small edge as much as a base with JavaScript needs:
# 5.5 MB measured. What is fetched ahead, by the catalogue's word alone, takes no more than a quarter of that.
PREPARING_MIN: Final = 8 << 20
AHEAD_SHARE: Final = 4

_logger: Final = log.logger("images")


@dataclass(eq=False, slots=True)
class Image:
    """A verified image, ready for workers."""

    number: int  # on the wire to workers; never used twice
    manifest: ImageManifest
    base: "Image | None"
    blob: bytes = field(repr=False)  # of a derived image: its record as it was on the wire, and goes to workers
    base_fd: int  # of a base: sealed memfd with its memory; else -1
    pages: Pages | None = field(repr=False)  # of a base: that memory, for those derived from it
    page_nos: PageNos | None = field(repr=False, default=None)  # of a base: those that it has
    pins: int = 0  # machines and derived images that need it

    @property
    def cost_bytes(self) -> int:
        """Memory it takes, here and in a worker."""
        if self.pages is not None:
            return self.manifest.page_count * abi.PAGE_SIZE + IMAGE_OVERHEAD_BYTES
        return len(self.blob) * (1 if self.inline else 2) + IMAGE_OVERHEAD_BYTES

    @property
    def inline(self) -> bool:
        """Whether it travels in its frame, as often as it is wanted, and not as a memfd, once."""
        return self.pages is None and len(self.blob) <= INLINE_MAX

    def memfd(self) -> int:
        """A sealed memfd for a worker; the caller closes it. Bases keep theirs."""
        if self.pages is not None:
            return os.dup(self.base_fd)
        return sealed_memfd(f"nunatak-{self.manifest.name}", self.blob)

    def announcement(self) -> bytes:
        """The IMAGE frame, after the memfd if it is not `inline`."""
        m = self.manifest
        size = 0 if self.inline else len(self.blob) if self.pages is None else abi.MEMORY_MAX
        layout = Layout(m.kind, self.base.number if self.base else None, m.memory_bytes, m.regions, size)
        return NewImage(self.number, layout, self.blob if self.inline else b"").to_bytes()

    def close(self) -> None:
        """Give the memory back. Workers keep what they were given until they are told."""
        if self.pages is not None:
            self.pages = None
            os.close(self.base_fd)


class Images:
    """Images in memory under a byte budget, and the way there for the others. One load however many wait for it."""

    def __init__(
        self,
        store: Store,
        threads: Executor,
        budget_bytes: int,
        counters: Counters,
        *,
        on_drop: Callable[[Image], None] = lambda _: None,
        machine_bytes: int | None = None,
        remember_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param machine_bytes: what all machines of this edge may take; None: no image is too large for them."""
        self._store, self._threads, self._counters, self._clock = store, threads, counters, clock
        self.tasks = Tasks(counters)
        self.held: Tier[str, Image] = Tier(budget_bytes)
        self.on_drop = on_drop
        self._remember_s = remember_s
        self._loading: dict[str, asyncio.Task[tuple[Image, Trip]]] = {}
        self._refused: dict[str, tuple[float, OriginError | ImageTooLarge]] = {}
        self._machine_bytes = machine_bytes
        self._preparing = Turns(max(budget_bytes, PREPARING_MIN))
        self._ahead = Turns(self._preparing.capacity // AHEAD_SHARE)
        self._numbers = count(1)

    async def load(
        self, digest: str, size: int | None = None, expected: Blob | None = None, party: str = ""
    ) -> tuple[Image, Trip | None]:
        """The image and, where it was not in memory, the trip that brought it. The caller pins it before it awaits.

        :param digest: of its manifest, from the catalogue or from a verified manifest.
        :param size: of its manifest in bytes, where the catalogue says it.
        :param expected: the snapshot that it will name, where the catalogue says so: both are then fetched at once.
        :param party: the tenant who waits for it.
        :raises OriginError: it cannot be had, or is not what was promised.
        :raises ImageTooLarge: this edge could not hold it.
        """
        image = self.held.get(digest)
        if image is not None:
            return image, None
        if digest in self._refused:
            until, error = self._refused[digest]
            if self._clock() < until:
                raise error
            del self._refused[digest]
        task = self._loading.get(digest)
        if task is None:
            load = self._load(digest, size, expected, party)
            task = self._loading[digest] = self.tasks.spawn("image", load, awaited=True)
            task.add_done_callback(lambda _: self._loading.pop(digest))
        else:
            self._counters.collapsed += 1
        return await asyncio.shield(task)

    async def _load(self, digest: str, size: int | None, expected: Blob | None, party: str) -> tuple[Image, Trip]:
        trip, base, ahead = Trip(), None, None
        with ExitStack() as stack:
            try:
                if expected is not None and self._ahead.take_now(party, _wire_bytes(expected)):
                    stack.callback(self._ahead.give_back, party, _wire_bytes(expected))
                    ahead = self.tasks.spawn("snapshot", self._store.get(ref_of(expected), trip), awaited=True)
                    stack.callback(_abandon, ahead)
                manifest = parse_manifest(
                    await self._get(Ref("manifests", digest, size or MANIFEST_MAX, size is not None), trip)
                )
                self._admit(manifest)
                if manifest.base is not None:
                    base, base_trip = await self.load(manifest.base, party=party)
                    base.pins += 1
                    if base_trip is not None:
                        trip.fetch_s += base_trip.fetch_s
                        trip.verify_s += base_trip.verify_s
                        trip.from_origin |= base_trip.from_origin
                async with self._preparing.taken(party, preparing_bytes(manifest)):
                    blob = await self._snapshot(manifest, expected, ahead, trip)
                    began = self._clock()
                    image = await asyncio.get_running_loop().run_in_executor(
                        self._threads, prepare, next(self._numbers), manifest, blob, base
                    )
                    trip.verify_s += self._clock() - began
            except (OriginError, ImageTooLarge) as error:
                now = self._clock()
                self._refused = {other: entry for other, entry in self._refused.items() if now < entry[0]}
                self._refused[digest] = now + self._remember_s, error
                self._counters.images_too_large += isinstance(error, ImageTooLarge)
                _logger.error(log.line("image_refused", image=digest, error=error.counter, reason=error))
                self._unpin(base)
                raise
            except BaseException:
                self._unpin(base)
                raise
        self.held.put(digest, image, image.cost_bytes)
        self._counters.images_loaded += 1
        image.pins += 1  # what is evicted to make place for it is another
        self.trim()
        image.pins -= 1
        return image, trip

    def _admit(self, manifest: ImageManifest) -> None:
        """:raises ImageTooLarge: this edge could not hold it, prepare it, or run a machine of it."""
        needs = {
            "images": (held_bytes(manifest), self.held.budget_bytes),
            "preparing images": (preparing_bytes(manifest), self._preparing.capacity),
        }
        if self._machine_bytes is not None:
            needs["machines"] = (machine_bytes(manifest), self._machine_bytes)
        for what, (needed, allowed) in needs.items():
            if needed > allowed:
                raise ImageTooLarge(
                    f"image {manifest.name}: at most {allowed} bytes expected, what --memory gives {what}, got {needed}"
                )

    async def _snapshot(
        self, manifest: ImageManifest, expected: Blob | None, ahead: "asyncio.Task[bytes] | None", trip: Trip
    ) -> bytes:
        """What the manifest names, which is perhaps on its way already."""
        if ahead is None or expected != manifest.snapshot:
            return await self._get(ref_of(manifest.snapshot), trip)
        return await self._timed(ahead, trip)

    async def _get(self, ref: Ref, trip: Trip) -> bytes:
        return await self._timed(self._store.get(ref, trip), trip)

    async def _timed(self, fetch: Awaitable[bytes], trip: Trip) -> bytes:
        began = self._clock()
        try:
            return await fetch
        finally:
            trip.fetch_s += self._clock() - began

    async def blob(self, blob: Blob, party: str = "") -> bytes:
        """Any other blob of a verified manifest, for that tenant.

        :raises OriginError: it cannot be had.
        :raises ImageTooLarge: there is never room for it.
        """
        if (needed := _wire_bytes(blob)) > self._preparing.capacity:
            raise ImageTooLarge(f"{blob.digest}: at most {self._preparing.capacity} bytes expected, got {needed}")
        async with self._preparing.taken(party, needed):
            return await self._store.get(ref_of(blob), Trip())

    def trim(self) -> None:
        """Drop the coldest images nobody uses until the budget holds."""
        while self.held.over():
            digest = self.held.coldest(lambda image: image.pins == 0)
            if digest is None:
                return
            self._drop(digest)

    def close(self) -> None:
        """Drop all images, whoever uses them."""
        for digest in list(self.held):
            self._drop(digest)

    def _drop(self, digest: str) -> None:
        image = self.held.pop(digest)
        assert image is not None
        self._unpin(image.base)
        self._counters.images_dropped += 1
        self.on_drop(image)
        image.close()

    def _unpin(self, image: Image | None) -> None:
        if image is not None:
            image.pins -= 1


def _abandon(task: "asyncio.Task[bytes]") -> None:
    """Nobody waits for it any more, if it is not done."""
    task.cancel()
    task.add_done_callback(lambda task: task.cancelled() or task.exception())


def _wire_bytes(blob: Blob) -> int:
    """What it takes to fetch a blob: as it arrives, and whole."""
    return 2 * blob.size


def held_bytes(manifest: ImageManifest) -> int:
    """What an image takes for as long as it is held, here and in a worker; see `Image.cost_bytes`."""
    if manifest.kind == "base":
        return manifest.page_count * abi.PAGE_SIZE
    return manifest.snapshot.size * (1 if manifest.snapshot.size <= INLINE_MAX else 2)


def preparing_bytes(manifest: ImageManifest) -> int:
    """What it takes at most to fetch and verify an image: blob, window of its frame, a slice; of a base, its memory."""
    window = min(manifest.snapshot_bytes, snapshot.WINDOW_MAX)
    pages = manifest.page_count * abi.PAGE_SIZE if manifest.kind == "base" else 0
    slice_bytes = min(manifest.page_count, snapshot.SLICE_PAGES) * abi.PAGE_SIZE
    return _wire_bytes(manifest.snapshot) + window + slice_bytes + pages


def machine_bytes(manifest: ImageManifest) -> int:
    """What a worker takes to bring up a machine of a derived image: its record, decoded, and its pages in memory."""
    return 0 if manifest.kind == "base" else manifest.snapshot_bytes + manifest.page_count * abi.PAGE_SIZE


def prepare(number: int, manifest: ImageManifest, blob: bytes, base: Image | None) -> Image:
    """Decode a verified blob, check its pages, and keep what workers need. Blocking: runs in a thread.

    No more than a slice of the pages is held; a base's go to their memfd as they are checked.

    :raises FormatError: the blob is no record that fits its manifest.
    :raises VerificationError: the pages are not what the manifest names.
    """
    if base is not None and (base.manifest.kind != "base" or base.pages is None):
        raise FormatError(f"{manifest.digest}: a base image expected as its base, got {base.manifest.kind}")
    record = snapshot.Slices(blob, memory_bytes=manifest.memory_bytes)
    if len(record.page_nos) != manifest.page_count:
        raise FormatError(f"{manifest.digest}: {manifest.page_count} pages expected, got {len(record.page_nos)}")
    checked = _checked(record, manifest, base)
    if base is not None:
        for _ in checked:
            pass
        return Image(number, manifest, base, blob, -1, None)
    fd = base_memfd_of(record.page_nos, checked)  # mapped privately: before Linux 6.7 a sealed one cannot be shared
    pages = page_view(mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ))
    return Image(number, manifest, None, b"", fd, pages, record.page_nos.copy())


def _checked(record: snapshot.Slices, manifest: ImageManifest, base: Image | None) -> Iterator[tuple[PageNos, Pages]]:
    """The contents of a record's pages, in slices.

    :raises VerificationError: after the last, they were not what the manifest names.
    """
    sha = hashlib.sha256(record.page_nos.astype("<u4").tobytes())  # as `pages.pages_digest`
    for numbers, rows in record:
        contents = rows
        if base is not None:
            assert base.pages is not None
            assert base.page_nos is not None
            # Only pages that the base has: to read one that it has not would make one in the memfd, of zeros.
            shared = np.isin(numbers, base.page_nos)
            contents = rows.copy()
            contents[shared] ^= base.pages[numbers[shared]]
        sha.update(contents.data)
        yield numbers, contents
    if (got := f"sha256:{sha.hexdigest()}") != manifest.pages_digest:
        raise VerificationError(f"{manifest.digest}: pages {manifest.pages_digest} expected, got {got}")
