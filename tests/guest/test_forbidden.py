"""What a guest may not do: each act ends its machine with a typed error, and the next one in the shell is fine."""

import re
from contextlib import suppress

import pytest

from edge.vmm.engines.engine import cpuid
from edge.vmm.engines.kvm import facts
from edge.vmm.machine.machine import Phase
from edge.vmm.shells.shell import Shell
from tests.support.guests import ENGINE, PROGRAMS, Guest, image_of
from vmimage.errors import GuestError, GuestExited, GuestFault, GuestViolation

SOURCE = PROGRAMS / "forbidden.c"
ACTS = re.findall(r'ACT\("(/[^"]+)"\)', SOURCE.read_text())
ERRORS: dict[str, tuple[type[GuestError], ...]] = {
    "/exit": (GuestExited,),
    "/port-unknown": (GuestViolation,),
    "/port-reserved": (GuestViolation,),
    "/port-dx": (GuestViolation, GuestFault),  # KVM may know that no such port can be
    "/set-fs-far": (GuestViolation,),
}
# Outside of the contract; where KVM is nested in software, ring 3 is the host's own and executes them.
NOT_INTERCEPTED = {"/rdtsc", "/rdrand", "/xgetbv"}


@pytest.fixture(scope="module")
def shell(engine: str) -> Shell:
    image = image_of(SOURCE)
    return Shell(image.base, image.memory_bytes, ENGINE.get())


def survives(act: str, shell: Shell) -> bool:
    """Try it in a machine of its own."""
    with suppress(GuestError):
        return Guest(image_of(SOURCE), shell=shell).get(act).body.startswith(b"FAILURE")
    return False


@pytest.mark.parametrize("act", ACTS)
def test_ends_the_machine_and_nothing_else(act: str, shell: Shell, engine: str) -> None:
    guest = Guest(image_of(SOURCE), shell=shell)
    if engine == "kvm" and act in NOT_INTERCEPTED and survives(act, shell):
        pytest.skip(f"this KVM does not intercept {act[1:]}")
    with pytest.raises(GuestError) as caught:
        guest.get(act)
    assert type(caught.value) in ERRORS.get(act, (GuestFault,)), str(caught.value)
    assert guest.machine.phase is Phase.DEAD
    assert caught.value.report["frames"]
    assert bytes(Guest(image_of(SOURCE), shell=shell).get().body) == b"ordinary page"


def test_there_are_acts() -> None:
    assert len(ACTS) > 50


@pytest.mark.parametrize("path", ["/flags", "/timeline"])
def test_a_harmless_act_succeeds(path: str, shell: Shell) -> None:
    assert bytes(Guest(image_of(SOURCE), shell=shell).get(path).body) == b"SUCCESS"


def test_cpuid_answers_as_the_architecture_says(shell: Shell, engine: str) -> None:
    found = {}
    for line in bytes(Guest(image_of(SOURCE), shell=shell).get("/cpuid").body).decode().splitlines():
        leaf, *values = (int(word, 16) for word in line.split())
        found[leaf] = tuple(values)
    expected = {leaf: cpuid(leaf) for leaf in found}
    if engine == "kvm" and not facts().cpuid_is_ours:
        pytest.skip("this KVM cannot make CPUID fault, so ring 3 sees the host's")
    assert found == expected


def test_a_report_names_the_place(shell: Shell) -> None:
    with pytest.raises(GuestFault, match=r"null pointer \(vector 14, code 0x\d\) at RIP 0x2\w+, address 0x8") as caught:
        Guest(image_of(SOURCE), shell=shell).get("/null-write")
    report = caught.value.report
    assert report["registers"]["RIP"] == report["frames"][0]
    assert len(report["frames"]) >= 2
    assert bytes.fromhex(report["code"])
