"""What executes a machine: the protocol that both engines keep, and the closed list of exits they return.

Match exits without a wildcard, so that a new one is noticed everywhere.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from vmimage.pages import PageNos
from vmimage.snapshot import Registers


@dataclass(frozen=True, slots=True)
class Hypercall:
    """The guest executed `out` to a port; RIP is behind it. Arguments are read with `Engine.argument`."""

    port: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A processor exception. `error_code` is the page-fault code for vector 14, else 0 where the engine cannot tell."""

    vector: int
    error_code: int
    rip: int
    cr2: int


@dataclass(frozen=True, slots=True)
class SliceOver:
    """`stop` was called; the machine goes on where it was at the next `run`."""


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """The engine could not go on and the machine is lost (triple fault, failed entry, internal error)."""

    message: str


Exit = Hypercall | Fault | SliceOver | EngineFailure

HYPERCALLS: Final = tuple(Hypercall(port) for port in range(256))  # made once: an exit is on the hot path
SLICE_OVER: Final = SliceOver()

# CPUID of every machine on every engine: leaf -> (EAX, EBX, ECX, EDX); subleaves alike.
# Nehalem-class: SSE4.2, POPCNT, CX16, no AVX, no RDRAND, no XSAVE, no hypervisor leaf (Intel SDM volume 2, CPUID).
CPUID: Final[dict[int, tuple[int, int, int, int]]] = {
    0x00000000: (0x1, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),  # "GenuineIntel"
    0x00000001: (0x0001_06A3, 0x0000_0800, 0x0098_2201, 0x0781_A11D),
    0x80000000: (0x8000_0001, 0, 0, 0),
    0x80000001: (0, 0, 0x1, 0x2010_0800),  # LAHF; SYSCALL, NX, long mode
}


def cpuid(leaf: int) -> tuple[int, int, int, int]:
    """What a machine sees; a leaf above the highest reads as the highest basic one (Intel SDM volume 2, CPUID)."""
    return CPUID.get(leaf, CPUID[1])


class Engine(Protocol):
    """One virtual CPU over one `GuestMemory`."""

    name: str

    def load(self, registers: Registers) -> None:
        """Set the CPU's state."""

    def save(self) -> Registers:
        """The CPU's state after the last exit."""

    def run(self) -> Exit:
        """Execute in ring 3 until something needs the VMM."""

    def stop(self) -> None:
        """Make a `run` under way in another thread return soon; with none under way perhaps the next one."""

    def forget_stop(self) -> None:
        """The next `run` is not ended by a `stop` that came before."""

    def argument(self, index: int) -> int:
        """RDI or RSI (index 0 or 1) of the hypercall that was returned last."""

    def set_result(self, value: int) -> None:
        """Set RAX, as a signed 64-bit value."""

    def set_fs_base(self, address: int) -> None:
        """Set the FS base."""

    def flush_tables(self) -> None:
        """The VMM changed page tables behind the engine's back."""

    def flush_code(self, page_nos: PageNos) -> None:
        """The VMM changed code in these pages behind the engine's back."""

    def close(self) -> None:
        """Free the host's resources; the engine cannot be used again."""


@contextlib.contextmanager
def limited(engine: Engine, limit_s: float) -> Iterator[None]:
    """Stop the engine when the time is over: for one that nobody has seen run on this host yet."""
    timer = threading.Timer(limit_s, engine.stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
