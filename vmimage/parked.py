"""A parked machine as bytes: its state and what its scratch disks hold, with what an edge must know to wake it.

One envelope around the machine's own record (`vmimage.snapshot`): which image it XORs with, since when it has been in
use, what its disks were when it left them. The worker makes the parts, the supervisor makes the envelope, the edge's
disk adds the check. `vmimage/FORMAT.md`, "Parked record", draws it; `nunatak inspect` reads it.

What is on a disk may be anybody's, so `parse_parked` is strict and allocates no more than it is given; what the parts
hold is decompressed by the worker, in its sandbox.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import zstandard

from vmimage import abi
from vmimage.canonical import is_digest
from vmimage.compression import unpack
from vmimage.disk import decode_pages, encode_pages
from vmimage.drives import WRITTEN_MAX
from vmimage.errors import FormatError

MAGIC: Final = b"NKPR"
VERSION: Final = 1  # see "Versions" in FORMAT.md: whatever changes a byte here, or what a part holds, raises it
CHECK_BYTES: Final = 32
KEY_BYTES: Final = 32
PURPOSE: Final = b"parked record 2"  # BLAKE2b's personalisation; 1 was that of the envelopes before this one
PART_MAX: Final = 64 << 20  # bytes; what one frame can carry
RECORD_MAX: Final = 2 * PART_MAX + 1024  # bytes of a record whole
BEGAN_MAX: Final = 1 << 57  # microseconds: the year 6535, which a calendar still has
NAME_MAX: Final = 253  # bytes in a service's name, and in a tenant's
UNFLUSHED: Final = (1 << 64) - 1  # in place of a disk's version: the machine has pages that the disk never took

# Magic, version, check, image, began, served, bytes of state, of scratch pages, of service, of tenant, disks, zero.
_HEAD: Final = struct.Struct("<4sI32s32sQQIIHHHH")
_START: Final = struct.Struct("<4sI")
_CHECK_AT: Final = _START.size
_DISK: Final = struct.Struct("<Q")
_LENGTH: Final = struct.Struct("<I")
_NO_CHECK: Final = bytes(CHECK_BYTES)
_SCRATCH_LEVEL: Final = 1  # zstd: parking is on somebody's critical path
_SCRATCH_RAW_MAX: Final = WRITTEN_MAX + WRITTEN_MAX // 512  # of all disks of a machine: pages, their numbers, lengths


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A parked machine. Whose it is and what it belongs to are part of it, so it is never taken for another's."""

    service: str  # 1 to NAME_MAX bytes of UTF-8
    tenant: str  # as long, or empty; behind it, where there are some, which secrets the machine was started with
    image: str  # digest of the image's manifest
    began_us: int  # microseconds since 1970, wall clock, below BEGAN_MAX, at which it started from its image
    served: int  # requests since then
    disk_versions: tuple[int, ...]  # of each of the image's disks, in order: 0 but for copy-on-write ones; or UNFLUSHED
    state: bytes = field(repr=False)  # see `vmimage.snapshot`
    scratch: bytes = field(repr=False, default=b"")  # see `encode_scratch`

    @property
    def size(self) -> int:
        """Bytes of `to_bytes`, but for names, which are short."""
        return _HEAD.size + len(self.disk_versions) * _DISK.size + len(self.state) + len(self.scratch)

    def to_bytes(self, key: bytes | None = None) -> bytes:
        """The record as bytes.

        :param key: of the edge, KEY_BYTES: the check over all of it is made with it; None: its place holds zeros.
        :raises FormatError: what `parse_parked` would refuse.
        """
        service, tenant = self.service.encode(), self.tenant.encode()
        if not is_digest(self.image):
            raise FormatError(f"parked record: an image's digest expected, got {self.image[:100]!r}")
        try:
            head = _HEAD.pack(
                *(MAGIC, VERSION, _NO_CHECK, bytes.fromhex(self.image.removeprefix("sha256:"))),
                *(self.began_us, self.served, len(self.state), len(self.scratch)),
                *(len(service), len(tenant), len(self.disk_versions), 0),
            )
            versions = b"".join(map(_DISK.pack, self.disk_versions))
        except struct.error as error:
            raise FormatError(f"parked record: numbers in their ranges expected: {error}") from None
        _check_began(self.began_us)
        _check_lengths(len(service), len(tenant), len(self.disk_versions), len(self.state), len(self.scratch))
        rest = (versions, service, tenant, self.state, self.scratch)
        if key is None:
            return b"".join((head, *rest))
        check = _keyed(key, head[:_CHECK_AT], head[_CHECK_AT + CHECK_BYTES :], *rest)
        return b"".join((head[:_CHECK_AT], check, head[_CHECK_AT + CHECK_BYTES :], *rest))


