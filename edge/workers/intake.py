"""What a worker says, read and taken in bounded amounts: no more than `READ_BYTES` and a slice in a turn of the loop.

Whole frames are taken in order, as `slices` lets them; until all that were read are taken the socket is not read, and
the worker waits. What frames mean, and what becomes of a worker that breaks the protocol, is the caller's business.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from edge.common.slices import Slices
from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame

READ_BYTES: Final = 128 << 10  # in a turn, some 0.1 ms; a frame of an answer's body has up to 64 KiB


class Intake:
    """The receiving half of one connection, for an `asyncio.BufferedProtocol`; a source of pieces for `slices`."""

    def __init__(self, slices: Slices, take: Callable[[Frame], None]) -> None:
        """:param take: is given each frame, and must not raise."""
        self.buffer = memoryview(bytearray(READ_BYTES))  # to be read into
        self._slices, self._take = slices, take
        self._loop = asyncio.get_running_loop()
        self._part = bytearray()  # the beginning of a frame that is not whole yet
        self._frames: deque[Frame] = deque()  # read and not taken
        self._transport: asyncio.ReadTransport | None = None
        self._reading = True

    def connected(self, transport: asyncio.ReadTransport) -> None:
        """What is paused while frames wait."""
        self._transport = transport

    def updated(self, size: int) -> None:
        """So many bytes are in `buffer`.

        :raises ValueError: no frames; the connection cannot be used further.
        """
        new = self.buffer[:size]
        if self._part:
            self._part += new
            self._frames += frames.parse(self._part, frames.LARGE)
        else:
            found, used = frames.scan(new, frames.LARGE)
            self._frames += found
            self._part += new[used:]
        self._slices.run(self)
        if self._frames or size == READ_BYTES:  # what follows would be read in this turn
            self._pause()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()
            if not self._frames:
                self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing() and not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def step(self) -> bool:
        """Take one frame; see `slices.Source`."""
        if not self._frames:  # dropped meanwhile
            return False
        self._take(self._frames.popleft())
        if not self._frames and not self._reading:
            self._loop.call_soon(self._resume)
        return bool(self._frames)

    def drop(self) -> None:
        """Nothing of what was read and not taken is of use any more."""
        self._frames.clear()

    def end(self) -> None:
        """The connection is gone; what was said before is true all the same, and is taken now."""
        self._transport = None
        while self.step():
            pass
