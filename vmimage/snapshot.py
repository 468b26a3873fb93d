"""A machine's state as a value, and as bytes: the record.

One format serves three things, which differ only in what the pages are XORed with: a base image (zero memory), a
derived image (its base) and a parked machine (its image). The state is plain data: no handles, nothing of the engine.

Record: one zstd frame with its content size, over
    u32 magic "NKSN", u32 version
    20 x u64: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 RIP RFLAGS FS_BASE GS_BASE
    512 bytes: the FXSAVE area (Intel SDM volume 1, section 10.5), 64-bit form
    device state, see `DeviceState`
    u32 page count n, u32 zero, n x u32 page numbers (strictly increasing, padded to 8 bytes), n x 4096 bytes XOR
That is version 2, of images. Version 4, of machines, has the pages packed, see `vmimage.pages.PackedPages`: n x 64
bytes of masks, then the words. Its zero may be the size of what follows the pages: the requests that are open in the
machine, see `vmimage.requests`. With them a record goes from one machine to another and is never kept: a parser asks
for it.
Everything is little-endian. A parser of records must assume a hostile writer: a worker parses what its guests made.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import zstandard

from vmimage import abi, requests
from vmimage.compression import WINDOW_MAX, content_size, unpack
from vmimage.errors import FormatError
from vmimage.pages import MASK_BYTES, MASK_WORDS, WORDS_PER_PAGE, PackedPages, PageNos, Pages
from vmimage.pages import unpack as unpack_pages
from vmimage.requests import REQUESTS_MAX, OpenRequests

MAGIC: Final = 0x4E534B4E
VERSION: Final = 2
PACKED_VERSION: Final = 4  # 3 had open requests behind rows of pages, and was never kept
FXSAVE_SIZE: Final = 512
GPR_COUNT: Final = 16
SLICE_PAGES: Final = 256  # of `Slices`: 1 MiB at a time, large against the cost of a call, small against any budget

_HEADER: Final = struct.Struct("<II")
_REGISTERS: Final = struct.Struct("<20Q512s")
_DEVICES: Final = struct.Struct("<IIIIQQQQQQQQII")
_COUNT: Final = struct.Struct("<II")
_FIXED: Final = _HEADER.size + _REGISTERS.size + _DEVICES.size + _COUNT.size

# RFLAGS a guest may hold: CF PF AF ZF SF DF OF AC ID. The rest is the VMM's: IOPL 3, IF and the bit that is always one.
RFLAGS_GUEST: Final = 0x0024_0CD5
RFLAGS_FIXED: Final = 0x3202
_CANONICAL_LOW: Final = 1 << 47
_MXCSR_RESERVED: Final = 0xFFFF0000

# FXSAVE area of a processor that has just been reset by FNINIT: FCW 0x37F, MXCSR 0x1F80.
FXSAVE_CLEAN: Final = struct.pack("<HHHH16xII", 0x37F, 0, 0, 0, 0x1F80, 0xFFFF).ljust(FXSAVE_SIZE, b"\0")


class Zstd:
    """Contexts of one thread, for those who handle many records: to make one takes longer than a small record."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        """The one of a level."""
        if level not in self._compressors:
            self._compressors[level] = zstandard.ZstdCompressor(level=level)
        return self._compressors[level]


@dataclass(frozen=True, slots=True)
class Registers:
    """What of the CPU belongs to the guest. `gpr` in encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15."""

    gpr: tuple[int, ...] = (0,) * GPR_COUNT
    rip: int = 0
    rflags: int = RFLAGS_FIXED
    fs_base: int = 0
    gs_base: int = 0
    fxsave: bytes = field(default=FXSAVE_CLEAN, repr=False)


@dataclass(slots=True)
class DeviceState:
    """What of the devices outlives the engine. Times in nanoseconds of the machine's own timelines."""

    in_head: int = 0  # gate ring to the guest, bytes ever produced, modulo 2^32
    out_tail: int = 0  # gate ring from the guest, bytes ever consumed, modulo 2^32
    console_tail: int = 0
    timer_timeline: int = abi.TIMELINE_PHYSICAL
    timer_deadline_ns: int = 0  # 0: not armed
    timer_fired: int = 0  # 0 or 1: IRQ_TIMER is pending
    mono_ns: int = 0  # physical time this machine has been resident
    virtual_ns: int = 0  # CPU time it has had
    idle_until_ns: int = 0  # mono_ns at which an IDLE in progress ends; 0: the guest is running, not idle
    entry: int = 0  # the program's entry point, 0 in a base
    heap: int = 0  # first free address after the program
    files: int = 0  # address of the read-only files; 0: none
    phdr: int = 0  # the program's ELF headers in memory, and how many
    phnum: int = 0
    kind: int = abi.PROGRAM_NATIVE  # abi.PROGRAM_*


