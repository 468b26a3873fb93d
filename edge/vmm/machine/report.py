"""What a publisher gets when a guest dies: why, where, registers, stack. Names for addresses come later."""

import struct
from typing import Any, Final

from edge.vmm.engines.engine import Fault
from edge.vmm.memory.guest_memory import GuestMemory
from vmimage import abi
from vmimage.errors import GuestError, GuestFault
from vmimage.limit_errors import beyond_memory
from vmimage.linux_calls import name_of
from vmimage.snapshot import Registers

_PAGE_FAULT: Final = 14
FRAMES_MAX: Final = 32  # return addresses in a report
STACK_BYTES: Final = 256
_NAMES: Final = "RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15".split()
_UNKNOWN: Final = struct.Struct("<II")
_VECTORS: Final = {
    0: "divide error",
    1: "debug exception",
    3: "breakpoint",
    6: "invalid opcode",
    8: "fault",
    13: "general protection",
    14: "page fault",
    16: "x87 error",
    17: "alignment check",
    19: "SIMD error",
}


def fault_error(fault: Fault, memory_bytes: int) -> GuestError:
    """What a processor exception is to those outside; beyond the machine's memory it is a want of memory."""
    if fault.vector == _PAGE_FAULT and memory_bytes <= fault.cr2 < abi.MEMORY_MAX:
        return beyond_memory(fault.cr2, memory_bytes)
    return GuestFault(describe_fault(fault))


def describe_fault(fault: Fault) -> str:
    """One line: the exception by its name, and where."""
    name = _VECTORS.get(fault.vector, "exception")
    if fault.vector != _PAGE_FAULT:
        return f"{name} (vector {fault.vector}) at RIP {fault.rip:#x}"
    guard = abi.STACK_GUARD_ADDRESS <= fault.cr2 < abi.STACK_ADDRESS
    fiber = (
        abi.FIBER_ADDRESS <= fault.cr2 < abi.LIBOS_ADDRESS and (fault.cr2 - abi.FIBER_ADDRESS) % abi.FIBER_STRIDE < 4096
    )
    why = "stack overflow" if guard or fiber else "null pointer" if fault.cr2 < abi.NULL_GUARD_SIZE else name
    return f"{why} (vector 14, code {fault.error_code:#x}) at RIP {fault.rip:#x}, address {fault.cr2:#x}"


def machine_report(
    error: GuestError, memory: GuestMemory, registers: Registers, *, stack: bool = True
) -> dict[str, Any]:
    """Plain data for JSON: error, message, registers, frames (addresses, innermost first), code and
    stack as hex, and how often which unknown Linux calls were made.

    :param stack: whether its bytes are told, which may be secrets.
    """
    return {
        "error": type(error).__name__,
        "message": str(error),
        "registers": dict(zip(_NAMES, registers.gpr, strict=True)) | {"RIP": registers.rip, "RFLAGS": registers.rflags},
        "frames": [registers.rip, *_return_addresses(memory, registers.gpr[5])],
        "unknown_calls": unknown_calls(memory),
        "code": (memory.read_checked(registers.rip, 16) or b"").hex(),
        "stack": (memory.read_checked(registers.gpr[4], STACK_BYTES) or b"").hex() if stack else "",
    }


def unknown_calls(memory: GuestMemory) -> dict[str, int]:
    """How often a Linux program made calls that the libOS does not know, by name: its own word."""
    counts = _UNKNOWN.iter_unpack(
        memory.read_checked(abi.CONTROL_ADDRESS + abi.CONTROL_UNKNOWN_CALLS, _UNKNOWN.size * abi.UNKNOWN_CALLS_MAX)
        or b""
    )
    return {name_of(number): count for number, count in counts if count}


def _return_addresses(memory: GuestMemory, frame_pointer: int) -> list[int]:
    addresses: list[int] = []
    while len(addresses) < FRAMES_MAX and frame_pointer % 8 == 0:
        frame = memory.read_checked(frame_pointer, 16)
        if frame is None:
            break
        caller, address = struct.unpack("<QQ", frame)
        if address == 0:
            break
        addresses.append(address)
        if caller <= frame_pointer:  # frames lie higher and higher; anything else is not a chain
            break
        frame_pointer = caller
    return addresses
