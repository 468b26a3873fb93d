"""What a guest writes for its publisher: log records and the console, as much as it may in a second.

A token bucket that holds a second's worth. What does not fit is dropped, and when there is room again, or when the
machine is parked or dies, one line says how much that was, so that nobody takes a gap for silence. The bucket is no
part of a machine's state: one that comes back begins with a full one. So a park is worth a second of log at most, and a
guest cannot bring one about.
"""

import time
from typing import Final

_SECOND_NS: Final = 1_000_000_000


class GuestLog:
    """The log of one machine."""

    def __init__(self, bytes_per_s: int) -> None:
        self.parts: list[bytes] = []  # for the owner to take
        self.dropped_bytes = 0  # that no line has told of yet
        self._rate = bytes_per_s
        self._level = bytes_per_s
        self._filled_ns = time.monotonic_ns()

    def append(self, text: bytes) -> None:
        """Take it, or drop it when there is too much already."""
        if len(text) > self._level:
            self._refill()
        if len(text) > self._level:
            self.dropped_bytes += len(text)
            return
        self._level -= len(text)
        if self.dropped_bytes:
            self.parts.append(self.notice())
        self.parts.append(text)

    def end(self) -> None:
        """The machine goes: what was dropped last is told now."""
        if self.dropped_bytes:
            self.parts.append(self.notice())

    def notice(self) -> bytes:
        """A line about what was dropped; it is told with that."""
        dropped, self.dropped_bytes = self.dropped_bytes, 0
        return b"%d bytes of log dropped: at most %d in a second expected (log_bytes)\n" % (dropped, self._rate)

    def _refill(self) -> None:
        now_ns = time.monotonic_ns()
        self._level = min(self._rate, self._level + (now_ns - self._filled_ns) * self._rate // _SECOND_NS)
        self._filled_ns = now_ns
