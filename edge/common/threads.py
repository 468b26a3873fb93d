"""Work for a thread that nobody waits for: an error in it is logged, never lost with its future."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final

from edge.common import log

_logger: Final = log.logger("threads")


def submit(threads: Executor, what: str, call: Callable[..., object], *arguments: object) -> None:
    """Have `call` run; `what` is what the log calls it should it fail."""

    def done(future: "Future[Any]") -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            _logger.error(log.line("thread_failed", what=what, error=repr(error)), exc_info=error)

    threads.submit(call, *arguments).add_done_callback(done)
