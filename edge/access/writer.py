"""Lines on their way: taken from the event loop without a wait, made and written by a thread.

What waits is bounded; what comes beyond that is lost, and so is what the output does not take. Both are counted by
cause, and told in the edge's log now and then. The thread sleeps until there is something; it then waits a moment for
more, and makes a few lines at a time, since the event loop waits meanwhile for the interpreter.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from edge.access.outputs import Output, Slow
from edge.common import log
from edge.common.counters import Counters

Cause = Literal[
    "slow",  # too much waited, since the output takes less than comes, or an output was given up that took nothing
    "unwritable",  # the output failed
    "defect",  # a line could not be made
]
WAITING_BYTES: Final = 16 << 20  # of memory: some 6,000 requests
GATHER_S: Final = 0.1  # for more to come, so that a busy edge's thread is woken ten times a second
BATCH: Final = 16  # lines made at a time, in about a tenth of a millisecond
CLOSE_S: Final = 5.0  # at the end of the edge for what waits; four fifths of it for an output that takes nothing
TELL_S: Final = 30.0  # between two lines of the edge's log about losses

T = TypeVar("T")

_logger: Final = log.logger("access")


class Way(NamedTuple, Generic[T]):
    """Where lines go, and how they are made."""

    output: Output  # is closed by who writes to it
    line: Callable[[T], bytes]  # with its end


class Writer(Generic[T]):
    """A thread that writes lines. All but what it does itself is for the event loop's thread to call.

    :param size: bytes of memory that one of those keeps from being free which lines are about.
    """

    def __init__(self, way: Way[T], counters: Counters, size: Callable[[T], int]) -> None:
        self._way, self._counters, self._size = way, counters, size
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[T] = deque()
        # Each is added to by one thread only: bytes that came by the loop's, bytes that were taken by the writing one.
        self._came_bytes = self._taken_bytes = 0
        self._orders: deque[Way[T] | None] = deque()  # another way; None to reopen the output
        self._closing, self._give_up_at = False, float("inf")
        self._wanted = threading.Event()  # there is something to do
        self._hurry = threading.Event()  # without a wait for more
        self._untold, self._tell_at = 0, 0.0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def add(self, what: T) -> None:
        """Something to write a line about."""
        size = self._size(what)
        if self._came_bytes - self._taken_bytes + size > WAITING_BYTES:
            self._lost("slow", 1, "more comes than is written")
            return
        self._came_bytes += size
        self._waiting.append(what)
        if not self._wanted.is_set():
            self._wanted.set()

    def reopen(self) -> None:
        """Have the output begin anew, with the next lines."""
        self._order(None)

    def go_on(self, way: Way[T]) -> None:
        """Have the next lines written another way. An output that takes nothing is not waited for any longer."""
        self._order(way)

    def end(self) -> None:
        """Have the thread write what waits, as far as `CLOSE_S` allows, close the output, and end."""
        self._give_up_at = time.monotonic() + CLOSE_S * 4 / 5
        self._closing = True
        self._hurry.set()
        self._wanted.set()

    async def close(self) -> None:
        """`end`, and wait for that."""
        self.end()
        await self._loop.run_in_executor(None, self._thread.join, CLOSE_S)
        await asyncio.sleep(0)  # what the thread has lost is told first
        if self._waiting:
            self._lost("slow", len(self._waiting), "too much was left at the end")
        if self._untold:
            self._tell("the edge ends")

    def _order(self, order: Way[T] | None) -> None:
        self._orders.append(order)
        self._hurry.set()
        self._wanted.set()

    def _lost(self, cause: Cause, count: int, why: str) -> None:
        self._counters.add(self._counters.access_log_lost, cause, count)
        self._untold += count
        if time.monotonic() >= self._tell_at:
            self._tell(why)

    def _tell(self, why: str) -> None:
        _logger.warning(log.line("access_log_lost", lines=self._untold, why=why))
        self._untold, self._tell_at = 0, time.monotonic() + TELL_S

    # In the thread.

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wanted.wait()
            self._hurry.wait(GATHER_S)
            self._wanted.clear()
            closing = self._closing  # read before what waits, so that nothing comes between
            self._follow_orders()
            while self._waiting:
                self._write()
                self._follow_orders()
        self._way.output.close()

    def _follow_orders(self) -> None:
        if self._orders and not self._closing:
            self._hurry.clear()
        while self._orders:
            way = self._orders.popleft()
            if way is None:
                try:
                    self._way.output.reopen()
                except OSError as error:
                    self._tell_loop(0, "unwritable", error)
            else:
                self._way.output.close()
                self._way = way

    def _write(self) -> None:
        """A few lines."""
        taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            output, line = self._way
            output.write(b"".join(map(line, taken)), self._given_up)
        except Slow as error:
            self._tell_loop(len(taken), "slow", error)
        except OSError as error:
            self._tell_loop(len(taken), "unwritable", error)
        except Exception as error:
            _logger.exception(log.line("access_log_defect", lines=len(taken)))
            self._tell_loop(len(taken), "defect", error)
        self._taken_bytes += sum(map(self._size, taken))

    def _given_up(self) -> bool:
        return any(order is not None for order in tuple(self._orders)) or time.monotonic() > self._give_up_at

    def _tell_loop(self, count: int, cause: Cause, error: Exception) -> None:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._lost, cause, count, why)
