"""Where SYSCALL goes on: at the address that the guest says in its control page, in ring 3, on every engine.

What a call means is the libOS's business: an engine does what the processor would do under an operating system that
sends every call back to ring 3 (RCX is the next instruction, R11 the flags) and, where it can, does it without leaving
the guest. On Unicorn a hook writes the registers. On KVM the processor jumps to a stub that the guest may execute and
not write: where it arrives there in ring 3, which KVM without hardware support does, the stub jumps on; where it
arrives in ring 0, as hardware does, the stub is one `out`, and the VMM puts the guest back into ring 3.
"""

import struct
from typing import Final

from edge.vmm import memory as layout
from edge.vmm.memory import MONITOR_ADDRESS, GuestMemory
from vmimage import abi

FIELD: Final = abi.CONTROL_ADDRESS + abi.CONTROL_SYSCALL

# Offsets in the monitor mapping, and where its one page that ring 3 may execute appears in the guest's address space.
STUB: Final = 0xB000
STUB_TABLE: Final = 0xC000
STUB_ADDRESS: Final = MONITOR_ADDRESS + (2 << 20)
PROBE: Final = 0x100  # offset of one SYSCALL instruction in the page
SIZE: Final = 2  # of a SYSCALL instruction, bytes
PORT: Final = 0x21

# cmpq $0, [FIELD]; je 1f; jmp *[FIELD]; 1: ud2
_JUMP: Final = b"\x48\x83\x3c\x25" + struct.pack("<IB", FIELD, 0) + b"\x74\x07" + b"\xff\x24\x25"
_RING_3: Final = _JUMP + struct.pack("<I", FIELD) + b"\x0f\x0b"
_RING_0: Final = bytes((0xE6, PORT, 0xF4))  # out; hlt

# STAR (selectors of ring 0; of a return, never taken), LSTAR, FMASK (Intel SDM volume 4, table 2-2).
MSRS: Final = ((0xC000_0081, 0x1B << 48 | 0x8 << 32), (0xC000_0082, STUB_ADDRESS), (0xC000_0084, 0))


def entry(memory: GuestMemory) -> int:
    """Where the guest wants to go on; 0 when nowhere, or outside of its memory."""
    (address,) = struct.unpack_from("<Q", memory.ram, FIELD)
    return address if address < memory.memory_bytes else 0


def map_stub(memory: GuestMemory) -> None:
    """Make the stub's page executable in ring 3, and nobody's to write."""
    page = memory.monitor
    (upper,) = struct.unpack_from("<Q", page, layout.PDPT + 8)
    struct.pack_into("<Q", page, layout.PDPT + 8, upper | layout.USER)  # the pages below decide, each for itself
    table = layout.PRESENT | layout.WRITABLE | layout.USER
    struct.pack_into("<Q", page, layout.PD_MONITOR + 8, MONITOR_ADDRESS + STUB_TABLE | table)
    struct.pack_into("<Q", page, STUB_TABLE, MONITOR_ADDRESS + STUB | layout.PRESENT | layout.USER)
    page[STUB + PROBE : STUB + PROBE + 2] = b"\x0f\x05"
    write_stub(memory, ring_3=False)


def write_stub(memory: GuestMemory, *, ring_3: bool) -> None:
    """Choose the stub by the ring in which SYSCALL arrives there."""
    code = _RING_3 if ring_3 else _RING_0
    memory.monitor[STUB : STUB + len(code)] = code


def in_stub(rip: int) -> bool:
    """Whether the guest is on its way between SYSCALL and the entry."""
    return STUB_ADDRESS <= rip < STUB_ADDRESS + abi.PAGE_SIZE
