"""An image as an edge holds it: verified, its memory where workers map it; and what that takes, by its manifest."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from edge.vmm.memory.image_memory import base_memfd_of, sealed_memfd
from edge.vmm.wire import frames
from vmimage import abi, snapshot
from vmimage.compression import WINDOW_MAX
from vmimage.errors import FormatError, VerificationError
from vmimage.manifest import Blob, ImageManifest, Region, canonical_json
from vmimage.pages import PageNos, Pages, page_view

# Manifest, service, catalogue and tier entries; measured 3.7 KB for each of 1,500.
IMAGE_OVERHEAD_BYTES: Final = 4 << 10
INLINE_MAX: Final = 256 << 10  # bytes of a derived image that travels in a frame: copying them takes about 50 µs


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
        facts = _facts(m.kind, self.base.number if self.base else None, m.memory_bytes, m.regions, size)
        return frames.pack(frames.IMAGE, 0, self.number, 0, frames.with_json(facts, self.blob if self.inline else b""))

    def close(self) -> None:
        """Give the memory back. Workers keep what they were given until they are told."""
        if self.pages is not None:
            self.pages = None
            os.close(self.base_fd)


@lru_cache(maxsize=256)
def _facts(kind: str, base: int | None, memory_bytes: int, regions: tuple[Region, ...], size: int) -> bytes:
    """What an IMAGE frame says before the record. Thousands of images say the same, one at every restore."""
    layout = [[region.start, region.end, region.access] for region in regions]
    return canonical_json({"kind": kind, "base": base, "memory_bytes": memory_bytes, "regions": layout, "bytes": size})


def wire_bytes(blob: Blob) -> int:
    """What it takes to fetch a blob: as it arrives, and whole."""
    return 2 * blob.size


def held_bytes(manifest: ImageManifest) -> int:
    """What an image takes for as long as it is held, here and in a worker; see `Image.cost_bytes`."""
    if manifest.kind == "base":
        return manifest.page_count * abi.PAGE_SIZE
    return manifest.snapshot.size * (1 if manifest.snapshot.size <= INLINE_MAX else 2)


def preparing_bytes(manifest: ImageManifest) -> int:
    """What it takes at most to fetch and verify an image: blob, window of its frame, a slice; of a base, its memory."""
    window = min(manifest.snapshot_bytes, WINDOW_MAX)
    pages = manifest.page_count * abi.PAGE_SIZE if manifest.kind == "base" else 0
    slice_bytes = min(manifest.page_count, snapshot.SLICE_PAGES) * abi.PAGE_SIZE
    return wire_bytes(manifest.snapshot) + window + slice_bytes + pages


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
