"""A worker's side of disks: blocks that are here, wants under way, and what machines wrote, on its way out.

One cache of blocks for all machines of the worker: a disk that a thousand of them share is here once. A want is sent
once however many machines wait for the block. What goes wrong outside comes back as a failed block or a status, so a
guest gets an I/O error and never waits for ever.
"""

import json
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import zstandard

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.turns.charges import APPEND_NS, BLOCK_WANT_NS, DISK_NS_PER_BYTE, KEEP_NS
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from vmimage import abi
from vmimage.disk import ZERO_BLOCK, cut_pages, decode_pages, encode_pages
from vmimage.drives import WRITTEN_MAX, DriveRef
from vmimage.errors import FormatError

PART_PAGES: Final = 16  # of a flush at a time, 64 KiB: what other machines' answers may have before them
_DRIVE: Final = struct.Struct("<I")
_STATUS: Final = struct.Struct("<i")
_LENGTH: Final = struct.Struct("<I")
_SCRATCH_LEVEL: Final = 1  # zstd: parking is on somebody's critical path

Send = Callable[[bytes], None]  # a frame
ForMachine = Callable[..., None]  # number, action, arguments: what goes wrong in the action ends that machine alone


class Blocks:
    """Blocks of all disks, the least recently used of them dropped beyond a budget."""

    def __init__(self, send: Send) -> None:
        self.budget_bytes = 0
        self.hits = self.misses = self.asked = 0
        self._send = send
        self._held: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._wanted: dict[tuple[int, int], list[Arrived]] = {}
        self._sizes: dict[int, int] = {}  # blocks of each disk

    def __len__(self) -> int:
        return len(self._held)

    def add(self, disk: int, blocks: int) -> None:
        """A disk of which blocks may be asked."""
        self._sizes[disk] = blocks

    def drop(self, disk: int) -> None:
        """Forget a disk that no machine has any more."""
        self._sizes.pop(disk, None)
        for key in [key for key in self._held if key[0] == disk]:
            del self._held[key]

    def get(self, disk: int, block_no: int) -> bytes | None:
        """A block that is here, now the most recently used."""
        if not 0 <= block_no < self._sizes.get(disk, 0):
            return ZERO_BLOCK  # a cow disk may be larger than what lies under it
        block = self._held.get((disk, block_no))
        if block is None:
            self.misses += 1
            return None
        self.hits += 1
        self._held.move_to_end((disk, block_no))
        return block

    def want(self, disk: int, block_no: int, ahead: int, arrived: Arrived) -> int:
        """Ask for a block, and for those behind it that nobody has asked for yet; how many frames that took."""
        before = self.asked
        self._ask(disk, block_no).append(arrived)
        for number in range(block_no + 1, min(block_no + 1 + ahead, self._sizes.get(disk, 0))):
            if (disk, number) not in self._held:
                self._ask(disk, number)
        return self.asked - before

    def _ask(self, disk: int, block_no: int) -> list[Arrived]:
        waiting = self._wanted.get((disk, block_no))
        if waiting is None:
            waiting = self._wanted[disk, block_no] = []
            self.asked += 1
            self._send(frames.pack(frames.BLOCK_WANT, 0, disk, block_no))
        return waiting

    def arrived(self, disk: int, block_no: int, block: bytes | None) -> None:
        """A block came, or None: it cannot be had."""
        if block is not None and disk in self._sizes:
            self._held[disk, block_no] = block
            while len(self._held) * abi.DISK_BLOCK_SIZE > self.budget_bytes and len(self._held) > 1:
                self._held.popitem(last=False)
        for arrived in self._wanted.pop((disk, block_no), ()):
            arrived(block)