def parse_parked(data: bytes) -> ParkedRecord:
    """Parse a record, whose check is another question: see `is_sealed`.

    :raises FormatError: anything but what `ParkedRecord.to_bytes` writes, check aside.
    """
    if data[:_CHECK_AT] != _START.pack(MAGIC, VERSION):
        expected = f"magic {MAGIC.hex()} and version {VERSION}"
        raise FormatError(f"parked record: {expected} expected, got {data[:_CHECK_AT].hex()}: another layout")
    if len(data) < _HEAD.size:
        raise FormatError(f"parked record: at least {_HEAD.size} bytes expected, got {len(data)}")
    _, _, _, image, began_us, served, *lengths, zero = _HEAD.unpack_from(data)
    state_bytes, scratch_bytes, service_bytes, tenant_bytes, disks = lengths
    _check_began(began_us)
    _check_lengths(service_bytes, tenant_bytes, disks, state_bytes, scratch_bytes)
    versions_end = _HEAD.size + disks * _DISK.size
    service_end = versions_end + service_bytes
    tenant_end = service_end + tenant_bytes
    state_end = tenant_end + state_bytes
    if zero or state_end + scratch_bytes != len(data):
        raise FormatError(
            f"parked record: {state_end + scratch_bytes} bytes and zero expected, got {len(data)}, {zero}"
        )
    versions = struct.unpack_from(f"<{disks}Q", data, _HEAD.size)
    try:
        service, tenant = data[versions_end:service_end].decode(), data[service_end:tenant_end].decode()
    except UnicodeDecodeError:
        raise FormatError("parked record: names in UTF-8 expected") from None
    parts = data[tenant_end:state_end], data[state_end:]
    return ParkedRecord(service, tenant, f"sha256:{image.hex()}", began_us, served, versions, *parts)


def is_parked(data: bytes) -> bool:
    """Whether `data` begins as a parked record does, of whatever version."""
    return data.startswith(MAGIC)


def is_sealed(data: bytes, key: bytes) -> bool:
    """Whether the check in a record was made with this key, over just these bytes.

    :raises ValueError: a key of another length.
    """
    view, end = memoryview(data), _CHECK_AT + CHECK_BYTES
    return hmac.compare_digest(data[_CHECK_AT:end], _keyed(key, view[:_CHECK_AT], view[end:]))


def _keyed(key: bytes, *parts: bytes | memoryview) -> bytes:
    """BLAKE2b (RFC 7693) with a key and a personalisation, over all parts, whose lengths are in the first two."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of {KEY_BYTES} bytes expected, got {len(key)}")
    check = hashlib.blake2b(digest_size=CHECK_BYTES, key=key, person=PURPOSE)
    for part in parts:
        check.update(part)
    return check.digest()


def _check_began(began_us: int) -> None:
    if not 0 <= began_us < BEGAN_MAX:
        raise FormatError(f"parked record: a time below {BEGAN_MAX} expected, got {began_us}")


def _check_lengths(service: int, tenant: int, disks: int, state: int, scratch: int) -> None:
    if not 0 < service <= NAME_MAX or tenant > NAME_MAX or disks > abi.DISKS_MAX:
        raise FormatError(
            f"parked record: names of at most {NAME_MAX} bytes and at most {abi.DISKS_MAX} disks expected, "
            f"got {service}, {tenant} and {disks}"
        )
    if not 0 < state <= PART_MAX or scratch > PART_MAX or (scratch and not disks):
        raise FormatError(
            f"parked record: parts of at most {PART_MAX} bytes expected, got {state}, and of {disks} disks {scratch}"
        )


# What scratch disks hold: nothing, if none holds anything; else one zstd frame with its content size, over a u32 length
# and a page set (`vmimage.disk`) for each of them, in the order of the image's disks.


def encode_scratch(disks: Sequence[Mapping[int, bytes]]) -> bytes:
    """The pages of each scratch disk, by number, as bytes."""
    if not any(disks):
        return b""
    raw = b"".join(_LENGTH.pack(len(data)) + data for data in map(encode_pages, disks))
    return zstandard.ZstdCompressor(level=_SCRATCH_LEVEL).compress(raw)


def decode_scratch(data: bytes, disk_bytes: Sequence[int]) -> list[dict[int, bytes]]:
    """The pages of each scratch disk. Nothing is decompressed before its size is known to be possible.

    :param disk_bytes: the size of each.
    :raises FormatError: no pages of such disks.
    """
    if not data:
        return [{} for _ in disk_bytes]
    raw = unpack("scratch pages", data, _SCRATCH_RAW_MAX, at_least=1)
    found, position = [], 0
    for size in disk_bytes:
        start = position + _LENGTH.size
        length = _LENGTH.unpack_from(raw, position)[0] if start <= len(raw) else len(raw)
        position = start + length
        if position > len(raw):
            raise FormatError(f"scratch pages: a length and so many bytes expected, got {len(raw) - start}")
        found.append(decode_pages(memoryview(raw)[start:position], size))
    if position != len(raw):
        raise FormatError(
            f"scratch pages: those of {len(disk_bytes)} disks expected, got {len(raw) - position} bytes more"
        )
    return found
