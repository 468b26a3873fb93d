"""Where SYSCALL goes on: at the address that the guest says in its control page, in ring 3, on every engine.

What a call means is the libOS's business: an engine does what the processor would do under an operating system that
sends every call back to ring 3 (RCX is the next instruction, R11 the flags; the flags themselves may be anything) and,
where it can, does it without leaving the guest. On Unicorn a hook writes the registers. On KVM the processor jumps to a
stub that nobody can write. Where it arrives in ring 0, as hardware does, the stub is one `out` on a page of ring 0's
own, and the VMM puts the guest back into ring 3. Where it arrives in ring 3, which KVM without hardware support does,
the guest may run the stub, and it jumps on; but it looks where it is first. Such a KVM carries out some calls by its
emulator, after MOV SS and with an RSP that is no address, and those arrive in ring 0 all the same.

In ring 0 the guest's RSP is still there, so nothing may be pushed by it: flags that could raise an exception or change
what an instruction means are cleared by the processor on its way (IA32_FMASK, as Linux has it).
"""

import struct
from typing import Final

from edge.vmm.kernel import kvm_api as kvm
from edge.vmm.memory import guest_memory as layout
from edge.vmm.memory.guest_memory import MONITOR_ADDRESS, GuestMemory
from vmimage import abi
from vmimage.snapshot import RFLAGS_FIXED, RFLAGS_GUEST

FIELD: Final = abi.CONTROL_ADDRESS + abi.CONTROL_SYSCALL

# Offsets in the monitor mapping, and where its one page that ring 3 may execute appears in the guest's address space.
STUB_RING_0: Final = 0xA000
STUB: Final = 0xB000
STUB_TABLE: Final = 0xC000
STUB_WORD: Final = 0xE000
STUB_ADDRESS: Final = MONITOR_ADDRESS + (2 << 20)
STUB_RING_0_ADDRESS: Final = MONITOR_ADDRESS + STUB_RING_0
SIZE: Final = 2  # of a SYSCALL instruction, bytes
PORT: Final = 0x21

_ADDRESS: Final = (1 << 47) - 1  # as far as a guest's own go
_NOTHING: Final = bytes(abi.PAGE_SIZE)
_EXIT: Final = bytes((0xE6, PORT, 0xF4))  # out; hlt
# mov [WORD], cs; testb $3, [WORD]; jz 2f; cmpq $0, [FIELD]; je 1f; jmp *[FIELD]; 1: ud2; 2: the exit
_RING_3: Final = (
    b"\x8c\x0c\x25"
    + struct.pack("<I", STUB_ADDRESS + abi.PAGE_SIZE)
    + b"\xf6\x04\x25"
    + struct.pack("<IB", STUB_ADDRESS + abi.PAGE_SIZE, 3)
    + b"\x74\x14"
    + b"\x48\x83\x3c\x25"
    + struct.pack("<IB", FIELD, 0)
    + b"\x74\x07"
    + b"\xff\x24\x25"
    + struct.pack("<I", FIELD)
    + b"\x0f\x0b"
    + _EXIT
)

# Intel SDM volume 4, table 2-2
_STAR: Final = (0xC000_0081, 0x1B << 48 | 0x8 << 32)  # selectors of ring 0; of a return, never taken
_LSTAR, _CSTAR, _FMASK = 0xC000_0082, 0xC000_0083, 0xC000_0084
_SYSENTER: Final = (0x174, 0x175, 0x176)  # CS, ESP, EIP: with a null CS it raises #GP
# CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID (linux/arch/x86/kernel/cpu/common.c, syscall_init). TF would raise #DB in
# ring 0, AC would open the guest's pages to it where SMAP closes them.
FMASK: Final = 0x25_7FD5


def msrs(ring: int) -> tuple[tuple[int, int], ...]:
    """What to write on a host where SYSCALL arrives in that ring: (index, value).

    In ring 3 no flag may be cleared: the guest needs its IOPL to leave for the VMM.
    """
    others = tuple((index, 0) for index in (_CSTAR, *_SYSENTER))
    if ring == 3:
        return (_STAR, (_LSTAR, STUB_ADDRESS), (_FMASK, 0), *others)
    return (_STAR, (_LSTAR, STUB_RING_0_ADDRESS), (_FMASK, FMASK), *others)


def entry(memory: GuestMemory) -> int:
    """Where the guest wants to go on; 0 when nowhere, or outside of its memory."""
    (address,) = struct.unpack_from("<Q", memory.ram, FIELD)
    return address if address < memory.memory_bytes else 0


def lay(page: bytearray, ring: int) -> None:
    """Put the stubs into the monitor's pages; that of ring 3 is within the guest's reach only where it is needed."""
    page[STUB_RING_0 : STUB_RING_0 + len(_EXIT)] = _EXIT
    if ring != 3:
        return
    bits, at_word = layout.PRESENT | layout.USER | 1 << 5, MONITOR_ADDRESS + STUB_WORD  # accessed
    (upper,) = struct.unpack_from("<Q", page, layout.PDPT + 8)
    struct.pack_into("<Q", page, layout.PDPT + 8, upper | layout.USER)  # the pages below decide, each for itself
    struct.pack_into("<Q", page, layout.PD_MONITOR + 8, MONITOR_ADDRESS + STUB_TABLE | bits | layout.WRITABLE)
    word = bits | layout.WRITABLE | layout.NO_EXECUTE | layout.DIRTY
    struct.pack_into("<QQ", page, STUB_TABLE, MONITOR_ADDRESS + STUB | bits | layout.DIRTY, at_word | word)
    page[STUB : STUB + len(_RING_3)] = _RING_3


def leave_at_every_call(memory: GuestMemory) -> None:
    """Have the stub of ring 3 leave for the VMM, as that of ring 0 does: so the way through the VMM can be tested."""
    memory.monitor[STUB : STUB + len(_EXIT)] = _EXIT


def clear_word(memory: GuestMemory) -> None:
    """Leave nothing on the page that the stub of ring 3 keeps its word on, which the guest can write."""
    memory.monitor[STUB_WORD : STUB_WORD + abi.PAGE_SIZE] = _NOTHING


def in_stub(rip: int) -> bool:
    """Whether the guest is on its way between SYSCALL and the entry."""
    return (
        STUB_ADDRESS <= rip < STUB_ADDRESS + abi.PAGE_SIZE
        or STUB_RING_0_ADDRESS <= rip < STUB_RING_0_ADDRESS + abi.PAGE_SIZE
    )


def go_back(words: list[int]) -> None:
    """Registers as before the call that led into its stub; a guest that jumped there may have anything in RCX and R11.

    :param words: in the order of `kvm_api.REGS`.
    """
    words[kvm.RIP] = words[kvm.RCX] - SIZE & _ADDRESS
    words[kvm.RFLAGS] = words[kvm.R11] & RFLAGS_GUEST | RFLAGS_FIXED
