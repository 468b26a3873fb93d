"""Frames of disks: blocks on their way in, pages and records on their way out.

A disk that several machines share has a number of its own; a machine's own disks go by their places among them.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from edge.vmm.wire import frames
from edge.vmm.wire.fields import dump, load_object, require_flag, require_number, require_plain, strict
from vmimage import abi
from vmimage.canonical import require_integer
from vmimage.disk import BLOCKS_MAX

_PLACE: Final = Struct("<I")
_STATUS: Final = Struct("<i")
_ERRNO_MAX: Final = 4095  # Linux: MAX_ERRNO
_BYTES_MAX: Final = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class NewDisk:
    """To the worker: a disk of which blocks may be asked."""

    disk: int
    blocks: int
    cache_bytes: int  # for blocks of all disks in this worker, from now on

    def to_bytes(self) -> bytes:
        """The frame."""
        about = dump({"blocks": self.blocks, "cache_bytes": self.cache_bytes})
        return frames.pack(frames.DISK, 0, self.disk, 0, about)

    @staticmethod
    @strict
    def parse(flags: int, disk: int, second: int, payload: bytes) -> "NewDisk":
        """:raises ValueError: no such frame."""
        require_plain("DISK", flags, second)
        about = load_object("DISK", payload, {"blocks", "cache_bytes"})
        blocks = require_integer("DISK blocks", about["blocks"], 1, BLOCKS_MAX)
        cache_bytes = require_integer("DISK cache_bytes", about["cache_bytes"], 0, _BYTES_MAX)
        return NewDisk(require_number("DISK", disk), blocks, cache_bytes)


@dataclass(frozen=True, slots=True)
class DropDisk:
    """To the worker: forget a disk, which no machine has any more."""

    disk: int

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.DROP_DISK, 0, self.disk, 0)

    @staticmethod
    def parse(flags: int, disk: int, second: int, payload: bytes) -> "DropDisk":
        """:raises ValueError: no such frame."""
        require_plain("DROP_DISK", flags, second, payload=payload)
        return DropDisk(require_number("DROP_DISK", disk))


@dataclass(frozen=True, slots=True)
class BlockWant:
    """From the worker: a block is wanted; answered by BLOCK."""

    disk: int
    block_no: int

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.BLOCK_WANT, 0, self.disk, self.block_no)

    @staticmethod
    def parse(flags: int, disk: int, block_no: int, payload: bytes) -> "BlockWant":
        """:raises ValueError: no such frame."""
        require_plain("BLOCK_WANT", flags, payload=payload)
        return BlockWant(require_number("BLOCK_WANT", disk), _block_no("BLOCK_WANT", block_no))


@dataclass(frozen=True, slots=True)
class Block:
    """To the worker: a block, or that it cannot be had."""

    disk: int
    block_no: int
    data: bytes | None  # empty: zeros; None: it cannot be had

    def to_bytes(self) -> bytes:
        """The frame."""
        flags = frames.FLAG_FAILED if self.data is None else 0
        return frames.pack(frames.BLOCK, flags, self.disk, self.block_no, self.data or b"")

    @staticmethod
    def parse(flags: int, disk: int, block_no: int, payload: bytes) -> "Block":
        """:raises ValueError: no such frame."""
        failed = require_flag("BLOCK", flags)
        if len(payload) not in ((0,) if failed else (0, abi.DISK_BLOCK_SIZE)):
            raise ValueError(f"a block of {abi.DISK_BLOCK_SIZE} bytes expected, got {len(payload)}")
        return Block(require_number("BLOCK", disk), _block_no("BLOCK", block_no), None if failed else payload)


def _block_no(what: str, number: int) -> int:
    if number >= BLOCKS_MAX:
        raise ValueError(f"{what}: a block below {BLOCKS_MAX} expected, got {number}")
    return number


@dataclass(frozen=True, slots=True)
class Pages:
    """To the worker, before OPEN: what was written to a copy-on-write disk of the machine."""

    machine: int
    place: int
    pages: bytes  # a page set, see `vmimage.disk`

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.PAGES, 0, self.machine, self.place, self.pages)

    @staticmethod
    def parse(flags: int, machine: int, place: int, payload: bytes) -> "Pages":
        """:raises ValueError: no such frame."""
        require_plain("PAGES", flags)
        return Pages(require_number("PAGES machine", machine), _place("PAGES", place), payload)


@dataclass(frozen=True, slots=True)
class Keep:
    """From the worker: pages that a machine wrote, and that shall last, or a part of them.

    A page set is cut between pages: all parts have one token, all but the last say that more follow, and the first has
    the whole head, so that it says all that a flush may be refused for. The whole is answered by DISK_DONE, which may
    come before its end: then no part need follow. DISK_MORE asks for the next part; when a machine is parked, all
    follow unasked.
    """

    machine: int
    token: int  # names the flush, and the answer
    place: int
    more: bool  # the page set goes on in the next one
    part: bytes  # of a page set

    def to_bytes(self) -> bytes:
        """The frame."""
        payload = _PLACE.pack(self.place) + self.part
        return frames.pack(frames.KEEP, frames.FLAG_MORE if self.more else 0, self.machine, self.token, payload)

    @staticmethod
    def parse(flags: int, machine: int, token: int, payload: bytes) -> "Keep":
        """:raises ValueError: no such frame."""
        more = require_flag("KEEP", flags)
        place, part = _split_place("KEEP", payload)
        return Keep(require_number("KEEP machine", machine), token, place, more, part)


@dataclass(frozen=True, slots=True)
class DiskMore:
    """To the worker: the next part of a flush may come."""

    machine: int
    token: int  # of the flush

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.DISK_MORE, 0, self.machine, self.token)

    @staticmethod
    def parse(flags: int, machine: int, token: int, payload: bytes) -> "DiskMore":
        """:raises ValueError: no such frame."""
        require_plain("DISK_MORE", flags, payload=payload)
        return DiskMore(require_number("DISK_MORE machine", machine), token)


@dataclass(frozen=True, slots=True)
class Append:
    """From the worker: a record for a log disk, or the wish that all before be on disk; answered by DISK_DONE."""

    machine: int
    token: int  # names the answer
    place: int
    record: bytes | None  # None: no record

    def to_bytes(self) -> bytes:
        """The frame."""
        flags = frames.FLAG_SYNC if self.record is None else 0
        return frames.pack(
            frames.APPEND, flags, self.machine, self.token, _PLACE.pack(self.place) + (self.record or b"")
        )

    @staticmethod
    def parse(flags: int, machine: int, token: int, payload: bytes) -> "Append":
        """:raises ValueError: no such frame."""
        sync = require_flag("APPEND", flags)
        place, record = _split_place("APPEND", payload)
        if (sync and record) or len(record) > abi.DISK_LENGTH_MAX:
            raise ValueError(f"APPEND: at most {abi.DISK_LENGTH_MAX} bytes expected, none to sync, got {len(record)}")
        return Append(require_number("APPEND machine", machine), token, place, None if sync else record)


def _place(what: str, place: int) -> int:
    if place >= abi.DISKS_MAX:
        raise ValueError(f"{what}: a place below {abi.DISKS_MAX} expected, got {place}")
    return place


def _split_place(what: str, payload: bytes) -> tuple[int, bytes]:
    if len(payload) < _PLACE.size:
        raise ValueError(f"{what}: a place among the machine's disks expected, got {len(payload)} bytes")
    return _place(what, _PLACE.unpack_from(payload)[0]), payload[_PLACE.size :]


@dataclass(frozen=True, slots=True)
class DiskDone:
    """To the worker: what became of a KEEP or an APPEND."""

    machine: int
    token: int
    status: int  # 0 or a negative errno

    def to_bytes(self) -> bytes:
        """The frame."""
        return frames.pack(frames.DISK_DONE, 0, self.machine, self.token, _STATUS.pack(self.status))

    @staticmethod
    def parse(flags: int, machine: int, token: int, payload: bytes) -> "DiskDone":
        """:raises ValueError: no such frame."""
        require_plain("DISK_DONE", flags)
        status = _STATUS.unpack(payload)[0] if len(payload) == _STATUS.size else 1
        if not -_ERRNO_MAX <= status <= 0:
            raise ValueError(f"DISK_DONE: 0 or a negative errno expected, got {payload[:8].hex()}")
        return DiskDone(require_number("DISK_DONE machine", machine), token, status)
