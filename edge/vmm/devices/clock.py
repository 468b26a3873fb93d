"""Two timelines and one timer. Physical time runs while the machine is resident, virtual time while it has the CPU."""

import errno
import time
from typing import Final

from vmimage import abi
from vmimage.snapshot import DeviceState

# A deadline that is farther away does not come: no process lives for so long, and what the host does with it (waiting,
# arithmetic in its own types) need not hold every number that a guest can say. A year.
FAR_NS: Final = 365 * 24 * 3600 * 1_000_000_000
CLOCK_MAX_NS: Final = (1 << 63) - 1  # that a record holds: an image may say that its clock is nearly there


class Clock:
    """The clocks of one machine; all times in nanoseconds."""

    def __init__(self, state: DeviceState) -> None:
        self.virtual_ns = state.virtual_ns
        self._origin_ns = time.monotonic_ns() - state.mono_ns
        self._timeline = state.timer_timeline
        self._deadline_ns = state.timer_deadline_ns
        self._fired = bool(state.timer_fired)
        self.reads = 0  # how often the guest asked for the time as it is now

    def save(self, state: DeviceState) -> None:
        """Write what a snapshot keeps."""
        state.mono_ns, state.virtual_ns = min(self.mono_ns(), CLOCK_MAX_NS), min(self.virtual_ns, CLOCK_MAX_NS)
        state.timer_timeline, state.timer_deadline_ns, state.timer_fired = (
            self._timeline,
            self._deadline_ns,
            int(self._fired),
        )

    def mono_ns(self) -> int:
        """Physical time this machine has been resident: it stands still while parked, so no timer is days late."""
        return time.monotonic_ns() - self._origin_ns

    @property
    def armed(self) -> bool:
        """Whether the timer will fire while the machine idles."""
        return bool(self._deadline_ns) and self._timeline == abi.TIMELINE_PHYSICAL

    def set_timer(self, deadline_ns: int, timeline: int) -> int:
        """The TIMER hypercall: 0, or -EINVAL for an unknown timeline."""
        if timeline not in (abi.TIMELINE_PHYSICAL, abi.TIMELINE_VIRTUAL):
            return -errno.EINVAL
        self._deadline_ns, self._timeline, self._fired = deadline_ns, timeline, False
        return 0

    def timer_pending(self) -> bool:
        """Whether the timer's interrupt is pending."""
        if self._deadline_ns:
            now_ns = self.virtual_ns if self._timeline == abi.TIMELINE_VIRTUAL else self.mono_ns()
            if now_ns >= self._deadline_ns:
                self._fired, self._deadline_ns = True, 0
        return self._fired

    def until_timer_ns(self) -> int:
        """Time left until the timer is due, on its own timeline; FAR_NS where none comes sooner."""
        if not self._deadline_ns:
            return FAR_NS
        now_ns = self.virtual_ns if self._timeline == abi.TIMELINE_VIRTUAL else self.mono_ns()
        return min(max(0, self._deadline_ns - now_ns), FAR_NS)

    def host_deadline_ns(self, idle_until_ns: int) -> int | None:
        """When an idle machine must wake, as `time.monotonic_ns`; `None` for never, which is also what is too far away.

        The one door for deadlines that a guest named: past it they are at most FAR_NS ahead.
        """
        deadline_ns = min(idle_until_ns, self._deadline_ns) if self.armed else idle_until_ns
        if deadline_ns - self.mono_ns() > FAR_NS:
            return None
        return deadline_ns + self._origin_ns
