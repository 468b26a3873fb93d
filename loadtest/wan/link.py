"""When bytes that enter a link leave it again: a schedule for one direction, without sockets or clock.

Times are seconds of whatever clock the caller has, and never go back. Bytes keep their order. What holds them up:

- **delay**: half of the round trip, each way;
- **rate**: a token bucket that all connections of the link share, each way;
- **window**: what a connection may have on its way before it has heard of it: it begins small, doubles with each round
  trip that used it up, and begins anew after a pause (slow start without loss; RFC 5681, section 3.1, RFC 6928).
"""

from dataclasses import dataclass
from typing import Final

INITIAL_WINDOW: Final = 14_600  # bytes, ten segments of 1,460: RFC 6928, and what Linux does
WINDOW_MAX: Final = 4 << 20  # bytes; Linux's default limit of a receive buffer is 6 MiB, half of it for data
IDLE_S: Final = 1.0  # after which a window begins anew: the least retransmission timeout of RFC 6298 (2.4)


@dataclass(frozen=True)
class Link:
    """What a link is like. Zeros: no such limit.

    :raises ValueError: a field is negative.
    """

    rtt_s: float = 0.0
    rate: float = 0.0  # bytes a second, each way
    burst_bytes: int = 64 << 10  # of the rate's bucket
    window_bytes: int = 0  # with which each connection begins
    reset_share: float = 0.0  # of connections that are lost, each after some of `lost_within_bytes`
    stall_share: float = 0.0  # of connections that stop for `stall_s`, likewise
    stall_s: float = 1.0
    lost_within_bytes: int = 256 << 10
    reset_after_bytes: int = 0  # every connection is lost when so many bytes have come back
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ValueError(f"{name}: 0 or more expected, got {value}")
        if self.reset_share + self.stall_share > 1:
            raise ValueError(f"shares of resets and stalls: together at most 1 expected, got {self}")


class Bucket:
    """The rate of one direction, shared by all of the link's connections."""

    def __init__(self, rate: float, burst_bytes: int) -> None:
        self._rate, self._burst_s = rate, burst_bytes / rate if rate else 0.0
        self._full_at = -self._burst_s  # when everything that was let in will have gone at the bare rate

    def take(self, size: int, now: float) -> float:
        """When so many bytes are through."""
        if not self._rate:
            return now
        self._full_at = max(self._full_at, now - self._burst_s) + size / self._rate
        return max(now, self._full_at)


class Direction:
    """One direction of one connection.

    :param ready_s: before which nothing sets out: the connection is being made.
    """

    def __init__(self, link: Link, bucket: Bucket, ready_s: float) -> None:
        self._link, self._bucket = link, bucket
        self._last_s = ready_s
        self._window = link.window_bytes
        self._used = 0  # of the window, in this round trip
        self._round_ends_s = ready_s + link.rtt_s

    def leave_at(self, size: int, now: float) -> float:
        """When so many bytes that enter now come out at the other end: not before any that entered earlier."""
        sets_out = self._bucket.take(size, self._within_window(size, max(now, self._last_s)))
        self._last_s = sets_out
        return sets_out + self._link.rtt_s / 2

    def _within_window(self, size: int, now: float) -> float:
        """When the window has room. A piece larger than a whole window takes one for itself."""
        if not self._window:
            return now
        if now >= self._round_ends_s + IDLE_S:
            self._window, self._used = self._link.window_bytes, 0
        if now >= self._round_ends_s:
            self._next_round(now)
        elif self._used and self._used + size > self._window:
            now = self._round_ends_s
            self._next_round(now)
        self._used += size
        return now

    def _next_round(self, now: float) -> None:
        if 2 * self._used > self._window:
            self._window = min(2 * self._window, WINDOW_MAX)
        self._used, self._round_ends_s = 0, now + self._link.rtt_s
