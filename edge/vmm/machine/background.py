"""What a machine may do while no request is open in it: timers, what it finishes after an answer, and no more.

A request's CPU time has a limit of its own, which counts anew with each. Without requests nobody would count: a machine
that spins between two naps, or wakes for ever, would take what nobody asked for. Its bucket is full when the machine
comes, and holds what its publisher says that one piece of work may take.
"""

import time
from typing import Final

from vmimage.limit_errors import out_of_background_time

# Of one processor, over time. A timer of JavaScript each 10 ms is 1 %, and 20 busy machines are one processor.
BACKGROUND_PERCENT: Final = 5
# What a turn costs the worker beside the guest's own time: to wake it, schedule it and enter it; 18 to 40 µs measured.
RUN_NS: Final = 30_000

_NS_PER_MS: Final = 1_000_000


def rested(charged_ns: int, slept_ns: int) -> int:
    """What is left of the CPU time that a request has used, after its machine slept for so long.

    An answer that streams for hours works a little again and again: what it may do in all is what a machine without
    requests may do over time, and what it may do at once is the limit of a request.
    """
    return max(0, charged_ns - slept_ns * BACKGROUND_PERCENT // 100)


class Background:
    """One machine's; full at first."""

    __slots__ = ("_burst_ns", "_level_ns", "_now_ns")

    def __init__(self, cpu_ms: int) -> None:
        """:param cpu_ms: CPU time that may be used at once after a pause: the limit of a request."""
        self._burst_ns = self._level_ns = cpu_ms * _NS_PER_MS
        self._now_ns = time.monotonic_ns()

    def renew(self) -> None:
        """A request was completed: what is done for it afterwards is as good as what was done before."""
        self._level_ns = self._burst_ns

    def spend(self, cpu_ns: int) -> None:
        """Use so much.

        :raises OutOfBackgroundTime: it has used more than there is.
        """
        self._level_ns -= cpu_ns
        if self._level_ns < 0:
            now_ns = time.monotonic_ns()
            refilled_ns = self._level_ns + (now_ns - self._now_ns) * BACKGROUND_PERCENT // 100
            self._level_ns, self._now_ns = min(refilled_ns, self._burst_ns), now_ns
            if refilled_ns < 0:
                raise out_of_background_time(self._burst_ns // _NS_PER_MS, BACKGROUND_PERCENT)
