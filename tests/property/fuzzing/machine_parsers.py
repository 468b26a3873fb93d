"""Parsers of what machines consist of: records, parked records, frames."""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any, Final

import numpy as np
import zstandard

from edge.content.image import prepare
from edge.vmm.devices.drives import Drives
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, page_template
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.wire import messages
from edge.vmm.wire.fields import dump
from edge.vmm.wire.frames import RawFrame, Splitter, pack, split_head, with_head
from edge.vmm.wire.machines import OpenDisk
from tests.property.fuzzing import mutate
from tests.property.fuzzing.mutate import Rng
from tests.property.fuzzing.parsers import Target
from tests.property.fuzzing.seeds import from_seeds, frozen, packed
from tests.vectors import make as vectors
from tests.vectors.frames import FROM_WORKER, TO_WORKER
from vmimage import abi, disk, requests, snapshot
from vmimage.canonical import Blob, digest_of
from vmimage.drives import DriveRef
from vmimage.errors import FormatError, VerificationError
from vmimage.manifest import SNAPSHOT_TYPE, ImageManifest, Region
from vmimage.pages import pages_digest
from vmimage.parked import ParkedRecord, decode_scratch, parse_parked

# Records, and what binds them to a machine


@cache
def _shell() -> tuple[Shell, Image]:
    regions = (
        Region(abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
        Region(abi.CONTROL_ADDRESS, abi.ENV_ADDRESS, "rw"),
        Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx"),
        Region(abi.PROGRAM_ADDRESS, vectors.MEMORY_BYTES, "rw"),
    )
    base = BaseMemory(None)
    image = Image(base, page_template(regions, vectors.MEMORY_BYTES), frozen("record-v2.zst"))
    return Shell(base, vectors.MEMORY_BYTES), image


def _bind(data: bytes) -> snapshot.Snapshot:
    """As a worker opens a machine from a record that it is given: decoded, bound, loaded, and captured again."""
    shell, image = _shell()
    parked = snapshot.decode(data, memory_bytes=vectors.MEMORY_BYTES)
    shell.bind(image, parked)
    shell.engine.save()
    return parked


def _same_record(data: bytes, found: snapshot.Snapshot) -> bool:
    again = snapshot.decode(snapshot.encode(found, level=1), memory_bytes=vectors.MEMORY_BYTES, live=True)
    same_pages = np.array_equal(again.page_nos, found.page_nos) and np.array_equal(again.rows, found.rows)
    rest = (again.registers, again.devices, again.requests) == (found.registers, found.devices, found.requests)
    return bool(same_pages and rest)


def _prepare(data: bytes) -> object:
    """A blob under a manifest that fits it, as a publisher makes both: what an edge verifies before any worker."""
    try:
        state = snapshot.decode(data, memory_bytes=vectors.MEMORY_BYTES)
        count, pages = len(state.page_nos), pages_digest(state.page_nos, state.rows)
    except FormatError:
        count, pages = 0, vectors.digest("none")
    size = snapshot.record_size(count)
    manifest = ImageManifest(
        name="fuzz",
        abi=abi.ABI_VERSION,
        kind="base",
        base=None,
        memory_bytes=vectors.MEMORY_BYTES,
        regions=(),
        snapshot=Blob(SNAPSHOT_TYPE, digest_of(data), len(data)),
        snapshot_bytes=size,
        page_count=count,
        pages_digest=pages,
    )
    image = prepare(1, manifest, data, None)
    image.close()
    return image


# What a machine with disks was parked as

_DISKS: Final = (
    OpenDisk(1, DriveRef(1 << 20, vectors.digest("cow"), "cow", "mine")),
    OpenDisk(None, DriveRef(64 << 10, None, "scratch", "tmp")),
)


def _nothing(*_: object) -> None:
    """For whoever wants to say something."""


def _length(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _with_scratch(rng: Rng) -> bytes:
    """The pages of a scratch disk, some of them changed."""
    pages = disk.encode_pages({2: b"x" * abi.PAGE_SIZE, 9: bytes(range(256)) * 16})
    if rng.random() < 0.7:
        pages = mutate.data(rng, pages)
    data = zstandard.compress(_length(pages), 1)
    return data if rng.random() < 0.7 else mutate.data(rng, data)


def _open_with_disks(data: bytes) -> object:
    drives = Drives(*(_nothing for _ in signature(Drives).parameters))  # nobody is told of anything
    disks = drives.open(1, GuestMemory(BaseMemory(None), abi.MEMORY_MIN), _DISKS, data)
    assert disks is not None
    again = drives.park(1)
    drives.forget(1)
    return [pages for pages in decode_scratch(again, [64 << 10]) if pages]


def _parked(rng: Rng) -> bytes:
    """A parked record with changed bytes, as a disk that is not ours would give it."""
    seeds = (frozen("parked-v1.bin"), ParkedRecord("s", "", vectors.digest("i"), 0, 0, (), b"x").to_bytes())
    return mutate.data(rng, rng.choice(seeds), seeds)


def _same_parked(data: bytes, record: ParkedRecord) -> bool:
    """All of it is in the value, but for the check."""
    again = record.to_bytes()
    return again[:8] + again[40:] == data[:8] + data[40:]


# Frames


def _frames(messages_by_name: Mapping[str, Any]) -> Callable[[Rng], bytes]:
    """A frame with its length right and something changed: in its header, its bytes, or its JSON."""
    seeds = [Splitter().feed(message.to_bytes())[0] for message in messages_by_name.values()]
    seeds = [seed for seed in seeds if len(seed[4]) < 1 << 14]  # a block's bytes say nothing

    def make(rng: Rng) -> bytes:
        header, payload = list(rng.choice(seeds)[:4]), rng.choice(seeds)[4]
        if rng.random() < 0.9:
            *header, payload = rng.choice(seeds)
        if rng.random() < 0.4:
            place = rng.randrange(4)
            header[place] = rng.choice((0, 1, 2, 255)) if place < 2 else rng.choice((*mutate.INTERESTING, 5, 2**31 + 3))
        kind = rng.random()
        if kind < 0.3:
            payload = mutate.data(rng, payload)
        elif kind < 0.8:
            payload = _other_json(rng, payload)
        type_, flags, first, second = header
        return pack(type_, flags, first, second, payload)

    return make


def _other_json(rng: Rng, payload: bytes) -> bytes:
    """A payload with its JSON changed, where it has any."""
    for head, rest in (_split(payload), (payload, None)):
        try:
            data = dump(mutate.value(rng, json.loads(head)))
        except ValueError:
            continue
        return data if rest is None else with_head(data, rest)
    return payload


def _split(payload: bytes) -> tuple[bytes, bytes]:
    try:
        return split_head(payload)
    except ValueError:
        return b"", b""


def _decode(decode: Callable[[RawFrame], Any]) -> Callable[[bytes], Any]:
    return lambda data: decode(*Splitter().feed(data))


def _same_frame(data: bytes, message: Any) -> bool:
    """A message is all of its frame: nothing was passed over."""
    return bool(message.to_bytes() == data)


def targets() -> Sequence[Target]:
    """Those of this module."""
    rows, record, live = frozen("record-v2.zst"), frozen("record-v4.zst"), frozen("record-v4-live.zst")
    memory = vectors.MEMORY_BYTES
    return (
        Target("record", packed(record, rows), _bind, (FormatError,), _same_record),
        Target(
            "live-record",
            packed(record, live),
            lambda data: snapshot.decode(data, memory_bytes=memory, live=True),
            (FormatError,),
            _same_record,
        ),
        Target("scratch", _with_scratch, _open_with_disks, (FormatError,)),
        Target("image", packed(rows, record), _prepare, (VerificationError,)),
        Target(
            "open-requests",
            from_seeds(frozen("open-requests.bin")),
            requests.decode,
            (FormatError,),
            lambda data, value: requests.encode(value) == data,
        ),
        Target("parked", _parked, parse_parked, (FormatError,), _same_parked),
        Target("frame-to-worker", _frames(TO_WORKER), _decode(messages.to_worker), (ValueError,), _same_frame),
        Target("frame-from-worker", _frames(FROM_WORKER), _decode(messages.from_worker), (ValueError,), _same_frame),
    )
