"""The access log as the options of an edge have it: whether there is one, where it goes, and what is in a line."""

from collections.abc import Callable
from typing import Final

from edge.access import clients, lines, outputs
from edge.access.writer import Way, Writer
from edge.common.counters import Counters
from edge.config.access import AccessOptions
from edge.model.finished import Finished

REQUEST_BYTES: Final = 1 << 10  # of memory, beside the head: what `Finished` takes

Listen = Callable[[Callable[[Finished], None]], Callable[[], None]]


class AccessLog:
    """A line for each request, while the operator wants that.

    :param listen: as `front.telling.Telling` has it: who is told of requests, and what ends that.
    :raises OperatorError: the file that lines are to go to cannot be written.
    """

    def __init__(self, options: AccessOptions, counters: Counters, listen: Listen) -> None:
        self._counters, self._listen = counters, listen
        self._asked = "", "", ""
        self._writer: Writer[Finished] | None = None
        self._stop: Callable[[], None] = lambda: None  # hearing of requests
        self.prepared(options)()

    def reopen(self) -> None:
        """Begin the file anew, if it was renamed, or the connection to a socket."""
        if self._writer is not None:
            self._writer.reopen()

    def prepared(self, options: AccessOptions) -> Callable[[], None]:
        """What takes these options up.

        :raises OperatorError: the file that lines are to go to cannot be written.
        """
        asked = options.access_log, options.access_log_format, options.access_log_clients
        if asked == self._asked:
            return lambda: None
        way = _way(options)

        def take_up() -> None:
            self._asked = asked
            if self._writer is not None and way is not None:
                self._writer.go_on(way)
            elif self._writer is not None:
                self._stop()
                self._writer.end()
                self._writer = None
            elif way is not None:
                self._writer = Writer(way, self._counters, _size)
                self._stop = self._listen(self._writer.add)

        return take_up

    async def close(self) -> None:
        """Write what waits."""
        if self._writer is not None:
            self._stop()
            await self._writer.close()


def _size(finished: Finished) -> int:
    return REQUEST_BYTES + finished.head_bytes


def _way(options: AccessOptions) -> Way[Finished] | None:
    if not options.access_log:
        return None
    line, shown = lines.line_of(options.access_log_format), clients.shown_by(options.access_log_clients)

    def made(finished: Finished) -> bytes:
        return f"{line(finished, shown(finished.client))}\n".encode("ascii", "backslashreplace")

    return Way(outputs.opened(options.access_log), made)