@dataclass(frozen=True, slots=True)
class ProgramPlace:
    """What the libOS is told of the program: the fields of `DeviceState` of these names."""

    entry: int = 0
    heap: int = 0
    files: int = 0
    phdr: int = 0
    phnum: int = 0
    kind: int = abi.PROGRAM_NATIVE

    @classmethod
    def of(cls, devices: DeviceState) -> "ProgramPlace":
        """The part of `devices` that speaks of the program."""
        return cls(devices.entry, devices.heap, devices.files, devices.phdr, devices.phnum, devices.kind)

    def fields(self) -> dict[str, int]:
        """By name, as `DeviceState` takes them."""
        return {
            "entry": self.entry,
            "heap": self.heap,
            "files": self.files,
            "phdr": self.phdr,
            "phnum": self.phnum,
            "kind": self.kind,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A machine's state; `pages` are XOR differences against the reference that the record's user knows.

    Those of an image are rows, those of a machine packed. Only a machine's has `requests`, where it was captured while
    it served.
    """

    registers: Registers
    devices: DeviceState
    page_nos: PageNos = field(repr=False)
    pages: Pages | PackedPages = field(repr=False)
    requests: OpenRequests | None = None

    @property
    def rows(self) -> Pages:
        """The pages as rows."""
        return unpack_pages(self.pages) if isinstance(self.pages, PackedPages) else self.pages


def record_size(page_count: int) -> int:
    """Size in bytes of an uncompressed record of version 2 of that many pages."""
    return _pages_start(page_count) + page_count * abi.PAGE_SIZE


def _pages_start(page_count: int) -> int:
    return _FIXED + (page_count * 4 + 7 & ~7)


def encode(snapshot: Snapshot, *, level: int = 3, zstd: Zstd | None = None) -> bytes:
    """The record as bytes, compressed at zstd `level`."""
    r, d = snapshot.registers, snapshot.devices
    count = len(snapshot.page_nos)
    numbers = snapshot.page_nos.astype("<u4").tobytes()
    pages, opened = snapshot.pages, b""
    packed = isinstance(pages, PackedPages)
    if snapshot.requests is not None:
        if not packed:
            raise ValueError("packed pages expected in the state of a machine that serves")
        opened = requests.encode(snapshot.requests)
    raw = b"".join(
        (
            _HEADER.pack(MAGIC, PACKED_VERSION if packed else VERSION),
            _REGISTERS.pack(*r.gpr, r.rip, r.rflags, r.fs_base, r.gs_base, r.fxsave),
            _DEVICES.pack(
                d.in_head,
                d.out_tail,
                d.console_tail,
                d.timer_timeline | d.timer_fired << 8,
                d.timer_deadline_ns,
                d.mono_ns,
                d.virtual_ns,
                d.idle_until_ns,
                d.entry,
                d.heap,
                d.files,
                d.phdr,
                d.phnum,
                d.kind,
            ),
            _COUNT.pack(count, len(opened)),
            numbers.ljust(len(numbers) + 7 & ~7, b"\0"),
            *(np.ascontiguousarray(part).data for part in (pages if isinstance(pages, PackedPages) else (pages,))),
            opened,
        )
    )
    return (zstd or Zstd()).compressor(level).compress(raw)


def decode(
    record: bytes, *, memory_bytes: int, live: bool = False, bytes_max: int | None = None, zstd: Zstd | None = None
) -> Snapshot:
    """Parse a record for a machine with `memory_bytes` of memory.

    :param live: requests may be open in it. In what was kept they may not: nobody is there to take the answers.
    :param bytes_max: of pages, where whoever makes such records is held to fewer than the machine has.
    :raises FormatError: not a record of this version, larger than such a machine's could be, or with a value a machine
        cannot hold. Nothing is decompressed before its size is known to be possible.
    """
    pages_max = (memory_bytes if bytes_max is None else min(memory_bytes, bytes_max)) // abi.PAGE_SIZE
    limit = _size_max(pages_max) + REQUESTS_MAX * live
    raw = unpack("record", record, limit, decompressor=zstd.decompressor if zstd is not None else None)
    fixed = _parse_fixed(raw, len(raw), pages_max, live=live)
    page_nos = _parse_page_nos(raw, _FIXED, fixed.page_count, memory_bytes)
    start, end = _pages_start(fixed.page_count), len(raw) - fixed.opened_bytes
    pages: Pages | PackedPages
    if fixed.packed:
        pages = _parse_packed(raw, start, end, fixed.page_count)
    else:
        words = fixed.page_count * WORDS_PER_PAGE
        pages = np.frombuffer(raw, dtype="<u8", count=words, offset=start).reshape(fixed.page_count, WORDS_PER_PAGE)
    opened = requests.decode(raw[end:]) if fixed.opened_bytes else None
    return Snapshot(fixed.registers, fixed.devices, page_nos, pages, opened)


def _size_max(pages_max: int) -> int:
    """Of what a record without open requests holds: all pages that it may have, and none with a zero in it."""
    return record_size(pages_max) + pages_max * MASK_BYTES


def _parse_packed(raw: bytes, start: int, end: int, count: int) -> PackedPages:
    """:raises FormatError: there are not as many words as the masks say."""
    at = start + count * MASK_BYTES
    word_count = int.from_bytes(memoryview(raw)[start:at], "little").bit_count()
    if end - at != word_count * 8:
        raise FormatError(f"record: {word_count} words by their masks expected, got {end - at} bytes")
    masks = np.frombuffer(raw, dtype="<u8", count=count * MASK_WORDS, offset=start).reshape(count, MASK_WORDS)
    return PackedPages(masks, np.frombuffer(raw, dtype="<u8", count=word_count, offset=at))


class Slices:
    """A record that is parsed without ever being in memory whole: first what is before the pages, then the pages.

    Iterate once, for (page numbers, pages) of `SLICE_PAGES` each, as rows; of a record of version 2, as images have.
    What is held is a slice, the page numbers and the window of the zstd frame, which is no more than its content.
    """

    def __init__(self, record: bytes, *, memory_bytes: int) -> None:
        """:raises FormatError: as `decode`, but for what is wrong with the pages, which shows when they are read."""
        pages_max = memory_bytes // abi.PAGE_SIZE
        size = content_size("record", record, _size_max(pages_max))
        context = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)
        self._source = context.stream_reader(record, read_across_frames=True)  # so that what follows the frame shows
        fixed = _parse_fixed(self._read(_FIXED), size, pages_max, live=False)
        self.registers, self.devices, self._packed = fixed.registers, fixed.devices, fixed.packed
        self.page_nos = _parse_page_nos(self._read(fixed.page_count * 4 + 7 & ~7), 0, fixed.page_count, memory_bytes)

    def __iter__(self) -> Iterator[tuple[PageNos, Pages]]:
        """:raises FormatError: the frame is damaged, something follows it, or it is a machine's."""
        if self._packed:
            raise FormatError(f"record: version {VERSION} expected, got {PACKED_VERSION}")
        for start in range(0, len(self.page_nos), SLICE_PAGES):
            numbers = self.page_nos[start : start + SLICE_PAGES]
            raw = self._read(len(numbers) * abi.PAGE_SIZE)
            yield numbers, np.frombuffer(raw, dtype="<u8").reshape(-1, WORDS_PER_PAGE)
        if self._read(1, exactly=False):
            raise FormatError("record: one zstd frame expected, got more")

    def _read(self, size: int, *, exactly: bool = True) -> bytes:
        try:
            data: bytes = self._source.read(size)
        except zstandard.ZstdError as error:
            raise FormatError(f"record: a zstd frame expected: {error}") from None
        if exactly and len(data) != size:
            raise FormatError(f"record: {size} bytes more expected, got {len(data)}")
        return data


class _Fixed(NamedTuple):
    """What is before the page numbers."""

    registers: Registers
    devices: DeviceState
    page_count: int
    packed: bool
    opened_bytes: int  # of open requests


def _parse_fixed(raw: bytes, size: int, pages_max: int, *, live: bool) -> _Fixed:
    """What is before the page numbers.

    :param raw: at least the first `_FIXED` bytes of a record of `size` bytes.
    :raises FormatError: see `decode`.
    """
    if len(raw) < _FIXED:
        raise FormatError(f"record: at least {_FIXED} bytes expected, got {len(raw)}")
    magic, version = _HEADER.unpack_from(raw, 0)
    if magic != MAGIC or version not in (VERSION, PACKED_VERSION):
        raise FormatError(
            f"record: magic {MAGIC:#x} version {VERSION} or {PACKED_VERSION} expected, got {magic:#x} version {version}"
        )
    *cpu, fxsave = _REGISTERS.unpack_from(raw, _HEADER.size)
    registers = Registers(tuple(cpu[:16]), cpu[16], cpu[17], cpu[18], cpu[19], fxsave)
    _check_registers(registers)
    devices = _decode_devices(_DEVICES.unpack_from(raw, _HEADER.size + _REGISTERS.size))
    count, opened_bytes = _COUNT.unpack_from(raw, _FIXED - _COUNT.size)
    packed = version == PACKED_VERSION
    if opened_bytes and not (live and packed):
        raise FormatError("record: no open requests expected in what is kept")
    least = _pages_start(count) + (MASK_BYTES if packed else abi.PAGE_SIZE) * count + opened_bytes
    fits = least <= size if packed else least == size
    if count > pages_max:
        raise FormatError(f"record: at most {pages_max} pages expected, got {count}")
    if not fits:
        raise FormatError(f"record: {count} pages and {opened_bytes} bytes of requests do not make {size} bytes")
    return _Fixed(registers, devices, count, packed, opened_bytes)


def _parse_page_nos(raw: bytes, offset: int, count: int, memory_bytes: int) -> PageNos:
    """:raises FormatError: they do not increase, or are outside of a machine's memory."""
    page_nos = np.frombuffer(raw, dtype="<u4", count=count, offset=offset).astype(np.uint32, copy=False)
    first, last = abi.NULL_GUARD_SIZE // abi.PAGE_SIZE, memory_bytes // abi.PAGE_SIZE
    if count and (page_nos[0] < first or page_nos[-1] >= last or bool((page_nos[1:] <= page_nos[:-1]).any())):
        raise FormatError(f"record: page numbers must increase within {first}..{last - 1}")
    return page_nos


def _check_registers(registers: Registers) -> None:
    """Refuse what a processor would not load in ring 3."""
    if registers.rflags & ~RFLAGS_GUEST != RFLAGS_FIXED:
        raise FormatError(f"record: RFLAGS {registers.rflags:#x} has bits a guest may not set")
    for name, base in (("RIP", registers.rip), ("FS", registers.fs_base), ("GS", registers.gs_base)):
        if base >= _CANONICAL_LOW:
            raise FormatError(f"record: {name} {base:#x} is not an address a guest can have")
    (mxcsr,) = struct.unpack_from("<I", registers.fxsave, 24)
    if mxcsr & _MXCSR_RESERVED:
        raise FormatError(f"record: MXCSR {mxcsr:#x} has reserved bits")


def _decode_devices(values: tuple[int, ...]) -> DeviceState:
    in_head, out_tail, console_tail, timer, deadline, mono, virtual, idle_until, *program = values
    entry, heap, files, phdr, phnum, kind = program
    timeline, fired = timer & 0xFF, timer >> 8
    if timeline > abi.TIMELINE_VIRTUAL or fired > 1 or in_head % 8 or out_tail % 8 or max(mono, virtual) >> 63:
        raise FormatError("record: device state out of range")
    if max(entry, heap, files, phdr) > abi.MEMORY_MAX or files % abi.PAGE_SIZE:
        raise FormatError(f"record: entry {entry:#x}, heap {heap:#x} and files {files:#x} in memory expected")
    if kind > abi.PROGRAM_RUN:
        raise FormatError(f"record: a kind of program up to {abi.PROGRAM_RUN} expected, got {kind}")
    return DeviceState(
        *(in_head, out_tail, console_tail, timeline, deadline, fired, mono, virtual, idle_until),
        *(entry, heap, files, phdr, phnum, kind),
    )
