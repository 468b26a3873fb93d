"""The table of hypercalls: every port of the architecture is in it, and nothing else is carried out."""

from types import SimpleNamespace

import pytest

from edge.vmm.machine.hypercalls import HYPERCALLS, carry_out
from vmimage import abi
from vmimage.errors import GuestExited, GuestViolation, OutOfMemory, OutOfTime
from vmimage.limit_errors import out_of_time

MEMORY = 32 << 20


class Caller(SimpleNamespace):
    """A machine with registers and nothing else."""

    def __init__(self, *arguments: int, baking: bool = False, is_over_time: bool = False) -> None:
        self.results: list[int] = []
        self.fs: list[int] = []
        self.slept: list[int] = []
        engine = SimpleNamespace(
            argument=lambda place: arguments[place], set_result=self.results.append, set_fs_base=self.fs.append
        )
        clock = SimpleNamespace(set_timer=lambda *given: sum(given), reads=0)
        super().__init__(engine=engine, clock=clock, memory_bytes=MEMORY, baking=baking, is_over_time=is_over_time)

    def sleep_until(self, deadline_ns: int) -> None:
        self.slept.append(deadline_ns)

    def ready(self) -> bool:
        return bool(self.baking)

    def over_time(self) -> OutOfTime | None:
        return out_of_time(201_000_000, 200) if self.is_over_time else None


def test_every_port_of_the_architecture_is_in_the_table() -> None:
    ports = {getattr(abi, name) for name in vars(abi) if name.startswith("PORT_")}
    assert set(HYPERCALLS) == ports - {abi.PORT_DISK, abi.PORT_NIC}, "two are reserved"


@pytest.mark.parametrize("port", [0, 1, abi.PORT_DISK, abi.PORT_NIC, 0x60, 0xFFFF, -1])
def test_another_port_ends_the_guest(port: int) -> None:
    assert port not in HYPERCALLS
    with pytest.raises(GuestViolation, match="a hypercall port of the architecture expected"):
        carry_out(Caller(), port)


def test_idle_sleeps_and_says_nothing() -> None:
    caller = Caller(17)
    assert not carry_out(caller, abi.PORT_IDLE)
    assert (caller.slept, caller.results) == ([17], [])


@pytest.mark.parametrize("baking", [False, True])
def test_ready_ends_a_run_only_while_an_image_is_made(baking: bool) -> None:
    caller = Caller(baking=baking)
    assert carry_out(caller, abi.PORT_READY) is baking
    assert caller.results == [0]


@pytest.mark.plain  # the caller's parts are stand-ins
@pytest.mark.parametrize("port", [abi.PORT_CLOCK, abi.PORT_NOTIFY])
def test_some_are_only_a_reason_to_leave(port: int) -> None:
    caller = Caller()
    assert not carry_out(caller, port)
    assert caller.results == [0]
    assert caller.clock.reads == (port == abi.PORT_CLOCK), "a build asks whether the time was wanted"


@pytest.mark.plain
def test_a_timer_answers_with_what_the_clock_says() -> None:
    caller = Caller(3, 4)
    assert not carry_out(caller, abi.PORT_TIMER)
    assert caller.results == [7]


def test_fs_is_within_memory() -> None:
    caller = Caller(MEMORY - 1)
    assert not carry_out(caller, abi.PORT_SET_FS)
    assert (caller.fs, caller.results) == ([MEMORY - 1], [0])
    for address in (MEMORY, 1 << 47, 2**64 - 1):
        outside = Caller(address)
        with pytest.raises(GuestViolation, match="SET_FS"):
            carry_out(outside, abi.PORT_SET_FS)
        assert (outside.fs, outside.results) == ([], [])


def test_the_way_out() -> None:
    with pytest.raises(GuestExited, match="exit code 3"):
        carry_out(Caller(3), abi.PORT_EXIT)
    with pytest.raises(OutOfMemory, match="32MiB"):
        carry_out(Caller(abi.EXIT_NO_MEMORY), abi.PORT_EXIT)
    with pytest.raises(GuestExited, match="exit code 14"):
        carry_out(Caller(abi.EXIT_NO_TIME), abi.PORT_EXIT)
    with pytest.raises(OutOfTime, match="200"):
        carry_out(Caller(abi.EXIT_NO_TIME, is_over_time=True), abi.PORT_EXIT)
