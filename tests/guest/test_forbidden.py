"""What a guest may not do: each act ends its machine with a typed error, and the next one in the shell is fine."""

import re

import pytest

from edge.vmm.engine import CPUID
from edge.vmm.machine import Phase
from edge.vmm.shell import Shell
from tests.guests import PROGRAMS, Guest, image_of
from vmimage.errors import GuestError, GuestExited, GuestFault, GuestViolation

SOURCE = PROGRAMS / "forbidden.c"
ACTS = re.findall(r'ACT\("(/[^"]+)"\)', SOURCE.read_text())
ERRORS = {
    "/exit": GuestExited,
    "/port-unknown": GuestViolation,
    "/port-reserved": GuestViolation,
    "/port-dx": GuestViolation,
    "/set-fs-far": GuestViolation,
}


@pytest.fixture(scope="module")
def shell() -> Shell:
    image = image_of(SOURCE)
    return Shell(image.base, image.memory_bytes)


@pytest.mark.parametrize("act", ACTS)
def test_ends_the_machine_and_nothing_else(act: str, shell: Shell) -> None:
    guest = Guest(image_of(SOURCE), shell=shell)
    with pytest.raises(GuestError) as caught:
        print(guest.get(act).body)
    assert type(caught.value) is ERRORS.get(act, GuestFault), str(caught.value)
    assert guest.machine.phase is Phase.DEAD
    assert caught.value.report["frames"]
    assert bytes(Guest(image_of(SOURCE), shell=shell).get().body) == b"ordinary page"


def test_there_are_acts() -> None:
    assert len(ACTS) > 50


@pytest.mark.parametrize("path", ["/flags", "/timeline"])
def test_is_answered(path: str, shell: Shell) -> None:
    assert bytes(Guest(image_of(SOURCE), shell=shell).get(path).body) == b"SUCCESS"


def test_cpuid_is_the_architecture_s_own(shell: Shell) -> None:
    for line in bytes(Guest(image_of(SOURCE), shell=shell).get("/cpuid").body).decode().splitlines():
        leaf, *values = (int(word, 16) for word in line.split())
        assert tuple(values) == CPUID.get(leaf, (0, 0, 0, 0)), f"leaf {leaf:#x}"


def test_a_report_names_the_place(shell: Shell) -> None:
    with pytest.raises(GuestFault, match=r"null pointer \(vector 14, code 0x\d\) at RIP 0x2\w+, address 0x8") as caught:
        Guest(image_of(SOURCE), shell=shell).get("/null-write")
    report = caught.value.report
    assert report["registers"]["RIP"] == report["frames"][0]
    assert len(report["frames"]) >= 2
    assert bytes.fromhex(report["code"])
