"""The operators' listener: who may see the pages of `admin`, and do what changes an edge, and how that is noted.

On a Unix socket the file's mode says who: its owner. On TCP whoever asks shows a token, under a Host that no name
server could have pointed here. Of web pages only this listener's own one, the console, is answered, on TCP and with the
token; it is itself given to whoever asks. Nothing here is a hot path: a request is a task, and there are few
connections.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import os
import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Final

from edge.common import log
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.config.listeners import Listener
from edge.config.options import EdgeConfig
from edge.front import heads
from edge.front.answers import Answers
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.listening import Bound, bind, take_over
from edge.front.page import Page
from edge.front.request import Request
from edge.model import flow, routes
from edge.model.flow import ClientError
from edge.operators import files
from edge.operators.audit import Audit
from edge.operators.feeds import CONTENT_TYPE, FEEDS_MAX, READ_S, Feed
from edge.operators.files import SAFE
from edge.operators.pages import PREFIX, WITH_BODY, Admin, methods_of
from edge.operators.purging import BODY_MAX
from vmimage.errors import NunatakError, OperatorError

CONNECTIONS_MAX: Final = 32  # a few operators, a scraper and a probe
HELD_BYTES: Final = CONNECTIONS_MAX << 14  # of heads that have arrived; calls have no bodies
UNREAD_BYTES: Final = 64 << 20  # of pages; that of 100,000 services has some 40 MiB
KEEPALIVE_S: Final = 10.0  # so that idle connections do not keep the few places
OWNERS_MODE: Final = 0o600  # of a Unix socket
CLOSE_S: Final = 5.0  # for calls under way at the end; to park everything takes about a millisecond a machine
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))

_logger: Final = log.logger("operators")


def refused(
    headers: Collection[tuple[bytes, bytes]], host: str, *, names: Collection[str], token: str, public: bool = False
) -> ClientError | None:
    """Why a call is not for us to answer; None when it is.

    :param host: the name in the Host field, without port.
    :param names: under which the listener may be asked besides loopback addresses.
    :param token: that the call must show; empty on a Unix socket, where the file's mode has judged already.
    :param public: what is asked for holds nothing of the edge, and needs no token: a file of the console.
    """
    fields = {name.lower(): value for name, value in headers}
    if _from_a_foreign_page(fields, has_own=bool(token), public=public):
        return ClientError("from_a_web_page")
    if not token:
        return None
    if host not in names and not _is_loopback(host):
        return ClientError("foreign_host")
    if public:
        return None
    given = hashlib.sha256(fields.get(b"authorization", b"")).digest()
    if not hmac.compare_digest(given, hashlib.sha256(b"Bearer " + token.encode()).digest()):
        return ClientError("unauthorized")
    return None


def _from_a_foreign_page(fields: Mapping[bytes, bytes], *, has_own: bool, public: bool) -> bool:
    """Whether a web page that is not this listener's sent this.

    Browsers send Origin with every request of a page but plain GETs, and Sec-Fetch-Site with all of them; a person at
    the address bar sends `none`, a program neither. A link leads from anywhere to what is public, and to nothing else.

    :param has_own: there may be a page of this listener: without a token, anybody's at this address would be one.
    """
    site, origin = fields.get(b"sec-fetch-site", b"none"), fields.get(b"origin")
    if public and origin is None and fields.get(b"sec-fetch-mode") == b"navigate":
        return False
    if not has_own:
        return origin is not None or site != b"none"
    own = {scheme + fields.get(b"host", b"") for scheme in (b"http://", b"https://")}  # the latter through a proxy
    return site not in (b"none", b"same-origin") or (origin is not None and origin not in own)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(config: EdgeConfig) -> list[str]:
    """:raises OperatorError: `admin_hosts` has one that is none."""
    return [routes.named_host(name) for name in config.admin_hosts.split(",") if name.strip()]


class OperatorConnection(Connection):
    """A connection that knows who is at its other end, as the system says it."""

    who: Mapping[str, object] = {}

    def __init__(self, operators: "Operators") -> None:
        super().__init__(operators, KEEPALIVE_S)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.who = {"address": self.remote} if self.remote else _peer(transport.get_extra_info("socket"))


def _peer(connection: socket.socket) -> Mapping[str, object]:
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return {"uid": uid, "pid": pid}


class Operators(Answers):
    """All connections of operators.

    :raises OperatorError: the configuration's token cannot be used.
    """

    def __init__(self, admin: Admin, audit: Audit, config: EdgeConfig, counters: Counters) -> None:
        super().__init__(counters)
        self.connections: Crowd[Connection] = Crowd(
            CONNECTIONS_MAX, HELD_BYTES, counters, each=CONNECTIONS_MAX, unread_max_bytes=UNREAD_BYTES
        )
        self.listeners: list[tuple[str, int]] = []  # addresses and ports, set when bound to such
        self.where = ""  # for people: unix:PATH, or a URL; set when bound
        self._admin, self._audit, self._config = admin, audit, config
        self._token = config.admin_secret
        self._names, self._own_names = _names(config), list[str]()
        self._bound: Bound | None = None
        self._tasks = Tasks(counters)
        self._calls: set[asyncio.Task[None]] = set()
        self._feeds: set[Request] = set()  # that go on until their clients leave
        self._id_prefix = os.urandom(6).hex().encode()
        self._ids = count(1)

    async def listen(self, given: Sequence[socket.socket] = ()) -> None:
        """Take connections from now on.

        :param given: sockets that listen already, in place of `admin_listen`; of its kind, which says who is let in.
        :raises OperatorError: not there.
        """
        at = self._config.admin_address
        if any((each.family == socket.AF_UNIX) != isinstance(at, Path) for each in given):
            kind = "Unix sockets" if isinstance(at, Path) else "sockets with addresses"
            raise OperatorError(
                f"admin_listen = {self._config.admin_listen}: {kind} expected of the service manager: "
                "name such in its unit"
            )
        wanted = Listener(self._config.admin_listen, at, mode=OWNERS_MODE)
        if given:
            bound = await take_over(self._connect, given, wanted, CONNECTIONS_MAX)
        else:
            bound = await bind(self._connect, wanted, "admin_listen", CONNECTIONS_MAX)
        self._bound, self.listeners = bound, bound.listeners
        names = [f"[{address}]" if ":" in address else address for address, _ in self.listeners]
        self._own_names = [name for name in names if name not in ("0.0.0.0", "[::]")]  # which no client means
        self._names += self._own_names
        self.where = f"http://{names[0]}:{bound.port}" if names else bound.where

    def _connect(self, port: int) -> OperatorConnection:
        return OperatorConnection(self)

    def reload(self, config: EdgeConfig) -> None:
        """Go by other options, with the token as it is now, in a new audit file if somebody has moved the one there is.

        :raises OperatorError: one of them cannot be used; what was in use stays.
        """
        token, names = config.admin_secret, _names(config)
        try:
            self._audit.reopen()
        except OSError as error:
            raise OperatorError(
                f"audit log: {error.strerror or error}: make it a file that this user may write"
            ) from error
        self._config, self._token, self._names = config, token, [*names, *self._own_names]

    async def close(self) -> None:
        """Take no more calls, finish those under way."""
        if self._bound is not None:
            self._bound.remove_file()
            self._bound.close()
        self.draining = self._loop.create_future()
        for request in list(self._feeds):
            self.gone(request)
        if self._calls:
            await asyncio.wait(self._calls, timeout=CLOSE_S)
        for connection in list(self.connections):
            connection.close()

    # Requests, from connections.

    def take(self, request: Request) -> None:
        """Begin with a request."""
        request.id = b"%b-%x" % (self._id_prefix, next(self._ids))
        request.task = task = self._tasks.spawn("call", self._take(request))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def gone(self, request: Request) -> None:
        """The client left. What it ordered is done all the same, and noted; what goes on for it ends."""
        if request in self._feeds and request.task is not None:
            request.task.cancel()

    def allowed(self, request: Request) -> bytes:
        """The method of the page that was asked for."""
        route = routes.route(request.host, request.target)
        return methods_of(route.path) if route is not None else heads.ALLOWED

    async def _take(self, request: Request) -> None:
        route = None if request.error is not None else routes.route(request.host, request.target)
        page: Page | None = None
        try:
            found = await self._page(request, route)
            if isinstance(found, Feed):
                await self._go_on(request, found)
                return
            page, status = found, found.status
        except (ClientError, NunatakError) as error:
            refusal = flow.refusal(error)
            status = refusal.status
        except Exception:
            _logger.exception(log.line("internal_error", id=request.id.decode(), path=request.target))
            request.keep_alive = False
            refusal = flow.Refusal(500, "internal")
            status = 500
        if route is not None and request.method not in ("GET", "HEAD"):
            assert isinstance(request.connection, OperatorConnection)
            self._audit.write(request.connection.who, request.method, route.path, route.query, status)
        if page is not None:
            self.show(request, page)
        else:
            self.refuse(request, refusal)
        request.connection.finished(request)

    async def _go_on(self, request: Request, feed: Feed) -> None:
        """Send parts until the client has left, or reads no more, or the edge is about to end."""
        if len(self._feeds) >= FEEDS_MAX:
            raise ClientError("feeds_full")
        self._feeds.add(request)
        request.keep_alive = False  # the end of the connection is the end of the body
        fields = b"".join(f"{name}: {value}\r\n".encode() for name, value in SAFE.items())
        head = (b"HTTP/1.1 200 OK\r\n", self.date(), b"Content-Type: %b\r\n" % CONTENT_TYPE.encode(), fields)
        self.write(request, b"".join((*head, b"Connection: close\r\n\r\n")))
        try:
            async with aclosing(feed.parts) as parts:
                async for part in parts:
                    self.write(request, part)
                    async with asyncio.timeout(READ_S):
                        await request.connection.drained()
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._feeds.discard(request)
            request.connection.abort()

    def show(self, request: Request, page: Page) -> None:
        """A page, with what keeps a browser from doing more with it than showing it."""
        super().show(request, page._replace(headers={**SAFE, **page.headers}))

    async def _page(self, request: Request, route: routes.Route | None) -> Page | Feed:
        if request.error is not None:
            raise request.error
        if request.objection is not None:
            raise request.objection
        if route is None:
            request.keep_alive = False
            raise ClientError("bad_request")
        public = request.method in ("GET", "HEAD") and files.is_public(route.path.removeprefix(PREFIX))
        problem = refused(request.headers, route.name, names=self._names, token=self._token, public=public)
        if problem is not None:
            raise problem
        body = await _body(request, route.path)
        accept = request.header(b"accept")
        return await self._admin.handle(request.method, route.path, route.query, body, accept)


async def _body(request: Request, path: str) -> bytes:
    """The body of a call, on a page that takes one."""
    if not request.has_body:
        return b""
    if path.removeprefix(PREFIX) not in WITH_BODY:
        raise ClientError("no_body_expected")
    body = b""
    try:
        async with asyncio.timeout(KEEPALIVE_S):
            while data := await request.read():
                body += data
                if len(body) > BODY_MAX:
                    raise ClientError("body_too_large")
    except TimeoutError:
        raise ClientError("client_silent") from None
    return body
