"""Does a guest ever get ring 0, or leave anything there, whatever it has in RSP and flags when it enters?

The attack: SYSCALL with the trap flag set, where system calls land in ring 0 and RSP is still the guest's. Where they
land in ring 3 the same code ends its machine by a debug exception.
"""

import struct
from dataclasses import replace

import pytest

from edge.vmm.engines import kvm, monitor
from edge.vmm.engines.engine import EngineFailure, Exit, Fault, Hypercall
from edge.vmm.engines.kvm import KvmEngine, facts
from edge.vmm.memory.guest_memory import MONITOR_ADDRESS
from edge.vmm.shells.shell import Image, Shell
from tests.support import bare
from tests.support.bare import BASE, MEMORY_BYTES, acts
from tests.support.guests import ENGINE, PROGRAMS
from vmimage import abi
from vmimage.snapshot import RFLAGS_FIXED

SOURCE = PROGRAMS / "ring_0.S"
R8, R9 = 8, 9
TF, DF, NT, RF, AC, ID = 1 << 8, 1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 21
FLAGS = (RFLAGS_FIXED, RFLAGS_FIXED | TF, RFLAGS_FIXED | TF | DF | RF | AC | ID, RFLAGS_FIXED | DF | NT | AC)
STACKS = (
    *(MONITOR_ADDRESS + place for place in (0x24, 0x1008, 0x4030, 0x6018, 0x7028, 0x8024, 0x9FF8, 0xA028, 0xD050)),
    *(MONITOR_ADDRESS + monitor.SIZE + 0x30, MONITOR_ADDRESS + (2 << 20) + 0x28),
    *(0, 8, abi.STACK_ADDRESS, abi.MEMORY_MIN, 1 << 47, 1 << 63, (1 << 64) - 8),
)
of_kvm = pytest.mark.parametrize("engine", ["kvm"], indirect=True, scope="module")
ACTS = acts(SOURCE, "act")


def image(start: str, goes_on: str, word: bytes = b"MALLORY!") -> Image:
    """A machine of the program."""
    return bare.image(SOURCE, start, goes_on, {"word": word})


