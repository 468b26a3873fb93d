"""The listener for peers: edges of this POP, by their certificates, and nobody else.

Sockets and handshakes are `listener`'s. A connection whose certificate is no member's ends after the handshake, and one
whose member has left the list with its next request. What a member may ask for: content by digest (`/v2/`), a greeting,
and what a client has asked it for, in the words of `said`. Content is given on while it comes, at the pace of who takes
it; its place, of which there are FETCHES_MAX, is taken until then, and no member has them all. There are no operators'
pages here, and without those words no service either.
"""

import asyncio
import re
from typing import Final
from weakref import WeakValueDictionary

from edge.common import log
from edge.common.counters import Counters
from edge.common.listening import opening, shown
from edge.common.pace import Pace
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref, Store
from edge.content.coming import Coming
from edge.front.answers import Answers
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.page import Page
from edge.front.request import Request
from edge.model import flow
from edge.model.flow import ClientError
from edge.peers.listener import Listener
from edge.peers.members import Members
from edge.peers.said import FIELD
from edge.peers.store import PATH, SIZE
from edge.peers.taking import Taking
from edge.peers.tls import Trust, certificate_of
from vmimage.errors import NunatakError, OriginError, OriginUnreachable
from vmimage.manifest import BLOB_MAX, MANIFEST_MAX

CONNECTIONS_MAX: Final = 8192  # of all peers; of one, three quarters of them
HELD_BYTES: Final = 64 << 20  # of heads and bodies that have arrived
KEEPALIVE_S: Final = 75.0  # longer than `asking.IDLE_S`
FETCHES_MAX: Final = 64  # contents that are read, fetched or sent for peers at a time; who asks then waits
FETCHES_EACH: Final = 48  # of these for one member
GREETING: Final = "/-/peer"
CHUNK: Final = 256 << 10  # bytes of a piece
_REF: Final = re.compile(rf"{re.escape(PATH)}(blobs|manifests)/(sha256:[0-9a-f]{{64}})", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,12}) (exact|most)", re.ASCII)

_logger: Final = log.logger("peers")


class PeerConnection(Connection):
    """A connection of a member. `remote` and `reached` are its client's, from request to request."""

    def __init__(self, door: "PeerDoor") -> None:
        super().__init__(door, KEEPALIVE_S)
        self._door = door
        self.certificate = ""  # SHA-256 of what the other end has shown

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.certificate = certificate_of(transport)
        super().connection_made(transport)
        if self._door.members.by_certificate(self.certificate) is None:
            self._door.refused("no-member")
            self.abort()


class PeerDoor(Answers):
    """All connections of peers."""

    def __init__(self, members: Members, trust: Trust, store: Store, taking: Taking, counters: Counters) -> None:
        """:param store: of content by digest. :param taking: takes requests that peers forward."""
        super().__init__(counters)
        self.members = members
        self.connections: Crowd[Connection] = Crowd(CONNECTIONS_MAX, HELD_BYTES, counters)
        self._store, self._taking = store, taking
        self._tasks = Tasks(counters)
        self._places = asyncio.Semaphore(FETCHES_MAX)
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # of members that ask
        self._listener = Listener(trust, lambda: PeerConnection(self), counters)
        self.listeners: list[tuple[str, int]] = []  # addresses and ports, set when bound
        self.where = ""

    async def listen(self, address: tuple[str, int]) -> None:
        """Take connections from now on.

        :raises OperatorError: not there.
        """
        host, port = address
        with opening("peer_listen", host, port):
            self.listeners = self._listener.open(host, port)
        name, bound = self.listeners[0]
        self.where = f"{shown(name)}:{bound}"

    def refused(self, cause: str) -> None:
        """A connection ends for this."""
        self._counters.add(self._counters.peers_refused, cause)

    async def close(self) -> None:
        """Take no more, and end what there is."""
        await self._listener.close()
        for connection in list(self.connections):
            connection.close()
        await self._tasks.close()

    # Requests, from connections.

    def take(self, request: Request) -> None:
        """Begin with a request."""
        connection = request.connection
        assert isinstance(connection, PeerConnection)
        if self.members.by_certificate(connection.certificate) is None:
            self.refused("left")
            connection.abort()
        elif request.error is None and (said := request.header(FIELD)):
            self._taking.take(request, said.encode("latin-1"))
        else:
            request.id = b"peer"
            request.task = self._tasks.spawn("peer", self._answer(request))

    def gone(self, request: Request) -> None:
        """The peer left before its answer was complete."""
        if request.told is not None:
            self._taking.gone(request)
        elif request.task is not None:
            request.task.cancel()

    async def _answer(self, request: Request) -> None:
        try:
            ref = self._asked(request)
            if ref is None:
                self.show(request, Page(200 if request.target == GREETING else 404, b""))
            else:
                async with self._share_of(request), self._places:
                    await self._give(request, ref)
        except (ClientError, NunatakError) as error:
            self.refuse(request, flow.refusal(error))
        request.connection.finished(request)

    def _share_of(self, request: Request) -> asyncio.Semaphore:
        """The places that its member may have."""
        assert isinstance(request.connection, PeerConnection)
        certificate = request.connection.certificate
        if (share := self._shares.get(certificate)) is None:
            share = self._shares[certificate] = asyncio.Semaphore(FETCHES_EACH)
        return share

    def _asked(self, request: Request) -> Ref | None:
        """The content that a request is for; None for none.

        :raises ClientError: nobody here answers it.
        """
        if request.error is not None:
            raise request.error
        if request.objection is not None:
            raise request.objection
        if request.method != "GET" or request.has_body:
            raise ClientError("method_refused")
        return _ref(request)

    async def _give(self, request: Request, ref: Ref) -> None:
        """Content, as it comes. Where it does not all come, or is taken too slowly, the connection is broken off.

        :raises NunatakError: it cannot be had, and nothing of it was given.
        """
        coming = Coming()
        loading = self._tasks.spawn("content", self._load(ref, coming), awaited=True)
        try:
            size = await coming.begun()
            if size is None:
                size = len(await loading)
            self._begin(request, size)
            await self._write(request, coming, size)
        finally:
            loading.cancel()

    async def _load(self, ref: Ref, coming: Coming) -> bytes:
        try:
            data = await self._store.get(ref, Load(for_peer=True, progress=coming.grown))
        except BaseException as error:
            coming.over(error if isinstance(error, OriginError) else OriginUnreachable("what was to come has ended"))
            raise
        coming.held.data = data
        coming.over()
        return data

    def _begin(self, request: Request, size: int) -> None:
        fields = b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n" % size
        head = (b"HTTP/1.1 200 OK\r\n", self.date(), fields, self.connection_line(request), b"\r\n")
        self.begin(request, 200, b"".join(head))

    async def _write(self, request: Request, coming: Coming, size: int) -> None:
        pace = Pace(size)
        try:
            async for piece in coming.pieces(0, size, size, CHUNK):
                self.write(request, piece)
                async with pace.taking():
                    await request.connection.drained()
        except (OriginError, TimeoutError, ConnectionError):
            self._counters.cut_answers += 1
            request.connection.abort()


def _ref(request: Request) -> Ref | None:
    """The content that is asked for, with its size as the peer knows it, within what content may have."""
    match, size = _REF.fullmatch(request.target), _SIZE.fullmatch(request.header(SIZE))
    if match is None or size is None:
        return None
    most = BLOB_MAX if match[1] == "blobs" else MANIFEST_MAX
    if int(size[1]) > most:
        return None
    return Ref("blobs" if match[1] == "blobs" else "manifests", match[2], int(size[1]), size[2] == "exact")
