"""Stops a guest that does not come back by itself, from a thread that sleeps while nothing runs.

An interval timer counts the CPU time of the process, so it ticks only while there is work: an idle worker is not woken.
The signal is only there for the byte that Python's C handler writes to the wake-up descriptor at once, while the main
thread is still inside the engine; the thread that reads it stops the engine. A stop that comes too early, or hits a run
that had just begun, costs that run one more turn and is repeated at the next tick.
"""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Iterator
from typing import Final

from edge.vmm.engine import Engine

TICK_S: Final = (
    0.01  # of CPU time, as long as a slice; what is charged is read from the CPU clock, not counted in ticks
)


@functools.cache
def watchdog() -> "Watchdog":
    """The process's watchdog: there is one wake-up descriptor."""
    return Watchdog()


class Watchdog:
    """Got by `watchdog()`; use from the main thread only. Call `rest` before the process ends."""

    def __init__(self) -> None:
        self.stopped = 0  # runs that were stopped, ever
        self._engine: Engine | None = None
        self._run = 0  # counts runs, so that a tick can tell whether it still sees the one the last tick saw
        self._ticking = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._other_descriptor = -1  # an event loop's, put back by `rest`
        signal.signal(signal.SIGPROF, lambda *_: None)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def start(self) -> None:
        """Begin to tick; `watching` does it where nobody did."""
        self._other_descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
        self._ticking = True

    @contextlib.contextmanager
    def watching(self, engine: Engine) -> Iterator[None]:
        """Stop `engine` when it runs for longer than a tick."""
        if not self._ticking:
            self.start()
        self._run += 1
        self._engine = engine
        try:
            yield
        finally:
            self._engine = None

    def rest(self) -> None:
        """No ticks until the next run. A tick while the interpreter shuts down would kill the process."""
        if self._ticking:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.set_wakeup_fd(self._other_descriptor)
            self._ticking = False

    def _watch(self) -> None:
        seen = 0
        while os.read(self._reader, 64):
            engine, run = self._engine, self._run
            if engine is not None and run == seen:
                self.stopped += 1
                engine.stop()
            seen = run
