"""What KVM does differs by host, and with it a virtual CPU: special registers, CPUID, and how CPUID is answered.

Finding it out is the engine's, by running it: see `engine_kvm.facts`.
"""

import functools
import struct
from dataclasses import dataclass
from typing import Final, Literal

from edge.vmm.engines import monitor
from edge.vmm.engines.engine import CPUID
from edge.vmm.kernel import kvm_api as kvm
from edge.vmm.memory import guest_memory as layout
from edge.vmm.memory.guest_memory import MONITOR_ADDRESS, GuestMemory

# Guards of ring 0 that are taken where the host has them: name -> (bit of CR4, register of CPUID leaf 7, its bit).
EBX, ECX = 1, 2
GUARDS: Final = {"SMEP": (1 << 20, EBX, 7), "SMAP": (1 << 21, EBX, 20), "UMIP": (1 << 11, ECX, 2)}
LEAF_7: Final = 7

# CPUID in ring 3 raises #GP, on processors or a KVM that can do that (Intel SDM volume 4: MSR_PLATFORM_INFO bit 31
# says so, MSR_MISC_FEATURES_ENABLES bit 0 asks for it).
CPUID_FAULTING: Final = ((0xCE, 1 << 31), (0x140, 1))
_CPUID: Final = b"\x0f\xa2"
_PREFIXES: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3") | frozenset(range(0x40, 0x50))
_INSTRUCTION_MAX: Final = 15  # bytes


@dataclass(frozen=True)
class KvmFacts:
    """What this host's KVM does."""

    ring: Literal[0, 3]  # where SYSCALL arrives: 0 with VMX and SVM, 3 where ring 0 is emulated by software
    guards: tuple[str, ...] = ()  # of ring 0, by name
    cpuid_is_ours: bool = True  # else a guest sees the host's


@functools.cache
def special_registers(guards: tuple[str, ...]) -> bytes:
    """struct kvm_sregs of every machine, with FS and GS at 0."""
    at = MONITOR_ADDRESS
    area = bytearray(kvm.SREGS_SIZE)
    segments = (kvm.segment(layout.CODE_SELECTOR, 11, long=True), *[kvm.NO_SEGMENT] * 4)  # CS; DS ES FS GS
    task = kvm.segment(monitor.TSS_SELECTOR, 11, base=at + monitor.TSS, limit=monitor.TSS_LIMIT, system=True)
    whole = (*segments, kvm.segment(layout.DATA_SELECTOR, 3), task, kvm.NO_SEGMENT)
    area[: len(whole) * kvm.SEGMENT_SIZE] = b"".join(whole)
    struct.pack_into("<QH", area, kvm.SREGS_GDT, at + layout.GDT, monitor.GDT_LIMIT)
    struct.pack_into("<QH", area, kvm.SREGS_IDT, at + monitor.IDT, monitor.IDT_LIMIT)
    cr4 = layout.CR4 | sum(GUARDS[name][0] for name in guards)
    struct.pack_into("<6Q", area, kvm.SREGS_CONTROL, layout.CR0, 0, at + layout.PML4, cr4, 0, layout.EFER)
    return bytes(area)


def set_cpuid(cpu: int, known: KvmFacts) -> None:
    """The architecture's; and what CR4 needs, which a guest can see only where CPUID in ring 3 does not fault.

    :raises OSError: the kernel refuses.
    """
    guards = [0, 0, 0, 0]
    for name in known.guards:
        _, register, bit = GUARDS[name]
        guards[register] |= 1 << bit
    kvm.set_cpuid(cpu, {**CPUID, LEAF_7: (0, guards[EBX], guards[ECX], 0)}, subleaf_0=(LEAF_7,))


def cpuid_length(memory: GuestMemory, rip: int) -> int:
    """Length of the CPUID instruction there, which the processor has fetched; 0 when there is another."""
    code = memory.ram[rip : rip + _INSTRUCTION_MAX] if rip < memory.memory_bytes else b""
    for at, byte in enumerate(code):
        if byte not in _PREFIXES:
            return at + len(_CPUID) if code[at : at + len(_CPUID)] == _CPUID else 0
    return 0
