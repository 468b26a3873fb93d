"""Frames of images. The first number is the image's."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from edge.vmm.wire import frames
from edge.vmm.wire.fields import dump, load_object, require_flag, require_number, require_plain, strict
from edge.vmm.wire.frames import FLAG_FOR_GOOD, split_head, with_head
from vmimage import abi
from vmimage.canonical import refuse, require_integer
from vmimage.manifest import MEMORY_STEP, Region, parse_regions

KEPT_LAYOUTS: Final = 256  # descriptions that are kept as bytes: those of most images of a program are the same


@dataclass(frozen=True, slots=True)
class Layout:
    """What a worker must know of an image before it sees its record. Hashable, so that what follows from it is kept."""

    kind: Literal["base", "derived"]
    base: int | None  # the number of its base; None where it is one
    memory_bytes: int
    regions: tuple[Region, ...]
    memfd_bytes: int  # a memfd of so many waits on the image socket; 0: the record is in the frame

    def to_bytes(self) -> bytes:
        """As JSON."""
        return _encode(self)

    @staticmethod
    @strict
    def parse(data: bytes) -> "Layout":
        """:raises ValueError: anything but such JSON."""
        return _decode(data)


@lru_cache(maxsize=KEPT_LAYOUTS)
def _encode(layout: Layout) -> bytes:
    regions = [[region.start, region.end, region.access] for region in layout.regions]
    return dump(
        {
            "base": layout.base,
            "kind": layout.kind,
            "memfd_bytes": layout.memfd_bytes,
            "memory_bytes": layout.memory_bytes,
            "regions": regions,
        }
    )


@lru_cache(maxsize=KEPT_LAYOUTS)
def _decode(data: bytes) -> Layout:
    about = load_object("IMAGE", data, {"base", "kind", "memfd_bytes", "memory_bytes", "regions"})
    kind, base = about["kind"], about["base"]
    if kind not in ("base", "derived") or (base is None) != (kind == "base"):
        refuse("IMAGE", 'a "base" without a base or a "derived" with one', (kind, base))
    memory_bytes = require_integer("IMAGE memory_bytes", about["memory_bytes"], abi.MEMORY_MIN, abi.MEMORY_MAX)
    if memory_bytes % MEMORY_STEP:
        refuse("IMAGE memory_bytes", f"a multiple of {MEMORY_STEP}", memory_bytes)
    least = 1 if kind == "base" else 0  # a base never travels in a frame
    return Layout(
        kind=kind,
        base=None if base is None else require_number("IMAGE base", base),
        memory_bytes=memory_bytes,
        regions=parse_regions(about["regions"], memory_bytes),
        memfd_bytes=require_integer("IMAGE memfd_bytes", about["memfd_bytes"], least, abi.MEMORY_MAX),
    )


@dataclass(frozen=True, slots=True)
class NewImage:
    """To the worker: an image that machines will be opened from. Its memfd, where it has one, was sent before."""

    image: int
    layout: Layout
    record: bytes = b""  # of a small derived image

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.IMAGE, 0, self.image, 0, with_head(self.layout.to_bytes(), self.record))

    @staticmethod
    def parse(flags: int, image: int, second: int, payload: bytes) -> "NewImage":
        """:raises ValueError: no such frame."""
        require_plain("IMAGE", flags, second)
        head, record = split_head(payload)
        layout = Layout.parse(head)
        if bool(record) == bool(layout.memfd_bytes):
            raise ValueError(f"IMAGE: a record or a memfd expected, got {len(record)} and {layout.memfd_bytes} bytes")
        return NewImage(require_number("IMAGE", image), layout, record)


@dataclass(frozen=True, slots=True)
class DropImage:
    """To the worker: forget an image."""

    image: int
    for_good: bool  # also what was learned of it; else it may be given again

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.DROP_IMAGE, FLAG_FOR_GOOD if self.for_good else 0, self.image, 0)

    @staticmethod
    def parse(flags: int, image: int, second: int, payload: bytes) -> "DropImage":
        """:raises ValueError: no such frame."""
        for_good = require_flag("DROP_IMAGE", flags)
        require_plain("DROP_IMAGE", 0, second, payload=payload)
        return DropImage(require_number("DROP_IMAGE", image), for_good)