class _Backing:
    """What one machine's disks stand on."""

    def __init__(self, owner: "Drives", machine: int, disks: Sequence[int | None]) -> None:
        self._owner, self._machine, self._disks = owner, machine, disks
        self._token = 0
        self.disks: Disks | None = None
        self.asked: dict[int, Done] = {}
        self._parts: dict[int, Iterator[bytes]] = {}  # frames of flushes that are not sent yet, by token

    def block(self, drive: int, block_no: int) -> bytes | None:
        disk = self._disks[drive]
        return ZERO_BLOCK if disk is None else self._owner.blocks.get(disk, block_no)

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        disk = self._disks[drive]
        assert disk is not None

        def arrived_and_wake(block: bytes | None) -> None:
            self._owner.for_machine(self._machine, self._answer, arrived, block)

        self._charge(BLOCK_WANT_NS * self._owner.blocks.want(disk, block_no, ahead, arrived_and_wake))

    def _answer(self, told: Callable[[Any], None], answer: object) -> None:
        told(answer)
        self._owner.wake(self._machine)

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        """A flush goes a part at a time, as the supervisor asks for it: to refuse one costs it next to nothing."""
        token = self._next(done, KEEP_NS + DISK_NS_PER_BYTE * abi.PAGE_SIZE * len(pages))
        self._parts[token] = self._cut(drive, pages, token)
        self.on_more(token)

    def keep_unasked(self, drive: int, pages: dict[int, bytes]) -> None:
        """Send a whole flush: there is no other time for it."""
        token = self._next(lambda _: None, 0)
        for frame in self._cut(drive, pages, token):
            self._owner.send(frame)

    def _cut(self, drive: int, pages: dict[int, bytes], token: int) -> Iterator[bytes]:
        place, parts = _DRIVE.pack(drive), cut_pages(pages, PART_PAGES)
        part = next(parts)
        for following in parts:
            yield frames.pack(frames.KEEP, frames.FLAG_MORE, self._machine, token, place + part)
            part = following
        yield frames.pack(frames.KEEP, 0, self._machine, token, place + part)

    def on_more(self, token: int) -> None:
        """The supervisor is ready for the next part of a flush."""
        frame = next(self._parts.get(token, iter(())), None)
        if frame is not None:
            self._owner.send(frame)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        flags = frames.FLAG_SYNC if record is None else 0
        payload = _DRIVE.pack(drive) + (record or b"")
        token = self._next(done, APPEND_NS + DISK_NS_PER_BYTE * len(payload))
        self._owner.send(frames.pack(frames.APPEND, flags, self._machine, token, payload))

    def _charge(self, cost_ns: int) -> None:
        if self.disks is not None:
            self.disks.account.add(cost_ns)

    def _next(self, done: Done, cost_ns: int) -> int:
        """A token for what costs the supervisor so much."""
        self._charge(cost_ns)
        self._token = token = self._token + 1 & 0xFFFFFFFF
        self.asked[token] = done
        return token

    def on_done(self, token: int, status: int) -> None:
        """The supervisor's answer."""
        self._parts.pop(token, None)
        done = self.asked.pop(token, None)
        if done is not None:
            self._answer(done, status)


