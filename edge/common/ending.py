"""How a program is asked to end: the first signal begins the end, another one a while later is the end.

Some who pass signals on send each twice, as a terminal and `make` do together: what comes at once after the first is
the same wish. What is lost by the second is what a kill would lose.

The handlers are the process's own and not the loop's, which takes its own away as it is closed: until the process is
gone a signal would find what it does by default then, whichever thread it comes to.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final

AGAIN_S: Final = 1.0  # a person who presses a key again because nothing has happened waits for longer
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def is_again(first_s: float | None, now_s: float) -> bool:
    """Whether a signal is a second wish.

    :param first_s: when the first signal came, None for none.
    """
    return first_s is not None and now_s - first_s >= AGAIN_S


class Ending:
    """The wish that a program ends."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Take the signals from now on.

        :param say: a line for the log, before the program ends at once.
        """
        self.asked = asyncio.Event()
        self._say = say
        self._first_s: float | None = None
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            signal.signal(number, self._take)

    def begin(self) -> None:
        """Ask for the end, as the first signal does."""
        self.asked.set()

    def over(self) -> None:
        """All is done: a signal that comes now, or while the loop is closed, does not change how the program ended."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _take(self, number: int, _: FrameType | None) -> None:
        """Between two instructions of whatever the main thread does."""
        with suppress(RuntimeError):  # the loop is closed: it ended by an error
            self._loop.call_soon_threadsafe(self._on_signal, signal.Signals(number))

    def _on_signal(self, number: signal.Signals) -> None:
        now_s = self._loop.time()
        if is_again(self._first_s, now_s):
            self._say(f"{number.name} again: it ends at once")
            os._exit(128 + number)  # as shells say it
        if self._first_s is None:
            self._first_s = now_s
        self.begin()
