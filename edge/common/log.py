"""Log lines: one event a line, `event=name key=value ...`, safe to print whatever the values hold."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from logging.handlers import WatchedFileHandler
from typing import Final, TextIO

from vmimage.errors import OperatorError

_PLAIN: Final = re.compile(r"[!#-<>-~]+")  # printable ASCII without blank, quote and '='
FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
VALUE_MAX: Final = 500  # characters; messages quote guests, publishers and clients


class Output(logging.StreamHandler[TextIO]):
    """A stream of log lines; those of a `gathered` block leave in one write."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._gathered: list[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """logging.Handler."""
        if self._gathered is None:
            super().emit(record)
            return
        try:
            self._gathered.append(self.format(record) + self.terminator)
        except Exception:
            self.handleError(record)

    def gather(self) -> None:
        """Keep lines until `write_gathered`."""
        self._gathered = []

    def write_gathered(self) -> None:
        """Write what was kept, at once."""
        with self.lock or nullcontext():  # another thread may be about to add a line
            lines, self._gathered = self._gathered or [], None
            with suppress(OSError, ValueError):  # as little to be said of it as of a single line
                self.stream.write("".join(lines))
                self.flush()


@contextmanager
def gathered() -> Iterator[None]:
    """Many lines at once: a write for each would take most of their time."""
    outputs = [handler for handler in logging.getLogger().handlers if isinstance(handler, Output)]
    for output in outputs:
        output.gather()
    try:
        yield
    finally:
        for output in outputs:
            output.write_gathered()


class LogFile(WatchedFileHandler):
    """A file of log lines, appended to. One that was renamed or removed is opened anew, one that was cut goes on.

    What the disk does not take is lost, and ends nothing.

    :raises OSError: it cannot be opened.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """logging.Handler."""
        with suppress(OSError, ValueError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        """logging.Handler: a full disk is no news for the log."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def opened(path: str) -> logging.Handler:
    """Where lines go: a file that only this user may read, or stderr where `path` is empty.

    :raises OperatorError: the file cannot be written.
    """
    before = os.umask(0o077)  # what services are asked for is nobody else's business
    try:
        return LogFile(path) if path else Output(sys.stderr)
    except OSError as error:
        raise OperatorError(
            f"log: a file that can be written expected at {path}: {error.strerror}: make its folder, or name another"
        ) from None
    finally:
        os.umask(before)


def send_to(output: logging.Handler) -> None:
    """Have all lines go there, and no longer where they went."""
    output.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, Output | LogFile)]:
        root.removeHandler(before)
        if isinstance(before, LogFile):
            before.close()
    root.addHandler(output)


def announce(text: str) -> None:
    """A line on stdout, for people and programs that wait for it; if nobody reads it any more, nobody misses it."""
    with suppress(OSError, ValueError):
        print(text, flush=True)


def logger(part: str) -> logging.Logger:
    """The logger of one part of the edge."""
    return logging.getLogger(f"nunatak.edge.{part}")


def line(event: str, **fields: object) -> str:
    """One log line."""
    return " ".join([f"event={event}", *(f"{key}={_value(value)}" for key, value in fields.items())])


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if len(text) > VALUE_MAX:
        text = text[: VALUE_MAX - 3] + "..."
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
