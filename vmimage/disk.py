"""Disk images: a manifest, a list of blocks under it, and blocks by content, so that an edge fetches what is read.

A disk's manifest is an OCI image manifest whose one layer is the block list: for each 64 KiB block the SHA-256 of the
block, the SHA-256 of what is on the wire (zstd), and its length there. A block of zeros has length 0 and no blob;
equal blocks are one blob. An image names its disks by the digest of their manifest, so the chain of trust from the
signed catalogue reaches every block. `vmimage/FORMAT.md` describes every field.

Pages that a machine wrote over a disk travel as a page set (`encode_pages`), whole or in parts (`cut_pages`): its
writer is a worker, so its parser assumes a hostile one.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

import zstandard

from vmimage import abi
from vmimage.canonical import (
    Blob,
    canonical_json,
    descriptor,
    digest_of,
    inline_config,
    is_disk_name,
    load_json,
    parse_blob,
    parse_outer,
    refuse,
    require_integer,
    require_object,
    require_same,
)
from vmimage.compression import unpack
from vmimage.errors import FormatError
from vmimage.manifest import MANIFEST_MAX, MANIFEST_TYPE

DISK_TYPE: Final = "application/vnd.nunatak.disk.v1+json"
DISK_CONFIG_TYPE: Final = "application/vnd.nunatak.disk.config.v1+json"
BLOCKS_TYPE: Final = "application/vnd.nunatak.blocks.v1"

BLOCK_SIZE: Final = abi.DISK_BLOCK_SIZE
PAGES_PER_BLOCK: Final = BLOCK_SIZE // abi.PAGE_SIZE
BLOCK_LEVEL: Final = 9  # zstd level: made once, read for years
BLOCK_WIRE_MAX: Final = BLOCK_SIZE + 1024  # what zstd adds to bytes that do not compress is a few dozen
DISK_BYTES_MAX: Final = 16 << 30  # its list has 17 MiB then
BLOCKS_MAX: Final = DISK_BYTES_MAX // BLOCK_SIZE
ZERO_BLOCK: Final = bytes(BLOCK_SIZE)

_ENTRY: Final = struct.Struct("<32s32sI")
_NOTHING: Final = bytes(32)
_COUNT: Final = struct.Struct("<I")


class BlockRef(NamedTuple):
    """One block: how to fetch it and what it must be."""

    sha256: bytes  # of the block, 32 bytes
    wire_sha256: bytes  # of what is on the wire; names the blob
    wire_bytes: int  # 0: all zeros, nothing to fetch

    @property
    def digest(self) -> str:
        """The blob's name."""
        return f"sha256:{self.wire_sha256.hex()}"


class BlockList:
    """The blocks of a disk, parsed where they are asked for: 68 bytes each."""

    def __init__(self, data: bytes, blocks: int) -> None:
        """:raises FormatError: not a list of that many blocks within the limits."""
        if len(data) != blocks * _ENTRY.size:
            raise FormatError(f"block list: {blocks * _ENTRY.size} bytes expected, got {len(data)}")
        for number, (sha, wire_sha, wire_bytes) in enumerate(_ENTRY.iter_unpack(data)):
            if wire_bytes > BLOCK_WIRE_MAX or (wire_bytes == 0) != (sha == wire_sha == _NOTHING):
                raise FormatError(f"block list: block {number} of {wire_bytes} bytes is neither zero nor a blob")
        self.data = data

    def __len__(self) -> int:
        return len(self.data) // _ENTRY.size

    def __getitem__(self, block_no: int) -> BlockRef:
        if not 0 <= block_no < len(self):
            raise IndexError(f"a block below {len(self)} expected, got {block_no}")
        return BlockRef(*_ENTRY.unpack_from(self.data, block_no * _ENTRY.size))

    def __iter__(self) -> Iterator[BlockRef]:
        return (BlockRef(*entry) for entry in _ENTRY.iter_unpack(self.data))


