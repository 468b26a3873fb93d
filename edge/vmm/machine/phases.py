"""Where a machine is in its life, as a table, and how a turn of it ends."""

import enum
from dataclasses import dataclass
from typing import Final


class Phase(enum.Enum):
    """Where a machine is in its life."""

    EMPTY = "empty"  # a shell, nothing in it
    RUNNABLE = "runnable"  # the CPU can go on
    IDLE = "idle"  # in the IDLE hypercall, until an interrupt or its deadline
    DEAD = "dead"  # the guest broke a rule, faulted or left


# phase -> event -> phase; anything else is a KeyError, that is, a mistake of the VMM.
TRANSITIONS: Final[dict[Phase, dict[str, Phase]]] = {
    Phase.EMPTY: {"boot": Phase.RUNNABLE, "restore runnable": Phase.RUNNABLE, "restore idle": Phase.IDLE},
    Phase.RUNNABLE: {"idle": Phase.IDLE, "die": Phase.DEAD},
    Phase.IDLE: {"wake": Phase.RUNNABLE, "die": Phase.DEAD, "reset": Phase.RUNNABLE},
    Phase.DEAD: {},
}


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do until something is offered, or until this `time.monotonic_ns` (`None`: for ever)."""

    until_ns: int | None


@dataclass(frozen=True, slots=True)
class Runnable:
    """The slice is over; there is more to do."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The guest says it is initialised (only while baking)."""


Outcome = Idle | Runnable | Ready
RUNNABLE: Final = Runnable()
