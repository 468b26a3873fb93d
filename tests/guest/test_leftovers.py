"""What does a machine find of the one that was in its shell, or in another shell of the same worker, before it?

Every part of the processor's state that ring 3 can reach is set by one machine and looked for by another, of another
image. Parts that the processor does not have, or that the engine does not let a guest reach, fault on both sides.
"""

from dataclasses import replace

import pytest

from edge.vmm.engines.engine import Exit, Fault
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.shells.shell import Image, Shell
from tests.support import bare
from tests.support.bare import BASE, MEMORY_BYTES
from tests.support.guests import ENGINE, PROGRAMS
from vmimage.pages import no_pages
from vmimage.snapshot import DeviceState, Snapshot

# Unicorn has no state of a thread, and AVX neither.
pytestmark = [pytest.mark.kvm, pytest.mark.parametrize("engine", ["kvm"], indirect=True, scope="module")]

SOURCE = PROGRAMS / "leftovers.S"
ACTS, LOOKS = bare.acts(SOURCE, "act"), bare.acts(SOURCE, "look")
FOUND_BYTES = 2048


@pytest.fixture
def shells(engine: str) -> tuple[Shell, Shell]:
    """Two of one worker."""
    return Shell(BASE, MEMORY_BYTES, ENGINE.get()), Shell(BASE, MEMORY_BYTES, ENGINE.get())


def image(start: str) -> Image:
    return bare.image(SOURCE, start, "goes_on")


def look(shell: Shell, image: Image) -> tuple[Exit, bytes]:
    """How a machine ends that looks, and what it found."""
    shell.bind(image, None)
    reason, at = shell.engine.run(), bare.address(SOURCE, "found")
    return reason, shell.memory.ram[at : at + FOUND_BYTES]


@pytest.mark.parametrize("where", ["the same shell", "another shell"])
@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_left(act: str, where: str, shells: tuple[Shell, Shell]) -> None:
    mine, other = shells if where == "another shell" else (shells[0], shells[0])
    images = [image(name) for name in LOOKS]
    before = [look(mine, image) for image in images]
    for _ in range(2):
        other.bind(image(act), None)
        other.engine.run()
        assert [look(mine, image) for image in images] == before


@pytest.mark.parametrize("parked", ["parked", "gone"])
@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_left_for_another_machine_of_the_image(
    act: str, parked: str, shells: tuple[Shell, Shell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shell is not bound anew, and the engine writes only what differs from what it knows of the last machine."""
    shell, one = shells[0], image("main")

    def enter(start: str) -> tuple[Exit, bytes]:
        registers = replace(one.snapshot().registers, rip=bare.address(SOURCE, start))
        shell.bind(one, Snapshot(registers, DeviceState(), *no_pages()))
        reason, at = shell.engine.run(), bare.address(SOURCE, "found")
        found = shell.memory.ram[at : at + FOUND_BYTES]
        if parked == "parked":
            shell.engine.save()
        return reason, found

    before = [enter(look) for look in LOOKS]

    def bind(*_: object) -> None:
        raise AssertionError("this is of machines that find the image's pages there")

    monkeypatch.setattr(GuestMemory, "bind", bind)
    for _ in range(2):
        enter(act)
        assert [enter(look) for look in LOOKS] == before


def test_a_machine_that_finds_the_processor_as_it_left_it_goes_on_with_all_of_it(shells: tuple[Shell, Shell]) -> None:
    """What is not written because it is there already is just what the machine was parked with."""
    shell, one = shells[0], image("act_sse")
    shell.bind(one, None)
    shell.engine.run()
    left = shell.engine.save()
    assert left.fxsave[160:176] == b"BBBBAAAA" * 2
    for registers in (left, one.snapshot().registers, left, left):
        shell.bind(one, Snapshot(registers, DeviceState(), *no_pages()))
        assert shell.engine.save().fxsave == registers.fxsave


def test_the_looks_can_see(shells: tuple[Shell, Shell]) -> None:
    """What a machine itself has set it finds: else the test above could not fail."""
    basic = look(shells[0], image("look_basic"))[1]
    shells[0].bind(image("act_sse"), None)
    shells[0].engine.run()
    at = bare.address(SOURCE, "look_basic")
    registers = shells[0].engine.save()
    shells[0].engine.load(type(registers)(registers.gpr, at, registers.rflags, 0, 0, registers.fxsave))
    shells[0].engine.run()
    found = bare.address(SOURCE, "found")
    assert b"BBBBAAAA" * 32 in shells[0].memory.ram[found : found + FOUND_BYTES]
    assert b"BBBBAAAA" * 32 not in basic


def test_no_fault_waits_for_the_next_machine(shells: tuple[Shell, Shell]) -> None:
    """A machine that is stopped in the middle of a fault takes the fault with it."""
    shell, quiet = shells[0], image("main")
    for turn in range(20):
        shell.bind(image("act_fault_while_stopped"), None)
        if turn % 2:
            shell.engine.stop()
        first = shell.engine.run()
        shell.bind(quiet, None)
        assert not isinstance(shell.engine.run(), Fault), (turn, first)
