"""A request as a client sends it: its head, and its body as it arrives. `connection` fills it, `http` answers it."""

import asyncio
from collections import deque
from typing import Final, Protocol

from edge.cache.reuse import Forward
from edge.front.fills import Fill
from edge.front.reached import Reached
from edge.front.senders import Sender
from edge.front.socket_offer import Offer
from edge.model.finished import Cache
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.model.streams import Stream, wake
from edge.model.tracing import Trace

BODY_WAITING_MAX: Final = 1 << 16  # bytes of a body that nobody has taken, from which on the client waits


class ClientConnection(Protocol):
    """What a request needs of its connection; see `connection.Connection`."""

    remote: str
    reached: Reached
    lost: bool

    def write(self, request: "Request", data: bytes) -> None: ...
    async def drained(self) -> None: ...
    def read_on(self) -> None: ...
    def finished(self, request: "Request") -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def hand_over(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport: ...


class Request:
    """A request as it arrives. Attributes that most requests never set are class attributes until they are."""

    host: str | None = None  # the Host field; once routed, what stands in its place
    on_service_host = False  # it names its service in its path
    loops = ""  # the CDN-Loop field (RFC 8586)
    content_length: int | None = None
    chunked = False
    expects_continue = False  # it waits for 100 (Continue) with its body; false again once it has that
    expects_more = False  # what nobody here can fulfil
    # Protocols that the client would go on with after this request (RFC 9110 section 7.8). It is answered in this one
    # unless a 101 takes the offer; until then what follows is the next request.
    upgrade = b""
    objection: ClientError | None = None  # why this request is refused, which is well-formed
    offer: Offer | None = None  # of a socket, which the service may take
    error: ClientError | None = None  # what arrived is no request, or its body is broken
    complete = False  # all of it is here
    sent = 0  # bytes written in answer
    redirects = 0  # by programs, to other paths of their service
    redirected = False  # to another path, for which it is taken anew
    stream: Stream | None = None  # set while no task has the request
    # What caching makes of it (`edge.front.caching`).
    fill: Fill | None = None  # its guest's answer may be kept, or make others void
    forward: Forward = "bypass"  # why a guest has it
    alone = False  # it waits for no other request's answer
    waited = False  # for another's
    looked = False  # for it on disk
    look_vary: tuple[bytes, ...] = ()  # what its page was found to depend on there, when the look was not for it
    refreshes = False  # nobody waits for its answer, which takes the place of a stale one
    kept_ttl_s: int | None = None  # of what is kept of its answer
    not_kept = ""  # why nothing is
    cache: Cache = ""  # what a kept answer had to do with it, if one had
    # What edges of a POP have to do with it (`edge.peers`).
    told: bytes | None = None  # a peer forwards it: lines that the peer is told beside the answer; None for clients'
    not_before = 0.0  # loop time: of answers whose run began before, a peer wants none
    came_at = 0.0  # loop time at which a peer's was taken
    owners: tuple[str, ...] | None = None  # peers that may answer in this edge's place, the best first, once asked for
    task: "asyncio.Task[None] | None" = None
    # Of a service with two versions (`edge.front.versions`).
    visitor = b""  # who asks, once that matters
    visitor_line = b""  # of its answer, whole: a cookie for who had none
    version_line = b""  # of its answer, whole lines: which version it was, and that cookie
    # What it is known by (`edge.front.marks`).
    id = b""
    said_id = b""  # the X-Request-Id field; none that is valid where there are several
    said_parent = b""  # the traceparent field; the same
    sender: Sender | None = None
    trace: Trace | None = None  # once somebody needs it
    # What is told of it when it is over (`edge.front.telling`).
    began = 0.0  # seconds of the monotonic clock, as all of these; 0 where nobody is to be told
    asked_at = 0.0  # when its service was asked last
    answered_at = 0.0  # when the head of its answer was here
    service: Service | None = None  # that it is for, once found
    last: Stream | None = None  # by which that was asked last
    status = 0  # of the answer that has begun
    head_sent = 0  # bytes of `sent` before the answer's body
    cut = ""  # why the answer broke off: a key of `reasons.REASONS`
    refused = ""  # why the edge answered in place of a service
    limit = ""  # that was hit then

    _waiting_bytes = 0
    _reader: "asyncio.Future[None] | None" = None
    _unwanted = False

    head_bytes = 0  # what the head takes in memory, once it is complete

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.method = ""
        self.target = ""
        self.version = (1, 1)
        self.keep_alive = False  # after the answer; whoever answers may take it back
        self.headers: list[tuple[bytes, bytes]] = []
        self._parts: deque[bytes] = deque()

    @property
    def remote(self) -> str:
        """The client's address; empty where there is none."""
        return self.connection.remote

    @property
    def has_body(self) -> bool:
        """Whether anything may follow the head."""
        return self.chunked or bool(self.content_length)

    def header(self, name: bytes) -> str:
        """A field's first value; empty when it is not there. `name` in lower case."""
        return next((value.decode("latin-1") for field, value in self.headers if field.lower() == name), "")

    def body(self) -> bytes:
        """All of the body that is here."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._waiting_bytes = 0
        return data

    async def read(self) -> bytes:
        """The next bytes of the body, none after the last.

        :raises ClientError: its framing is broken.
        """
        while not self._parts:
            if self.error is not None:
                raise self.error
            if self.complete:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = self.body()
        self.connection.read_on()
        return data

    def arrive(self, data: bytes) -> None:
        """More of the body, from the connection."""
        if not self._unwanted:
            self._parts.append(data)
            self._waiting_bytes += len(data)
            wake(self._reader)

    def end(self, error: ClientError | None = None) -> None:
        """The body is complete, or broken."""
        self.error, self.complete = error, error is None
        wake(self._reader)

    @property
    def held_bytes(self) -> int:
        """What the request takes in memory."""
        return self.head_bytes + self._waiting_bytes

    @property
    def holds_body(self) -> bool:
        """Whether some of the body is here that nobody has taken."""
        return self._waiting_bytes > 0

    @property
    def holds_much(self) -> bool:
        """Whether the client should wait before it sends more."""
        return self._waiting_bytes >= BODY_WAITING_MAX

    def redirect_to(self, target: str) -> None:
        """Ask for another path in place of this one, as RFC 3875 section 6.2.2 has it: without the body."""
        self.target, self.redirects, self.redirected = target, self.redirects + 1, True
        self.looked, self.look_vary = False, ()
        self.method = "HEAD" if self.method == "HEAD" else "GET"
        self.content_length, self.chunked = None, False
        self.headers = [(name, value) for name, value in self.headers if not name.lower().startswith(b"content-")]
        self.forget_body()

    def forget_body(self) -> None:
        """Nobody wants the rest."""
        self._unwanted = True
        self.body()
