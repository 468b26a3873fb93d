"""What Unicorn cannot translate ends the run, not the process.

Unicorn's translator calls `abort()` when it finds itself in a state that it holds for impossible. Guest code can bring
it there: `lock bts %eax,%eax`, which a processor refuses, uses a value that was never made. Such bytes cannot be
refused when an image is verified, since they stand in honest programs too, across the border of two instructions that
nobody jumps into: `mov %rsi,%rax; btr $63,%rax` is 48 89 [f0 48 0f ba f0] 3f. `docs/adr/` has the numbers.

So the library's own calls of `abort` and `exit` are led to a few instructions of ours. While the thread that calls is
in `cpu_exec` they count it and leave the run as Unicorn's own faults do: an invalid opcode, and `cpu_loop_exit`.
Elsewhere they go on to the C library's. The way there is the library's table of imported functions (System V ABI,
"Procedure Linkage Table"), where `cpu_exec` stands too; that is entered once a run, so nothing else costs anything.

Rules for callers: `contain` before anything runs; when a run has failed, `happened` tells whether it was this. What was
half translated is forgotten by Unicorn, but that instance should not be trusted again.
"""

import ctypes
import functools
import mmap
import platform
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from unicorn.unicorn_py3.unicorn import uclib

_INVALID_OPCODE: Final = 6
_R_X86_64_JUMP_SLOT: Final = 7  # System V AMD64 ABI, "Relocation Types"
_DATA: Final = mmap.PAGESIZE  # where data begins, behind a page of code
# Places in the data, in bytes.
_CPU, _THREAD, _COUNT, _CPU_EXEC, _ABORT, _EXIT, _LOOP_EXIT = range(_DATA, _DATA + 56, 8)
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
_SYMBOL: Final = struct.Struct("<IBBHQQ")  # Elf64_Sym
_RELOCATION: Final = struct.Struct("<QQq")  # Elf64_Rela
_SHT_RELA, _SHT_DYNSYM = 4, 11
_SHF_ALLOC: Final = 2
# cpu_loop_exit_noexc: sub $8,%rsp; movl $-1,exception_index(%rdi); and only the offset in it is not known.
_NO_EXCEPTION: Final = (b"\x48\x83\xec\x08\xc7\x87", b"\xff\xff\xff\xff")


@functools.cache
def contain() -> bool:
    """Lead `abort` and `exit` of Unicorn's library to our own way out; False, with a warning: not with this library."""
    try:
        if platform.machine() != "x86_64":
            raise ValueError(f"a host of x86_64 expected, got {platform.machine()}")
        library = ctypes.CDLL(uclib._name)
        slots = _slots(Path(uclib._name), library)
        missing = {"abort", "exit", "cpu_exec_x86_64"} - slots.keys()
        if missing:
            raise LookupError(f"imports of {sorted(missing)} expected")
        code = _Code(library)
    except (OSError, ValueError, LookupError, AttributeError, struct.error) as error:
        warnings.warn(f"unicorn: instructions that it cannot translate end the process: {error}", stacklevel=2)
        return False
    for name, place in (("cpu_exec_x86_64", code.enter), ("abort", code.abort), ("exit", code.exit)):
        ctypes.c_uint64.from_address(slots[name]).value = place
    _installed.append(code)
    return True


def happened() -> bool:
    """Whether a run ended where the process would have, since this was last asked."""
    return bool(_installed) and _installed[0].take()


