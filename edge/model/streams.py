"""One request on its way through the edge: its answer, and the flow control of both bodies.

Windows and credits are those of the gate (`vmimage.abi.STREAM_WINDOW`): what a HEAD frame carries is outside of them.
Every change of `state` goes through `flow.step`, or one of its `flow.after`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from edge.model import flow
from edge.model.services import Service, StreamState
from edge.vmm.wire.streams import Answer, Body, Credit
from vmimage import abi
from vmimage.errors import GuestError
from vmimage.requests import UNDER_WAY_MAX

_AFTER_HEAD: Final = flow.after("head")
_AFTER_WHOLE_ANSWER: Final = flow.after("end")


def wake(waiter: "asyncio.Future[None] | None") -> None:
    """Let the one who waits go on; nobody, or one who was let go already, is fine."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class Stream(StreamState):
    """A request and its answer. Attributes that most requests never set are class attributes until they are."""

    abort: Callable[[], None] | None = None  # breaks the client's connection; set once the answer has begun
    # Is given the answer, or why there is none, once: within the frame that brought it, or in a turn of its own. Set
    # before the request is submitted, by who does not await `answer`.
    taker: Callable[[Answer | BaseException], None] | None = None
    _answer: "asyncio.Future[Answer] | None" = None

    # Where another edge answers in place of a machine: the next bytes of its answer, and lines that it wants told.
    source: "Callable[[], Coroutine[Any, Any, bytes | None]] | None" = None
    before = b""

    # The request's body, where it is not in the head's frame.
    _credit = abi.STREAM_WINDOW  # bytes that may be sent to the worker
    _credit_waiter: "asyncio.Future[None] | None" = None

    # The answer's body after its head.
    cut_by = ""  # why it broke off: a key of `reasons.REASONS`
    parts: "deque[bytes] | None" = None
    ended = False
    _part_waiter: "asyncio.Future[None] | None" = None
    _under_way = 0  # bytes received and not yet credited
    _taken = 0  # bytes the client took, of those

    def __init__(self, service: Service, method: str, payload: bytes, whole: bool, now: float) -> None:
        """:param payload: of the HEAD frame. :param whole: it is the entire request. :param now: loop time."""
        self.service = service
        self.method = method
        self.payload = payload
        self.whole = whole
        self.since = now  # loop time of the last progress
        self.asked_at = time.monotonic()

    @property
    def answer(self) -> "asyncio.Future[Answer]":
        """To await where there is no taker."""
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def wake(self) -> None:
        """Something has changed for those who send or read a body."""
        if self._credit_waiter is not None or self._part_waiter is not None:
            wake(self._credit_waiter)
            wake(self._part_waiter)

    def tell(self, error: BaseException) -> None:
        """Let the client know, after the step that says so, that no (further) answer will come."""
        if self.state == "cut":
            self.cut_by = flow.refusal(error).reason
        taker, self.taker = self.taker, None
        if taker is not None:
            asyncio.get_running_loop().call_soon(taker, error)  # it may be in the middle of giving us this request
        elif self.abort is not None:
            self.abort()
        elif not (self.ended or self.parts is not None or self.answer.done()):
            self.answer.set_exception(error)
        self.wake()

    # To the worker.

    async def given(self) -> None:
        """Wait until a machine has the request, or none will."""
        while self.machine is None and self.state == "waiting":
            self._credit_waiter = asyncio.get_running_loop().create_future()
            await self._credit_waiter

    async def send_body(self, data: bytes, *, end: bool) -> None:
        """Pass on some of the request's body as fast as the guest takes it; a no-op once the answer is complete."""
        loop, position = asyncio.get_running_loop(), 0
        while self.state in ("waiting", "asked", "answering") and (position < len(data) or end):
            machine = self.machine
            if machine is None or (self._credit <= 0 and position < len(data)):
                self._credit_waiter = loop.create_future()
                await self._credit_waiter
                continue
            piece = data[position : position + min(self._credit, abi.RECORD_PAYLOAD_MAX)]
            position += len(piece)
            self._credit -= len(piece)
            self.since, self.asked_at = loop.time(), time.monotonic()
            self.body_sent = end and position == len(data)
            machine.worker.send(Body.encode(machine.number, self.number, self.body_sent, piece))
            if self.body_sent:
                return

    def took(self, size: int, now: float) -> None:
        """The client has so many bytes of the answer; the guest may send as many more, told in halves of a window."""
        self.since = now
        self._taken += size
        if self._taken >= abi.STREAM_WINDOW // 2 and self.machine is not None and not self.ended:
            credit, self._taken = self._taken, 0
            self._under_way -= credit
            machine = self.machine
            machine.worker.send(Credit.encode(machine.number, self.number, credit))

    # From the worker.

    def on_answer(self, answer: Answer, now: float) -> None:
        """The answer begins; `hand_over` follows.

        :raises ValueError: a worker cannot say that now; it enforces all of this on its guests.
        """
        if self.state != "asked":
            raise ValueError(f"HEAD in state {self.state}")
        self.ended = end = answer.end
        self.cost = answer[3:6]
        self.state = (_AFTER_WHOLE_ANSWER if end else _AFTER_HEAD)[self.state]
        if not end:
            self.parts, self.since = deque(), now

    def hand_over(self, answer: Answer) -> None:
        """Give the answer to the one who waits for it."""
        taker, self.taker = self.taker, None
        if taker is not None:
            taker(answer)
        elif not self.answer.done():  # cancelled: the client has left, and its handler will say so in a moment
            self.answer.set_result(answer)

    def on_body(self, body: Body) -> None:
        """More of the answer.

        :raises ValueError: as `on_answer`.
        """
        payload = body.payload
        if self.parts is None:
            raise ValueError("BODY before HEAD")
        self._under_way += len(payload)
        if self._under_way > abi.STREAM_WINDOW:
            raise ValueError(f"at most {abi.STREAM_WINDOW} bytes under way expected, got {self._under_way}")
        if payload:
            self.parts.append(payload)
        if body.end:
            self.step("end")
            self.ended = True
        wake(self._part_waiter)

    def on_credit(self, credit: Credit, now: float) -> None:
        """The guest has taken some of the request's body.

        :raises ValueError: as `on_answer`.
        """
        amount = credit.amount
        if amount:  # else it is no progress
            self._credit, self.since = self._credit + amount, now
            if self._credit > UNDER_WAY_MAX:
                raise ValueError(f"credit for what was sent expected, got {amount} bytes more")
            wake(self._credit_waiter)

    def on_abort(self) -> None:
        """The guest gave the request up."""
        if not self.over:
            self.step("fail")
            self.tell(GuestError("the guest aborted the request"))

    async def next_part(self) -> bytes | None:
        """The next bytes of the answer's body; None after the last.

        :raises GuestError: there will be no more, though it was not the last.
        """
        if self.source is not None:
            return await self.source()
        assert self.parts is not None
        while not self.parts:
            if self.ended:
                return None
            if self.state != "answering":
                raise GuestError("the answer broke off")
            self._part_waiter = asyncio.get_running_loop().create_future()
            await self._part_waiter
        return self.parts.popleft()
