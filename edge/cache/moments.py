"""A time for kept answers that outlive the process: seconds that never go back, whatever is done to the clock.

A kept answer's age is counted from when it came. In memory that is loop time, which begins anew with the process; on
disk it is *cache time*, which goes on. As long as the machine has not been started again the kernel says how much has
passed. Over a start of the machine only the wall clock does; one that went back says nothing, and then what is kept is
to be taken for stale: see `Passed.known`. Pure but for `now`.
"""

import time
from pathlib import Path
from typing import Final, NamedTuple

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")  # random(4): another one for each start of the kernel


class Moment(NamedTuple):
    """One moment by all clocks."""

    cache_s: float  # cache time
    boot: str  # which start of the machine it was in
    up_s: float  # since then, suspended or not
    wall_s: float  # since 1970


class Passed(NamedTuple):
    """What passed between two moments."""

    seconds: float
    known: bool  # else it is the least that it may have been


def now(cache_s: float) -> Moment:
    """This moment.

    :param cache_s: what cache time it is.
    """
    try:
        boot = _BOOT.read_text("ascii").strip()
    except OSError:
        boot = ""  # no /proc: only the wall clock is left
    return Moment(cache_s, boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def passed(before: Moment, after: Moment) -> Passed:
    """What passed from one moment to another, whose cache time is not looked at."""
    if before.boot and before.boot == after.boot and after.up_s >= before.up_s:
        return Passed(after.up_s - before.up_s, True)
    seconds = after.wall_s - before.wall_s
    return Passed(max(0.0, seconds), seconds >= 0)
