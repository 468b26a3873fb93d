"""Ends turns from outside: a guest that does not come back by itself, or one that others wait behind.

A timer ticks while a worker has work, and a thread that reads it looks at the run under way. One that has had half a
millisecond of the processor is given the rest of its slice, but no more as soon as there is input for the worker; then
its engine is stopped. A stop is for one run alone: it is given while that is watched, and what came too late to be seen
is forgotten with it. No ticks while nothing runs.

Most runs end by themselves, long before anybody looks. While that is so there are few ticks, one in a slice at least: a
tick wakes a thread, which costs as much as a small request. The first long run may then last for some milliseconds
longer; it brings back the fine ticks, and they stay for a second after the last run that was long.
"""

import functools
import logging
import select
import threading
import time
from collections.abc import Callable
from typing import Final

from edge.vmm.engines.engine import Engine
from edge.vmm.kernel import host

TICK_NS: Final = 500_000
CALM_TICK_NS: Final = 4_000_000  # half of a slice of one who is alone: see `scheduler.LATENCY_NS`
FINE_NS: Final = 1_000_000_000  # fine ticks after a long run: who is long once a second may take 0.4 % of others' time
LINGER_NS: Final = 20_000_000  # ticks go on for so long after the last run: setting the timer costs more than a few
SLICE_NS: Final = 10_000_000  # of a machine that nobody schedules
# Of the watchdog's thread: the kernel lets it preempt the one in which a guest spins, and not only at a tick (4 ms).
KERNEL_SLICE_NS: Final = 100_000
SLICE_MAX_NS: Final = 1_000_000_000  # whatever a caller says: poll(2) takes an int, and nobody means to wait for longer

_TICKS_NS: Final = (CALM_TICK_NS, CALM_TICK_NS // 2, CALM_TICK_NS // 4)  # the last is twice as long as a fine one

_NOTHING: Final = select.poll()  # to wait for; poll is what a worker's sandbox allows

log = logging.getLogger("nunatak.watchdog")


@functools.cache
def watchdog() -> "Watchdog":
    """The process's watchdog: one thread is enough, since one machine runs at a time."""
    return Watchdog()


def interval_ns(slice_ns: int, now_ns: int, fine_until_ns: int) -> int:
    """How often to look at runs of such a slice: few values, since to set the timer costs more than some ticks.

    :param fine_until_ns: a second after the last time that some run was long or had a short slice.
    """
    if now_ns < fine_until_ns:
        return TICK_NS
    return next((tick_ns for tick_ns in _TICKS_NS if slice_ns >= tick_ns), TICK_NS)


class Watchdog:
    """Got by `watchdog()`; one run at a time."""

    def __init__(
        self,
        ticker: host.Ticker | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        cpu_ns: Callable[[int], int] = host.thread_cpu_ns,
    ) -> None:
        """:param cpu_ns: that a thread has had, by its identifier."""
        self.stopped = 0  # runs that were stopped, ever
        self.cut = False  # the run under way is to end: its engine was stopped, or had just come back by itself
        self._engine: Engine | None = None
        self._run = 0  # counts runs, so that the thread can tell whether it still sees the same one
        self._began_ns = 0  # of the last run
        self._runner, self._cpu_before_ns = 0, 0  # the thread of it, and what that had had of the processor
        self._slice_ns = 0
        self._fine_until_ns = 0
        self._input: select.poll | None = None
        self._interval_ns = 0
        self._ticker, self._clock_ns, self._cpu_ns = ticker or host.ticker(), clock_ns, cpu_ns
        self._setting = threading.Lock()  # of the ticker, from both threads
        self._ending = threading.Lock()  # held where a run ends, and where its engine is stopped
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        host.ask_for_short_slices(KERNEL_SLICE_NS, thread.native_id or 0)

    def listen(self, descriptor: int) -> None:
        """Cut turns short while this descriptor has something to read."""
        self._input = select.poll()
        self._input.register(descriptor, select.POLLIN)

    def watching(self, engine: Engine, slice_ns: int = SLICE_NS) -> "Watchdog":
        """Stop `engine` when it runs for longer than its slice, until the `with` block that this begins is left."""
        now_ns = self._began_ns = self._clock_ns()
        wanted_ns = interval_ns(slice_ns, now_ns, self._fine_until_ns)
        if slice_ns < _TICKS_NS[-1]:
            self._fine_until_ns = now_ns + FINE_NS
        self._slice_ns = min(slice_ns, SLICE_MAX_NS)
        self._run += 1
        self.cut = False
        self._runner = threading.get_ident()
        self._cpu_before_ns = self._cpu_ns(self._runner)
        self._engine = engine  # before the look at the interval: see `_rest_unless_needed`
        if self._interval_ns != wanted_ns:
            with self._setting:
                self._set(wanted_ns)
        return self

    def __enter__(self) -> None:
        """The run has begun already."""

    def __exit__(self, *_: object) -> None:
        engine = self._engine
        with self._ending:
            self._engine = None
        if self.cut and engine is not None:
            engine.forget_stop()

    def rest(self) -> None:
        """No ticks until the next run."""
        if self._interval_ns:
            with self._setting:
                self._set(0)

    def _set(self, interval_ns: int) -> None:
        self._ticker.set(interval_ns)
        self._interval_ns = interval_ns

    def _rest_unless_needed(self) -> None:
        """No ticks until the next run; one that has begun meanwhile may have seen that there are some."""
        with self._setting:
            self._set(0)
            if self._engine is not None:
                self._set(TICK_NS)

    def _watch(self) -> None:
        """For as long as the process lives: without this thread the next guest that spins would never give way."""
        while True:
            try:
                self._ticker.wait()
                self._look()
            except Exception:
                log.exception("event=watchdog_failed")

    def _look(self) -> None:
        """Look at the run under way, and see to its end if it is long."""
        engine, run = self._engine, self._run
        if engine is None:
            if self._clock_ns() - self._began_ns >= LINGER_NS:
                self._rest_unless_needed()
            return
        if self._used_ns() < TICK_NS:
            if self._interval_ns == TICK_NS:
                return  # the next tick sees it again, if it is still there
            _NOTHING.poll(1)  # a millisecond
            if not self._runs(engine, run) or self._used_ns() < TICK_NS:
                return
        self._fine_until_ns = self._clock_ns() + FINE_NS
        rest_ns = self._slice_ns - self._used_ns()
        if rest_ns > 0 and not (self._input or _NOTHING).poll(rest_ns / 1e6) and self._used_ns() < self._slice_ns:
            return  # it had less of the processor than time went by, or has ended
        with self._ending:
            if self._runs(engine, run):
                self.stopped += 1
                self.cut = True
                engine.stop()

    def _used_ns(self) -> int:
        """What the last run has had of the processor."""
        return self._cpu_ns(self._runner) - self._cpu_before_ns

    def _runs(self, engine: Engine, run: int) -> bool:
        return self._engine is engine and self._run == run
