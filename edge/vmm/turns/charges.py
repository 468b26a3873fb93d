"""What the supervisor's work for a guest costs, and who pays: frames that a guest can cause without end.

The supervisor is one thread that serves all tenants. Its time for ordinary answers goes with their bytes, see
`scheduler.IO_NS_PER_BYTE`. What is here beside that a guest decides alone: how many lines, requests of its own, flushes
and blocks it wants. Each costs its machine what it costs the supervisor; and a tenant may have only so much of it over
time, beyond which its machines wait, and nobody else.
"""

from collections.abc import Mapping
from typing import Final

from edge.vmm.turns.token_bucket import Quota
from vmimage import abi

# CPU time of the supervisor's thread for one frame, in nanoseconds, measured with its own handlers over some thousand
# frames each: 23 µs a log line; 114 µs a flush of one page, and 1.6 ns for each byte of a large one; 6 µs a log record,
# and 3.7 ns a byte; 200 µs a block of 64 KiB, and 300 µs of threads; 54 µs a request to an upstream that is
# refused, several hundred for one that is answered; 16 µs to begin one and drop it. Rounded up: in the loop of an edge
# with much to do caches are colder.
LOG_LINE_NS: Final = 30_000
BLOCK_WANT_NS: Final = 300_000
KEEP_NS: Final = 120_000
APPEND_NS: Final = 10_000
DISK_NS_PER_BYTE: Final = 4
RECORD_NS: Final[Mapping[int, int]] = {  # by type of a gate record; answers are not here
    abi.RECORD_SUBREQUEST: 150_000,
    abi.RECORD_RESET: 15_000,
    abi.RECORD_CREDIT: 3_000,
    abi.RECORD_SOCKET: 40_000,
}

# Of one tenant in one worker: a tenth of the one processor that the supervisor has, and as much at once after a second
# without. A flood then makes others' answers later by a tenth; it is still 600 requests to upstreams in a second, 800
# flushes, or 20 MiB of a disk that is read for the first time.
TENANT_QUOTA: Final = Quota(100_000_000, burst_ns=100_000_000)
TURN_NS: Final = 1_000_000  # caused in one turn, after which the machine gives way: what others wait for at a time


class Account:
    """The supervisor's time that one machine has caused."""

    __slots__ = ("_limit_ns", "_owed_ns", "_turn_ns")

    def __init__(self, *, limited: bool = True) -> None:
        """:param limited: a turn ends at TURN_NS; not while baking, where there is no supervisor."""
        self._limit_ns = TURN_NS if limited else abi.IDLE_FOREVER
        self._owed_ns = self._turn_ns = 0

    def add(self, cost_ns: int) -> None:
        """Charge the machine with work that it caused in the supervisor."""
        self._owed_ns += cost_ns
        self._turn_ns += cost_ns

    @property
    def used_up(self) -> bool:
        """Whether the machine has caused enough in this turn."""
        return self._turn_ns >= self._limit_ns

    def begin_turn(self) -> None:
        """It may cause some more."""
        self._turn_ns = 0

    def take(self) -> int:
        """What nobody has been charged for yet."""
        owed_ns, self._owed_ns = self._owed_ns, 0
        return owed_ns
