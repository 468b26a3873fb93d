"""What is known of sources from what came of asking them: whose turn it is, and what is counted of each.

One for blobs and one for the catalogue, since a source may be good for one of them and not for the other. Not for
several threads at once.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from edge.common import log
from edge.common.counters import Counters
from edge.sources.health import Health
from edge.sources.outcomes import Result, result_of, says_ill
from vmimage.errors import OriginError

KNOWN_MAX: Final = 1024  # sources that are remembered beside those of the configuration: peers come and go

_logger: Final = log.logger("sources")


class Named(Protocol):
    """What has a source's name."""

    @property
    def name(self) -> str:
        """In metrics, pages and log lines."""
        ...


_S = TypeVar("_S", bound=Named)


class Standing:
    """How sources are, by their names."""

    def __init__(
        self,
        names: Sequence[str],
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """:param names: of the configuration's sources, in order. :param chance: from 0 to 1, for pauses."""
        self._own = {name: Health() for name in names}
        self._others: OrderedDict[str, Health] = OrderedDict()
        self._counters, self._clock, self._chance = counters, clock, chance

    @property
    def states(self) -> list[dict[str, str]]:
        """How each source is, in order, for people and JSON."""
        known = (*self._own.items(), *self._others.items())
        return [{"source": name, "state": health.state, "error": health.error} for name, health in known]

    def order(self, sources: Iterable[_S]) -> list[_S]:
        """Sources in the order in which they are asked: as they come, those that are resting last."""
        return sorted(sources, key=lambda source: not self.in_turn(source))

    def in_turn(self, source: Named) -> bool:
        """Whether it is asked in its turn, and not after all others."""
        return self._of(source).in_turn(self._clock())

    def begin(self, source: Named) -> None:
        """It is being asked."""
        self._of(source).begin(self._clock())

    def succeeded(self, source: Named) -> None:
        """It gave what it was asked for."""
        self.count(source, "ok")
        self._of(source).succeeded()

    def failed(self, source: Named, error: OriginError) -> None:
        """It gave nothing, or nothing that counts."""
        self.count(source, result_of(error))
        health = self._of(source)
        if not says_ill(error):
            health.succeeded()
            return
        before = health.state
        health.failed(str(error), self._clock(), self._chance())
        if (before, health.state) == ("well", "resting"):
            _logger.warning(log.line("source_rests", source=source.name, error=error))

    def given_up(self, source: Named) -> None:
        """Nobody waits for its answer any more."""
        self.count(source, "given_up")
        self._of(source).given_up(self._clock())

    def count(self, source: Named, result: Result) -> None:
        """Count what came of asking it."""
        self._counters.add(self._counters.source_fetches, (source.name, result))

    def gave(self, source: Named, amount: int) -> None:
        """Count bytes that came from it."""
        self._counters.add(self._counters.source_bytes, source.name, amount)

    def _of(self, source: Named) -> Health:
        if (own := self._own.get(source.name)) is not None:
            return own
        health = self._others.setdefault(source.name, Health())
        self._others.move_to_end(source.name)
        if len(self._others) > KNOWN_MAX:
            self._others.popitem(last=False)
        return health
