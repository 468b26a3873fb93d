"""Does SYSCALL go on at the guest's entry on every engine, with what processors leave, and stay stoppable?"""

import struct
import threading
from collections.abc import Iterator

import pytest

from edge.vmm.engines import system_call
from edge.vmm.engines.engine import SLICE_OVER, Engine, Fault, Hypercall
from edge.vmm.engines.kvm import KvmEngine, facts
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from tests.support.guests import ENGINE
from vmimage import abi
from vmimage.manifest import Region
from vmimage.snapshot import RFLAGS_GUEST, Registers

CODE, ENTRY, DATA = abi.PROGRAM_ADDRESS, abi.LIBOS_ADDRESS, abi.STACK_ADDRESS
COUNT = 1000
OUT = 0xE6  # the first byte of a stub that leaves for the VMM
# mov ebx, COUNT; 1: stc; syscall; dec ebx; jnz 1b; out 0x10, al; jmp .-2
LOOP = b"\xbb" + struct.pack("<I", COUNT) + b"\xf9\x0f\x05\xff\xcb\x75\xf9\xe6\x10\xeb\xfc"
COUNT_AND_RETURN = b"\x49\xff\xc7\xff\xe1"  # inc r15; jmp rcx
RCX, RBX, R11, R15 = 1, 3, 11, 15
AFTER_FIRST = CODE + 8


@pytest.fixture(params=["as the host does", "through the VMM"])
def machine(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, GuestMemory]]:
    """An engine over two pages of code; on KVM also with calls that leave for the VMM, as from ring 0."""
    memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
    regions = [
        Region(abi.CONTROL_ADDRESS, abi.CONTROL_ADDRESS + abi.PAGE_SIZE, "rw"),
        Region(ENTRY, ENTRY + abi.PAGE_SIZE, "rx"),
        Region(DATA, DATA + abi.PAGE_SIZE, "rw"),
        Region(CODE, CODE + abi.PAGE_SIZE, "rx"),
    ]
    memory.bind(PageTemplate(regions, abi.MEMORY_MIN))
    made: Engine = UnicornEngine(memory) if ENGINE.get() == "unicorn" else KvmEngine(memory)
    if request.param == "through the VMM":
        if ENGINE.get() == "unicorn":
            pytest.skip("Unicorn has one way")
        if facts().ring == 0:
            pytest.skip("SYSCALL lands in ring 0 here, so that is what the host does")
        system_call.leave_at_every_call(memory)
    memory.write(CODE, LOOP)
    memory.write(ENTRY, COUNT_AND_RETURN)
    set_entry(memory, ENTRY)
    yield made, memory
    made.close()


def set_entry(memory: GuestMemory, address: int) -> None:
    memory.write(system_call.FIELD, struct.pack("<Q", address))


def test_the_guest_goes_on_with_what_a_processor_leaves(machine: tuple[Engine, GuestMemory]) -> None:
    cpu, _ = machine
    before = Registers(gpr=tuple(range(100, 116)), rip=CODE)
    cpu.load(before)
    assert cpu.run() == Hypercall(abi.PORT_IDLE)
    gpr = cpu.save().gpr
    assert (gpr[R15], gpr[RBX], gpr[RCX]) == (115 + COUNT, 0, AFTER_FIRST)
    kept = [n for n in range(16) if n not in (RCX, RBX, R11, R15)]
    assert [gpr[n] for n in kept] == [before.gpr[n] for n in kept]
    assert gpr[R11] & RFLAGS_GUEST & ~0x8D4 == 1, "the carry that STC set"


@pytest.mark.parametrize("entry", [0, abi.MEMORY_MIN, 1 << 63])
def test_without_an_entry_it_faults(machine: tuple[Engine, GuestMemory], entry: int) -> None:
    cpu, memory = machine
    set_entry(memory, entry)
    cpu.load(Registers(rip=CODE))
    fault = cpu.run()
    assert isinstance(fault, Fault)
    if entry == 0:
        assert (fault.vector, fault.rip) == (6, AFTER_FIRST - system_call.SIZE)


def test_it_can_be_stopped_and_goes_on_where_it_was(machine: tuple[Engine, GuestMemory]) -> None:
    cpu, memory = machine
    leaves = ENGINE.get() == "kvm" and (facts().ring == 0 or memory.monitor[system_call.STUB] == OUT)
    count = 5_000 if leaves else 200_000
    memory.write(CODE + 1, struct.pack("<I", count))
    cpu.load(Registers(rip=CODE))
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.002):
            cpu.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    stops = 0
    try:
        while (reason := cpu.run()) == SLICE_OVER:
            stops += 1
            cpu.load(cpu.save())  # as a move to another engine does
    finally:
        over.set()
        stopper.join()
    assert reason == Hypercall(abi.PORT_IDLE)
    assert stops > 0
    assert cpu.save().gpr[R15] >= count, "a call that was stopped on its way is made again, none is lost"
    assert cpu.save().gpr[RBX] == 0


def test_the_stub_belongs_to_nobody(machine: tuple[Engine, GuestMemory]) -> None:
    cpu, memory = machine
    memory.write(CODE, b"\x48\xb8" + struct.pack("<Q", system_call.STUB_ADDRESS) + b"\xc6\x00\x90\xeb\xfe")
    cpu.load(Registers(rip=CODE))  # mov rax, stub; mov byte [rax], 0x90
    assert isinstance(cpu.run(), Fault)
