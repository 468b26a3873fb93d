"""A tenant whose data look like another's code, to make that one run what a third had translated there; and one whose
parked record, which a worker that was taken over can write, changes what no guest may.
"""

import numpy as np
import pytest

from edge.vmm.engines.engine import Hypercall
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.memory.image_memory import base_memfd
from edge.vmm.shells.shell import EngineName, Image, Shell
from vmimage import abi, snapshot
from vmimage.errors import FormatError
from vmimage.manifest import Access, Region
from vmimage.pages import Pages
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


LIBOS, DISKS = abi.LIBOS_ADDRESS, abi.DISK_IN_ADDRESS
# What the guest may read, and write, and nothing else but in the rings.
REGIONS = (
    Region(abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
    Region(abi.CONTROL_ADDRESS, abi.ENV_ADDRESS, "rw"),
    Region(abi.ENV_ADDRESS, abi.ENV_ADDRESS + abi.ENV_SIZE, "r"),
    Region(abi.GATE_IN_ADDRESS, abi.GATE_OUT_ADDRESS, "r"),
    Region(abi.GATE_OUT_ADDRESS, abi.GATE_OUT_ADDRESS + abi.GATE_SIZE, "rw"),
    Region(LIBOS, LIBOS + abi.PAGE_SIZE, "rx"),
    Region(LIBOS + abi.PAGE_SIZE, LIBOS + 2 * abi.PAGE_SIZE, "r"),
    Region(PAGE, PAGE + abi.PAGE_SIZE, "rx"),
    Region(PAGE + abi.PAGE_SIZE, PAGE + 2 * abi.PAGE_SIZE, "rw"),
)
FORBIDDEN = (
    *(abi.INFO_ADDRESS, abi.ENV_ADDRESS, DISKS, LIBOS, LIBOS + abi.PAGE_SIZE),
    *(PAGE, PAGE + 2 * abi.PAGE_SIZE, abi.MEMORY_MIN - abi.PAGE_SIZE),
)
ALLOWED = (abi.CONTROL_ADDRESS, abi.GATE_IN_ADDRESS, abi.GATE_OUT_ADDRESS, PAGE + abi.PAGE_SIZE)


def code(port: int) -> Pages:
    rows = np.zeros((1, 512), dtype=np.uint64)
    rows.view(np.uint8)[0, :4] = (0xE6, port, 0xEB, 0xFE)
    return rows


def record(addresses: tuple[int, ...]) -> Snapshot:
    """As it is parsed: makes `out 0x10` of the base's code an `out 0x11`, wherever it says that this is."""
    page_nos = np.array([address // abi.PAGE_SIZE for address in addresses], dtype=np.uint32)
    rows = np.concatenate([code(0x10) ^ code(0x11) for _ in addresses])
    state = Snapshot(Registers(rip=LIBOS), DeviceState(), page_nos, rows)
    return snapshot.decode(snapshot.encode(state), memory_bytes=abi.MEMORY_MIN)


@pytest.mark.parametrize("engine", ["unicorn", pytest.param("kvm", marks=pytest.mark.kvm)])
@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_record_that_changes_what_no_guest_may_is_refused_before_anything_is_done(
    address: int, engine: EngineName
) -> None:
    base = BaseMemory(base_memfd(np.array([LIBOS // abi.PAGE_SIZE], dtype=np.uint32), code(0x10)))
    shell = Shell(base, abi.MEMORY_MIN, engine)
    nothing = (np.empty(0, dtype=np.uint32), np.empty((0, 512), dtype=np.uint64))
    start = snapshot.encode(Snapshot(Registers(rip=LIBOS), DeviceState(), *nothing))
    tenant = Image(base, page_template(REGIONS, abi.MEMORY_MIN), start)
    shell.bind(tenant, None)
    before = bytes(shell.memory.ram)
    addresses = tuple(sorted({address, PAGE + abi.PAGE_SIZE}))
    with pytest.raises(FormatError, match="that the guest may write expected"):
        shell.bind(tenant, record(addresses))
    assert bytes(shell.memory.ram) == before
    shell.bind(tenant, record(ALLOWED))
    assert shell.engine.run() == Hypercall(0x10)
    shell.bind(tenant, None)
    assert shell.engine.run() == Hypercall(0x10)
