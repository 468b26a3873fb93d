"""Server-sent events as bytes (WHATWG HTML, section 9.2): frames of a feed, and a reader of them. Without I/O.

A feed uses `id`, `data` and `retry`, and comments as signs of life; a reader skips what it does not know.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

ALIVE: Final = b":\n\n"  # a comment: the stream is alive
TYPE: Final = "text/event-stream"


class TooLong(ValueError):
    """A frame is longer than its reader takes."""


class Frame(NamedTuple):
    """One event of a stream."""

    id: str
    data: bytes


def frame(number: int, data: bytes) -> bytes:
    """An event, of data in one line."""
    return b"id: %d\ndata: %b\n\n" % (number, data)


def retry(milliseconds: int) -> bytes:
    """How long to wait before a stream that broke is asked for again."""
    return b"retry: %d\n\n" % milliseconds


class Reader:
    """Turns what comes of a stream, in pieces of any size, into frames."""

    def __init__(self, frame_max: int) -> None:
        """:param frame_max: bytes of one frame, its names included."""
        self._max = frame_max
        self._rest = b""
        self._id = ""
        self.retry_ms: int | None = None

    def take(self, piece: bytes) -> Iterator[Frame]:
        """The frames that are whole now; those without data are signs of life.

        :raises TooLong: one is longer than it may be.
        """
        *whole, self._rest = (self._rest + piece.replace(b"\r\n", b"\n")).split(b"\n\n")
        for block in whole:
            if len(block) > self._max:
                break
            if (found := self._read(block)) is not None:
                yield found
        else:
            if len(self._rest) <= self._max:
                return
        raise TooLong(f"a frame of at most {self._max} bytes expected")

    def _read(self, block: bytes) -> Frame | None:
        data = []
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            match name:
                case b"data":
                    data.append(value)
                case b"id" if b"\0" not in value:
                    self._id = value.decode("utf-8", "replace")
                case b"retry" if value.isdigit() and len(value) < 10:
                    self.retry_ms = int(value)
        return Frame(self._id, b"\n".join(data)) if data else None
