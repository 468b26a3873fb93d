"""Holes that are known to be open: cases that would only find them again are changed or left out.

Each is one predicate with one sentence. When a hole is closed its predicate goes, and the cases that it kept away run.
"""

import re
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from edge.vmm.devices.clock import Clock
from edge.vmm.image_memory import base_memfd
from edge.vmm.memory import BaseMemory, GuestMemory
from vmimage import abi
from vmimage.pages import no_pages
from vmimage.snapshot import DeviceState

if TYPE_CHECKING:
    from tests.property.fuzzing.case import Case

_LOCKED_BIT_TEST: Final = re.compile(
    rb"\xf0[\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3\x40-\x4f]*\x0f[\xa3\xab\xb3\xbb\xba]", re.DOTALL
)
# A frame that parses, and says what a supervisor would not, ends the worker by an exception.
FRAMES_END_WORKERS: Final = find_spec("edge.vmm.guard") is None
_FAR_NS: Final = 2**62


def aborts_end_workers() -> bool:
    """Unicorn's translator ends the process over some instructions, and nothing contains that."""
    return find_spec("edge.vmm.unicorn_aborts") is None


def untranslatable(code: bytes) -> int | None:
    """Where the translator would end the process, at any offset."""
    match = _LOCKED_BIT_TEST.search(code) if aborts_end_workers() else None
    return None if match is None else match.start()


def far_deadlines_end_workers() -> bool:
    """A deadline beyond what the host's timers take ends a worker when nothing nearer is left."""
    far = Clock(DeviceState()).host_deadline_ns(2**64 - 2)
    return far is not None and far > 2**63


@cache
def touched_pages_stay() -> bool:
    """What a guest touches stays in the memfd of its base, and ends the next worker that makes a smaller shell."""
    fd = base_memfd(*no_pages())
    memory = GuestMemory(BaseMemory(fd), abi.MEMORY_MIN)
    memory.ram[abi.MEMORY_MIN - 1] = 1
    return bool(BaseMemory(fd).extents)


def avoid(case: "Case") -> "Case":
    """The case without what is known to end a worker."""
    if untranslatable(case.code) is not None or untranslatable(case.data) is not None:
        case = replace(case, code=b"\x0f\x0b", data=b"")
    if clocks_run_over():
        clocks = {
            name: min(value, _FAR_NS) for name, value in case.devices.items() if name in ("mono_ns", "virtual_ns")
        }
        case = replace(case, devices={**case.devices, **clocks})
    return case


def clocks_run_over() -> bool:
    """A record may hold a clock at the end of its range; parked again it is past that, and is refused."""
    later = DeviceState()
    Clock(DeviceState(mono_ns=2**63 - 1)).save(later)
    return later.mono_ns >= 2**63


def death(stderr: str) -> str:
    """Which known hole a worker's last words name; empty for none."""
    if far_deadlines_end_workers() and "OverflowError: timestamp out of range" in stderr:
        return "far deadline"
    if touched_pages_stay() and "madvise start out of bounds" in stderr:
        return "touched pages"
    return ""


def open_holes() -> list[str]:
    """Those that are open here and now, for a run to say so."""
    holes = {
        "far deadlines": far_deadlines_end_workers(),
        "touched pages": touched_pages_stay(),
        "clocks at their end": clocks_run_over(),
        "frames that parse": FRAMES_END_WORKERS,
        "instructions that Unicorn cannot translate": aborts_end_workers(),
    }
    return [name for name, is_open in holes.items() if is_open]
