"""Stacks that programs log: which request each belongs to. Pure: lines in, stacks out.

The runtimes of languages write one in the same form: what happened, then the stack, indented, and last the request,
with its identifier, as crash reports have it:

    uncaught: TypeError: not a function
        at fetch (worker.js:3:9)
        for GET /basket (0f3a-12)

What a program says is text that it chose: it may lie here about its own requests, and about nobody else's.
"""

import re
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

LINES_MAX: Final = 64  # of one stack
LINE_MAX: Final = 500  # characters of a line that are kept
SERVICES_MAX: Final = 256  # whose last stack is remembered

_REQUEST: Final = re.compile(r"    for ([!-~]{1,32}) ([^ ]{1,2000}) \(([0-9A-Za-z._-]{1,64})\)", re.ASCII)
_TITLE: Final = "stack traceback:"  # of Lua, between what happened and the stack
_WHAT_LINES: Final = 8  # of a message
_BEGIN: Final = ("uncaught: ", "unhandled rejection: ", "waitUntil: ", "response: ", "out of time: ")  # of JavaScript's
_GOES_ON: Final = ("cause: ", "errors: ")  # with a stack of its own


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened in one request."""

    what: str
    frames: tuple[str, ...]  # innermost first, without "at" and blanks
    request: str  # its identifier


class TraceReader:
    """Reads the lines of one service."""

    def __init__(self) -> None:
        self._what: list[str] = []
        self._frames: list[str] = []

    def add(self, text: str) -> Trace | None:
        """Take a line; the stack that it completes."""
        found = _REQUEST.match(text)
        if found is not None:
            trace = Trace("\n".join(self._what), tuple(self._frames), found[3])
            self._what, self._frames = [], []
            return trace if trace.what else None
        if text == _TITLE:
            return None
        if text[:1].isspace() or (self._frames and text.startswith(_GOES_ON)):
            if len(self._frames) < LINES_MAX:
                self._frames.append(text.strip()[:LINE_MAX].removeprefix("at "))
        elif not self._frames and self._what and self._what[0].startswith(_BEGIN) and not text.startswith(_BEGIN):
            self._what = [*self._what, text[:LINE_MAX]][:_WHAT_LINES]
        else:
            self._what, self._frames = [text[:LINE_MAX]], []
        return None


class Traces:
    """The last stack of each of the services that logged one last."""

    def __init__(self) -> None:
        self._readers: OrderedDict[str, tuple[TraceReader, Trace | None]] = OrderedDict()

    def add(self, service: str, texts: Sequence[str]) -> None:
        """Take what a service says."""
        reader, last = self._readers.get(service) or (TraceReader(), None)
        for text in texts:
            last = reader.add(text) or last
        self._readers[service] = reader, last
        self._readers.move_to_end(service)
        if len(self._readers) > SERVICES_MAX:
            self._readers.popitem(last=False)

    def of(self, service: str, requests: Collection[str]) -> Trace | None:
        """The last stack of the service, if it belongs to one of these requests."""
        _, last = self._readers.get(service) or (None, None)
        return last if last is not None and last.request in requests else None
