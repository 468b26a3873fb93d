"""Background tasks: named, logged, counted, and, where one must never end, started again.

Nothing in this program makes an asyncio task in any other way: an exception in a bare task is seen by nobody until the
task is collected. A task's name is one of a few fixed words, since it labels a counter; what it works on belongs into
the exception's message.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from edge.common import backoff, log
from edge.common.counters import Counters
from vmimage.errors import NunatakError

RESTART_S: Final = 1.0  # before a loop that failed is started again, at least: what fails at once costs next to nothing
RECENT_S: Final = 60.0  # a failure is a matter of health for so long: four scrapes of a monitor that asks each 15 s

T = TypeVar("T")

_logger: Final = log.logger("tasks")


class Tasks:
    """All background tasks of one owner."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._running: set[asyncio.Task[Any]] = set()
        self._failed: dict[str, tuple[float, str]] = {}  # by name: when it last failed, and what it was
        self._down: set[str] = set()  # loops that wait to be started again

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, T], *, awaited: bool = False) -> asyncio.Task[T]:
        """Run something to its end.

        :param awaited: somebody awaits the task and deals with what it raises; else that is logged and counted.
        """
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._done_awaited if awaited else self._done)
        return task

    def keep(self, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run a loop for ever: after a failure it is started again, after a pause. If it returns, that is its end."""
        return self.spawn(name, self._keep(name, make))

    async def _keep(self, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await make()
                return
            except Exception as error:
                self.note(name, error)
                failures, pause_s = backoff.after_crash(failures, time.monotonic() - began)
            self._down.add(name)
            try:
                await asyncio.sleep(max(RESTART_S, pause_s))
            finally:
                self._down.discard(name)

    def note(self, name: str, error: BaseException) -> None:
        """Log and count a failure that was caught, of a task or of a callback."""
        self._counters.add(self._counters.task_failures, name)
        self._failed[name] = time.monotonic(), f"{type(error).__name__}: {error}"
        ours = not isinstance(error, NunatakError)
        _logger.error(log.line("task_failed", task=name, error=repr(error)), exc_info=error if ours else None)

    def health(self) -> list[str]:
        """What is not well, a line each; empty when all is."""
        now = time.monotonic()
        lines = []
        for name, (at, what) in sorted(self._failed.items()):
            if name in self._down:
                lines.append(f"{name}: down, is started again: {what}")
            elif now - at < RECENT_S:
                lines.append(f"{name}: failed {now - at:.0f} s ago: {what}")
        return lines

    async def close(self) -> None:
        """Cancel what runs and wait for it."""
        current = asyncio.current_task()
        running = [task for task in self._running if task is not current]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done_awaited(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever awaits it has it; without this one who stopped waiting leaves a warning

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.note(task.get_name(), error)
