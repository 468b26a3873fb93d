"""A tenant whose data look like another's code, to make that one run what a third had translated there."""

import numpy as np

from edge.vmm.engine import Hypercall
from edge.vmm.memory import BaseMemory, page_template
from edge.vmm.shell import Image, Shell
from vmimage import abi, snapshot
from vmimage.manifest import Access, Region
from vmimage.snapshot import DeviceState, Registers, Snapshot

PAGE = abi.PROGRAM_ADDRESS


def image(base: BaseMemory, access: Access, port: int) -> Image:
    """One page at PAGE: `out port, al; jmp .`, or the same bytes as data; the machine starts there."""
    contents = np.zeros((1, 512), dtype=np.uint64)
    contents.view(np.uint8)[0, :4] = (0xE6, port, 0xEB, 0xFE)
    page_nos = np.array([PAGE // abi.PAGE_SIZE], dtype=np.uint32)
    state = Snapshot(Registers(rip=PAGE), DeviceState(), page_nos, contents)
    regions = (
        Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx"),
        Region(PAGE, PAGE + abi.PAGE_SIZE, access),
    )
    return Image(base, page_template(regions, abi.MEMORY_MIN), snapshot.encode(state))


def test_code_is_what_memory_holds_whatever_was_there_before() -> None:
    base = BaseMemory(None)
    shell = Shell(base, abi.MEMORY_MIN)
    victim, third = image(base, "rx", 0x10), image(base, "rx", 0x11)
    disguised = image(base, "rw", 0x10)  # the victim's code, as data
    for _ in range(3):
        shell.bind(third, None)
        assert shell.engine.run() == Hypercall(0x11)
        shell.bind(disguised, None)
        shell.bind(victim, None)
        assert shell.engine.run() == Hypercall(0x10)


def test_data_are_not_run() -> None:
    base = BaseMemory(None)
    shell = Shell(base, abi.MEMORY_MIN)
    shell.bind(image(base, "rx", 0x10), None)
    assert shell.engine.run() == Hypercall(0x10)
    shell.bind(image(base, "rw", 0x10), None)
    assert shell.engine.run() != Hypercall(0x10)
