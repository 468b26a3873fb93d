"""The HTTP front: `connection` parses, `flow` and `cgi` decide, the supervisor serves, `answers` writes.

A request for a machine that is known, and whose answer comes in one frame, is done in two calls, `take` and
`_answered`, and one write; all others get a task of their own.
"""

import asyncio
import resource
from functools import partial
from typing import Final

from mypy_extensions import mypyc_attr

from edge.cache import status
from edge.cache.storing import Wish
from edge.common import log
from edge.common.counters import Counters
from edge.config.options import EdgeConfig
from edge.front import bodies
from edge.front.answers import Answers
from edge.front.asking import block_of
from edge.front.caching import Caching
from edge.front.connection import Connection
from edge.front.crowd import Client, Crowd
from edge.front.elsewhere import Elsewhere
from edge.front.leaving import asked_once_more
from edge.front.listeners import Listeners
from edge.front.marks import Marks
from edge.front.prelude import Refused
from edge.front.reached import Reached
from edge.front.request import ClientConnection, Request
from edge.front.sockets import Sockets
from edge.front.telling import Telling
from edge.front.versions import Versions
from edge.model import flow, routes
from edge.model.flow import ClientError
from edge.model.services import Service
from edge.model.streams import Stream, wake
from edge.supervisor.supervisor import Supervisor
from edge.vmm.wire.streams import Answer
from vmimage import abi
from vmimage.errors import GuestViolation, NunatakError, UnknownService

REDIRECTS_MAX: Final = 10  # within one service; what Apache takes
_UNDER_WAY: Final = ("waiting", "asked", "answering")

_logger: Final = log.logger("http")