@dataclass(frozen=True)
class DiskManifest:
    """One disk. Immutable, so it may be shared by any number of machines."""

    name: str
    disk_bytes: int  # the last block is filled with zeros
    block_list: Blob

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return -(-self.disk_bytes // BLOCK_SIZE)

    @cached_property
    def config(self) -> bytes:
        """The config blob as canonical JSON."""
        return canonical_json({"block_bytes": BLOCK_SIZE, "disk_bytes": self.disk_bytes, "name": self.name})

    @property
    def config_blob(self) -> Blob:
        """Descriptor of the config blob."""
        return Blob(DISK_CONFIG_TYPE, digest_of(self.config), len(self.config))

    @property
    def layers(self) -> tuple[Blob, ...]:
        """The blobs beside the config that the manifest itself names."""
        return (self.block_list,)

    @cached_property
    def _encoded(self) -> bytes:
        return canonical_json(
            {
                "artifactType": DISK_TYPE,
                "config": inline_config(self.config_blob, self.config),
                "layers": [descriptor(self.block_list)],
                "mediaType": MANIFEST_TYPE,
                "schemaVersion": 2,
            }
        )

    def to_bytes(self) -> bytes:
        """The manifest as the canonical JSON whose SHA-256 names the disk."""
        return self._encoded

    @cached_property
    def digest(self) -> str:
        """Name of the disk."""
        return digest_of(self._encoded)


def is_disk_manifest(data: bytes) -> bool:
    """Whether `data` begins as a disk's manifest does: whoever takes images and disks must know which parser to ask."""
    return data.startswith(b'{"artifactType":' + canonical_json(DISK_TYPE) + b",")


def parse_disk_manifest(data: bytes) -> DiskManifest:
    """Parse and check a disk's manifest.

    :raises FormatError: anything but the canonical bytes of a disk within the limits above.
    """
    layers, config = parse_outer("disk manifest", data, MANIFEST_MAX, (MANIFEST_TYPE, DISK_TYPE, DISK_CONFIG_TYPE))
    c = require_object(
        "disk config", load_json("disk config", config, MANIFEST_MAX), {"block_bytes", "disk_bytes", "name"}
    )
    require_same("disk config block_bytes", BLOCK_SIZE, c["block_bytes"])
    if not isinstance(c["name"], str) or not is_disk_name(c["name"]):
        refuse("disk config name", "1 to 47 of a-z 0-9 . _ -", c["name"])
    disk_bytes = require_integer("disk config disk_bytes", c["disk_bytes"], 1, DISK_BYTES_MAX)
    if not isinstance(layers, list) or len(layers) != 1:
        refuse("disk manifest layers", "a block list", layers)
    list_bytes = -(-disk_bytes // BLOCK_SIZE) * _ENTRY.size
    block_list = parse_blob("block list", layers[0], BLOCKS_TYPE, list_bytes)
    require_same("block list size", list_bytes, block_list.size)
    manifest = DiskManifest(c["name"], disk_bytes, block_list)
    if manifest.to_bytes() != data:
        raise FormatError("disk manifest: canonical JSON expected, got another spelling of it")
    return manifest


def pack_block(block: bytes) -> tuple[BlockRef, bytes]:
    """A block's entry in the list, and its blob; no bytes for a block of zeros.

    :param block: BLOCK_SIZE bytes.
    """
    if len(block) != BLOCK_SIZE:
        raise ValueError(f"a block of {BLOCK_SIZE} bytes expected, got {len(block)}")
    if block == ZERO_BLOCK:
        return BlockRef(_NOTHING, _NOTHING, 0), b""
    wire = zstandard.ZstdCompressor(level=BLOCK_LEVEL).compress(block)
    return BlockRef(hashlib.sha256(block).digest(), hashlib.sha256(wire).digest(), len(wire)), wire


def pack_list(name: str, disk_bytes: int, refs: list[BlockRef]) -> tuple[DiskManifest, bytes]:
    """The manifest of a disk and its block list."""
    data = b"".join(_ENTRY.pack(*ref) for ref in refs)
    manifest = DiskManifest(name, disk_bytes, Blob(BLOCKS_TYPE, digest_of(data), len(data)))
    return parse_disk_manifest(manifest.to_bytes()), BlockList(data, manifest.blocks).data


def unpack_block(wire: bytes, ref: BlockRef) -> bytes:
    """The block that `ref` names, both digests checked; its size is checked before a byte is decompressed.

    :raises FormatError: not those bytes, or not a block.
    """
    if ref.wire_bytes == 0:
        return ZERO_BLOCK
    if len(wire) != ref.wire_bytes or hashlib.sha256(wire).digest() != ref.wire_sha256:
        raise FormatError(f"block: {ref.digest} of {ref.wire_bytes} bytes expected, got {len(wire)} others")
    block = unpack("block", wire, BLOCK_SIZE, at_least=BLOCK_SIZE)
    if hashlib.sha256(block).digest() != ref.sha256:
        raise FormatError(f"block: content {ref.sha256.hex()} expected, got another")
    return block


def encode_pages(pages: Mapping[int, bytes]) -> bytes:
    """A page set as bytes: u32 count, page numbers in increasing order (u32 each), then 4096 bytes each."""
    numbers = sorted(pages)
    return b"".join((_head(numbers), *(pages[number] for number in numbers)))


def cut_pages(pages: Mapping[int, bytes], part_pages: int) -> Iterator[bytes]:
    """A page set in parts: what `encode_pages` gives, cut between pages.

    One that has no more than `part_pages` pages is one part; of any other the first part is the head alone.
    """
    numbers = sorted(pages)
    if len(numbers) <= part_pages:
        yield encode_pages(pages)
        return
    yield _head(numbers)
    for place in range(0, len(numbers), part_pages):
        yield b"".join([pages[number] for number in numbers[place : place + part_pages]])


def _head(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers) + 1}I", len(numbers), *numbers)


def page_set_head(data: bytes | memoryview, disk_bytes: int) -> tuple[tuple[int, ...], int]:
    """The numbers of a page set's pages, of a disk of so many bytes, and where in `data` the pages begin.

    :raises FormatError: not the head of a page set, or a page beyond the disk.
    """
    count = _COUNT.unpack_from(data)[0] if len(data) >= _COUNT.size else -1
    page_max = -(-disk_bytes // abi.PAGE_SIZE)
    if not 0 <= count <= page_max or len(data) < _COUNT.size * (count + 1):
        raise FormatError(f"page set: at most {page_max} pages expected, got {count} in {len(data)} bytes")
    numbers = struct.unpack_from(f"<{count}I", data, _COUNT.size)
    if count and (numbers[-1] >= page_max or any(a >= b for a, b in pairwise(numbers))):
        raise FormatError(f"page set: page numbers that increase below {page_max} expected")
    return numbers, _COUNT.size * (count + 1)


def decode_pages(data: bytes | memoryview, disk_bytes: int) -> dict[int, bytes]:
    """The page set that `data` holds, of a disk of so many bytes.

    :raises FormatError: not exactly a page set, or a page beyond the disk.
    """
    numbers, start = page_set_head(data, disk_bytes)
    size = start + len(numbers) * abi.PAGE_SIZE
    if len(data) != size:
        raise FormatError(f"page set: {size} bytes expected, got {len(data)}")
    return {
        number: bytes(data[start + place * abi.PAGE_SIZE : start + (place + 1) * abi.PAGE_SIZE])
        for place, number in enumerate(numbers)
    }
