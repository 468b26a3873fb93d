"""What an image costs, by its manifest alone, and whether an edge could hold it. Pure."""

from typing import Final

from vmimage import abi, snapshot
from vmimage.errors import ImageTooLarge
from vmimage.manifest import Blob, ImageManifest

INLINE_MAX: Final = 256 << 10  # bytes of a derived image that travels in a frame: copying them takes about 50 µs


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
    window = min(manifest.snapshot_bytes, snapshot.WINDOW_MAX)
    pages = manifest.page_count * abi.PAGE_SIZE if manifest.kind == "base" else 0
    slice_bytes = min(manifest.page_count, snapshot.SLICE_PAGES) * abi.PAGE_SIZE
    return wire_bytes(manifest.snapshot) + window + slice_bytes + pages


def machine_bytes(manifest: ImageManifest) -> int:
    """What a worker takes to bring up a machine of a derived image: its record, decoded, and its pages in memory."""
    return 0 if manifest.kind == "base" else manifest.snapshot_bytes + manifest.page_count * abi.PAGE_SIZE


def check(manifest: ImageManifest, *, held: int, preparing: int, machines: int | None) -> None:
    """Let an image be fetched.

    :param held: bytes that all images may take. :param preparing: and those that are being prepared.
    :param machines: and all machines; None: nothing is too large for them.
    :raises ImageTooLarge: this edge could not hold it, prepare it, or run a machine of it.
    """
    needs = {"images": (held_bytes(manifest), held), "preparing images": (preparing_bytes(manifest), preparing)}
    if machines is not None:
        needs["machines"] = (machine_bytes(manifest), machines)
    for what, (needed, allowed) in needs.items():
        if needed > allowed:
            raise ImageTooLarge(
                f"image {manifest.name}: at most {allowed} bytes expected, what --memory gives {what}, got {needed}"
            )
