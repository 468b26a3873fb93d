"""One request of a client, asked of one peer: sent, answered from what comes, or given back untouched.

The answer goes the way of a guest's answer (`front.answers`): checked, kept where it may be kept, passed on as fast as
its client reads. It is kept as one of a run that began when the peer says it began, by this edge's clock and no later.
"""

import asyncio
from typing import Final, NamedTuple

from edge.cache.purges import Purges
from edge.cache.voids import Voids
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.front.http import Front
from edge.front.request import Request
from edge.model import flow, reasons
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.model.streams import Stream
from edge.peers.asking import Asked
from edge.peers.link import SWITCHED, Link
from edge.peers.onward import Answered, answered, head_of, switched
from edge.peers.said import Forwarded
from edge.peers.tunnel import Tunnel
from edge.vmm.wire.streams import Answer
from vmimage.errors import PeerFailed

# Refusals of a peer that has asked no machine: another edge may well serve what this one has no room for.
_NOT_BEGUN: Final = frozenset({"unavailable", "worker_full", "unknown_service"})


class Means(NamedTuple):
    """What all attempts of an edge have in common."""

    front: Front
    tasks: Tasks
    counters: Counters
    patience_s: float  # for the head of an answer
    stream_s: float  # for each part after it
    purges: Purges
    voids: Voids