@pytest.fixture(params=["guards as offered", "no guards"])
def shell(request: pytest.FixtureRequest, engine: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """One of this host; on KVM also as if it had neither SMEP nor SMAP, which other ways must not depend on."""
    if request.param == "no guards":
        if engine != "kvm":
            pytest.skip("Unicorn has no guards")
        bare_facts = replace(facts(), guards=())
        monkeypatch.setattr(kvm, "facts", lambda: bare_facts)
    return Shell(BASE, MEMORY_BYTES, ENGINE.get())


def iretq_is_broken(shell: Shell) -> bool:
    """QEMU emulates IRETQ in ring 3 as a supervisor's access to the stack, which faults with SMAP."""
    return isinstance(shell.engine, KvmEngine) and facts().ring == 0 and "SMAP" in kvm.facts().guards


def run(shell: Shell, image: Image, rsp: int = 0, flags: int = 0) -> Exit:
    """The first exit of a machine in this shell. The acts take RSP and flags from R8 and R9."""
    shell.bind(image, None)
    registers = image.snapshot().registers
    gpr = (*registers.gpr[:R8], rsp, flags, *registers.gpr[R9 + 1 :])
    shell.engine.load(replace(registers, gpr=gpr))
    return shell.engine.run()


def assert_untouched(shell: Shell, last: Image) -> None:
    """Nothing of the monitor's has changed, and nothing of a guest is left on a fault's stack."""
    if isinstance(shell.engine, KvmEngine):
        assert not shell.engine.changed(last.template)


def assert_neighbour(shell: Shell, image: Image) -> None:
    """The next tenant runs its own code, in ring 3, over its own data."""
    assert run(shell, image) == Hypercall(abi.PORT_IDLE)
    word = struct.pack("<Q", shell.engine.argument(0))
    assert (word, shell.engine.argument(1) & 3) == (b"ALICE!!!", 3)


@pytest.mark.parametrize("act", ACTS)
def test_an_act_ends_in_ring_3_or_in_a_fault(act: str, shell: Shell) -> None:
    alice, mallory = image("call_show", "show", b"ALICE!!!"), image(act, "goes_on")
    before = bare.address(SOURCE, f"{act}_iretq")
    for rsp in STACKS:
        for flags in FLAGS:
            reason = run(shell, mallory, rsp, flags)
            assert not isinstance(reason, EngineFailure), (hex(rsp), hex(flags), reason)
            if reason == Hypercall(abi.PORT_IDLE):
                assert shell.engine.argument(1) & 3 == 3, (hex(rsp), hex(flags))
                assert shell.engine.argument(0) == rsp, "a guest's RSP is its own"
            else:
                assert isinstance(reason, Fault | Hypercall), reason
                assert shell.engine.save().rip != before or iretq_is_broken(shell), "the act was not reached"
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
            assert reason.vector == 1 or iretq_is_broken(shell)
        assert_untouched(shell, strike)
        assert_neighbour(shell, alice)


@of_kvm
@pytest.mark.kvm
def test_where_calls_land_in_ring_3_the_trap_ends_the_machine(engine: str, shell: Shell) -> None:
    if facts().ring != 3:
        pytest.skip("only of KVM whose system calls land in ring 3")
    reason = run(shell, image("strike", "caught"))
    assert isinstance(reason, Fault)
    assert reason.vector == 1


@of_kvm
@pytest.mark.kvm
@pytest.mark.parametrize("place", [0x0000, 0x1008, 0x3000, 0x4030, 0x6010, 0x7028, 0x8010, 0x9F00, 0xA000, 0xD048])
def test_a_changed_monitor_is_thrown_away_before_the_next_tenant(engine: str, shell: Shell, place: int) -> None:
    """As if a guest had had ring 0: what it changed is not there for the next image, and for no other either."""
    alice, mallory = image("call_show", "show", b"ALICE!!!"), image("main", "goes_on")
    assert_neighbour(shell, alice)
    assert run(shell, mallory) == Hypercall(abi.PORT_IDLE)
    before, old = shell.memory.monitor[place], shell.engine
    shell.memory.monitor[place] = before ^ 0x40
    shell.give_back()  # as every machine's shell is, before the next machine comes
    assert_neighbour(shell, alice)
    assert shell.memory.monitor[place] == before
    assert shell.engine is not old, "a virtual machine that ring 0 was lost in is used no more"


@of_kvm
@pytest.mark.kvm
def test_a_changed_monitor_is_thrown_away_before_the_next_machine_of_the_image(engine: str, shell: Shell) -> None:
    """Another tenant may have the same image; and who had ring 0 wrote where no dirty bit tells of it."""
    alice = image("call_show", "show", b"ALICE!!!")
    assert_neighbour(shell, alice)
    place, old, unseen = 0x4030, shell.engine, abi.PROGRAM_ADDRESS + 0x10_0000
    before = shell.memory.monitor[place]
    shell.memory.monitor[place] = before ^ 0x40
    shell.memory.ram[unseen] = 0x55
    shell.give_back()
    assert_neighbour(shell, alice)
    assert shell.memory.monitor[place] == before
    assert shell.memory.ram[unseen] == 0
    assert shell.engine is not old


@of_kvm
@pytest.mark.kvm
def test_a_changed_table_of_pages_is_found_too(engine: str, shell: Shell) -> None:
    alice, mallory = image("call_show", "show", b"ALICE!!!"), image("main", "goes_on")
    run(shell, mallory)
    shell.memory.entries[0x300] = MONITOR_ADDRESS | 7
    old = shell.engine
    assert_neighbour(shell, alice)
    assert shell.memory.entries[0x300] == alice.template.entries[0x300]
    assert shell.engine is not old