@mypyc_attr(allow_interpreted_subclasses=True)
class Front(Answers):
    """All client connections. They reach services and nothing else: operators' pages have a listener of their own."""

    def __init__(self, supervisor: Supervisor, config: EdgeConfig, counters: Counters) -> None:
        super().__init__(counters)
        self.listeners: Final = Listeners(self)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.connections: Crowd[Client] = Crowd.of(files, config.memory, counters)
        self.busy: set[ClientConnection] = set()  # those with a request in flight
        self.directory: Final = supervisor.directory
        self._supervisor, self._config, self._tasks = supervisor, config, supervisor.tasks
        self.sockets: Final = Sockets(supervisor, config, self.connections, counters, self._tasks, self.write)
        self._by_host, self._by_name = supervisor.directory.by_host, supervisor.directory.by_name
        wish = Wish(config.response_heuristics == "on", int(config.response_stale))
        self.caching = self._caching = Caching(self, supervisor.responses, counters, wish)
        self.marks = self._marks = Marks(config)
        self.take_up(config)
        self.telling: Final = Telling(self._marks, self._tasks)
        self.elsewhere: Elsewhere | None = None  # who may answer in place of machines here
        self.versions: Final = Versions(self._marks, supervisor, counters)

    # Connections.

    def connection(self, reached: Reached) -> Connection:
        """One that has come so."""
        return Connection(self, self._config.keepalive_timeout, reached)

    def trusts(self, peer: str) -> bool:
        """Whether it is a proxy that may say for whom it speaks."""
        return self._marks.senders.trusts(peer)

    def seen(self, request: Request) -> tuple[bytes, ...]:
        """What a service is told of the URL that a request's client asked for, by whom the edge believes."""
        return self._marks.senders.seen(request.remote, request.headers, request.connection.reached)

    def header_refused(self, why: Refused, peer: str) -> None:
        """A connection ended that should have begun with a header of the PROXY protocol."""
        self._counters.add(self._counters.proxy_headers_refused, why)
        self.listeners.refused(why, peer)

    def reconfigure(self, config: EdgeConfig) -> None:
        """Go by other options from the next request, and the next connection, on."""
        self._config = config
        self._marks.reconfigure(config)
        self.take_up(config)

    async def drain(self, timeout_s: float, delay_s: float = 0.0) -> None:
        """Take no more connections and end those there are, each with its next answer: `Connection: close`.

        Who asks nothing for a moment is closed without one: what such a client sends just then finds nobody.

        :param timeout_s: after which those that are still being answered are broken.
        :param delay_s: for which connections are still taken, and told to end as all others.
        """
        self.draining = self._loop.create_future()
        await asyncio.sleep(delay_s)
        self.listeners.close()
        self.draining, self.sockets.draining = self._loop.create_future(), True
        deadline = self._loop.time() + timeout_s
        self.sockets.end_all()
        await asked_once_more(self.connections, self.sockets, timeout_s)
        busy: set[object] = set(self.busy)
        for connection in list(self.connections):
            if connection not in busy:
                connection.close()
        if self.busy:
            self.draining = self._loop.create_future()
            await asyncio.wait([self.draining], timeout=max(0.0, deadline - self._loop.time()))
        for wire in list(self.busy):
            wire.abort()
        await self.sockets.drain(timeout_s)

    # Requests, from connections.

    def take(self, request: Request) -> None:
        """Begin with a request."""
        self.meet(request)
        if not self._take_at_once(request):
            request.task = self._tasks.spawn("request", self.take_in_task(request))

    def _take_at_once(self, request: Request) -> bool:
        """Pass a request on, if that needs no waiting."""
        if not request.complete or request.chunked:
            return False
        try:
            if request.objection is not None:
                raise request.objection
            route = self._route(request)
            if route is None:
                return False
            service = self._known(route)
            if service is None:
                return False
            service = request.service = service if service.candidate is None else self.versions.of(request, service)
            then = self._caching.take(request, route, service, self._again)
            if then != "forward":
                if then == "served":
                    self._done(request)
                return True
            if self.elsewhere is not None and self.elsewhere.takes(request, service):
                return False
            block = block_of(request, route, self._marks, self._config.max_body)
            if len(block) + (request.content_length or 0) > abi.RECORD_PAYLOAD_MAX:
                return False
            stream = self._stream(request, service, block + request.body(), whole=True)
            stream.taker = partial(self._answered, request)
            self._supervisor.submit(stream)
            request.stream = stream
        except (ClientError, NunatakError) as error:
            self.refuse(request, flow.refusal(error))
            self._done(request)
        except Exception:
            self._defect(request)
        return True

    def _answered(self, request: Request, said: Answer | BaseException) -> None:
        """The answer to what was passed on at once, or why there is none. What fails here is no fault of its worker."""
        stream, request.stream = request.stream, None
        if stream is None:
            return  # the client has left
        try:
            self._finish(request, stream, said)
        except Exception:
            self._defect(request)

    def _finish(self, request: Request, stream: Stream, said: Answer | BaseException) -> None:
        try:
            if isinstance(said, (ClientError, NunatakError)):  # not raised: it would hold the frame that holds it
                self._not_answered(request, stream, said)
            elif not isinstance(said, Answer):
                raise said
            elif not stream.ended:
                request.task = self._tasks.spawn("answer", self._finish_in_task(request, stream, said))
                return
            else:
                self.answer(request, stream, said)
        except (ClientError, NunatakError) as error:
            self._not_answered(request, stream, error)
        self._done(request)

    def _not_answered(self, request: Request, stream: Stream, error: ClientError | NunatakError) -> None:
        self._note(stream.service, error)
        self.refuse(request, flow.refusal(error))

    def _again(self, request: Request, alone: bool) -> None:
        """A request has waited for another's answer."""
        request.alone = alone
        if not request.connection.lost and not self._take_at_once(request):
            request.task = self._tasks.spawn("request", self.take_in_task(request))

    def meet(self, request: Request) -> None:
        """A request has come."""
        request.id = self._marks.id_of(request)
        self.busy.add(request.connection)
        self.telling.begin(request)

    async def take_in_task(self, request: Request) -> None:
        """A request that may have to wait."""
        try:
            await self.handle(request)
        except Exception:
            self._defect(request)
            return
        self._done(request)

    async def _finish_in_task(self, request: Request, stream: Stream, said: Answer) -> None:
        try:
            await self.answer_in_parts(request, stream, said)
        except (ClientError, NunatakError) as error:  # before anything was sent
            self._not_answered(request, stream, error)
        except asyncio.CancelledError:
            self._left(stream)
            raise
        except Exception:
            self._defect(request)
            return
        finally:
            if stream.state in _UNDER_WAY:
                self._supervisor.abandon(stream)
        self._done(request)

    def gone(self, request: Request) -> None:
        """The client left before its answer was complete."""
        self._withdraw(request)
        self._not_busy(request.connection)
        self.telling.tell(request, whole=False)
        self._caching.over(request)
        if request.task is not None:
            request.task.cancel()
        elif request.stream is not None:
            stream, request.stream = request.stream, None
            self._left(stream)
            if stream.state in _UNDER_WAY:
                self._supervisor.abandon(stream)

    def sent_elsewhere(self, request: Request, stream: Stream, target: str) -> bool:
        """Only to another path of the same service, and no visible answer has begun."""
        route = routes.route(request.host, target, self.directory.service_host)
        if route is None or (known := self._known(route)) is None or known.name != stream.service.name:
            return False  # the client may follow it
        if request.redirects == REDIRECTS_MAX:
            raise GuestViolation(f"at most {REDIRECTS_MAX} redirects of a request expected")
        self._caching.over(request)
        request.redirect_to(target)
        return True

    def took_socket(self, request: Request, stream: Stream, said: Answer) -> bool:
        """Whether a program takes the socket that it was offered."""
        told = status.forwarded(request.forward, stream.tier, stream.collapsed, None, "")
        fields = b"%b%b%bX-Request-Id: %b\r\n" % (self.date(), told, self.via, request.id)
        if not self.sockets.taken(request, stream, said, fields):
            return False
        request.status, request.head_sent = 101, request.sent
        self.answering(request, stream, 101, said.guest_us, said.engine)
        return True

    def _route(self, request: Request) -> routes.Route | None:
        route = routes.route(request.host, request.target, self.directory.service_host)
        if route is not None:
            request.host = route.authority  # what an absolute target names, also for what follows from the request
            request.on_service_host = route.kind == "service"
        return route

    def _known(self, route: routes.Route) -> Service | None:
        """The service of a route, where nobody has to be asked."""
        if route.kind == "host" and not self.directory.overdue:
            return self._by_host.get(route.name)
        if route.kind == "service" and self.directory.goes_by_name(route.names_a_host):
            return self._by_name.get(route.name)
        return None

    def _done(self, request: Request) -> None:
        if request.redirected:
            request.redirected = False
            request.task = self._tasks.spawn("request", self.take_in_task(request))
            return
        self._withdraw(request)
        self._not_busy(request.connection)
        self.telling.tell(request)
        request.connection.finished(request)

    def _withdraw(self, request: Request) -> None:
        if request.offer is not None:
            self.sockets.withdraw(request)

    def _not_busy(self, connection: ClientConnection) -> None:
        self.busy.discard(connection)
        if self.draining is not None and not self.busy:
            wake(self.draining)

    def _left(self, stream: Stream) -> None:
        if stream.state == "cut":  # we broke the connection
            self._counters.cut_answers += 1
        else:
            self._counters.clients_gone += 1

    def _note(self, service: Service | None, error: Exception) -> None:
        if isinstance(error, GuestViolation):  # found here; what ends a machine is logged with its end
            _logger.warning(log.line("answer_refused", service=service.name if service else "", reason=error))

    def _defect(self, request: Request) -> None:
        """A mistake of ours, from within its `except`: logged, and the client learns that it was one."""
        _logger.exception(log.line("internal_error", id=request.id.decode(), path=request.target))
        request.keep_alive = False
        if request.sent:
            request.connection.abort()
            self._not_busy(request.connection)
            self.telling.tell(request, whole=False)
        else:
            self.refuse(request, flow.Refusal(500, "internal"))
            self._done(request)

    async def handle(self, request: Request) -> None:
        """One request, from its head to the last byte of its answer."""
        try:
            if request.error is not None:
                raise request.error
            if request.objection is not None:
                raise request.objection
            route = self._route(request)
            if route is None:
                request.keep_alive = False  # whoever sent this means something else by what follows, perhaps
                raise ClientError("bad_request")
            if route.kind == "service" and route.names_a_host and not await self.directory.serves_names():
                route = self._route(request) or route  # that host is a service's own
            if route.kind == "nobody":
                raise UnknownService(f"no path {routes.SERVICE_PREFIX} on a host of services, got {route.path!r}")
            service = self._known(route) or await self.directory.find(route.kind, route.name)
            service = request.service = self.versions.of(request, service)
            if request.fill is None and await self._caching.answered(request, route, service):
                return
            if self.elsewhere is None or not await self.elsewhere.serves(request, service):
                await self._serve(request, route, service)
        except (ClientError, NunatakError) as error:
            self._note(request.service, error)
            await self.explain(request, error)

    def _stream(self, request: Request, service: Service, payload: bytes, *, whole: bool) -> Stream:
        if request.upgrade:
            payload = self.sockets.offer(request, service, payload)
        stream = request.last = Stream(service, request.method, payload, whole, self._loop.time())
        stream.trace = request.trace
        self.telling.asked(request)
        if request.loops:
            stream.loops = request.loops
        return stream

    async def _serve(self, request: Request, route: routes.Route, service: Service) -> None:
        block, length = block_of(request, route, self._marks, self._config.max_body), request.content_length
        whole = not request.has_body
        fits = length is not None and len(block) + length <= abi.RECORD_PAYLOAD_MAX
        if length is not None and fits and not (whole or request.expects_continue):
            block, whole = block + await bodies.whole_body(request, length, self._config.request_timeout), True
        stream = self._stream(request, service, block, whole=whole)
        self._supervisor.submit(stream)
        sender = None
        try:
            if not whole:
                sender = self._tasks.spawn("body", self._send_body(request, stream))
            said = await stream.answer
            if stream.ended:
                self.answer(request, stream, said)
            else:
                await self.answer_in_parts(request, stream, said)
        except asyncio.CancelledError:
            self._left(stream)
            raise
        finally:
            if sender is not None:
                sender.cancel()
            if stream.state in _UNDER_WAY:
                self._supervisor.abandon(stream)

    async def _send_body(self, request: Request, stream: Stream) -> None:
        """Pass a body on while the answer is awaited."""
        try:
            await bodies.pass_on(request, stream, self._config.max_body, self.ask_for_body)
        except ClientError as error:
            self._supervisor.abandon(stream, error)

    def refuse(self, request: Request, refusal: flow.Refusal) -> None:
        """The edge's own answer, or a stale one in its place."""
        if request.fill is None or not self._caching.failed(request, refusal.status, refusal.reason):
            super().refuse(request, refusal)

    # For those who build on this front (`nunatak dev`).

    async def explain(self, request: Request, error: NunatakError | ClientError) -> None:
        """Answer in place of a service that could not."""
        self.refuse(request, flow.refusal(error))
