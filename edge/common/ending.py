"""How a program is asked to end: the first signal begins the end, another one a while later is the end.

Some who pass signals on send each twice, as a terminal and `make` do together: what comes at once after the first is
the same wish. What is lost by the second is what a kill would lose.
"""

import asyncio
import os
import signal
from collections.abc import Callable
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
            self._loop.add_signal_handler(number, self._on_signal, number)

    def begin(self) -> None:
        """Ask for the end, as the first signal does."""
        self.asked.set()

    def over(self) -> None:
        """All is done: a signal that comes now, or while the loop is closed, does not change how the program ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def _on_signal(self, number: signal.Signals) -> None:
        now_s = self._loop.time()
        if is_again(self._first_s, now_s):
            self._say(f"{number.name} again: it ends at once")
            os._exit(128 + number)  # as shells say it
        if self._first_s is None:
            self._first_s = now_s
        self.begin()
