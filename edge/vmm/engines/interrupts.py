"""Interrupts: how the VMM makes a guest go on at its handler; `vmimage.abi` says what it finds on its stack there."""

import struct
from dataclasses import replace
from typing import Final

from edge.vmm.engines.engine import Engine
from edge.vmm.memory.guest_memory import GuestMemory
from vmimage import abi
from vmimage.errors import GuestViolation

_RSP: Final = 4  # its place in `Registers.gpr`
_CONTROL: Final = struct.Struct("<3Q")  # enable, mask, handler
_FRAME: Final = struct.Struct("<2Q")  # RFLAGS, RIP


def wanted(memory: GuestMemory, interrupt: int) -> bool:
    """Whether the guest has it in its mask, and so looks at it or is interrupted by it."""
    _, mask, _ = _CONTROL.unpack_from(memory.ram, abi.CONTROL_ADDRESS + abi.CONTROL_IRQ_ENABLE)
    return bool(mask & interrupt)


def deliver(engine: Engine, memory: GuestMemory, pending: int) -> None:
    """Interrupt the guest, if it wants any of those that are pending now.

    :raises GuestViolation: it has no such handler, or no stack.
    """
    enabled, mask, handler = _CONTROL.unpack_from(memory.ram, abi.CONTROL_ADDRESS + abi.CONTROL_IRQ_ENABLE)
    if enabled != 1 or not pending & mask:
        return
    registers = engine.save()
    gpr = list(registers.gpr)
    gpr[_RSP] -= abi.IRQ_RED_ZONE + _FRAME.size
    frame = _FRAME.pack(registers.rflags, registers.rip)
    if handler >= memory.memory_bytes or not memory.write_checked(gpr[_RSP], frame):
        raise GuestViolation(f"interrupt: a handler and a stack expected, got {handler:#x} and RSP {gpr[_RSP]:#x}")
    struct.pack_into("<Q", memory.ram, abi.CONTROL_ADDRESS + abi.CONTROL_IRQ_ENABLE, 0)
    memory.mark_dirty(abi.CONTROL_ADDRESS // abi.PAGE_SIZE)
    engine.load(replace(registers, gpr=tuple(gpr), rip=handler))