class _Code:
    """The instructions and their data, in two pages of their own that are never given back."""

    def __init__(self, library: Any) -> None:
        c = ctypes.CDLL(None)
        self._pages = mmap.mmap(-1, 2 * mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        self._count = ctypes.c_uint64.from_address(self._address + _COUNT)
        functions = {
            _CPU_EXEC: library.cpu_exec_x86_64,
            _LOOP_EXIT: library.cpu_loop_exit_x86_64,
            _ABORT: c.abort,
            _EXIT: c.exit,
        }
        for place, function in functions.items():
            struct.pack_into("<Q", self._pages, place, _address_of(function))
        exception_index = _exception_index(library)
        self._end = 0
        self.enter = self._put(
            b"\x64\x48\x8b\x04\x25\0\0\0\0",  # mov %fs:0,%rax: a number of the thread
            (b"\x48\x89\x05", _THREAD),  # mov %rax,thread
            (b"\x48\x89\x35", _CPU),  # mov %rsi,cpu
            b"\x48\x83\xec\x08",  # sub $8,%rsp
            (b"\xff\x15", _CPU_EXEC),  # call *cpu_exec
            b"\x31\xd2",  # xor %edx,%edx
            (b"\x48\x89\x15", _CPU),  # mov %rdx,cpu
            b"\x48\x83\xc4\x08",  # add $8,%rsp
            b"\xc3",  # ret
        )
        self.abort, self.exit = (self._leave(exception_index, place) for place in (_ABORT, _EXIT))
        if c.mprotect(ctypes.c_void_p(self._address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError("a page of code expected, mprotect refuses")

    def _leave(self, exception_index: int, elsewhere: int) -> int:
        out = (
            (b"\x48\xff\x05", _COUNT),  # incq count
            b"\x48\x89\xcf",  # mov %rcx,%rdi
            b"\xc7\x87" + struct.pack("<ii", exception_index, _INVALID_OPCODE),  # movl $6,exception_index(%rdi)
            (b"\xff\x25", _LOOP_EXIT),  # jmp *cpu_loop_exit
        )
        size = sum(len(part) if isinstance(part, bytes) else len(part[0]) + 4 for part in out)
        return self._put(
            (b"\x48\x8b\x0d", _CPU),  # mov cpu,%rcx
            b"\x64\x48\x8b\x04\x25\0\0\0\0",  # mov %fs:0,%rax
            b"\x48\x85\xc9",  # test %rcx,%rcx
            b"\x74" + bytes([9 + size]),  # jz elsewhere
            (b"\x48\x3b\x05", _THREAD),  # cmp thread,%rax
            b"\x75" + bytes([size]),  # jne elsewhere
            *out,
            (b"\xff\x25", elsewhere),  # jmp *elsewhere
        )

    def _put(self, *parts: bytes | tuple[bytes, int]) -> int:
        """Add instructions; those given with a place in the data address it from their own end. Their address."""
        start = self._end
        for part in parts:
            if isinstance(part, tuple):
                code, place = part
                part = code + struct.pack("<i", place - (self._end + len(code) + 4))
            self._pages[self._end : self._end + len(part)] = part
            self._end += len(part)
        return self._address + start

    def take(self) -> bool:
        """Whether runs ended here since the last call."""
        happened = self._count.value > 0
        self._count.value = 0
        return happened


_installed: Final[list[_Code]] = []


def _address_of(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _exception_index(library: Any) -> int:
    """Where a CPU keeps its exception, in bytes, as the function that clears it says.

    :raises ValueError: it is another function.
    """
    before, after = _NO_EXCEPTION
    code = ctypes.string_at(_address_of(library.cpu_loop_exit_noexc_x86_64), len(before) + 4 + len(after))
    if not code.startswith(before) or not code.endswith(after):
        raise ValueError(f"cpu_loop_exit_noexc as it was known expected, got {code.hex()}")
    return int.from_bytes(code[len(before) : len(before) + 4], "little")


def _slots(path: Path, library: Any) -> dict[str, int]:
    """Name of an imported function -> address of the slot that calls of it go through.

    :raises ValueError: a slot cannot be written.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        offset, size, number = struct.unpack_from("<Q10xHH", data, 40)  # Elf64_Ehdr: e_shoff, e_shentsize, e_shnum
        sections = [_SECTION.unpack_from(data, offset + size * n) for n in range(number)]
        (symbols,) = (section for section in sections if section[1] == _SHT_DYNSYM)
        names = sections[symbols[6]][4]

        def symbol(index: int) -> tuple[str, int]:
            name, _, _, _, value, _ = _SYMBOL.unpack_from(data, symbols[4] + index * _SYMBOL.size)
            return data[names + name : data.find(b"\0", names + name)].decode(), value

        found, values = {}, {}
        for section in sections:
            if section[1] != _SHT_RELA or not section[2] & _SHF_ALLOC:
                continue
            for place, info, _ in _RELOCATION.iter_unpack(data[section[4] : section[4] + section[5]]):
                if info & 0xFFFF_FFFF == _R_X86_64_JUMP_SLOT:
                    name, value = symbol(info >> 32)
                    found[name] = place
                    values[name] = value
    base = _address_of(library.cpu_exec_x86_64) - values["cpu_exec_x86_64"]
    slots = {name: base + place for name, place in found.items() if name in ("abort", "exit", "cpu_exec_x86_64")}
    for name, slot in slots.items():
        if not any(start <= slot < end for start, end in _writable()):
            raise ValueError(f"{name}: a slot that can be written expected")
    return slots


def _writable() -> Iterator[tuple[int, int]]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, *_ = line.split()
        if access.startswith("rw"):
            start, end = span.split("-")
            yield int(start, 16), int(end, 16)
