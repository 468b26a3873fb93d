"""The frozen bytes and the values that they stand for: `python -m tests.vectors.make` writes what is missing."""

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard
from tuf.api.metadata import TargetFile

from edge.vmm.wire import messages
from edge.vmm.wire.frames import RawFrame, Splitter
from edge.vmm.wire.messages import FromWorker, ToWorker
from origin.bake import files
from tests.vectors.frames import FROM_WORKER, TO_WORKER
from vmimage import abi, disk, requests, snapshot, symbols
from vmimage.canonical import Blob, canonical_json
from vmimage.disk import BlockList, BlockRef
from vmimage.drives import DriveRef
from vmimage.manifest import SNAPSHOT_TYPE, SYMBOLS_TYPE, ImageManifest, Limits, Region, Rejuvenation, parse_manifest
from vmimage.pages import pack
from vmimage.parked import ParkedRecord, decode_scratch, encode_scratch, is_sealed, parse_parked
from vmimage.requests import OpenRequests, OpenStream, Record
from vmimage.snapshot import DeviceState, Registers, Snapshot
from vmimage.symbols import Symbol, SymbolTable
from vmimage.trust import ServiceRecord, make_targets, parse_target

GOLDEN: Final = Path(__file__).parent / "golden"
MEMORY_BYTES: Final = 8 << 20  # whole tables of 2 MiB each
DISK_BYTES: Final = 3 * disk.BLOCK_SIZE - 100


@dataclass(frozen=True)
class Vector:
    """One format: what today's encoder writes, and how today's parser reads.

    `read` gives something that can be compared with what it gives for `made`; it raises where bytes do not parse.
    """

    name: str
    rule: str  # what has to be raised when these bytes change, and who is hurt when it is not
    make: Callable[[], bytes]
    read: Callable[[bytes], object]
    compressed: bool = False

    @property
    def path(self) -> Path:
        """Where it is frozen."""
        return GOLDEN / self.name

    def plain(self, data: bytes) -> bytes:
        """The bytes that are compared."""
        return zstandard.decompress(data) if self.compressed else data


def digest(text: str) -> str:
    """A digest of nothing in particular."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def state(*, packed: bool = False, live: bool = False) -> Snapshot:
    """A machine's state with no two fields alike.

    :param packed: as a machine's own, not an image's; `live` ones are.
    """
    page_nos = np.array([0x11, 0x200, MEMORY_BYTES // abi.PAGE_SIZE - 1], dtype=np.uint32)
    pages = np.arange(3 * 512, dtype=np.uint64).reshape(3, 512) // np.uint64(64)
    fxsave = struct.pack("<HHHH16xII", 0x37F, 0, 0xFF, 0, 0x1F80, 0xFFFF) + bytes(range(256)) + bytes(224)
    gpr = tuple(0x0101_0101_0101_0101 * n for n in range(16))
    registers = Registers(gpr, 0x200010, 0x3202 | 0x41, 0x201000, 0x202000, fxsave)
    devices = DeviceState(8, 16, 3, 1, 5_000, 1, 7_000, 9_000, 11_000, 0x200000, 0x204000, 0x7F0000, 0x200040, 4, 1)
    if not (packed or live):
        return Snapshot(registers, devices, page_nos, pages)
    return Snapshot(registers, devices, page_nos, pack(pages), opened() if live else None)


def opened() -> OpenRequests:
    """Two requests that a guest knows of, and one that waits."""
    streams = (OpenStream(1, True, True, 0x8000, 16, 99), OpenStream(5, False, False, 0x10000, 0, 0))
    ready = (Record(abi.RECORD_BODY, 0, 5, b"more of it"),)
    waiting = (Record(abi.RECORD_HEAD, abi.FLAG_END, 9, b"REQUEST_METHOD\0GET\0\0"),)
    return OpenRequests(streams, ready, waiting, False, 12_345)


DRIVES: Final = (
    DriveRef(DISK_BYTES, digest("disk"), "shared", "data"),
    DriveRef(1 << 20, digest("cow"), "cow", "mine"),
    DriveRef(64 << 10, None, "scratch", "tmp"),
    DriveRef(1 << 20, None, "log", "audit"),
)


def base_manifest() -> ImageManifest:
    """A base image's."""
    return ImageManifest(
        name="base",
        abi=abi.ABI_VERSION,
        kind="base",
        base=None,
        memory_bytes=MEMORY_BYTES,
        regions=(Region(0x100000, 0x104000, "rx"),),
        snapshot=Blob(SNAPSHOT_TYPE, digest("base snapshot"), 1_234),
        snapshot_bytes=snapshot.record_size(2),
        page_count=2,
        pages_digest=digest("base pages"),
    )


