"""What a guest writes for its publisher: log records and the console, as much as it may in a second.

Two token buckets that hold a second's worth: of bytes, when the guest writes, and of lines, when the owner takes what
there is. What does not fit is dropped, and when there is room again, or when the machine is parked or dies, one line
says how much that was, so that nobody takes a gap for silence. Buckets are no part of a machine's state: one that comes
back begins with full ones. So a park is worth a second of log at most, and a guest cannot bring one about.
"""

import re
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

LOG_LINES: Final = 100  # of one machine in a second: what its supervisor takes of them
LINE_BYTES: Final = 8 << 10  # kept of a line; what syslog relays must take is 2 KiB (RFC 5424 section 6.1)
PART_LINES: Final = 8  # that its supervisor is told at a time: writing them takes it some 0.2 ms
PART_BYTES: Final = 64 << 10

_SECOND_NS: Final = 1_000_000_000
_LINE_END: Final = re.compile(rb"\n")


class GuestLog:
    """The log of one machine."""

    def __init__(self, bytes_per_s: int) -> None:
        self.parts: list[bytes] = []  # for the owner to take
        self.dropped_bytes = self.dropped_lines = 0  # that no line has told of yet
        self._rate = bytes_per_s
        self._level = bytes_per_s
        self._lines = LOG_LINES
        self.ended = False  # no more will come
        self._filled_ns = self._lines_ns = time.monotonic_ns()

    def append(self, text: bytes) -> None:
        """Take it, or drop it when there is too much already."""
        if len(text) > self._level:
            self._refill()
        if len(text) > self._level:
            self.dropped_bytes += len(text)
            return
        self._level -= len(text)
        if not self._lines:
            self._refill_lines()
        if not self._lines:  # nothing of it would be taken, so nothing is kept
            self.dropped_lines += _lines_of(text)
            return
        if self.dropped_bytes:
            self.parts.append(self.notice())
        self.parts.append(text)

    def take(self) -> tuple[bytes, int]:
        """What there is, and how many lines that is; lines beyond those of a second are dropped."""
        text = b"".join(self.parts)
        self.parts.clear()
        lines = _lines_of(text)
        if lines > self._lines:
            self._refill_lines()
        if lines > self._lines:
            ends = list(islice(_LINE_END.finditer(text), self._lines))
            text = text[: ends[-1].end()] if ends else b""
            self.dropped_lines += lines - self._lines
            lines = self._lines
        self._lines -= lines
        if self.dropped_lines and (self._lines or self.ended):  # there is room again, or will be none
            text, lines = self._lines_notice() + text, lines + 1
        return text, lines

    def end(self) -> None:
        """The machine goes: what was dropped last is told now."""
        self.ended = True
        if self.dropped_bytes:
            self.parts.append(self.notice())

    def notice(self) -> bytes:
        """A line about what was dropped; it is told with that."""
        dropped, self.dropped_bytes = self.dropped_bytes, 0
        return b"%d bytes of log dropped: at most %d in a second expected (log_bytes)\n" % (dropped, self._rate)

    def _lines_notice(self) -> bytes:
        dropped, self.dropped_lines = self.dropped_lines, 0
        return b"%d lines dropped: at most %d in a second expected\n" % (dropped, LOG_LINES)

    def _refill(self) -> None:
        now_ns = time.monotonic_ns()
        self._level = min(self._rate, self._level + (now_ns - self._filled_ns) * self._rate // _SECOND_NS)
        self._filled_ns = now_ns

    def _refill_lines(self) -> None:
        """All at once, once a second: then a line says once a second what was dropped."""
        now_ns = time.monotonic_ns()
        if now_ns - self._lines_ns >= _SECOND_NS:
            self._lines, self._lines_ns = LOG_LINES, now_ns


def in_parts(text: bytes) -> Iterator[bytes]:
    """Lines in parts that are not much work, each line without what nobody keeps of it."""
    lines = [line[:LINE_BYTES] for line in text.split(b"\n")]
    part: list[bytes] = []
    size = 0
    for line in lines[:-1]:
        part.append(line)
        size += len(line)
        if len(part) >= PART_LINES or size > PART_BYTES - LINE_BYTES:
            yield b"\n".join([*part, b""])
            part, size = [], 0
    if part or lines[-1]:
        yield b"\n".join([*part, lines[-1]])


def _lines_of(text: bytes) -> int:
    return text.count(b"\n") + (not text.endswith(b"\n") and bool(text))