class Drives:
    """All disks of all machines of a worker."""

    def __init__(self, send: Send, wake: Callable[[int], None], for_machine: ForMachine) -> None:
        """:param wake: lets a machine go on, by its number."""
        self.blocks = Blocks(send)
        self.send, self.wake, self.for_machine = send, wake, for_machine
        self.handlers: Mapping[int, Callable[[Frame], None]] = {
            frames.DISK: self._on_disk,
            frames.DROP_DISK: lambda frame: self.blocks.drop(frame.machine),
            frames.BLOCK: self._on_block,
            frames.PAGES: self._on_pages,
            frames.DISK_DONE: self._on_done,
            frames.DISK_MORE: self._on_more,
        }
        self._backings: dict[int, _Backing] = {}
        self._written: dict[int, dict[int, bytes]] = {}  # of machines that are about to be opened: page sets by drive

    # Frames

    def _on_disk(self, frame: Frame) -> None:
        about = json.loads(frame.payload)
        self.blocks.budget_bytes = about["cache_bytes"]
        self.blocks.add(frame.machine, about["blocks"])

    def _on_block(self, frame: Frame) -> None:
        size = len(frame.payload)
        if frame.flags & frames.FLAG_FAILED or size not in (0, abi.DISK_BLOCK_SIZE):
            self.blocks.arrived(frame.machine, frame.stream, None)
        elif not frame.payload:
            self.blocks.arrived(frame.machine, frame.stream, ZERO_BLOCK)
        else:
            self.blocks.arrived(frame.machine, frame.stream, frame.payload)
        if size not in (0, abi.DISK_BLOCK_SIZE):  # those who waited for it get an I/O error
            raise ValueError(f"a block of {abi.DISK_BLOCK_SIZE} bytes expected, got {size}")

    def _on_pages(self, frame: Frame) -> None:
        self._written.setdefault(frame.machine, {})[frame.stream] = frame.payload

    def _on_done(self, frame: Frame) -> None:
        backing = self._backings.get(frame.machine)
        if backing is not None:
            backing.on_done(frame.stream, _STATUS.unpack(frame.payload)[0])

    def _on_more(self, frame: Frame) -> None:
        backing = self._backings.get(frame.machine)
        if backing is not None:
            backing.on_more(frame.stream)

    # Machines

    def open(
        self, machine: int, memory: GuestMemory, about: Sequence[Mapping[str, Any]], parked: bytes | None
    ) -> tuple[bytes | None, Disks | None]:
        """The disks of a machine that is being opened, if it has any, and its record alone.

        :param about: from OPEN: each disk's number (None: nothing lies under it), and what its manifest says.
        :param parked: what PARKED carried.
        :raises FormatError: pages or record do not parse.
        """
        written = self._written.pop(machine, {})
        if not about:
            return parked, None
        record, scratch = _split(parked) if parked else (None, b"")
        drives = [Drive(DriveRef(a["bytes"], a["digest"], a["kind"], a["name"])) for a in about]
        for number, drive in enumerate(drives):
            if number in written:
                drive.pages = decode_pages(written[number], drive.ref.bytes)
        for drive, pages in zip(_scratch(drives), _unpack_scratch(scratch, _scratch(drives)), strict=True):
            drive.pages = pages
        backing = self._backings[machine] = _Backing(self, machine, [a["number"] for a in about])
        backing.disks = Disks(memory, drives, backing)
        return record, backing.disks

    def park(self, machine: int, record: bytes) -> bytes:
        """What PARKED carries: the record, and what scratch disks hold. Sends what cow disks hold that is not kept."""
        backing = self._backings.get(machine)
        if backing is None or backing.disks is None:
            return record
        drives = backing.disks.drives
        for number, drive in enumerate(drives):
            if drive.unkept:
                backing.keep_unasked(number, drive.take_unkept())
        return _LENGTH.pack(len(record)) + record + _pack_scratch(_scratch(drives))

    def forget(self, machine: int) -> None:
        """The machine is gone."""
        backing = self._backings.pop(machine, None)
        if backing is not None and backing.disks is not None:
            backing.disks.close()
        self._written.pop(machine, None)

    def held_bytes(self) -> int:
        """Of blocks, which have a budget of their own."""
        return len(self.blocks) * abi.DISK_BLOCK_SIZE

    def statistics(self) -> dict[str, int]:
        """For PONG."""
        return {"blocks": len(self.blocks), "block_hits": self.blocks.hits, "block_misses": self.blocks.misses}


def _split(parked: bytes) -> tuple[bytes, bytes]:
    """The record of a machine with disks, and what its scratch disks held; see `Drives.park`.

    :raises FormatError: shorter than it says.
    """
    if len(parked) < _LENGTH.size or (length := _LENGTH.unpack_from(parked)[0]) > len(parked) - _LENGTH.size:
        raise FormatError(f"record: its length and so many bytes expected, got {len(parked)}")
    return parked[_LENGTH.size : _LENGTH.size + length], parked[_LENGTH.size + length :]


def _scratch(drives: Sequence[Drive]) -> list[Drive]:
    return [drive for drive in drives if drive.ref.kind == "scratch"]


def _pack_scratch(drives: Sequence[Drive]) -> bytes:
    if not any(drive.pages for drive in drives):
        return b""
    sets = [encode_pages(drive.pages) for drive in drives]
    raw = b"".join(_LENGTH.pack(len(data)) + data for data in sets)
    return zstandard.ZstdCompressor(level=_SCRATCH_LEVEL).compress(raw)


def _unpack_scratch(data: bytes, drives: Sequence[Drive]) -> list[dict[int, bytes]]:
    if not data:
        return [{} for _ in drives]
    limit = len(drives) * (WRITTEN_MAX + WRITTEN_MAX // 512)
    try:
        if not 0 <= zstandard.frame_content_size(data) <= limit:
            raise FormatError(f"record: scratch pages of at most {limit} bytes expected")
        raw = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(
            data, max_output_size=limit, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError(f"record: scratch pages in a zstd frame expected: {error}") from None
    found = []
    for drive in drives:
        part, rest = _split(raw)
        found.append(decode_pages(part, drive.ref.bytes))
        raw = rest
    if raw:
        raise FormatError(f"record: scratch pages of {len(drives)} disks expected, {len(raw)} bytes are left")
    return found
