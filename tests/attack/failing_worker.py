"""The real worker, in which what is done for one machine fails: at a place, by an error that the machine's limits name.

`failing_worker ENGINE PLACE --frames-fd N --images-fd M`. A machine whose `cpu_ms` is MARKED is that one, and the error
is the one in ERRORS whose place its `log_bytes` says. Of spare shells the first ones fail, by each of them.
"""

import errno
import runpy
import sys
from collections.abc import Callable
from typing import Any

from unicorn import UcError
from unicorn import unicorn_const as uc_const

from edge.vmm.machine import machine
from edge.vmm.machine.resident import Resident
from edge.vmm.shells import shell

MARKED = 13  # ms
ERRORS: tuple[Exception, ...] = (
    MemoryError(),
    OSError(errno.EMFILE, "too many"),
    OSError(errno.ENOMEM, "none left"),
    OverflowError("too large"),
    RecursionError("too deep"),
    UcError(uc_const.UC_ERR_MAP),
    UcError(uc_const.UC_ERR_NOMEM),
    KeyError("a defect"),
    ZeroDivisionError(),
)
SHORTAGES = (0, 1, 2, 6)  # of these
PLACES: dict[str, tuple[type, str, Callable[[Any], machine.Machine | None]]] = {
    "open": (machine.Machine, "restore", lambda made: made),
    "frame": (machine.Machine, "offer", lambda made: made),
    "run": (machine.Machine, "run", lambda made: made),
    "park": (machine.Machine, "capture", lambda made: made),
    "reset": (machine.Machine, "reset", lambda made: made),
    "ping": (Resident, "measure", lambda resident: resident.machine),
    "spare": (shell.Shell, "warm_up", lambda _: None),
}
failed_spares = 0


def fail_at(place: str) -> None:
    """From now on."""
    owner, name, machine_of = PLACES[place]
    real = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        global failed_spares
        subject = machine_of(self)
        if subject is None:
            failed_spares += 1
            if failed_spares <= len(ERRORS):
                raise ERRORS[failed_spares - 1]
        elif subject.limits.cpu_ms == MARKED:
            raise ERRORS[subject.limits.log_bytes]
        return real(self, *arguments, **named)

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    fail_at(sys.argv.pop(2))
    runpy.run_module("tests.attack.sandboxed_worker", run_name="__main__")