def manifest() -> ImageManifest:
    """A derived image's, in which every field says something."""
    return ImageManifest(
        name="guest",
        abi=abi.ABI_VERSION,
        kind="derived",
        base=base_manifest().digest,
        memory_bytes=MEMORY_BYTES,
        regions=(Region(0x10000, 0x11000, "r"), Region(0x100000, 0x104000, "rx"), Region(0x200000, MEMORY_BYTES, "rw")),
        snapshot=Blob(SNAPSHOT_TYPE, digest("snapshot"), 4_321),
        snapshot_bytes=snapshot.record_size(3),
        page_count=3,
        pages_digest=digest("pages"),
        symbols=Blob(SYMBOLS_TYPE, digest("symbols"), 99),
        instance="service",
        limits=Limits(cpu_ms=50, output_bytes=1 << 20, streams=8, cpu_percent=25, log_bytes=1_024),
        upstreams=("http://127.0.0.1:8080", "https://api.example"),
        disks=DRIVES,
        rejuvenate=Rejuvenation(requests=1_000, seconds=3_600, growth_bytes=1 << 20),
    )


def block_list() -> BlockList:
    """Two blocks and one of zeros."""
    refs = [BlockRef(bytes([n]) * 32, bytes([n + 1]) * 32, 100 * n) for n in (1, 3)] + [
        BlockRef(bytes(32), bytes(32), 0)
    ]
    return BlockList(b"".join(struct.pack("<32s32sI", *ref) for ref in refs), len(refs))


