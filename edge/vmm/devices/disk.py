"""Disks of a machine: requests from one ring, completions into another, any number of them on one exit.

The device never waits. A read copies what is here and asks its backing for the blocks that are not; each is copied into
the guest's buffer when it arrives, and the last one completes the request. What a guest asks for is checked once, in
`_take`: a wrong field gets a negative errno, a wrong ring index ends the machine.

What the guest wrote (kinds cow and scratch) lies in its drive's `pages`, over the blocks of the disk.
"""

import errno
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.turns.charges import Account
from vmimage import abi
from vmimage.drives import KIND_NUMBERS, WRITTEN_MAX, DriveRef
from vmimage.errors import GuestViolation

READAHEAD_MAX: Final = 8  # blocks asked for beyond the one that is read, once reads are sequential
_PAGE: Final = abi.PAGE_SIZE
_BLOCK: Final = abi.DISK_BLOCK_SIZE
_MASK: Final = 0xFFFFFFFF
_POSITIONS: Final = struct.Struct("<II")
_REQUEST: Final = struct.Struct("<IHHQQII")
_COMPLETION: Final = struct.Struct("<Ii")
_ENTRY: Final = struct.Struct("<QII48s")
_IN: Final = abi.DISK_IN_ADDRESS
_OUT: Final = abi.DISK_OUT_ADDRESS

Done = Callable[[int], None]  # 0 or a negative errno
Arrived = Callable[[bytes | None], None]  # a block, or None: it cannot be had


class Backing(Protocol):
    """Where blocks come from, and what becomes of what shall last. Answers may come before the call returns."""

    def block(self, drive: int, block_no: int) -> bytes | None:
        """A block that is here, BLOCK_SIZE bytes."""

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        """Bring a block, and as many of those behind it as `ahead` says without being asked for them."""

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        """Make what was written to a cow drive last."""

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        """Take a record for a log; None: let all of them be on disk."""


@dataclass(slots=True)
class Drive:
    """One disk of a machine."""

    ref: DriveRef
    pages: dict[int, bytes] = field(default_factory=dict)  # written by the guest: page number to 4096 bytes
    unkept: set[int] = field(default_factory=set)  # of a cow drive: not yet given to the backing
    keeping: bool = False  # the backing has some and has not answered
    flushes: list[int] = field(default_factory=list)  # requests that wait for that, and for what was written since
    last_block: int = -1  # that a read missed
    ahead: int = 0

    @property
    def writable(self) -> bool:
        """Whether WRITE is for it."""
        return self.ref.kind in ("cow", "scratch")

    def take_unkept(self) -> dict[int, bytes]:
        """What was written since the last time."""
        pages = {number: self.pages[number] for number in sorted(self.unkept)}
        self.unkept.clear()
        return pages


class _Request(NamedTuple):
    id: int
    op: int
    drive: int
    offset: int
    address: int
    length: int


