"""Does a guest ever get ring 0, or leave anything there, whatever it has in RSP and flags when it enters?

The attack: SYSCALL with the trap flag set, where system calls land in ring 0 and RSP is still the guest's. Where they
land in ring 3 the same code ends its machine by a debug exception.
"""

import struct
from pathlib import Path

import numpy as np
import pytest

from edge.vmm import monitor
from edge.vmm.engine import EngineFailure, Exit, Fault, Hypercall
from edge.vmm.engine_kvm import facts
from edge.vmm.memory import MONITOR_ADDRESS, BaseMemory, page_template
from edge.vmm.shell import Image, Shell
from tests.guests import ENGINE, PROGRAMS, elf
from vmimage import abi, snapshot
from vmimage.elf import Program, parse_program
from vmimage.manifest import Region
from vmimage.snapshot import RFLAGS_FIXED, DeviceState, Registers, Snapshot

SOURCE = PROGRAMS / "ring_0.S"
R8, R9 = 8, 9
CODE = 0x2B  # the guest's code segment
TF, DF, NT, RF, AC, ID = 1 << 8, 1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 21
FLAGS = (RFLAGS_FIXED, RFLAGS_FIXED | TF, RFLAGS_FIXED | TF | DF | RF | AC | ID, RFLAGS_FIXED | DF | NT | AC)
STACKS = (
    *(MONITOR_ADDRESS + place for place in (0x24, 0x1008, 0x4030, 0x6018, 0x7028, 0x8024, 0x9FF8, 0xA028, 0xD050)),
    *(MONITOR_ADDRESS + monitor.SIZE + 0x30, MONITOR_ADDRESS + (2 << 20) + 0x28),
    *(0, 8, abi.STACK_ADDRESS, abi.MEMORY_MIN, 1 << 47, 1 << 63, (1 << 64) - 8),
)
ACTS = [line.split()[1] for line in SOURCE.read_text().splitlines() if line.strip().startswith("act ")]


def program() -> Program:
    return parse_program(elf(SOURCE))