BLOCK: Final = b"a block of text " * (disk.BLOCK_SIZE // 16)
PAGE_SET: Final = {0: bytes(range(256)) * 16, 7: b"\x5a" * abi.PAGE_SIZE}
SYMBOLS: Final = (Symbol(0x100000, 0x20, "start"), Symbol(0x100020, 0x100, "main"), Symbol(0x100024, 4, "main (m.c:7)"))
FILES: Final = {
    "": (files.FOLDER_MODE, b""),
    "etc": (files.FOLDER_MODE, b""),
    "etc/motd": (files.FILE_MODE, b"hello\n"),
}
SERVICE: Final = ServiceRecord(
    "shop",
    ("shop.example", "www.shop.example"),
    digest("manifest"),
    2_345,
    7,
    "acme",
    Blob(SNAPSHOT_TYPE, digest("s"), 9),
)
HISTORY: Final = (digest("one"), digest("two"))


@cache
def block_wire() -> tuple[BlockRef, bytes]:
    """A block's entry and its blob."""
    return disk.pack_block(BLOCK)


def disk_manifest() -> bytes:
    """Of the disk that `block_list` lists."""
    made, _ = disk.pack_list("data", DISK_BYTES, list(block_list()))
    return made.to_bytes()


def targets() -> bytes:
    """All entries of a service, by path."""
    entries = make_targets(SERVICE, HISTORY)
    return canonical_json({path: target.to_dict() for path, target in sorted(entries.items())})


def read_targets(data: bytes) -> object:
    """The record that each entry holds."""
    entries: dict[str, dict[str, Any]] = json.loads(data)
    return [parse_target(path, TargetFile.from_dict(entry, path)) for path, entry in entries.items()]


def parked() -> ParkedRecord:
    """A parked machine with two disks, one of which was written to."""
    versions = (0x0102030405060708, 0)
    return ParkedRecord("shop", "acme", digest("manifest"), 1_700_000_000_000_000, 42, versions, b"state", b"scratch")


PARKED_KEY: Final = bytes(range(32))


def _read_parked(data: bytes) -> object:
    return parse_parked(data), is_sealed(data, PARKED_KEY)


SCRATCH: Final[tuple[dict[int, bytes], ...]] = (PAGE_SET, {}, {3: b"\xa5" * abi.PAGE_SIZE})


def frame(name: str, message: ToWorker | FromWorker, decode: Callable[[RawFrame], object]) -> Vector:
    """One kind of message, packed where it is long."""
    data = message.to_bytes()
    if len(data) < LONG:
        return Vector(f"frame-{name}.bin", FRAME, lambda: data, lambda found: decode(*Splitter().feed(found)))
    return Vector(
        f"frame-{name}.zst",
        FRAME,
        lambda: zstandard.compress(data),
        lambda found: decode(*Splitter().feed(zstandard.decompress(found))),
        compressed=True,
    )


LONG: Final = 1 << 10

# Rules: "Versions" in vmimage/FORMAT.md has the reasons.
IMAGE: Final = (
    "images that exist keep their names and stay readable: a changed manifest, config, snapshot or symbols needs a new "
    "media type, a changed architecture a higher abi.ABI_VERSION"
)
LIVE: Final = "raise snapshot.LIVE_VERSION; such a record goes from one machine to another and is in no store"
DISK: Final = (
    "disks that exist keep their names and stay readable: a changed list, block or manifest needs a new media type"
)
PAGES: Final = (
    "pages in this form are in every edge's written.db and in parked records: read both forms, and raise parked.VERSION"
)
CATALOGUE: Final = (
    "edges refuse entries with keys that they do not know: publishers, origins and edges have to be updated together, "
    "and a key that may be left out leaves the entries of all others as they were"
)
PARKED: Final = (
    "raise parked.VERSION: records of the old layout are then refused and counted, and their services start from their "
    "images; without that an edge would read one as the other"
)
FRAME: Final = (
    "frames are spoken by processes of one version and never kept, so nothing has to be raised: freeze them anew with "
    "--replace, and check that both sides changed"
)


def _read_state(data: bytes, *, live: bool = False) -> object:
    found = snapshot.decode(data, memory_bytes=MEMORY_BYTES, live=live)
    return found.registers, found.devices, found.page_nos.tolist(), found.rows.tobytes(), found.requests


VECTORS: Final = (
    Vector("record-v2.zst", IMAGE, lambda: snapshot.encode(state()), _read_state, compressed=True),
    Vector("record-v4.zst", PARKED, lambda: snapshot.encode(state(packed=True)), _read_state, compressed=True),
    Vector(
        "record-v4-live.zst",
        LIVE,
        lambda: snapshot.encode(state(live=True)),
        lambda data: _read_state(data, live=True),
        compressed=True,
    ),
    Vector("open-requests.bin", LIVE, lambda: requests.encode(opened()), requests.decode),
    Vector("manifest-base.json", IMAGE, lambda: base_manifest().to_bytes(), parse_manifest),
    Vector("manifest.json", IMAGE, lambda: manifest().to_bytes(), parse_manifest),
    Vector("drives.json", IMAGE, lambda: canonical_json(json.loads(manifest().config)["disks"]), json.loads),
    Vector("disk-manifest.json", DISK, disk_manifest, disk.parse_disk_manifest),
    Vector("block-list.bin", DISK, lambda: block_list().data, lambda data: list(BlockList(data, len(data) // 68))),
    Vector("block.zst", DISK, lambda: block_wire()[1], zstandard.decompress, compressed=True),
    Vector(
        "page-set.bin", PAGES, lambda: disk.encode_pages(PAGE_SET), lambda data: disk.decode_pages(data, DISK_BYTES)
    ),
    Vector(
        "symbols.zst",
        IMAGE,
        lambda: symbols.encode(SYMBOLS),
        lambda data: list(SymbolTable.decode(data)),
        compressed=True,
    ),
    Vector("files.bin", IMAGE, lambda: files.pack(FILES), files.unpack),
    Vector("targets.json", CATALOGUE, targets, read_targets),
    Vector("parked-v1.bin", PARKED, lambda: parked().to_bytes(PARKED_KEY), _read_parked),
    Vector(
        "scratch.zst",
        PARKED,
        lambda: encode_scratch(SCRATCH),
        lambda data: decode_scratch(data, [DISK_BYTES] * len(SCRATCH)),
        compressed=True,
    ),
    *(frame(name, message, messages.to_worker) for name, message in TO_WORKER.items()),
    *(frame(name, message, messages.from_worker) for name, message in FROM_WORKER.items()),
)


def main() -> int:
    """Write what is missing; with --replace also what differs."""
    parser = argparse.ArgumentParser(prog="tests.vectors.make", description=main.__doc__)
    parser.add_argument(
        "--replace", action="store_true", help="overwrite what differs: see vmimage/FORMAT.md, Versions"
    )
    arguments = parser.parse_args()
    GOLDEN.mkdir(exist_ok=True)
    differ = 0
    for vector in VECTORS:
        made = vector.make()
        if not vector.path.exists():
            said = "new"
        elif vector.plain(vector.path.read_bytes()) == vector.plain(made):
            continue
        elif not arguments.replace:
            said, differ = f"DIFFERS, kept: {vector.rule}", differ + 1
        else:
            said = "replaced"
        if "DIFFERS" not in said:
            vector.path.write_bytes(made)
        print(f"{vector.name}: {said}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
