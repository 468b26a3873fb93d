"""What a guest sees of the processor: the architecture's CPUID, on every engine, but where KVM cannot hide the host's.

An image is baked on Unicorn, so what a program chose by CPUID before READY is the same wherever it was built.
"""

import threading

import pytest

from edge.vmm.engines.engine import SLICE_OVER, Fault, Hypercall, cpuid
from edge.vmm.engines.kvm import KvmEngine, facts
from edge.vmm.shells import shell as shells
from edge.vmm.shells.shell import EngineName, Shell
from tests.support import bare
from tests.support.guests import ENGINE, PROGRAMS, Guest, bake, image_of
from vmimage import abi, snapshot
from vmimage.errors import OperatorError
from vmimage.snapshot import Registers

SOURCE = PROGRAMS / "cpuid.c"
SUM = sum(n * n for n in range(1001))
BAKED = f"baked GenuineIntel upwards {SUM}"
PINNED = f"{BAKED}\nnow GenuineIntel upwards {SUM}\n"
RAX, RCX, RDX, RBX = 0, 1, 2, 3
OUT = b"\xe6\x10\xeb\xfe"


def sees_the_host() -> bool:
    return ENGINE.get() == "kvm" and not facts().cpuid_is_ours


def assert_answer(guest: Guest, name: EngineName) -> None:
    body = bytes(guest.get("/").body).decode()
    baked, now = body.splitlines()
    assert baked == BAKED
    assert now.endswith(f" {SUM}"), "both pieces of code give the same"
    if name == "unicorn" or facts().cpuid_is_ours:
        assert body == PINNED


def test_cpuid_read_while_baking_is_that_of_the_architecture(engine: EngineName) -> None:
    assert_answer(Guest(image_of(SOURCE)), engine)


@pytest.mark.kvm
def test_a_record_goes_on_on_the_other_engine(engine: EngineName) -> None:
    image, record = image_of(SOURCE), None
    names: tuple[EngineName, ...] = ("unicorn", "kvm", "unicorn", "kvm")
    for name in names if engine == "unicorn" else names[::-1]:
        guest = Guest(image, parked=record, shell=Shell(image.base, image.memory_bytes, name))
        assert_answer(guest, name)
        record = snapshot.encode(guest.machine.capture())
        guest.shell.close()


def test_images_are_baked_without_kvm(engine: EngineName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a program's choice by CPUID could be the builder's own processor's."""

    class Refusing(KvmEngine):
        def __init__(self, *_: object) -> None:
            raise OperatorError("an image that is baked without KVM expected")

    monkeypatch.setattr(shells, "KvmEngine", Refusing)
    assert bake(SOURCE).manifest.kind == "derived"


@pytest.mark.parametrize("leaf", [0, 1, 2, 7, 0x16, 0x4000_0000, 0x8000_0000, 0x8000_0001, 0x8000_0008, 0xFFFF_FFFF])
@pytest.mark.parametrize("prefix", ["", "66", "48", "f2", "2e", "64 67 4f", "26 26 26 26 26 26 26 26 26 26 26 26 26"])
def test_the_instruction_gives_the_leaf_and_goes_on_behind_it(engine: EngineName, leaf: int, prefix: str) -> None:
    if sees_the_host():
        pytest.skip("this KVM shows the host's CPUID in ring 3")
    cpu = bare.engine_over(bytes.fromhex(prefix) + b"\x0f\xa2" + OUT)
    cpu.load(Registers(gpr=(0xDEAD_0000_0000 | leaf, *range(1, 16)), rip=abi.PROGRAM_ADDRESS))
    assert cpu.run() == Hypercall(abi.PORT_IDLE)
    gpr = cpu.save().gpr
    assert (gpr[RAX], gpr[RBX], gpr[RCX], gpr[RDX]) == cpuid(leaf)
    assert gpr[4:] == tuple(range(4, 16))
    cpu.close()


def test_an_interrupt_before_cpuid_is_not_taken_for_it(engine: EngineName) -> None:
    cpu = bare.engine_over(b"\xcd\x0d\x0f\xa2" + OUT)  # int 13; cpuid
    cpu.load(Registers(rip=abi.PROGRAM_ADDRESS))
    reason = cpu.run()
    assert isinstance(reason, Fault)
    assert cpu.save().gpr[RBX] == 0, "CPUID was not carried out"
    cpu.close()


def test_a_loop_of_it_can_be_stopped(engine: EngineName) -> None:
    cpu = bare.engine_over(b"\x0f\xa2\xeb\xfc")  # cpuid; jmp .-2
    cpu.load(Registers(rip=abi.PROGRAM_ADDRESS))
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.01):
            cpu.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        assert [cpu.run() for _ in range(5)] == [SLICE_OVER] * 5
    finally:
        over.set()
        stopper.join()
    cpu.close()
