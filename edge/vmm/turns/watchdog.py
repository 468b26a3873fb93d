"""Ends turns from outside: a guest that does not come back by itself, or one that others wait behind.

A timer ticks while a worker has work, and a thread that reads it looks at the run under way. One that has lasted two
ticks is given the rest of its slice, but no more as soon as there is input for the worker; then its engine is stopped.
A stop that comes too late hits a run that had just begun: that costs it one turn. No signals, so nothing else in the
process is disturbed, and no ticks while nothing runs.
"""

import contextlib
import functools
import logging
import select
import threading
from collections.abc import Iterator
from typing import Final

from edge.vmm.engines.engine import Engine
from edge.vmm.kernel import host

TICK_NS: Final = 500_000
SLICE_NS: Final = 10_000_000  # of a machine that nobody schedules
SLICE_MAX_NS: Final = 1_000_000_000  # whatever a caller says: poll(2) takes an int, and nobody means to wait for longer

log = logging.getLogger("nunatak.watchdog")


@functools.cache
def watchdog() -> "Watchdog":
    """The process's watchdog: one thread is enough, since one machine runs at a time."""
    return Watchdog()


class Watchdog:
    """Got by `watchdog()`; one run at a time."""

    def __init__(self) -> None:
        self.stopped = 0  # runs that were stopped, ever
        self.ticking = False
        self.cut = False  # the run under way is to end: its engine was stopped, or had just come back by itself
        self._engine: Engine | None = None
        self._run = 0  # counts runs, so that a tick can tell whether it still sees the one the last tick saw
        self._slice_ns = 0
        self._input: select.poll | None = None
        self._ticker = host.ticker()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def listen(self, descriptor: int) -> None:
        """Cut turns short while this descriptor has something to read."""
        self._input = select.poll()
        self._input.register(descriptor, select.POLLIN)

    @contextlib.contextmanager
    def watching(self, engine: Engine, slice_ns: int = SLICE_NS) -> Iterator[None]:
        """Stop `engine` when it runs for longer than its slice."""
        if not self.ticking:
            self._set(TICK_NS)
        self._slice_ns = min(slice_ns, SLICE_MAX_NS)
        self._run += 1
        self.cut = False
        self._engine = engine
        try:
            yield
        finally:
            self._engine = None

    def rest(self) -> None:
        """No ticks until the next run."""
        if self.ticking:
            self._set(0)

    def _set(self, interval_ns: int) -> None:
        self._ticker.set(interval_ns)
        self.ticking = interval_ns > 0

    def _watch(self) -> None:
        """For as long as the process lives: without this thread the next guest that spins would never give way."""
        seen = 0
        while True:
            try:
                seen = self._tick(seen)
            except Exception:
                log.exception("event=watchdog_failed")
                seen = self._run

    def _tick(self, seen: int) -> int:
        """Wait for a tick and look at the run under way; the number of that run.

        :param seen: the run that the last tick saw.
        """
        self._ticker.wait()
        engine, run = self._engine, self._run
        if engine is None or run != seen:
            return run
        rest_ms = (self._slice_ns - TICK_NS) / 1e6
        if self._input is not None and rest_ms > 0:
            self._input.poll(rest_ms)
        elif rest_ms > 0:
            select.select([], [], [], rest_ms / 1e3)
        if self._engine is engine and self._run == run:
            self.stopped += 1
            self.cut = True
            engine.stop()
        return seen
