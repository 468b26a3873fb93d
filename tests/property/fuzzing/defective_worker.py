"""A worker with one defect, so that tests see whether fuzzing would find it: `defective_worker DEFECT ...`."""

import gc
import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from edge.vmm.machine.machine import Machine
from edge.vmm.machine.resident import Resident
from edge.vmm.memory.entry_bits import WRITABLE
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.shells.shell import Shell
from edge.vmm.worker import process
from vmimage import abi

DEFECTIVE: Final = b"\xf0\x0f"  # how code begins that is not done right: locked, of two bytes; one case in a hundred

_here: Final[list[weakref.ref[Resident]]] = []


def _before(owner: type, name: str, act: Callable[..., None]) -> None:
    method = getattr(owner, name)

    def both(self: Any, *arguments: Any, **named: Any) -> Any:
        act(self, *arguments, **named)
        return method(self, *arguments, **named)

    setattr(owner, name, both)


def _code(machine: Machine) -> bytes:
    rip = machine.shell.engine.save().rip
    return machine.shell.memory.read_checked(rip, 2) or b""


def crash(machine: Machine, *_: Any) -> None:
    """As an emulator does that meets what it cannot translate."""
    if machine.virtual_ns == 0 and _code(machine) == DEFECTIVE:
        os.abort()


def hang(machine: Machine, *_: Any) -> None:
    """An endless loop outside of the guest."""
    while machine.virtual_ns == 0 and _code(machine) == DEFECTIVE:
        pass


def keep_memory(memory: GuestMemory, *_: Any, **__: Any) -> None:
    """Writes of the machine before are not seen."""
    page = abi.CONTROL_ADDRESS // abi.PAGE_SIZE
    memory.entries[page] &= ~np.uint64(1 << 6)


def keep_registers(shell: Shell, *_: Any) -> None:
    """R15 stays what it was."""
    engine = shell.engine
    load, kept = engine.load, engine.save().gpr[15]

    def load_most(registers: Any) -> None:
        load(replace(registers, gpr=(*registers.gpr[:15], kept or registers.gpr[15])))

    engine.load = load_most  # type: ignore[method-assign]


def note(resident: Resident, *_: Any) -> None:
    """Remember who is here, the oldest first, for as long as the worker does."""
    _here.append(weakref.ref(resident))


def spoil(machine: Machine, *_: Any) -> None:
    """A byte that its guest may write changes in the oldest machine of the smallest size that has not run."""
    if machine.virtual_ns or _code(machine) != DEFECTIVE:
        return
    gc.collect()  # what is gone may be held by the error that ended it
    for resident in filter(None, [reference() for reference in _here]):
        memory = resident.machine.shell.memory
        if memory.memory_bytes == abi.MEMORY_MIN and not resident.has_run:
            last = int((memory.entries & WRITABLE != 0).nonzero()[0][-1])
            memory.write(last * abi.PAGE_SIZE + 77, b"!")
            return


def main() -> int:
    """A worker that is as it should be, but for one thing."""
    defect = sys.argv.pop(1)
    if defect == "crash":
        _before(Machine, "run", crash)
    elif defect == "hangs":
        _before(Machine, "run", hang)
    elif defect == "keeps memory":
        _before(GuestMemory, "bind", keep_memory)
    elif defect == "keeps registers":
        _before(Shell, "bind", keep_registers)
    elif defect == "spoils a neighbour":
        _before(Resident, "__init__", note)
        _before(Machine, "run", spoil)
    else:
        raise SystemExit(f"a defect expected, got {defect!r}")
    return process.main()


if __name__ == "__main__":
    sys.exit(main())
