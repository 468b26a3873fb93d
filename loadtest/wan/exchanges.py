"""What passed over a link, as exchanges: something was sent, and something came back. Values and sums, no I/O.

The number that matters for a far source is how many round trips had to follow one another. Two exchanges of which the
second was sent after the first had come back may depend on each other; two that overlap cannot. So the longest chain of
exchanges that do not overlap is what the wide area costs, and each that had to wait for its connection counts double.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass
class Exchange:
    """Something that was sent over one connection, and what came back."""

    connection: int
    what: str  # the first line that was sent
    sent_s: float
    opened_s: float  # when its connection was asked for
    waited: bool  # for its connection to be made
    ended_s: float | None = None  # when the last that came back was handed over, None while nothing has
    up_bytes: int = 0
    down_bytes: int = 0

    @property
    def began_s(self) -> float:
        """When the wide area began to cost something."""
        return self.opened_s if self.waited else self.sent_s

    @property
    def round_trips(self) -> int:
        """That it takes at least: one, and one more for a connection that had to be made first."""
        return 2 if self.waited else 1


class Log:
    """Exchanges as they come and go on any number of connections."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._open: dict[int, Exchange] = {}

    def sent(self, connection: int, data: bytes, now: float, *, opened_s: float, waited: bool) -> None:
        """Bytes entered the link."""
        last = self._open.get(connection)
        if last is None or last.ended_s is not None:
            what = data.partition(b"\r\n")[0][:200].decode("latin-1")
            last = self._open[connection] = Exchange(connection, what, now, opened_s, waited)
            self.exchanges.append(last)
        last.up_bytes += len(data)

    def came_back(self, connection: int, size: int, now: float) -> None:
        """Bytes were handed to who asked."""
        last = self._open.get(connection)
        if last is not None:
            last.ended_s = now
            last.down_bytes += size


def longest_chain(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Those that may all have had to wait for one another, with the most round trips in sum; in order.

    Exchanges that nothing came back of are left out.
    """
    done = sorted((each for each in exchanges if each.ended_s is not None), key=_end)
    ends = [_end(each) for each in done]
    best: list[tuple[int, Exchange | None, int]] = [(0, None, 0)]  # by number of exchanges looked at: sum, last, rest
    for place, each in enumerate(done):
        before = bisect_right(ends, each.began_s, hi=place)
        total = best[before][0] + each.round_trips
        best.append((total, each, before) if total > best[place][0] else best[place])
    chain: list[Exchange] = []
    _, last, before = best[-1]
    while last is not None:
        chain.append(last)
        _, last, before = best[before]
    return chain[::-1]


def round_trips(chain: Sequence[Exchange]) -> int:
    """In sum."""
    return sum(each.round_trips for each in chain)


def _end(exchange: Exchange) -> float:
    return exchange.ended_s if exchange.ended_s is not None else exchange.sent_s
