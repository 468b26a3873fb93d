"""One request of a guest, as the supervisor carries it out: what came of it, what may be sent, and who waits."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from edge.common.counters import Tally
from edge.devices.onward import Asked
from edge.model.flow import Patience
from edge.model.services import Machine
from edge.model.streams import wake
from edge.vmm.wire.streams import Body, Credit
from vmimage import abi

PIECE: Final = abi.RECORD_PAYLOAD_MAX  # bytes of a frame's payload


class Exchange:
    """One request of a guest."""

    def __init__(
        self, machine: Machine, number: int, block: bytes, ended: bool, patience: Patience, tally: Tally | None = None
    ) -> None:
        """:param tally: where its outcome is counted if it is given up."""
        self.machine, self.number, self.block = machine, number, block
        self.tally = {} if tally is None else tally
        self._stream_s, self.patience_s = patience.stream_s, patience.answer_s
        self._patience: asyncio.Timeout | None = None  # ends the exchange when neither side sends or takes anything
        self.ended = ended  # the guest has sent all of it
        self.task: asyncio.Task[None] | None = None
        self.start: asyncio.Handle | None = None  # until there is a task: in this turn of the event loop
        self.asked: Asked | None = None  # an upstream, once the policy allows it
        self._body: deque[bytes] = deque()
        self._under_way = 0  # bytes of the request that are not credited yet
        self._credit = abi.STREAM_WINDOW  # bytes of the answer that may be sent
        self._waiter: asyncio.Future[None] | None = None

    def send(self, frame: bytes) -> None:
        """One frame to the guest."""
        self.machine.worker.send(frame)

    def receive(self, message: Body | Credit) -> None:
        """More of the request from the guest, or credit for the answer.

        :raises ValueError: what a worker cannot say; it enforces all of this on its guests.
        """
        if isinstance(message, Body):
            self._under_way += len(message.payload)
            progress = bool(message.payload) or message.end
            if self._under_way > abi.STREAM_WINDOW or self.ended:
                raise ValueError(f"exchange: at most {abi.STREAM_WINDOW} bytes under way before the end expected")
            if message.payload:
                self._body.append(message.payload)
            self.ended = message.end
        else:
            self._credit, progress = self._credit + message.amount, bool(message.amount)
            if self._credit > abi.STREAM_WINDOW:
                raise ValueError(f"exchange: credit for what was sent expected, got {message.amount} bytes more")
        if progress:  # frames that say nothing are no sign of life: a guest could hold a connection for ever with them
            wake(self._waiter)
            self.moved()

    def moved(self) -> None:
        """There was progress."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time() + self.patience_s)

    def answered(self) -> None:
        """The answer has begun: from here on it may pause for longer."""
        self.patience_s = self._stream_s
        self.moved()

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """:raises TimeoutError: within it, when for too long there was no progress."""
        async with asyncio.timeout(self.patience_s) as self._patience:
            try:
                yield
            finally:
                self._patience = None

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def data(self) -> bytes | AsyncIterator[bytes] | None:
        """The request's body for aiohttp: whole where it is here, else as it comes."""
        return (self.whole() or None) if self.ended else self.parts()

    def whole(self) -> bytes:
        """What is here of the request's body, which is all of it when the guest has sent all."""
        return b"".join(self._body)

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The request's body as it comes; the guest may send more as what was given is done with."""
        while self._body or not self.ended:
            if not self._body:
                await self._wait()
                continue
            part = self._body.popleft()
            yield part
            self._under_way -= len(part)
            if not self.ended:
                self.send(Credit.encode(self.machine.number, self.number, len(part)))

    def fits(self, size: int) -> bool:
        """Whether the guest can take so many bytes of an answer's body now."""
        return size <= self._credit

    def give(self, data: bytes) -> None:
        """Some bytes of the answer's body, which fit."""
        self._credit -= len(data)
        for position in range(0, len(data), PIECE):
            piece = data[position : position + PIECE]
            self.send(Body.encode(self.machine.number, self.number, False, piece))

    async def pass_on(self, data: bytes) -> None:
        """Some bytes of the answer's body, as fast as the guest takes them."""
        position = 0
        while position < len(data):
            if self._credit <= 0:
                await self._wait()
                continue
            piece = data[position : position + min(self._credit, PIECE)]
            position += len(piece)
            self.give(piece)
