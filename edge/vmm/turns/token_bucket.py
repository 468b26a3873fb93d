"""A token bucket of processor time: what may be used over time, and how much at once after a pause.

Values only: every time is the caller's `time.monotonic_ns`. Nothing is lost to rounding.
"""

from dataclasses import dataclass
from typing import Final

BURST_NS: Final = 100_000_000  # CPU time a bucket holds: the default period of CFS bandwidth control

_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Processor time that somebody may use, however idle the processor is."""

    cpu_ns_per_s: int  # above 0; the long-term rate
    burst_ns: int = BURST_NS  # at least a scheduler's floor; what may be used at once after a pause


class Bucket:
    """Full at first, below 0 after a slice that went on for too long."""

    __slots__ = ("_level", "_now_ns", "_quota")

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._level = quota.burst_ns * _SECOND_NS  # in 1e-9 ns, so that refilling does not round
        self._now_ns = 0

    def take(self, cpu_ns: int) -> None:
        """Use so much."""
        self._level -= cpu_ns * _SECOND_NS

    def holds_ns(self, now_ns: int) -> int:
        """What may be used now."""
        refilled = self._level + (now_ns - self._now_ns) * self._quota.cpu_ns_per_s
        self._level = min(refilled, self._quota.burst_ns * _SECOND_NS)
        self._now_ns = now_ns
        return self._level // _SECOND_NS

    def is_full(self, now_ns: int) -> bool:
        """Whether a new one would hold no more."""
        return self.holds_ns(now_ns) >= self._quota.burst_ns

    def ready_ns(self, cpu_ns: int) -> int:
        """When it will hold so much, more than `holds_ns` has just said, if nothing is used meanwhile."""
        missing = cpu_ns * _SECOND_NS - self._level
        return self._now_ns + -(-missing // self._quota.cpu_ns_per_s)
