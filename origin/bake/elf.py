"""Reads what the linker wrote: a static x86-64 ELF program, as segments and symbols for the bake.

Only build tools use this; an edge never parses ELF. What is refused here is what a machine could not run: other
processors, dynamic linking, memory that is writable and executable, addresses that belong to the VMM's devices.
"""

import bisect
import io
import itertools
import struct
from dataclasses import dataclass, replace
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from vmimage import abi
from vmimage.errors import PublisherError
from vmimage.manifest import Access
from vmimage.symbols import Symbol

PROGRAM_MAX: Final = 256 << 20  # bytes of the file
SEGMENTS_MAX: Final = 64
SYMBOLS_MAX: Final = 200_000
THREAD_STACK_MAX: Final = 256 << 10  # bytes
LINES_MAX: Final = 512 << 10  # bytes of a line table; larger ones would take longer to read than a program to build
DT_NEEDED: Final = 1  # gABI, "Dynamic Section"

_HEADER_BYTES: Final = 64  # gABI, Elf64_Ehdr: e_shoff at 40, e_shnum and e_shstrndx at 60 and 62
_PF_X, _PF_W, _PF_R = 1, 2, 4  # gABI, "Segment Permissions"
_ACCESS: Final[dict[int, Access]] = {_PF_R: "r", _PF_R | _PF_W: "rw", _PF_W: "rw", _PF_R | _PF_X: "rx", _PF_X: "rx"}


@dataclass(frozen=True, slots=True)
class Segment:
    """`data` at guest address `address`, then zeros up to `memory_size` bytes."""

    address: int
    data: bytes
    memory_size: int
    access: Access


@dataclass(frozen=True, slots=True)
class Program:
    """A linked program: entry point, segments sorted by address, symbols sorted by address."""

    entry: int
    segments: tuple[Segment, ...]
    symbols: tuple[Symbol, ...]
    phdr: int = 0  # address of the ELF program headers where a segment holds them; 0: in none
    phnum: int = 0
    functions: tuple[Symbol, ...] = ()  # those of the symbols that are code


def parse_program(data: bytes, *, named: bool = True) -> Program:
    """Parse a static x86-64 ELF executable; a position-independent one is placed at `PROGRAM_ADDRESS`.

    :param named: with its symbols; reading those of a language's runtime takes a second.
    :raises PublisherError: not one, or not one that fits the architecture's memory map.
    """
    if len(data) > PROGRAM_MAX:
        raise PublisherError(
            f"program: at most {PROGRAM_MAX} bytes expected, got {len(data)}: "
            "strip it, and put data into --files or on a disk"
        )
    try:
        elf = ELFFile(io.BytesIO(data))
        base = _check_header(elf)
        segments = _segments(elf, base)
        symbols = _symbols(elf, base) if named else ()
        headers = _headers_address(elf, base)
        segments = _small_stacks(elf, _without_sections(segments), headers)
        functions = _symbols(elf, base, ("STT_FUNC",)) if named else ()
        lines = (
            () if base or not named else _lines(elf, symbols)
        )  # debug information says addresses before they are moved
        symbols = tuple(sorted((*symbols, *lines), key=lambda s: (s.address, s.size, s.name)))
    except PublisherError:
        raise
    except ELFError as error:
        raise PublisherError(
            f"program: an ELF file expected, got {len(data)} bytes: {error}: give a static program for x86-64 Linux"
        ) from None
    except Exception as error:  # pyelftools lets through whatever a damaged table makes its parsers raise
        raise PublisherError(
            f"program: a sound ELF file expected, got a damaged one: {error!r}: build the program again"
        ) from None
    entry = int(elf.header["e_entry"]) + base
    if not any(s.access == "rx" and s.address <= entry < s.address + len(s.data) for s in segments):
        raise PublisherError(
            f"program: an entry point in executable memory expected, got {entry:#x}: link it with the usual start files"
        )
    return Program(entry, segments, symbols, headers, elf.num_segments(), functions)


