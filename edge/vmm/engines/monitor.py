"""The monitor's own pages as KVM wants them: upper page tables, descriptors, stubs, fault stacks; as a pure function.

They lie below the last-level tables in the monitor's mapping, see `edge.vmm.memory.guest_memory`. Nothing in them
changes while guests run but the fault stacks, which the engine clears: accessed and dirty bits are set from the start,
so pages that differ were changed by somebody who had no right to.

What ring 0 may reach is as little as it needs. Descriptors and stubs can be read or run and not be written; the fault
stacks can be written and not be run; page tables are not mapped at all. Every vector has an interrupt gate to a stub
of its own, one `out`, and switches to a stack of the monitor's: what a guest has in RSP is never used in ring 0, not
even for a fault there. Debug exceptions, NMIs, double faults and machine checks have stacks of their own, since they
can come while another fault is being reported (Intel SDM volume 3, section 6.14.5).
"""

import functools
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.vmm.engines import system_call
from edge.vmm.memory import guest_memory as layout
from edge.vmm.memory.guest_memory import MONITOR_ADDRESS, GuestMemory, PageTemplate
from edge.vmm.memory.page_sets import same_words
from vmimage import abi
from vmimage.snapshot import RFLAGS_FIXED

# Offsets in the monitor's mapping, beside those of `memory` and `system_call`.
IDT: Final = 0x6000
TSS: Final = 0x7000
STUBS: Final = 0x8000
STUB_SIZE: Final = 16
STACKS: Final = 0x9000
PT_MONITOR: Final = 0xD000
SIZE: Final = layout.PT_RAM  # all of it but the last-level tables

VECTORS: Final = 256
FAULT_PORT: Final = 0x20
FRAME_SIZE: Final = 40  # RIP CS RFLAGS RSP SS; 48 with an error code
TSS_SELECTOR: Final = 0x30
GDT_LIMIT: Final = 0x3F
IDT_LIMIT: Final = VECTORS * 16 - 1
_PORT_MAP: Final = 0x68  # in the task state: a bit for each of 256 ports, and a byte that ends the map
TSS_LIMIT: Final = _PORT_MAP + 32

_STACK_SIZE: Final = 256  # of which a frame takes 48 bytes
_OWN_STACK: Final = {1: 2, 2: 3, 8: 4, 18: 5}  # vector -> IST number; all others use the first
STACK_TOPS: Final = tuple(
    MONITOR_ADDRESS + STACKS + abi.PAGE_SIZE - n * _STACK_SIZE for n in range(6)
)  # RSP0, IST 1 to 5
_ACCESSED: Final = 1 << 5
_LEAF: Final = layout.PRESENT | _ACCESSED | layout.DIRTY
_TABLE: Final = layout.PRESENT | layout.WRITABLE | _ACCESSED
# Pages of the monitor that are mapped, for ring 0 only. The way into ring 3 is Unicorn's.
_MAPPED: Final = {
    layout.GDT: _LEAF | layout.NO_EXECUTE,
    layout.ENTRY_STUB: _LEAF,
    IDT: _LEAF | layout.NO_EXECUTE,
    TSS: _LEAF | layout.NO_EXECUTE,
    STUBS: _LEAF,
    STACKS: _LEAF | layout.WRITABLE | layout.NO_EXECUTE,
    system_call.STUB_RING_0: _LEAF,
}


@functools.cache
def pristine(memory_bytes: int, ring: int) -> bytes:
    """The pages of a shell of that much RAM on a host where SYSCALL arrives in that ring."""
    page, at = bytearray(SIZE), MONITOR_ADDRESS

    def put(offset: int, *values: int) -> None:
        struct.pack_into(f"<{len(values)}Q", page, offset, *values)

    put(layout.PML4, (at + layout.PDPT) | _TABLE | layout.USER)
    put(layout.PDPT, (at + layout.PD_RAM) | _TABLE | layout.USER, (at + layout.PD_MONITOR) | _TABLE)
    put(layout.PD_MONITOR, (at + PT_MONITOR) | _TABLE)
    tables = (at + layout.PT_RAM + n * abi.PAGE_SIZE for n in range(memory_bytes >> 21))
    put(layout.PD_RAM, *(table | _TABLE | layout.USER for table in tables))
    for offset, bits in _MAPPED.items():
        put(PT_MONITOR + offset // abi.PAGE_SIZE * 8, (at + offset) | bits)

    # Selectors 0x08 and 0x10: ring 0 code and data; 0x20 and 0x28: ring 3 data and 64-bit code; 0x30: task state.
    put(layout.GDT, 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF)
    tss = at + TSS
    busy = TSS_LIMIT | (tss & 0xFFFFFF) << 16 | 0x8B << 40 | (tss >> 24 & 0xFF) << 56
    put(layout.GDT + TSS_SELECTOR, busy, tss >> 32)
    put(TSS + 4, STACK_TOPS[0])
    put(TSS + 36, *STACK_TOPS[1:])
    # All of a guest's `out` leave for the VMM. A processor goes by IOPL; where that is emulated, by this map of zeros.
    struct.pack_into("<H", page, TSS + 0x66, _PORT_MAP)
    page[TSS + TSS_LIMIT] = 0xFF
    for vector in range(VECTORS):
        stub = at + STUBS + vector * STUB_SIZE
        # Interrupt gates that ring 3 may call: `int n` then looks as it does on Unicorn.
        gate = (stub & 0xFFFF, 8, _OWN_STACK.get(vector, 1), 0xEE, stub >> 16 & 0xFFFF, stub >> 32, 0)
        struct.pack_into("<HHBBHII", page, IDT + 16 * vector, *gate)
        page[stub - at : stub - at + 3] = bytes((0xE6, FAULT_PORT, 0xF4))  # out; hlt

    # As `UnicornEngine` writes them, for a shell whose machine moves there.
    target = abi.LIBOS_ADDRESS + abi.PAGE_SIZE // 2
    put(layout.ENTRY_FRAME, target, layout.CODE_SELECTOR, RFLAGS_FIXED, abi.STACK_ADDRESS, layout.DATA_SELECTOR)
    page[layout.ENTRY_STUB : layout.ENTRY_STUB + 2] = b"\x48\xcf"  # iretq
    system_call.lay(page, ring)
    return bytes(page)


@functools.cache
def _words(memory_bytes: int, ring: int) -> NDArray[np.uint64]:
    return np.frombuffer(pristine(memory_bytes, ring), dtype=np.uint64)


def lay(memory: GuestMemory, ring: int) -> None:
    """Write all of them, whatever was there."""
    memory.monitor[:SIZE] = pristine(memory.memory_bytes, ring)


def changed(memory: GuestMemory, ring: int, template: PageTemplate) -> bool:
    """Whether anything is not as `lay` left it, or an entry of the last level says other than `template`."""
    found = np.frombuffer(memory.monitor, dtype=np.uint64, count=SIZE // 8)
    as_laid = same_words(found, _words(memory.memory_bytes, ring), 0)
    return not (as_laid and same_words(memory.entries, template.entries, _ACCESSED | layout.DIRTY))
