"""Hypercalls: what each port does, as a table. To add one: its number in `vmimage.abi` and abi.h, a function here.

The engine has stopped behind the guest's `out`; arguments and result are in registers as `vmimage.abi` says. What a
guest may not ask for ends it as a `GuestError`.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from edge.vmm.devices.clock import Clock
from edge.vmm.engines.engine import Engine
from vmimage import abi
from vmimage.errors import GuestExited, GuestViolation, OutOfTime
from vmimage.limit_errors import out_of_memory


class Caller(Protocol):
    """What a hypercall may know of its machine, and do to it."""

    clock: Clock

    @property
    def engine(self) -> Engine:
        """Of the shell that it is in."""

    @property
    def memory_bytes(self) -> int:
        """Guest memory; every address of the guest's is below."""

    def sleep_until(self, deadline_ns: int) -> None:
        """Idle until then, or until something comes."""

    def ready(self) -> bool:
        """Be ready for requests; whether that ends the run."""

    def over_time(self) -> OutOfTime | None:
        """That a request has used up its CPU time, where the guest has its last moment."""


def carry_out(machine: Caller, port: int) -> bool:
    """Do what the guest asks for; whether its run ends with that.

    :raises GuestViolation: there is no such port, or an argument is out of range.
    :raises GuestExited: it leaves. :raises OutOfMemory: it leaves because it has no memory left.
    :raises OutOfTime: it leaves because a request has had its time, and it has said where it was.
    """
    call = HYPERCALLS.get(port)
    if call is None:
        raise GuestViolation(f"a hypercall port of the architecture expected, got {port:#x}")
    return call(machine)


def _idle(machine: Caller) -> bool:
    machine.sleep_until(machine.engine.argument(0))
    return False


def _ready(machine: Caller) -> bool:
    machine.engine.set_result(0)
    return machine.ready()


def _timer(machine: Caller) -> bool:
    engine = machine.engine
    engine.set_result(machine.clock.set_timer(engine.argument(0), engine.argument(1)))
    return False


def _clock(machine: Caller) -> bool:
    machine.clock.reads += 1
    return _nothing(machine)


def _nothing(machine: Caller) -> bool:
    """Every exit refreshes the clocks and drains the rings: to have left is all that was wanted."""
    machine.engine.set_result(0)
    return False


def _set_fs(machine: Caller) -> bool:
    address = machine.engine.argument(0)
    if address >= machine.memory_bytes:
        raise GuestViolation(f"SET_FS: an address below {machine.memory_bytes:#x} expected, got {address:#x}")
    machine.engine.set_fs_base(address)
    machine.engine.set_result(0)
    return False


def _exit(machine: Caller) -> bool:
    code = machine.engine.argument(0)
    if code == abi.EXIT_NO_TIME and (over := machine.over_time()) is not None:
        raise over
    if code == abi.EXIT_NO_MEMORY:
        raise out_of_memory(machine.memory_bytes)
    raise GuestExited(f"the program left with exit code {code}: return from the handler, or answer an error", code)


HYPERCALLS: Final[Mapping[int, Callable[[Caller], bool]]] = {
    abi.PORT_IDLE: _idle,
    abi.PORT_READY: _ready,
    abi.PORT_TIMER: _timer,
    abi.PORT_CLOCK: _clock,
    abi.PORT_NOTIFY: _nothing,
    abi.PORT_SET_FS: _set_fs,
    abi.PORT_EXIT: _exit,
}