def _without_sections(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The ELF header in memory without what it says of sections, which are not loaded.

    Where they stand in the file depends on debug information, and so on the folders of whoever compiled a library.
    """
    return tuple(
        replace(segment, data=segment.data[:40] + bytes(8) + segment.data[48:60] + bytes(4) + segment.data[64:])
        if segment.data.startswith(b"\x7fELF") and len(segment.data) >= _HEADER_BYTES
        else segment
        for segment in segments
    )


def _small_stacks(elf: Any, segments: tuple[Segment, ...], headers: int) -> tuple[Segment, ...]:
    """The size that a linker wishes for stacks, taken out of the headers in memory.

    C libraries give it to every thread, megabytes that other systems have for nothing; a machine's memory is real.
    """
    for number, part in enumerate(elf.iter_segments()):
        if not headers or part["p_type"] != "PT_GNU_STACK" or part["p_memsz"] <= THREAD_STACK_MAX:
            continue
        place = headers + number * elf.header["e_phentsize"] + 40  # p_memsz in Elf64_Phdr
        holder = next(
            segment for segment in segments if segment.address <= headers < segment.address + len(segment.data)
        )
        at = place - holder.address
        data = holder.data[:at] + struct.pack("<Q", THREAD_STACK_MAX) + holder.data[at + 8 :]
        segments = tuple(replace(holder, data=data) if segment is holder else segment for segment in segments)
    return segments


def _headers_address(elf: Any, base: int) -> int:
    """Where the program headers are in memory, which the C library reads there (AT_PHDR)."""
    start = int(elf.header["e_phoff"])
    end = start + elf.num_segments() * elf.header["e_phentsize"]
    for segment in elf.iter_segments():
        offset = segment["p_offset"]
        if segment["p_type"] == "PT_LOAD" and offset <= start and end <= offset + segment["p_filesz"]:
            return int(segment["p_vaddr"]) + base + start - int(offset)
    return 0


def _check_header(elf: Any) -> int:
    """Refuse what is no program for us; what is to be added to its addresses."""
    header = elf.header
    got = (elf.elfclass, elf.little_endian, header["e_machine"], header["e_type"])
    if got[:3] != (64, True, "EM_X86_64") or got[3] not in ("ET_EXEC", "ET_DYN"):
        raise PublisherError(
            f"program: a static x86-64 executable expected, got {got[0]}-bit {got[2]} {got[3]}; "
            "compile it with -target x86_64-linux-musl"
        )
    if elf.num_segments() > SEGMENTS_MAX:
        raise PublisherError(
            f"program: at most {SEGMENTS_MAX} segments expected, got {elf.num_segments()}: "
            "link it without a linker script of its own"
        )
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_INTERP":
            raise PublisherError(
                "program: a static executable expected, got one that wants a dynamic loader; link it with -static"
            )
        if segment["p_type"] == "PT_DYNAMIC" and DT_NEEDED in _tags(segment.data()):
            raise PublisherError(
                "program: a static executable expected, got one that needs shared libraries; link it with -static"
            )
    if got[3] == "ET_EXEC":
        return 0
    lowest = min((int(s["p_vaddr"]) for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"), default=0)
    return max(0, abi.PROGRAM_ADDRESS - lowest // abi.PAGE_SIZE * abi.PAGE_SIZE)


def _tags(dynamic: bytes) -> set[int]:
    """What a dynamic section asks for, up to its end mark."""
    tags = [tag for tag, _ in struct.iter_unpack("<QQ", dynamic[: len(dynamic) // 16 * 16])]
    return set(tags[: tags.index(0)] if 0 in tags else tags)


def _segments(elf: Any, base: int) -> tuple[Segment, ...]:
    segments = []
    for segment in elf.iter_segments():
        if segment["p_type"] != "PT_LOAD" or segment["p_memsz"] == 0:
            continue
        address, size, content = int(segment["p_vaddr"]) + base, int(segment["p_memsz"]), segment.data()
        flags = segment["p_flags"] & 7
        where = f"segment {address:#x}..{address + size:#x}"
        if flags not in _ACCESS:
            raise PublisherError(
                f"program: {where}: readable, never both writable and executable, expected: "
                "link it with -z noexecstack and without -z execstack or -N"
            )
        if address < abi.LIBOS_ADDRESS or address + size > abi.MEMORY_MAX:
            raise PublisherError(
                f"program: {where}: addresses within {abi.LIBOS_ADDRESS:#x}..{abi.MEMORY_MAX:#x} expected: "
                "link it with -static-pie, which lets it be put anywhere"
            )
        if len(content) != segment["p_filesz"] or len(content) > size:
            raise PublisherError(
                f"program: {where}: {segment['p_filesz']} bytes expected, got {len(content)}: "
                "the file is cut off, build it again"
            )
        segments.append(Segment(address, content, size, _ACCESS[flags]))
    segments.sort(key=lambda s: s.address)
    for low, high in itertools.pairwise(segments):
        end, start = low.address + low.memory_size, high.address
        if end > start or (low.access != high.access and (end - 1) // abi.PAGE_SIZE == start // abi.PAGE_SIZE):
            raise PublisherError(
                f"program: segments apart by a page where access differs expected, got {start:#x}: "
                "link it with -z separate-code"
            )
    if not segments:
        raise PublisherError(
            "program: segments to load expected, got none: link it; an object file or a library is no program"
        )
    return tuple(segments)


def _symbols(
    elf: Any, base: int, kinds: tuple[str, ...] = ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE")
) -> tuple[Symbol, ...]:
    section = elf.get_section_by_name(".symtab")
    if section is None or section["sh_type"] != "SHT_SYMTAB":
        return ()
    if section.num_symbols() > SYMBOLS_MAX:
        raise PublisherError(f"program: at most {SYMBOLS_MAX} symbols expected, got {section.num_symbols()}: strip it")
    found = [
        Symbol(int(symbol["st_value"]) + base, int(symbol["st_size"]), str(symbol.name))
        for symbol in section.iter_symbols()
        if symbol["st_info"]["type"] in kinds and symbol["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS") and symbol.name
    ]
    return tuple(sorted(found, key=lambda s: (s.address, s.size, s.name)))


def _lines(elf: Any, symbols: tuple[Symbol, ...]) -> list[Symbol]:
    """What each line of the source became, where the program was compiled with line tables; nothing where it was not.

    Files are named without their folders, so that a program built elsewhere is the same program.
    """
    table = elf.get_section_by_name(".debug_line")
    if table is None or table["sh_size"] > LINES_MAX:
        return []
    functions = [symbol for symbol in symbols if symbol.size]
    starts = [symbol.address for symbol in functions]
    found = []
    dwarf = elf.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        files = [entry.name.decode(errors="replace") for entry in program["file_entry"]]
        first = 1 if program["version"] < 5 else 0  # DWARF 5, section 6.2.4: files count from 0
        states = [entry.state for entry in program.get_entries() if entry.state is not None]
        for state, after in itertools.pairwise(states):
            size, file = after.address - state.address, state.file - first
            if state.end_sequence or size <= 0 or not state.line or not 0 <= file < len(files):
                continue
            place = bisect.bisect_right(starts, state.address) - 1
            if place >= 0 and state.address < starts[place] + functions[place].size:
                name = files[file].replace("\\", "/").rsplit("/", 1)[-1]
                found.append(Symbol(state.address, size, f"{functions[place].name} ({name}:{state.line})"))
    return found[: SYMBOLS_MAX - len(symbols)]
