"""WebSockets that clients ask for: the handshake (RFC 6455 section 4.2), how many there may be, and all that are open.

A request for one is asked of the service like any other, with the number that the socket will have. A guest that
answers 101 takes it: from then on the connection is a `held_socket`.
"""

import asyncio
import binascii
import os
import secrets
from collections.abc import Callable
from typing import Final

from wsproto import ConnectionType
from wsproto.events import AcceptConnection
from wsproto.handshake import H11Handshake
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.options import EdgeConfig
from edge.front import cgi
from edge.front.crowd import Client, Crowd
from edge.front.held_socket import HeldSocket
from edge.front.request import Request
from edge.front.socket_offer import Offer
from edge.model import sockets
from edge.model.flow import ClientError, SocketsFull
from edge.model.services import Early, Service
from edge.model.sockets import SERVICE_RESTART, Patience
from edge.model.streams import Stream, wake
from edge.supervisor.supervisor import Supervisor
from edge.vmm.wire.streams import Answer
from vmimage import abi
from vmimage.errors import GuestViolation, NunatakError, Unavailable

KEY_BYTES: Final = 16
CLOSE_S: Final = 5.0  # for a client to answer a close frame
STRAY_S: Final = 1.0  # between two times that a guest is told which of its sockets are gone
_TAKEN: Final = b"Status\x00101"
_FIELDS: Final = (b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol")
_ONCE: Final = (b"upgrade", b"sec-websocket-key", b"sec-websocket-version")
_OURS: Final = (b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol")


class Sockets:
    """All sockets of an edge."""

    def __init__(
        self,
        supervisor: Supervisor,
        config: EdgeConfig,
        connections: Crowd[Client],
        counters: Counters,
        tasks: Tasks,
        write: Callable[[Request, bytes], None],
    ) -> None:
        """:param write: sends bytes of an answer."""
        self.supervisor, self.connections, self.counters, self.tasks = supervisor, connections, counters, tasks
        self.run = os.urandom(8).hex()
        self.message_max = config.socket_message
        self.patience = Patience(config.socket_ping, config.socket_idle, config.request_timeout, CLOSE_S)
        self.most = config.sockets or connections.most // 2
        self._write = write
        self._of_service = config.service_sockets
        self._open: set[HeldSocket] = set()
        self.draining = False  # there are no more
        self._closed: asyncio.Future[None] | None = None
        self._strays: dict[Service, float] = {}  # when their guests were last told
        self._loop = asyncio.get_running_loop()
        supervisor.routing.on_stray = self.on_stray

    def __len__(self) -> int:
        return len(self._open)

    # The handshake.

    def offer(self, request: Request, service: Service, block: bytes) -> bytes:
        """The block of a request as the guest is to see it, which may take it for a socket if it asks for one.

        :raises ClientError: 400 or 426 for a handshake that is none, 431 for a head that is too large with the offer.
        :raises SocketsFull: there are as many as there may be.
        """
        self.withdraw(request)  # it was sent elsewhere, perhaps
        if not _asks(request):
            return block
        handshake = _handshake(request)
        self._check_room(service)
        number = secrets.randbits(31)
        while not number or number in service.sockets or number in service.offered:
            number = secrets.randbits(31)
        block = sockets.offer(block, number, self.run, service.lineage)
        if len(block) > abi.RECORD_PAYLOAD_MAX:
            raise ClientError("head_too_large")
        request.offer = Offer(service, number, service.lineage, handshake)
        service.offered[number] = Early()
        return block

    def withdraw(self, request: Request) -> Early:
        """The request is over, taken or not. What its guest sent to the socket by then."""
        offer, request.offer = request.offer, None
        return Early() if offer is None else offer.service.offered.pop(offer.number, Early())

    def _check_room(self, service: Service) -> None:
        if self.draining:
            raise Unavailable("the edge is draining")
        if len(service.sockets) >= self._of_service:
            raise SocketsFull(f"{service.name}: at most {self._of_service} sockets expected (service_sockets)")
        if len(self._open) >= self.most:
            raise SocketsFull(f"at most {self.most} sockets of all services expected (sockets)")

    def taken(self, request: Request, stream: Stream, said: Answer, fields: bytes) -> bool:
        """Whether a guest's answer takes the socket that it was offered; the connection is one then.

        :param fields: whole lines that the answer is to have beside the guest's.
        :raises GuestViolation: it may not take one, or its fields do not fit the handshake.
        :raises Unavailable: its machine has been replaced meanwhile, or there are too many by now.
        """
        offer = request.offer
        if offer is None or not said.payload.startswith(_TAKEN):
            return False
        try:
            socket = self._take(offer, request, stream, said, fields)
        except NunatakError:
            self._gone(stream.service, offer.number)
            raise
        early = self.withdraw(request)
        for piece in early.pieces:
            socket.on_piece(piece)
        if early.size > early.MOST:
            socket.broken()
        return True

    def _take(self, offer: Offer, request: Request, stream: Stream, said: Answer, fields: bytes) -> HeldSocket:
        service, machine = stream.service, stream.machine
        if machine is None or machine.pool > 1 or machine.image.manifest.instance == "request":
            raise GuestViolation("a socket is for a machine that goes on and is its service's only one, got a pool")
        current = service.machine is machine and not machine.retiring and service.lineage == offer.lineage
        if not current or offer.number in service.sockets:
            raise Unavailable(f"{service.name}: its machine is being replaced")
        self._check_room(service)
        head = _accept(offer.handshake, said, fields, request.on_service_host)
        frames = offer.handshake.connection
        assert frames is not None  # it has been accepted
        socket = HeldSocket(self, frames, service, offer.number, request.remote)
        service.sockets[offer.number] = socket
        self._open.add(socket)
        self.counters.sockets_opened += 1
        self._write(request, head)
        socket.begin(request.connection.hand_over(socket))
        return socket

    # Those that are open.

    def forget(self, socket: HeldSocket) -> None:
        """Both sides of it are done."""
        self._open.discard(socket)
        if socket.service.sockets.get(socket.number) is socket:
            del socket.service.sockets[socket.number]
        if not self._open:
            wake(self._closed)

    def on_stray(self, service: Service, number: int) -> None:
        """A guest spoke to a socket that is none: let it know, though not all the time."""
        now = self._loop.time()
        self._strays = {known: at for known, at in self._strays.items() if now - at < STRAY_S}
        if service not in self._strays:
            self._strays[service] = now
            self._gone(service, number)

    def _gone(self, service: Service, number: int) -> None:
        """Tell a guest that it has no such socket, and so which others it has no more."""
        block = sockets.event("close", number, self.run, service.lineage, code=sockets.LOST)
        stream = Stream(service, sockets.METHOD, block, True, self._loop.time())
        stream.taker = lambda said: None
        try:
            self.supervisor.submit(stream)
        except NunatakError:
            pass  # it will hear of it with its next socket

    def end_all(self) -> None:
        """Ask all clients to leave."""
        for socket in list(self._open):
            socket.end(SERVICE_RESTART)

    async def drain(self, timeout_s: float) -> None:
        """Close all of them, and wait for their clients, but only so long."""
        self.end_all()
        if self._open:
            self._closed = self._loop.create_future()
            await asyncio.wait([self._closed], timeout=timeout_s)
        for socket in list(self._open):
            socket.abort()


def _asks(request: Request) -> bool:
    """Whether a request wants a WebSocket."""
    if not request.upgrade or request.has_body or request.method != "GET" or request.version != (1, 1):
        return False
    return any(protocol.strip() == b"websocket" for protocol in request.upgrade.lower().split(b","))


def _handshake(request: Request) -> H11Handshake:
    """The client's half, judged by wsproto; what else the request has is none of its business."""
    fields = [(name.lower(), value) for name, value in request.headers if name.lower() in _FIELDS]
    names = [name for name, _ in fields]
    if any(names.count(name) > 1 for name in _ONCE):
        raise ClientError("bad_handshake")
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        key = binascii.a2b_base64(dict(fields).get(b"sec-websocket-key", b""), strict_mode=True)
        handshake.initiate_upgrade_connection([(b"host", b"edge"), *fields], b"/")
    except RemoteProtocolError as error:
        if getattr(error.event_hint, "status_code", 400) == 426:
            raise ClientError("unknown_socket_version") from None
        raise ClientError("bad_handshake") from None
    except ValueError:  # no base64
        raise ClientError("bad_handshake") from None
    if len(key) != KEY_BYTES:
        raise ClientError("bad_handshake")
    return handshake


def _accept(handshake: H11Handshake, said: Answer, fields: bytes, on_service_host: bool) -> bytes:
    """The head of the answer: the guest's fields, checked, and a subprotocol that the client named."""
    block, start = cgi.split_block(said.payload)
    if len(said.payload) > start:
        raise GuestViolation("an answer of status 101 without a body expected")
    answer = cgi.answer_head(block.replace(_TAKEN, b"Status\x00200", 1), on_service_host)
    chosen: str | None = None
    kept = []
    for line in (answer.fields + fields).split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        if name.lower() == b"sec-websocket-protocol":
            chosen = value.decode("latin-1")
        elif name.lower() not in _OURS:
            kept.append((name, value))
    try:
        return handshake.send(AcceptConnection(subprotocol=chosen, extra_headers=kept))
    except LocalProtocolError as error:
        raise GuestViolation(f"an answer that fits the client's handshake expected: {error}") from None
