"""Is a spare shell warm after a request that nobody made, and is nothing else left of that?"""

from pathlib import Path

import numpy as np
import pytest

from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.turns.watchdog import watchdog
from edge.vmm.worker.rehearsal import rehearse, worth_it
from tests.support.guests import ENGINE, EXAMPLES, Guest, image_of
from vmimage import abi, snapshot
from vmimage.manifest import Region
from vmimage.snapshot import DeviceState, Registers, Snapshot

HELLO, SPIN, CRASH = (EXAMPLES / f"{name}.c" for name in ("hello", "spin", "crash"))
SLICE_NS = 5_000_000


def new_shell(image: Image) -> Shell:
    return Shell(image.base, image.memory_bytes, ENGINE.get())


def test_nothing_is_left_of_it_but_a_shell_that_has_run() -> None:
    image = image_of(HELLO)
    shell, alone = new_shell(image), new_shell(image)
    assert rehearse(shell, image, watchdog(), SLICE_NS) > 0
    alone.bind(image, None)
    assert shell.warm
    assert len(shell.memory.dirty_pages()) > len(alone.memory.dirty_pages()), "a guest has run there"
    info = slice(abi.INFO_ADDRESS // abi.PAGE_SIZE, abi.INFO_ADDRESS // abi.PAGE_SIZE + 1)
    alone.memory.pages[info] = shell.memory.pages[info]
    assert np.array_equal(shell.memory.pages, alone.memory.pages)
    assert shell.engine.save() == alone.engine.save()
    assert bytes(Guest(image, shell=shell).get("/").body) == b"hello from /, request 1\n"


def test_the_engine_that_ran_is_the_one_that_the_next_machine_has() -> None:
    image = image_of(HELLO)
    shell = new_shell(image)
    rehearse(shell, image, watchdog(), SLICE_NS)
    before = shell.engine
    Guest(image, shell=shell).get("/")
    assert shell.engine is before
    assert not isinstance(before, KvmEngine) or before.entered


@pytest.mark.parametrize("source", [SPIN, CRASH], ids=["spins", "crashes"])
def test_a_guest_that_does_not_come_to_rest_leaves_a_shell_for_others(source: Path) -> None:
    bad, image = image_of(source), image_of(HELLO)
    shell = new_shell(bad)
    rehearse(shell, bad, watchdog(), SLICE_NS)
    assert not shell.broken
    assert bytes(Guest(image, shell=shell).get("/").body) == b"hello from /, request 1\n"


def test_on_kvm_it_is_done_only_where_machines_are_laid_out_alike() -> None:
    image, other = image_of(HELLO), image_of(EXAMPLES / "hog.c")
    assert image.template is not other.template
    shell = new_shell(image)
    assert worth_it(shell, image, [image, image])
    assert worth_it(shell, image, [])
    assert worth_it(shell, image, [image, other]) == (ENGINE.get() == "unicorn")


def test_a_guest_that_breaks_its_shell_is_told_of(engine: str) -> None:
    if engine != "unicorn":
        pytest.skip("the processor runs what Unicorn cannot translate")
    rows = np.zeros((1, 512), dtype=np.uint64)
    rows.view(np.uint8)[0, :4] = tuple(bytes.fromhex("f00fabc0"))  # lock bts %eax, %eax
    page_nos = np.array([abi.PROGRAM_ADDRESS // abi.PAGE_SIZE], dtype=np.uint32)
    state = Snapshot(Registers(rip=abi.PROGRAM_ADDRESS), DeviceState(), page_nos, rows)
    regions = (
        Region(abi.CONTROL_ADDRESS, abi.CONTROL_ADDRESS + abi.PAGE_SIZE, "rw"),
        Region(abi.PROGRAM_ADDRESS, abi.PROGRAM_ADDRESS + abi.PAGE_SIZE, "rx"),
    )
    bad = Image(BaseMemory(None), page_template(regions, abi.MEMORY_MIN), snapshot.encode(state))
    shell = new_shell(bad)
    rehearse(shell, bad, watchdog(), SLICE_NS)
    assert shell.broken, "who has it is to discard it"
    assert not shell.warm
