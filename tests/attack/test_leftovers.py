"""What one tenant leaves in a shell for the next, in every register that a guest can set, and in memory."""

import struct

import numpy as np
import pytest

from edge.vmm.engines import interrupts
from edge.vmm.engines.engine import Hypercall
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.shells.shell import EngineName, Image, Shell
from vmimage import abi, snapshot
from vmimage.manifest import Region
from vmimage.snapshot import DeviceState, Registers, Snapshot

CODE, DATA = abi.LIBOS_ADDRESS, abi.PROGRAM_ADDRESS
OUT = "e610 ebfe"  # out 0x10, al; jmp .

# mov eax,0x2b; mov ds,ax; mov es,ax; mov fs,ax; mov gs,ax
SET_SEGMENTS = "b82b000000 8ed8 8ec0 8ee0 8ee8"
# mov rdi of ds, es, fs, gs, 16 bits each
TELL_SEGMENTS = "31c0 8cdf 48c1e710 8cc0 4809c7 48c1e710 8ce0 4809c7 48c1e710 8ce8 4809c7"
# fninit; fld1; fldpi; fstp qword [DATA]: instruction and operand pointers, and the opcode
SET_X87 = "dbe3 d9e8 d9eb dd1c2500002000"
# fxsave64 [DATA+0x200]; fnstenv [DATA+0x600]
TELL_X87 = "480fae042500022000 d9342500062000"
# mov eax, [0]: a page fault, whose address stays in CR2
TOUCH_NULL = "8b042500000000"


def image(base: BaseMemory, code: str) -> Image:
    contents = np.zeros((1, 512), dtype=np.uint64)
    raw = bytes.fromhex(code)
    contents.view(np.uint8)[0, : len(raw)] = np.frombuffer(raw, dtype=np.uint8)
    gpr = tuple(DATA + 0xF00 if n == 4 else 0 for n in range(16))
    page_nos = np.array([CODE // abi.PAGE_SIZE], dtype=np.uint32)
    state = Snapshot(Registers(gpr=gpr, rip=CODE), DeviceState(), page_nos, contents)
    regions = (Region(CODE, CODE + abi.PAGE_SIZE, "rx"), Region(DATA, DATA + abi.PAGE_SIZE, "rw"))
    return Image(base, page_template(regions, abi.MEMORY_MIN), snapshot.encode(state))


@pytest.mark.parametrize("attack", [SET_SEGMENTS, SET_X87, TOUCH_NULL])
@pytest.mark.parametrize("look", [TELL_SEGMENTS, TELL_X87])
@pytest.mark.parametrize("engine", ["unicorn"])
def test_a_machine_finds_the_processor_as_the_first_in_its_shell_did(
    look: str, attack: str, engine: EngineName
) -> None:
    base = BaseMemory(None)
    shell = Shell(base, abi.MEMORY_MIN, engine)
    alice, mallory = image(base, look + OUT), image(base, attack + OUT)
    found = []
    for _ in range(3):
        shell.bind(alice, None)
        assert shell.engine.run() == Hypercall(0x10)
        found.append((shell.engine.argument(0), bytes(shell.memory.ram[DATA : DATA + abi.PAGE_SIZE])))
        shell.bind(mallory, None)
        shell.engine.run()
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_attacks_leave_something_within_one_machine() -> None:
    """Else the tests above would hold of any engine."""
    base = BaseMemory(None)
    shell = Shell(base, abi.MEMORY_MIN)
    clean: list[int | bytes] = []
    dirty: list[int | bytes] = []
    for code, found in ((TELL_SEGMENTS + TELL_X87, clean), (SET_SEGMENTS + SET_X87 + TELL_SEGMENTS + TELL_X87, dirty)):
        shell.bind(image(base, code + OUT), None)
        assert shell.engine.run() == Hypercall(0x10)
        found += [shell.engine.argument(0), bytes(shell.memory.ram[DATA + 0x208 : DATA + 0x218])]
    assert clean[0] != dirty[0]
    assert clean[1] != dirty[1], "instruction and operand pointers"


def test_an_interrupt_leaves_its_mark_only_in_the_machine_that_had_it() -> None:
    """The VMM clears the guest's enable bit: that page is the guest's no more than any other that was written."""
    base = BaseMemory(None)
    shell = Shell(base, abi.MEMORY_MIN)
    control = Region(abi.CONTROL_ADDRESS, abi.CONTROL_ADDRESS + abi.PAGE_SIZE, "rw")
    template = page_template((control, Region(DATA, DATA + abi.PAGE_SIZE, "rw")), abi.MEMORY_MIN)
    shell.memory.bind(template)
    words = struct.pack("<3Q", 1, abi.IRQ_TIMER, DATA)
    shell.memory.ram[abi.CONTROL_ADDRESS : abi.CONTROL_ADDRESS + len(words)] = words  # as a base image has it
    shell.engine.load(Registers(gpr=tuple(DATA + 0xF00 if n == 4 else 0 for n in range(16)), rip=DATA))
    interrupts.deliver(shell.engine, shell.memory, abi.IRQ_TIMER)
    assert abi.CONTROL_ADDRESS // abi.PAGE_SIZE in shell.memory.dirty_pages()
