"""Images: fetched, verified, and held ready for workers, which get them as sealed memfds.

Trust only grows, in one order: the catalogue's digest, the manifest's bytes, the blob's bytes, the pages. Each step
hands out a value only after its check. Stores wrap stores: `DiskStore(disk, Sources(...))` is the whole cache.

What an image costs is known from its manifest, and is admitted before a byte of its blob is fetched: one that this edge
could never hold is refused, others wait in turn, by tenant, until what is being prepared leaves room for them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from itertools import count
from typing import Final

from cachetools import TTLCache

from edge.common import log
from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.common.turns import Turns
from edge.content.blobs import Load, Ref, Store, ref_of
from edge.content.image import Image, held_bytes, machine_bytes, prepare, preparing_bytes, wire_bytes
from edge.content.tiers import Tier
from vmimage.errors import ImageTooLarge, OriginError
from vmimage.limit_errors import image_too_large
from vmimage.manifest import MANIFEST_MAX, Blob, ImageManifest, parse_manifest

# What is being prepared may take as much as what is held, and on a small edge as much as a base with JavaScript needs:
# 15.6 MB measured. What is fetched ahead, by the catalogue's word alone, takes no more than a quarter of that.
PREPARING_MIN: Final = 17 << 20
AHEAD_SHARE: Final = 4

# Pages of an image that is prepared where it stands: 256 KiB take 0.3 ms, as long as to hand them to a thread and back.
AT_ONCE_PAGES: Final = 64
REFUSED_MAX: Final = 1024  # images whose refusal is remembered

_logger: Final = log.logger("images")


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
        self._loads: SingleFlight[str, tuple[Image, Load]] = SingleFlight(self.tasks, "image")
        self._refused: TTLCache[str, OriginError | ImageTooLarge] = TTLCache(REFUSED_MAX, remember_s, timer=clock)
        self._machine_bytes = machine_bytes
        self._preparing = Turns(max(budget_bytes, PREPARING_MIN))
        self._ahead = Turns(self._preparing.capacity // AHEAD_SHARE)
        self._numbers = count(1)

    @property
    def under_way_bytes(self) -> int:
        """What images take that are not here yet: those being prepared, and blobs fetched ahead."""
        return self._preparing.held + self._ahead.held

    async def load(
        self, digest: str, size: int | None = None, expected: Blob | None = None, party: str = ""
    ) -> tuple[Image, Load | None]:
        """The image and, where it was not in memory, the load that brought it. The caller pins it before it awaits.

        :param digest: of its manifest, from the catalogue or from a verified manifest.
        :param size: of its manifest in bytes, where the catalogue says it.
        :param expected: the snapshot that it will name, where the catalogue or a manifest says so: both are then
            fetched at once.
        :param party: the tenant who waits for it.
        :raises OriginError: it cannot be had, or is not what was promised.
        :raises ImageTooLarge: this edge could not hold it.
        """
        image = self.held.get(digest)
        if image is not None:
            return image, None
        if (error := self._refused.get(digest)) is not None:
            raise error.with_traceback(None)  # it is raised again and again, and would keep all frames
        self._counters.collapsed += digest in self._loads
        return await self._loads.do(digest, lambda: self._load(digest, size, expected, party))

    async def _load(self, digest: str, size: int | None, expected: Blob | None, party: str) -> tuple[Image, Load]:
        load, base, ahead = Load(), None, None
        with ExitStack() as stack:
            try:
                if expected is not None and self._ahead.take_now(party, wire_bytes(expected)):
                    stack.callback(self._ahead.give_back, party, wire_bytes(expected))
                    ahead = self.tasks.spawn("snapshot", self._store.get(ref_of(expected), load), awaited=True)
                    stack.callback(_abandon, ahead)
                manifest = parse_manifest(
                    await self._get(Ref("manifests", digest, size or MANIFEST_MAX, size is not None), load)
                )
                self._admit(manifest)
                if manifest.base is not None:
                    base, base_load = await self.load(manifest.base, expected=manifest.base_snapshot, party=party)
                    base.pins += 1
                    if base_load is not None:
                        load.fetch_s += base_load.fetch_s
                        load.verify_s += base_load.verify_s
                        load.from_origin |= base_load.from_origin
                        load.from_peer |= base_load.from_peer
                async with self._preparing.taken(party, preparing_bytes(manifest)):
                    blob = await self._snapshot(manifest, expected, ahead, load)
                    began = self._clock()
                    image = await self._prepared(manifest, blob, base)
                    load.verify_s += self._clock() - began
            except (OriginError, ImageTooLarge) as error:
                self._refused[digest] = error
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
        return image, load

    async def _prepared(self, manifest: ImageManifest, blob: bytes, base: Image | None) -> Image:
        number = next(self._numbers)
        if manifest.page_count <= AT_ONCE_PAGES:
            return prepare(number, manifest, blob, base)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, prepare, number, manifest, blob, base)

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
                raise image_too_large(f"image {manifest.name}", what, needed, allowed)

    async def _snapshot(
        self, manifest: ImageManifest, expected: Blob | None, ahead: "asyncio.Task[bytes] | None", load: Load
    ) -> bytes:
        """What the manifest names, which is perhaps on its way already."""
        if ahead is None or expected != manifest.snapshot:
            return await self._get(ref_of(manifest.snapshot), load)
        return await self._timed(ahead, load)

    async def _get(self, ref: Ref, load: Load) -> bytes:
        return await self._timed(self._store.get(ref, load), load)

    async def _timed(self, fetch: Awaitable[bytes], load: Load) -> bytes:
        began = self._clock()
        try:
            return await fetch
        finally:
            load.fetch_s += self._clock() - began

    async def blob(self, blob: Blob, party: str = "") -> bytes:
        """Any other blob of a verified manifest, for that tenant.

        :raises OriginError: it cannot be had.
        :raises ImageTooLarge: there is never room for it.
        """
        if (needed := wire_bytes(blob)) > self._preparing.capacity:
            raise image_too_large(blob.digest, "preparing it", needed, self._preparing.capacity)
        async with self._preparing.taken(party, needed):
            return await self._store.get(ref_of(blob), Load())

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