def image(start: str, goes_on: str, word: bytes = b"MALLORY!", rsp: int = 0, flags: int = 0) -> Image:
    """A machine of the program that starts at one symbol, and whose SYSCALL goes on at another."""
    made = program()
    symbols = {symbol.name: symbol.address for symbol in made.symbols}
    control = abi.CONTROL_ADDRESS // abi.PAGE_SIZE
    pages = {control: bytearray(abi.PAGE_SIZE)}
    struct.pack_into("<Q", pages[control], abi.CONTROL_SYSCALL, symbols[goes_on])
    regions = [Region(abi.CONTROL_ADDRESS, abi.CONTROL_ADDRESS + abi.PAGE_SIZE, "rw")]
    for segment in made.segments:
        end = -(-(segment.address + segment.memory_size) // abi.PAGE_SIZE) * abi.PAGE_SIZE
        regions.append(Region(segment.address, end, segment.access))
        data = bytearray(segment.data.ljust(end - segment.address, b"\0"))
        if segment.address <= symbols["word"] < end:
            data[symbols["word"] - segment.address :][:8] = word
            at = symbols["word"] - segment.address
            data[at : at + 8] = word
        for offset in range(0, len(data), abi.PAGE_SIZE):
            pages[(segment.address + offset) // abi.PAGE_SIZE] = data[offset : offset + abi.PAGE_SIZE]
    gpr = [0] * 16
    gpr[R8], gpr[R9] = rsp, flags
    rows = np.stack([np.frombuffer(bytes(pages[n]), dtype=np.uint64) for n in sorted(pages)])
    state = Snapshot(
        Registers(gpr=tuple(gpr), rip=symbols[start]), DeviceState(), np.array(sorted(pages), dtype=np.uint32), rows
    )
    regions.sort(key=lambda region: region.start)
    return Image(BASE, page_template(tuple(regions), MEMORY), snapshot.encode(state))


BASE = BaseMemory(None)
MEMORY = 64 << 20


@pytest.fixture
def shell(engine: str) -> Shell:
    return Shell(BASE, MEMORY, ENGINE.get())


def run(shell: Shell, image: Image) -> Exit:
    """The first exit of a machine in this shell."""
    shell.bind(image, None)
    return shell.engine.run()


def assert_untouched(shell: Shell, last: Image) -> None:
    """Nothing of the monitor's has changed, and nothing of a guest is left on a fault's stack."""
    if ENGINE.get() == "kvm":
        assert not monitor.changed(shell.memory, facts().ring, last.template)


def assert_neighbour(shell: Shell, image: Image) -> None:
    """The next tenant runs its own code, in ring 3, over its own data."""
    assert run(shell, image) == Hypercall(abi.PORT_IDLE)
    word = struct.pack("<Q", shell.engine.argument(0))
    assert (word, shell.engine.argument(1) & 3) == (b"ALICE!!!", 3)


@pytest.mark.parametrize("act", ACTS)
def test_an_act_ends_in_ring_3_or_in_a_fault(act: str, shell: Shell) -> None:
    alice = image("call_show", "show", b"ALICE!!!")
    for rsp in STACKS:
        for flags in FLAGS:
            mallory = image(act, "goes_on", rsp=rsp, flags=flags)
            reason = run(shell, mallory)
            assert not isinstance(reason, EngineFailure), (hex(rsp), hex(flags), reason)
            if reason == Hypercall(abi.PORT_IDLE):
                assert shell.engine.argument(1) & 3 == 3, (hex(rsp), hex(flags))
                assert shell.engine.argument(0) == rsp, "a guest's RSP is its own"
            else:
                assert isinstance(reason, Fault | Hypercall), reason
            assert_untouched(shell, mallory)
        assert_neighbour(shell, alice)


def test_a_planted_frame_and_a_trapped_call_do_not_give_ring_0(shell: Shell) -> None:
    alice, plant, strike = (
        image("call_show", "show", b"ALICE!!!"),
        image("plant", "caught"),
        image("strike", "caught"),
    )
    assert_neighbour(shell, alice)
    assert run(shell, plant) == Fault(6, 0, shell.engine.save().rip, 0)
    assert_untouched(shell, plant)
    for _ in range(2):
        reason = run(shell, strike)
        if reason == Hypercall(abi.PORT_IDLE):
            assert (shell.engine.argument(0), shell.engine.argument(1)) == (0, 0), "her code ran in ring 0"
        else:
            assert isinstance(reason, Fault)
            assert reason.vector == 1
        assert_untouched(shell, strike)
        assert_neighbour(shell, alice)


@pytest.mark.kvm
def test_where_calls_land_in_ring_3_the_trap_ends_the_machine(engine: str, shell: Shell) -> None:
    if engine != "kvm" or facts().ring != 3:
        pytest.skip("only of KVM whose system calls land in ring 3")
    reason = run(shell, image("strike", "caught"))
    assert isinstance(reason, Fault)
    assert reason.vector == 1


@pytest.mark.kvm
@pytest.mark.parametrize("place", [0x0000, 0x1008, 0x3000, 0x4030, 0x6010, 0x7028, 0x8010, 0x9F00, 0xA000, 0xD048])
def test_a_changed_monitor_is_thrown_away_before_the_next_tenant(engine: str, shell: Shell, place: int) -> None:
    """As if a guest had had ring 0: what it changed is not there for the next image, and for no other either."""
    if engine != "kvm":
        pytest.skip("Unicorn's ring 0 is run once, before any guest")
    alice, mallory = image("call_show", "show", b"ALICE!!!"), image("main", "goes_on")
    assert_neighbour(shell, alice)
    assert run(shell, mallory) == Hypercall(abi.PORT_IDLE)
    before, old = shell.memory.monitor[place], shell.engine
    shell.memory.monitor[place] = before ^ 0x40
    assert_neighbour(shell, alice)
    assert shell.memory.monitor[place] == before
    assert shell.engine is not old, "a virtual machine that ring 0 was lost in is used no more"


@pytest.mark.kvm
def test_a_changed_table_of_pages_is_found_too(engine: str, shell: Shell) -> None:
    if engine != "kvm":
        pytest.skip("as above")
    alice, mallory = image("call_show", "show", b"ALICE!!!"), image("main", "goes_on")
    run(shell, mallory)
    shell.memory.entries[0x300] = MONITOR_ADDRESS | 7
    old = shell.engine
    assert_neighbour(shell, alice)
    assert shell.memory.entries[0x300] == alice.template.entries[0x300]
    assert shell.engine is not old
