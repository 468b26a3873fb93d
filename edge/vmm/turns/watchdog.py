"""Ends turns from outside: a guest that does not come back by itself, or one that others wait behind.

A timer ticks while a worker has work, and a thread that reads it looks at the turn under way. One that has had a tick's
CPU time is given the rest of its slice, but no more as soon as there is input for the worker; then its engine is
stopped. A stop is for one turn alone: it is given while that turn is watched, and what came too late to be seen is
forgotten with it. No ticks while nothing runs.
"""

import contextlib
import functools
import logging
import select
import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

from edge.vmm.engines.engine import Engine
from edge.vmm.kernel import host

TICK_NS: Final = 500_000
SLICE_NS: Final = 10_000_000  # of a machine that nobody schedules
# Of the watchdog's thread: the kernel lets it preempt the one in which a guest spins, and not only at a tick (4 ms).
KERNEL_SLICE_NS: Final = 100_000
SLICE_MAX_NS: Final = 1_000_000_000  # whatever a caller says: poll(2) takes an int, and nobody means to wait for longer


class Turn(NamedTuple):
    """What runs, for how long at most, and since when: CPU time of the thread that runs it."""

    engine: Engine
    slice_ns: int
    thread: int
    began_ns: int

    def used_ns(self) -> int:
        """What it has had by now.

        :raises OSError: its thread has ended.
        """
        return host.thread_cpu_ns(self.thread) - self.began_ns


log = logging.getLogger("nunatak.watchdog")


@functools.cache
def watchdog() -> "Watchdog":
    """The process's watchdog: one thread is enough, since one machine runs at a time."""
    return Watchdog()


class Watchdog:
    """Got by `watchdog()`; one run at a time."""

    def __init__(self) -> None:
        self.stopped = 0  # turns that were stopped, ever
        self.ticking = False
        self.cut = False  # the turn under way is to end: its engine was stopped, or had just come back by itself
        self._lock = threading.Lock()  # held where a turn ends, and where its engine is stopped
        self._turn: Turn | None = None
        self._input: select.poll | None = None
        self._ticker = host.ticker()
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        host.ask_for_short_slices(KERNEL_SLICE_NS, thread.native_id or 0)

    def listen(self, descriptor: int) -> None:
        """Cut turns short while this descriptor has something to read."""
        self._input = select.poll()
        self._input.register(descriptor, select.POLLIN)

    @contextlib.contextmanager
    def watching(self, engine: Engine, slice_ns: int = SLICE_NS) -> Iterator[None]:
        """Stop `engine` when it runs for longer than its slice."""
        if not self.ticking:
            self._set(TICK_NS)
        self.cut = False
        thread = threading.get_ident()
        self._turn = Turn(engine, min(slice_ns, SLICE_MAX_NS), thread, host.thread_cpu_ns(thread))
        try:
            yield
        finally:
            with self._lock:
                self._turn = None
            if self.cut:
                engine.forget_stop()

    def rest(self) -> None:
        """No ticks until the next run."""
        if self.ticking:
            self._set(0)

    def _set(self, interval_ns: int) -> None:
        self._ticker.set(interval_ns)
        self.ticking = interval_ns > 0

    def _watch(self) -> None:
        """For as long as the process lives: without this thread the next guest that spins would never give way."""
        while True:
            try:
                self._tick()
            except Exception:
                log.exception("event=watchdog_failed")

    def _tick(self) -> None:
        """Wait for a tick and look at the turn under way."""
        self._ticker.wait()
        turn = self._turn
        if turn is None or (used_ns := turn.used_ns()) < TICK_NS:
            return
        rest_ns = turn.slice_ns - used_ns
        if rest_ns > 0 and not self._input_within(rest_ns / 1e9):
            rest_ns = turn.slice_ns - turn.used_ns()  # it had less of the processor than time went by, or has ended
            if rest_ns > 0:
                return
        with self._lock:
            if self._turn is turn:
                self.stopped += 1
                self.cut = True
                turn.engine.stop()

    def _input_within(self, wait_s: float) -> bool:
        if self._input is None:
            select.select([], [], [], wait_s)
            return False
        return bool(self._input.poll(wait_s * 1e3))
