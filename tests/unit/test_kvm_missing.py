"""Whatever is odd about a host's KVM, there is Unicorn; and what an operator is told of it."""

import grp
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from edge.doctor import about_kvm
from edge.vmm.engines import kvm
from edge.vmm.engines.engine import SLICE_OVER, EngineFailure, Exit, Fault
from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.engines.kvm_facts import GUARDS, KvmFacts
from edge.vmm.kernel import kvm_api
from edge.vmm.shells import tiering
from edge.vmm.shells.tiering import calibrate, refusal
from vmimage.errors import OperatorError

HARDWARE = KvmFacts(ring=0, guards=tuple(GUARDS))
SOFTWARE = KvmFacts(ring=3, cpuid_is_ours=False)


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """What is known of this host's KVM is kept for a process: not what these tests make of it."""
    kvm.facts.cache_clear()
    yield
    kvm.facts.cache_clear()


def test_a_device_that_is_not_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to a device that knows none of them."""
    with open("/dev/null", "r+b") as device:
        monkeypatch.setattr(kvm_api, "open_kvm", lambda: os.dup(device.fileno()))
        calibration = calibrate()
    assert "Inappropriate ioctl" in calibration.kvm_missing
    assert calibration.unicorn_exit_ns > 0


@pytest.mark.parametrize(
    "error", [OSError(22, "Invalid argument"), OperatorError("no"), ValueError("x"), struct.error("x"), KeyError(7)]
)
def test_whatever_is_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> KvmFacts:
        raise error

    monkeypatch.setattr(tiering, "facts", fail)
    assert calibrate().kvm_missing


@pytest.mark.plain
@pytest.mark.kvm
@pytest.mark.parametrize("request_", ["SET_CPUID2", "SET_MSRS", "SET_XSAVE", "RUN"])
def test_a_kernel_that_refuses_a_request(request_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm_api, request_, 0xAEFF)
    assert calibrate().kvm_missing


@pytest.mark.kvm
@pytest.mark.parametrize("reason", [SLICE_OVER, EngineFailure("KVM exit reason 8"), Fault(13, 0, 0, 0)])
def test_a_probe_that_ends_in_another_way(reason: Exit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KvmEngine, "run", lambda _: reason)
    assert "expected, got" in calibrate().kvm_missing


def test_with_unicorn_alone_kvm_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> int:
        raise AssertionError("/dev/kvm was opened")

    monkeypatch.setattr(kvm_api, "open_kvm", ask)
    assert "engine = unicorn" in calibrate(kvm=False).kvm_missing


def test_ring_0_is_off_unless_it_is_allowed() -> None:
    assert "kvm_ring0 = on" in refusal(HARDWARE, ring_0=False)
    assert refusal(HARDWARE, ring_0=True) == ""
    assert refusal(SOFTWARE, ring_0=False) == refusal(SOFTWARE, ring_0=True) == ""


def test_a_refusal_is_no_fault_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiering, "facts", lambda: HARDWARE)
    calibration = calibrate()
    assert calibration.kvm == HARDWARE
    assert calibration.kvm_missing == refusal(HARDWARE, ring_0=False)


def states(known: KvmFacts, *, allowed: bool) -> list[str]:
    return [finding.state for finding in about_kvm(known, allowed=allowed)]


@pytest.mark.parametrize(
    ("tell", "expected"),
    [
        (lambda: states(HARDWARE, allowed=False), ["warn", "ok", "ok"]),
        (lambda: states(HARDWARE, allowed=True), ["ok", "ok", "ok"]),
        (lambda: states(KvmFacts(ring=0, guards=("SMEP",)), allowed=True), ["ok", "warn", "ok"]),
        (lambda: states(SOFTWARE, allowed=False), ["ok", "ok", "warn"]),
    ],
)
def test_an_operator_is_told(tell: Callable[[], list[str]], expected: list[str]) -> None:
    assert tell() == expected


def test_an_operator_is_told_what_to_do() -> None:
    for known in (HARDWARE, SOFTWARE, KvmFacts(ring=0)):
        for finding in about_kvm(known, allowed=False):
            assert bool(finding.fix) == (finding.state != "ok"), finding


STRANGER = """
import grp
import os
from edge.vmm.kernel.kvm_api import open_kvm
from vmimage.errors import OperatorError
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    open_kvm()
except OperatorError as error:
    print(error)
"""


def test_a_user_whom_the_device_is_not_for_is_told_the_group() -> None:
    if os.geteuid() or not os.path.exists("/dev/kvm") or os.stat("/dev/kvm").st_mode & 0o006:
        pytest.skip("OTHER USERS ARE NOT TESTED HERE: root and a /dev/kvm that is not for all expected")
    said = subprocess.run(
        [sys.executable, "-c", STRANGER], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    number = os.stat("/dev/kvm").st_gid
    try:
        group = grp.getgrgid(number).gr_name
    except KeyError:
        group = str(number)
    if number:
        assert f"give it the group {group} and start it anew (usermod -aG {group} USER" in said
        assert f"--group-add {number}" in said
    else:
        assert "a group kvm that may read and write it expected" in said
