"""What carries the events of a feed to an edge: one interface, however they come.

Nothing is believed because it came this way: events are signed and numbered, and what a carrier loses, the log has.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Protocol

CONNECT_S: Final = 3.0
SILENT_S: Final = 15.0  # without a sign of life, of which one comes every 5 s: a stream is as good as broken


class Feed(Protocol):
    """A carrier."""

    spread_s: float  # over which those whose stream broke are to come again

    def events(self, after: int) -> AsyncGenerator[bytes | None, None]:
        """Events as they come, until the stream ends; None first, when it is open: what came before may be missing.

        :param after: number of the last event that is known; less than 0: of none. A carrier need not have older ones.
        :raises OriginError: it cannot be opened, or broke. One that is thrown into it has it end, and the next time
            another source is asked where there are several.
        """

    async def close(self) -> None:
        """Let go of all connections."""


class EventLog(Protocol):
    """Where events are found that no carrier has brought."""

    async def after(self, number: int) -> Sequence[bytes]:
        """The events after a number, oldest first; not all if there are many.

        :raises OriginError: it does not answer, or not as it should.
        """

    def leave(self) -> None:
        """What the last answer had does not count: another source is asked from now on, where there are several."""

    async def close(self) -> None:
        """Let go of all connections."""