class Attempt:
    """One."""

    def __init__(self, means: Means, asked: Asked, request: Request, service: Service) -> None:
        self._means, self._asked, self._request, self._service = means, asked, request, service
        self._loop = asyncio.get_running_loop()
        self._image = service.release.manifest_digest
        self._body = b""  # of a request that is here whole
        self._whole = request.complete
        self._sent = False  # some of a body that is not here whole
        self._broken: ClientError | None = None  # what is wrong with that body
        self._is_tunnel = False

    async def made(self) -> bool:
        """Whether the client has its answer; False: nothing was sent to it, and the request is as it was.

        :raises ClientError: its body is broken. :raises PeerFailed: the peer may have acted upon it.
        """
        try:
            link = await self._asked.link()
        except PeerFailed:
            self._count("unreachable")
            return False
        try:
            return await self._on(link)
        except BaseException:
            link.close()  # what is under way on it is nobody's
            raise
        finally:
            if not self._is_tunnel:
                self._asked.give(link)

    async def _on(self, link: Link) -> bool:
        began, sender = self._loop.time(), None
        self._send(link)
        if not self._whole:
            sender = self._means.tasks.spawn("peer body", self._send_body(link))
        try:
            async with asyncio.timeout(self._means.patience_s):
                await link.head()
            return await self._answer(link, answered(link.status, link.fields), began)
        except (PeerFailed, TimeoutError) as error:
            if self._request.sent:
                raise  # the answer has begun
            self._failed(link)
            return self._may_go_on(error)
        finally:
            if sender is not None and not sender.done():
                sender.cancel()
                link.close()

    # The request.

    def _send(self, link: Link) -> None:
        request, marks = self._request, self._means.front.marks
        length: int | None = request.content_length
        if self._whole:
            self._body = request.body()
            length = len(self._body) if request.has_body else None
        said = Forwarded(request.remote, request.connection.reached, request.id, self._image, self._void_ms())
        head = head_of(request, said, marks.trace_of(request), marks.via[1], length=length, waits=not self._whole)
        self._means.front.telling.asked(request)
        link.begin(head + self._body, bodiless=request.method == "HEAD")

    def _void_ms(self) -> int | None:
        """Milliseconds since something made void what is kept of this; rounded so that it never is longer ago."""
        at = self._means.purges.scope(self._service.name).last_at
        if self._request.fill is not None:
            at = max(at, self._means.voids.last(self._request.fill.where))
        return int((self._loop.time() - at) * 1000) if at else None

    async def _send_body(self, link: Link) -> None:
        """Once the peer wants it: before that, the request may still go elsewhere."""
        request = self._request
        try:
            if not await link.asked_on():
                return
            self._sent = True
            if request.expects_continue:
                self._means.front.ask_for_body(request)
            while data := await request.read():
                await link.send(b"%x\r\n%b\r\n" % (len(data), data) if request.chunked else data)
            if request.chunked:
                await link.send(b"0\r\n\r\n")
        except ClientError as error:
            self._broken = error
            link.close()
        except PeerFailed:
            pass  # who waits for the answer hears of it

    # What comes of it.

    def _failed(self, link: Link) -> None:
        link.close()
        if self._broken is not None:
            raise self._broken
        self._asked.failed()
        self._count("lost")

    def _may_go_on(self, error: BaseException) -> bool:
        """Have somebody else asked, where that is allowed: always False.

        :raises PeerFailed: it is not.
        """
        if self._sent or self._request.method not in flow.IDEMPOTENT or isinstance(error, TimeoutError):
            raise PeerFailed(f"{self._asked.peer.id}: {error or 'no answer in time'}") from error
        return self._as_it_was()

    def _as_it_was(self) -> bool:
        if self._body:
            self._request.arrive(self._body)
        return False

    async def _answer(self, link: Link, answer: Answered, began: float) -> bool:
        request, front = self._request, self._means.front
        if link.status == SWITCHED:
            if not request.upgrade:
                raise PeerFailed("an answer expected, got another protocol that nobody has asked for")
            self._asked.answered()
            self._join(link)
            return True
        if (answer.elsewhere or answer.refused in _NOT_BEGUN) and not self._sent:
            await _read_out(link)
            self._asked.answered()
            self._count("given-back")
            return self._as_it_was()
        if answer.refused:
            if link.status < 400:
                raise PeerFailed(f"a status of a refusal expected, got {link.status}")
            await _read_out(link)
            self._asked.answered()
            self._count("refused")
            reason = answer.refused if answer.refused in reasons.REASONS else PeerFailed.counter
            front.refuse(request, flow.Refusal(link.status, reason, answer.retry_after_s, answer.limit))
            return True
        if answer.image != self._image:
            raise PeerFailed("an answer of the image that was asked for expected, got one of another")
        self._asked.answered()
        self._count("answered")
        if request.fill is not None:
            request.fill.began = min(request.fill.began, began - (answer.since_ms or 0) / 1000)
        stream = request.last = Stream(self._service, request.method, b"", True, began)
        stream.state, stream.tier, stream.before = "answering", "owner", answer.before
        stream.source = lambda: self._part(link)
        await front.answer_in_parts(request, stream, Answer(0, 0, False, 0, 0, 0, answer.block))
        return True

    async def _part(self, link: Link) -> bytes | None:
        """:raises PeerFailed: the answer broke off."""
        try:
            async with asyncio.timeout(self._means.stream_s):
                return await link.part()
        except TimeoutError:
            raise PeerFailed(f"{self._asked.peer.id}: nothing more of its answer in time") from None

    # Other protocols.

    def _join(self, link: Link) -> None:
        """Both connections become a tunnel."""
        request, front = self._request, self._means.front
        here, there = Tunnel(request.remote, self._left), Tunnel("", self._left)
        here.join(there)
        there.join(here)
        own = b"Cache-Status: nunatak; fwd=%b; detail=owner\r\n%bX-Request-Id: %b\r\n" % (
            request.forward.encode(),
            front.via,
            request.id,
        )
        front.begin(request, SWITCHED, switched(link.fields, own))
        self._count("switched")
        self._is_tunnel, self._open = True, 2
        rest = link.switch(there)
        here.begin(request.connection.hand_over(here))
        there.begin(link.transport, rest)
        front.connections.add(here)

    def _left(self, side: Tunnel) -> None:
        self._open -= 1
        self._means.front.connections.discard(side)
        if self._open == 0:
            self._asked.left()

    def _count(self, outcome: str) -> None:
        self._means.counters.add(self._means.counters.peer_requests, outcome)


async def _read_out(link: Link) -> None:
    """Leave the connection ready for another request. :raises PeerFailed: it is not."""
    while await link.part() is not None:
        pass