class Disks:
    """The disks of one machine, in the order of its image's manifest."""

    def __init__(
        self, memory: GuestMemory, drives: Sequence[Drive], backing: Backing, *, read_only: bool = False
    ) -> None:
        """:param read_only: while baking nothing is written anywhere."""
        self.drives = drives
        self.outstanding = 0  # requests taken and not completed
        self.moved_bytes = 0  # copied in and out since the caller last looked
        self.account = Account(limited=False)  # of what its requests cost outside: the machine's, once it has one
        self.backlog = False  # requests were left in the ring because a turn's worth of that was used up
        self._memory = memory
        self._ram = memoryview(memory.ram)
        self._backing = backing
        self._read_only = read_only
        self._closed = False
        self._in_head = self._out_tail = 0

    def restore(self) -> None:
        """Go on where the guest's memory says that the device was, and say what disks there are.

        The positions are in pages that only the VMM writes; whatever they are, only their distance to the guest's
        counts, which is checked at every look.
        """
        self._in_head, self._out_tail = _POSITIONS.unpack_from(self._ram, _IN)
        table = b"".join(
            _ENTRY.pack(drive.ref.bytes, KIND_NUMBERS[drive.ref.kind], 0, drive.ref.name.encode())
            for drive in self.drives
        )
        struct.pack_into("<I", self._ram, abi.INFO_ADDRESS + abi.INFO_DISKS, len(self.drives))
        self._memory.write(_IN + abi.DISK_TABLE, table.ljust(abi.DISKS_MAX * abi.DISK_ENTRY_SIZE, b"\0"))

    def close(self) -> None:
        """The machine is gone: what is still under way for it goes nowhere."""
        self._closed = True

    def discard(self) -> None:
        """The machine starts again from its image: scratch disks are empty again.

        :raises ValueError: requests are under way.
        """
        if self.outstanding:
            raise ValueError(f"no disk requests under way expected, got {self.outstanding}")
        for drive in self.drives:
            if drive.ref.kind == "scratch":
                drive.pages.clear()

    @property
    def written_bytes(self) -> int:
        """What the guest wrote to them and this process holds, at most WRITTEN_MAX."""
        return sum(len(drive.pages) for drive in self.drives) * _PAGE

    @property
    def busy(self) -> bool:
        """Whether the guest has requests that are not taken or under way, or completions that it has not seen."""
        return self.outstanding > 0 or self.backlog or self.pending()

    def pending(self) -> bool:
        """Whether completions wait for the guest.

        :raises GuestViolation: it says it consumed what was never there.
        """
        return self._unseen() > 0

    def _unseen(self) -> int:
        in_tail = _POSITIONS.unpack_from(self._ram, _OUT)[1]
        unseen: int = self._in_head - in_tail & _MASK
        if unseen > abi.DISK_SLOTS:
            raise GuestViolation(
                f"disk: a tail within {abi.DISK_SLOTS} completions of {self._in_head:#x} expected, got {in_tail:#x}"
            )
        return unseen

    def drain(self) -> None:
        """Take what the guest asks for, as long as there is room for every answer; see `backlog`.

        :raises GuestViolation: a ring index that cannot be.
        """
        self.backlog = False
        out_head = _POSITIONS.unpack_from(self._ram, _OUT)[0]
        waiting = out_head - self._out_tail & _MASK
        if not waiting:
            return
        if waiting > abi.DISK_SLOTS:
            raise GuestViolation(
                f"disk: a head within {abi.DISK_SLOTS} requests of {self._out_tail:#x} expected, got {out_head:#x}"
            )
        room = abi.DISK_SLOTS - self.outstanding - self._unseen()
        for _ in range(min(waiting, room)):
            if self.account.used_up:
                self.backlog = True
                break
            place = _OUT + abi.DISK_REQUESTS + self._out_tail % abi.DISK_SLOTS * abi.DISK_REQUEST_SIZE
            id_, op, drive, offset, address, length, zero = _REQUEST.unpack_from(self._ram, place)
            self._out_tail = self._out_tail + 1 & _MASK
            self.outstanding += 1
            self._take(_Request(id_, op, drive, offset, address, length), zero)
        self._write_positions()

    def _take(self, request: _Request, zero: int) -> None:
        """The one door: what is past it needs no check any more."""
        if request.drive >= len(self.drives):
            return self._complete(request.id, -errno.ENODEV)
        drive = self.drives[request.drive]
        known = request.op in (abi.DISK_READ, abi.DISK_WRITE, abi.DISK_FLUSH, abi.DISK_APPEND)
        if zero or not known or request.length > abi.DISK_LENGTH_MAX:
            return self._complete(request.id, -errno.EINVAL)
        if request.op == abi.DISK_FLUSH:
            return self._flush(request, drive)
        if (request.op == abi.DISK_APPEND) != (drive.ref.kind == "log") or not request.length:
            return self._complete(request.id, -errno.EINVAL)
        if request.op == abi.DISK_READ:
            return self._read(request, drive)
        data = self._memory.read_checked(request.address, request.length)
        if data is None:
            return self._complete(request.id, -errno.EFAULT)
        self.moved_bytes += len(data)
        if request.op == abi.DISK_WRITE:
            return self._complete(request.id, self._write(request, drive, data))
        if self._read_only:
            return self._complete(request.id, -errno.EROFS)
        self._backing.append(request.drive, data, lambda status: self._complete(request.id, status or request.length))
        return None

    # Operations

    def _write(self, request: _Request, drive: Drive, data: bytes) -> int:
        if self._read_only or not drive.writable:
            return -errno.EROFS
        if request.offset % _PAGE or request.length % _PAGE:
            return -errno.EINVAL
        if request.offset + request.length > -(-drive.ref.bytes // _PAGE) * _PAGE:
            return -errno.ENOSPC
        first = request.offset // _PAGE
        numbers = range(first, first + request.length // _PAGE)
        new = sum(number not in drive.pages for number in numbers)
        if self.written_bytes + new * _PAGE > WRITTEN_MAX:
            return -errno.ENOSPC
        for place, number in enumerate(numbers):
            drive.pages[number] = data[place * _PAGE : (place + 1) * _PAGE]
        if drive.ref.kind == "cow":
            drive.unkept.update(numbers)
        return request.length

    def _flush(self, request: _Request, drive: Drive) -> None:
        if drive.ref.kind == "log" and not self._read_only:
            self._backing.append(request.drive, None, lambda status: self._complete(request.id, status))
        elif drive.keeping:
            drive.flushes.append(request.id)
        elif drive.unkept:
            self._keep(request.drive, drive, [request.id])
        else:
            self._complete(request.id, 0)

    def _keep(self, number: int, drive: Drive, flushes: list[int]) -> None:
        """Give the backing what was written, for these flushes; those that come meanwhile wait, and then share one.

        So the backing holds what a drive has once, however often its guest flushes without waiting.
        """
        pages, drive.keeping = drive.take_unkept(), True

        def kept(status: int) -> None:
            drive.keeping = False
            if status:
                drive.unkept.update(pages)  # the next flush tries again
            for id_ in flushes:
                self._complete(id_, status)
            waiting, drive.flushes = drive.flushes, []
            if waiting and not self._closed:
                self._keep(number, drive, waiting)

        self._backing.keep(number, pages, kept)

    def _read(self, request: _Request, drive: Drive) -> None:
        length = min(request.length, max(0, drive.ref.bytes - request.offset))
        if not self._memory.is_writable(request.address, request.length):
            return self._complete(request.id, -errno.EFAULT)
        if not length:
            return self._complete(request.id, 0)
        reading = _Reading(self, request, drive, length)
        for block_no in range(request.offset // _BLOCK, (request.offset + length - 1) // _BLOCK + 1):
            reading.begin(block_no)
        reading.part_done(True)  # what `_Reading` counts for itself
        return None

    def _ahead(self, drive: Drive, block_no: int) -> int:
        """How many blocks to ask for beyond this one, which is not here: more while reads go straight on."""
        straight = 0 <= block_no - drive.last_block - 1 <= drive.ahead
        drive.ahead = min(READAHEAD_MAX, drive.ahead * 2 or 1) if straight and drive.last_block >= 0 else 0
        drive.last_block = block_no
        return drive.ahead

    def _complete(self, id_: int, result: int) -> None:
        if self._closed:
            return
        self.outstanding -= 1
        place = _IN + abi.DISK_COMPLETIONS + self._in_head % abi.DISK_SLOTS * abi.DISK_COMPLETION_SIZE
        _COMPLETION.pack_into(self._ram, place, id_, result)
        self._in_head = self._in_head + 1 & _MASK
        self._write_positions()

    def _write_positions(self) -> None:
        _POSITIONS.pack_into(self._ram, _IN, self._in_head, self._out_tail)
        self._memory.mark_dirty(_IN // _PAGE)


class _Reading:
    """One read: the parts of it that are still missing."""

    __slots__ = ("_disks", "_drive", "_end", "_failed", "_missing", "_request")

    def __init__(self, disks: Disks, request: _Request, drive: Drive, length: int) -> None:
        self._disks, self._request, self._drive = disks, request, drive
        self._end = request.offset + length
        self._missing = 1
        self._failed = False

    def begin(self, block_no: int) -> None:
        """Copy the part that lies in this block, now or when it arrives."""
        disks, request, drive = self._disks, self._request, self._drive
        self._missing += 1
        start = max(request.offset, block_no * _BLOCK)
        end = min(self._end, (block_no + 1) * _BLOCK)
        pages = range(start // _PAGE, (end - 1) // _PAGE + 1)
        if drive.ref.digest is None or all(number in drive.pages for number in pages):
            self._copy(block_no, start, end, bytes(_BLOCK))
            return
        block = disks._backing.block(request.drive, block_no)
        if block is not None:
            self._copy(block_no, start, end, block)
            return
        disks._backing.want(
            request.drive,
            block_no,
            disks._ahead(drive, block_no),
            lambda block: self.part_done(False) if block is None else self._copy(block_no, start, end, block),
        )

    def _copy(self, block_no: int, start: int, end: int, block: bytes) -> None:
        """Bytes [start, end) of the disk, which lie in `block`, and over them what the guest wrote."""
        disks, request = self._disks, self._request
        if disks._closed:
            return
        data = block[start - block_no * _BLOCK : end - block_no * _BLOCK]
        written = self._drive.pages
        if written:
            patched = bytearray(data)
            for number in range(start // _PAGE, (end - 1) // _PAGE + 1):
                page = written.get(number)
                if page is not None:
                    low, high = max(start, number * _PAGE), min(end, (number + 1) * _PAGE)
                    patched[low - start : high - start] = page[low - number * _PAGE : high - number * _PAGE]
            data = bytes(patched)
        disks._memory.write(request.address + start - request.offset, data)
        disks.moved_bytes += len(data)
        self.part_done(True)

    def part_done(self, good: bool) -> None:
        """One part has been copied, or cannot be had."""
        self._failed |= not good
        self._missing -= 1
        if not self._missing:
            result = -errno.EIO if self._failed else self._end - self._request.offset
            self._disks._complete(self._request.id, result)
