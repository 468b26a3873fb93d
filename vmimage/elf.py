"""Reads what the linker wrote: a static x86-64 ELF program, as segments and symbols for the bake.

Only build tools use this; an edge never parses ELF. What is refused here is what a machine could not run: other
processors, dynamic linking, memory that is writable and executable, addresses that belong to the VMM's devices.
"""

import bisect
import io
import itertools
from dataclasses import dataclass
from typing import Any, Final

from vmimage import abi
from vmimage.errors import PublisherError
from vmimage.manifest import Access

PROGRAM_MAX: Final = 256 << 20  # bytes of the file
SEGMENTS_MAX: Final = 64
SYMBOLS_MAX: Final = 200_000
LINES_MAX: Final = 512 << 10  # bytes of a line table; larger ones would take longer to read than a program to build

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
class Symbol:
    """A function, an object, or a line of a function ("name (file.c:12)"); `size` in bytes, 0 when nobody says."""

    address: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Program:
    """A linked program: entry point, segments sorted by address, symbols sorted by address."""

    entry: int
    segments: tuple[Segment, ...]
    symbols: tuple[Symbol, ...]


def parse_program(data: bytes) -> Program:
    """Parse a static x86-64 ELF executable.

    :raises PublisherError: not one, or not one that fits the architecture's memory map.
    """
    # Here, not above: edges import this module for `Symbol`, and pyelftools comes only with the `build` extra.
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    if len(data) > PROGRAM_MAX:
        raise PublisherError(f"program: at most {PROGRAM_MAX} bytes expected, got {len(data)}")
    try:
        elf = ELFFile(io.BytesIO(data))
        _check_header(elf)
        segments = _segments(elf)
        symbols = _symbols(elf)
        symbols = tuple(sorted((*symbols, *_lines(elf, symbols)), key=lambda s: (s.address, s.size, s.name)))
    except PublisherError:
        raise
    except ELFError as error:
        raise PublisherError(f"program: an ELF file expected, got {len(data)} bytes: {error}") from None
    except Exception as error:  # pyelftools lets through whatever a damaged table makes its parsers raise
        raise PublisherError(f"program: a sound ELF file expected, got a damaged one: {error!r}") from None
    entry = int(elf.header["e_entry"])
    if not any(s.access == "rx" and s.address <= entry < s.address + len(s.data) for s in segments):
        raise PublisherError(f"program: an entry point in executable memory expected, got {entry:#x}")
    return Program(entry, segments, symbols)


def _check_header(elf: Any) -> None:
    header = elf.header
    got = (elf.elfclass, elf.little_endian, header["e_machine"], header["e_type"])
    if got != (64, True, "EM_X86_64", "ET_EXEC"):
        raise PublisherError(
            f"program: a static x86-64 executable (ET_EXEC) expected, got {got[0]}-bit {got[2]} {got[3]}"
        )
    if elf.num_segments() > SEGMENTS_MAX:
        raise PublisherError(f"program: at most {SEGMENTS_MAX} segments expected, got {elf.num_segments()}")


def _segments(elf: Any) -> tuple[Segment, ...]:
    segments = []
    for segment in elf.iter_segments():
        kind = segment["p_type"]
        if kind in ("PT_INTERP", "PT_DYNAMIC"):
            raise PublisherError(f"program: a static executable expected, got one with {kind}")
        if kind != "PT_LOAD" or segment["p_memsz"] == 0:
            continue
        address, size, content = int(segment["p_vaddr"]), int(segment["p_memsz"]), segment.data()
        flags = segment["p_flags"] & 7
        where = f"segment {address:#x}..{address + size:#x}"
        if flags not in _ACCESS:
            raise PublisherError(f"program: {where}: readable, never both writable and executable, expected")
        if address < abi.LIBOS_ADDRESS or address + size > abi.MEMORY_MAX:
            raise PublisherError(
                f"program: {where}: addresses within {abi.LIBOS_ADDRESS:#x}..{abi.MEMORY_MAX:#x} expected"
            )
        if len(content) != segment["p_filesz"] or len(content) > size:
            raise PublisherError(f"program: {where}: {segment['p_filesz']} bytes expected, got {len(content)}")
        segments.append(Segment(address, content, size, _ACCESS[flags]))
    segments.sort(key=lambda s: s.address)
    for low, high in itertools.pairwise(segments):
        end, start = low.address + low.memory_size, high.address
        if end > start or (low.access != high.access and (end - 1) // abi.PAGE_SIZE == start // abi.PAGE_SIZE):
            raise PublisherError(f"program: segments apart by a page where access differs expected, got {start:#x}")
    if not segments:
        raise PublisherError("program: segments to load expected, got none")
    return tuple(segments)


def _symbols(elf: Any) -> tuple[Symbol, ...]:
    section = elf.get_section_by_name(".symtab")
    if section is None or section["sh_type"] != "SHT_SYMTAB":
        return ()
    if section.num_symbols() > SYMBOLS_MAX:
        raise PublisherError(f"program: at most {SYMBOLS_MAX} symbols expected, got {section.num_symbols()}")
    found = [
        Symbol(int(symbol["st_value"]), int(symbol["st_size"]), str(symbol.name))
        for symbol in section.iter_symbols()
        if symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE")
        and symbol["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS")
        and symbol.name
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
