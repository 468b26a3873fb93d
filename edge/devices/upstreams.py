"""Exchanges: the requests that guests make, carried out by the supervisor, the only one with a network.

A guest's SUBREQUEST is checked against its image's list and the operator's policy, sent with aiohttp, and its answer
streamed back under the guest's credit. Redirects are the guest's business: every hop is checked as the first one.
All that is done here is charged to the guest's tenant: how many exchanges it begins in a second, and how many
connections it has. Beyond the first it is told so at once, beyond the second its exchanges wait for one another.
"""

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import aiohttp

from edge.common import log
from edge.common.allowance import EXCHANGES, Allowance
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.common.turns import Turns
from edge.config.upstream_policy import (
    AddressRefused,
    Guard,
    GuardedResolver,
    Listener,
    UpstreamPolicy,
    UpstreamRefused,
)
from edge.devices.lookups import Found, Lookups
from edge.devices.onward import Asked
from edge.model.fields import HOP_BY_HOP, listed
from edge.model.finished import Fetched
from edge.model.flow import Patience
from edge.model.services import Machine
from edge.model.streams import wake
from edge.vmm.wire.streams import Body, Credit, Head, Reset, Subrequest
from vmimage import abi
from vmimage.errors import NunatakError

FIELDS_MAX: Final = 500  # of some bytes each: a block has 16 KiB at most
CONNECTIONS_MAX: Final = 256  # to upstreams; each has a descriptor and some 100 KiB of buffers
CONNECTIONS_EACH: Final = 64  # of one tenant: four machines with all the exchanges that they may have
_TOO_MANY: Final = f"at most {EXCHANGES.per_s:.0f} requests to upstreams a second expected of one tenant".encode()
_PIECE: Final = abi.RECORD_PAYLOAD_MAX
# Of one connection only, or ours to say.
_NOT_FORWARDED: Final = frozenset(name.decode() for name in HOP_BY_HOP) | {
    "content-length",
    "expect",
    "host",
    "cdn-loop",
}
METHOD_MAX: Final = 32  # characters; WebDAV's longest, BASELINE-CONTROL, has 16
_NOT_METHODS: Final = frozenset({"CONNECT", "TRACE", "TRACK"})  # which mean the connection itself, or echo credentials

_PARTY: ContextVar[str] = ContextVar("party", default="")  # the tenant whose names and connections they are

_logger: Final = log.logger("upstreams")


class Exchange:
    """One request of a guest."""

    def __init__(self, machine: Machine, number: int, block: bytes, ended: bool, patience: Patience) -> None:
        self.machine, self.number, self.block = machine, number, block
        self._stream_s, self.patience_s = patience.stream_s, patience.answer_s
        self._patience: asyncio.Timeout | None = None  # ends the exchange when neither side sends or takes anything
        self.ended = ended  # the guest has sent all of it
        self.task: asyncio.Task[None] | None = None
        self.start: asyncio.Handle | None = None  # until there is a task: in this turn of the event loop
        self.asked: Asked | None = None  # once the policy allows it
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
        if (
            progress
        ):  # else it is no sign of life: a guest could hold a connection for ever with frames that say nothing
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

    def data(self) -> "bytes | AsyncIterator[bytes] | None":
        """The request's body for aiohttp: whole where it is here, else as it comes."""
        if not self.ended:
            return self._parts()
        return b"".join(self._body) or None

    async def _parts(self) -> AsyncIterator[bytes]:
        while self._body or not self.ended:
            if not self._body:
                await self._wait()
                continue
            part = self._body.popleft()
            yield part
            self._under_way -= len(part)
            if not self.ended:
                self.send(Credit.encode(self.machine.number, self.number, len(part)))

    async def pass_on(self, data: bytes) -> None:
        """Some bytes of the answer's body, as fast as the guest takes them."""
        position = 0
        while position < len(data):
            if self._credit <= 0:
                await self._wait()
                continue
            piece = data[position : position + min(self._credit, _PIECE)]
            position += len(piece)
            self._credit -= len(piece)
            self.send(Body.encode(self.machine.number, self.number, False, piece))


_NONE: Final[Mapping[int, Exchange]] = {}


class Upstreams:
    """All exchanges of an edge."""

    def __init__(self, policy: UpstreamPolicy, connect_s: float, patience: Patience, counters: Counters) -> None:
        """:param patience: with an upstream that says nothing, and a guest that takes nothing."""
        self._patience = patience
        self._policy, self._counters = policy, counters
        self.own_listeners: Callable[[], Collection[Listener]] = lambda: ()  # of this edge: no guest may reach them
        self._guard = Guard(policy, lambda: self.own_listeners())
        self._resolver = GuardedResolver(policy, self._find)
        self._turns = Turns(CONNECTIONS_MAX, CONNECTIONS_EACH)
        # No sock_read: aiohttp leaves its timer running over a connection that it keeps, and the next request gets it.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
        self._session: aiohttp.ClientSession | None = None
        self._loop = asyncio.get_running_loop()
        self.tasks = Tasks(counters)
        self.on_fetched: Callable[[Fetched], None] | None = None  # is told of those that the policy let out
        self._lookups = Lookups(counters)
        self._begun = Allowance(EXCHANGES, self._loop.time)
        self._exchanges: dict[int, dict[int, Exchange]] = {}  # by machine that has any, and number
        self._too_many: dict[
            tuple[Machine, int], None
        ] = {}  # exchanges of this turn of the event loop that were not begun
        self._refusing = False  # at the end of this turn

    def reconfigure(self, policy: UpstreamPolicy, patience: Patience) -> None:
        """Go by other rules from the next exchange on; those under way go on."""
        self._policy, self._patience = policy, patience
        self._guard.policy = self._resolver.policy = policy

    def forbid(self, listeners: Collection[Listener]) -> None:
        """Name the edge's own listeners, by address and port as they are bound: no guest may reach them."""
        kept = frozenset(listeners)
        self.own_listeners = lambda: kept

    def of(self, machine: Machine) -> Mapping[int, Exchange]:
        """A machine's exchanges that are under way, by number."""
        return self._exchanges.get(machine.number, _NONE)

    def on_subrequest(self, machine: Machine, message: Subrequest) -> None:
        """A guest begins an exchange.

        :raises ValueError: what a worker cannot say.
        """
        number, exchanges = message.stream, self.of(machine)
        if number in exchanges or len(exchanges) >= 2 * abi.MAX_EXCHANGES:
            raise ValueError(f"exchange {number:#x}: a number that is free, and few of them, expected")
        if not self._begun.take(machine.service.tenant):
            self._counters.add(self._counters.upstream_requests, "too_many")
            if not self._refusing:
                self._refusing = True
                self._loop.call_soon(self._refuse)
            self._too_many[machine, number] = None
            return
        exchange = Exchange(machine, number, message.payload, message.end, self._patience)
        self._exchanges.setdefault(machine.number, {})[number] = exchange
        exchange.start = self._loop.call_soon(self._begin, exchange)  # none for what is reset in the same breath

    def on_message(self, machine: Machine, message: Body | Credit) -> None:
        """More of an exchange from a worker; what is for one that is over is dropped.

        :raises ValueError: what a worker cannot say.
        """
        exchange = self.of(machine).get(message.stream)
        if exchange is not None:
            exchange.receive(message)

    def on_abort(self, machine: Machine, message: Reset) -> None:
        """The guest gave an exchange up."""
        exchange = self.of(machine).get(message.stream)
        if exchange is not None:
            self._cancel(exchange, "abandoned")
        elif self._too_many:
            self._too_many.pop((machine, message.stream), None)

    def _refuse(self) -> None:
        """Tell guests of what was too many, where they still want to know."""
        self._refusing = False
        for machine, number in self._too_many:
            machine.worker.send(Reset(machine.number, number, _TOO_MANY).to_bytes())
        self._too_many.clear()

    def _begin(self, exchange: Exchange) -> None:
        exchange.start, exchange.task = None, self.tasks.spawn("exchange", self._carry_out(exchange))

    def forget(self, machine: Machine) -> None:
        """The machine is gone: nobody waits for its answers."""
        for exchange in list(self.of(machine).values()):
            self._cancel(exchange, "abandoned")

    def _cancel(self, exchange: Exchange, outcome: str) -> None:
        if self._end(exchange):
            self._tell(exchange, outcome)
            if exchange.start is not None:
                exchange.start.cancel()
            if exchange.task is not None:
                exchange.task.cancel()

    def _end(self, exchange: Exchange) -> bool:
        """It is over; whether it was not before."""
        number, exchanges = exchange.machine.number, self._exchanges.get(exchange.machine.number, {})
        if exchanges.pop(exchange.number, None) is None:
            return False
        if not exchanges:
            del self._exchanges[number]
        return True

    def _tell(self, exchange: Exchange, outcome: str) -> None:
        self._counters.add(self._counters.upstream_requests, outcome)
        if self.on_fetched is not None and exchange.asked is not None:
            self.on_fetched(exchange.asked.fetched(exchange.machine.service.name, outcome, self._loop.time()))

    async def _carry_out(self, exchange: Exchange) -> None:
        machine, outcome, reason = exchange.machine, "answered", ""
        _PARTY.set(machine.service.tenant)
        try:
            async with exchange.moving(), self._turns.taken(machine.service.tenant, 1):
                await self._exchange(exchange)
        except (UpstreamRefused, AddressRefused) as error:
            outcome, reason = "refused", str(error)
        except aiohttp.ClientConnectorError as error:
            outcome = "refused" if isinstance(error.os_error, AddressRefused) else "failed"
            reason = str(error)
        except TimeoutError as error:  # aiohttp's, or ours, which says nothing
            outcome, reason = "failed", str(error) or f"nothing came from the upstream for {exchange.patience_s:g} s"
        except (aiohttp.ClientError, OSError, NunatakError, ValueError) as error:
            outcome, reason = "failed", str(error) or type(error).__name__
        if not self._end(exchange):
            return
        self._tell(exchange, outcome)
        if reason:
            _logger.info(log.line("upstream_" + outcome, service=machine.service.name, reason=reason))
            exchange.send(Reset(machine.number, exchange.number, reason.encode("utf-8", "replace")[:500]).to_bytes())

    async def _exchange(self, exchange: Exchange) -> None:
        method, url, fields = parse_subrequest(exchange.block)
        upstreams = exchange.machine.image.manifest.upstreams
        target = self._policy.check(url, upstreams)
        now, bits = self._loop.time(), secrets.randbits(64)
        asked = exchange.asked = Asked(exchange.machine, method, url, fields, bits, now)
        async with self._client().request(
            method,
            target,
            headers=asked.fields,
            data=exchange.data(),
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "Accept"),
        ) as response:
            asked.status = response.status
            no_body = method == "HEAD" or response.status in (204, 304) or response.content_length == 0
            number = exchange.machine.number, exchange.number
            exchange.send(Head.encode(*number, no_body, _head_block(response)))
            exchange.answered()
            if not no_body:
                async for data in response.content.iter_any():
                    exchange.moved()
                    await exchange.pass_on(data)
                exchange.send(Body.encode(*number, True, b""))

    async def _find(self, host: str, port: int, family: socket.AddressFamily) -> Found:
        """Called in a task that an exchange's has begun, or in that one."""
        return await self._lookups.find(_PARTY.get(), host, port, family)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,  # with it tenants who ask for the same name would wait for one another
                socket_factory=self._guard.socket,
                limit=CONNECTIONS_MAX,
                limit_per_host=0,  # tenants who ask the same upstream would wait for one another: `Turns` bounds each
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                request_class=self._guard.request_class(_PARTY.get),
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                max_line_size=_PIECE,
                max_field_size=_PIECE,
            )
        return self._session

    async def close(self) -> None:
        """Begin no more, and end those that are under way."""
        if self._session is not None:
            await self._session.close()
        await self._lookups.close()


def parse_subrequest(block: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    """Method, URL and fields of a SUBREQUEST's key-value block.

    :return: the URL as the guest says it; of the fields those that are forwarded, in their order.
    :raises UpstreamRefused: malformed, or with what could smuggle a second request into the connection.
    """
    parts = block.split(b"\0")
    if len(parts) < 6 or parts[-2:] != [b"", b""] or len(parts) % 2 or parts[0] != b"Method" or parts[2] != b"URL":
        raise UpstreamRefused("a key-value block that begins with Method and URL expected")
    try:
        texts = [part.decode("utf-8") for part in parts[:-2]]
    except UnicodeDecodeError:
        raise UpstreamRefused("UTF-8 expected") from None
    method, url = texts[1], texts[3]
    if not _is_token(method) or len(method) > METHOD_MAX or method.upper() in _NOT_METHODS:
        raise UpstreamRefused(f"a method that upstreams may be asked with expected, got {method[:METHOD_MAX]!r}")
    fields = list(zip(texts[4::2], texts[5::2], strict=True))
    if len(fields) > FIELDS_MAX:
        raise UpstreamRefused(f"at most {FIELDS_MAX} header fields expected, got {len(fields)}")
    for name, value in fields:
        if not _is_token(name) or any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
            raise UpstreamRefused(f"a header field expected, got {name[:50]!r}")
    return method, url, [(name, value) for name, value in fields if name.lower() not in _NOT_FORWARDED]


def _is_token(name: str) -> bool:
    """RFC 9110 section 5.6.2."""
    return bool(name) and name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)


def _head_block(response: aiohttp.ClientResponse) -> bytes:
    """The answer's status and fields for the guest.

    :raises ValueError: they are more than a record holds.
    """
    parts = [b"Status", str(response.status).encode()]
    dropped = HOP_BY_HOP | listed(value for name, value in response.raw_headers if name.lower() == b"connection")
    for name, value in response.raw_headers:
        if name.lower() not in dropped and b"\0" not in value:
            parts += [name, value]
    block = b"\0".join([*parts, b"", b""])
    if len(block) > _PIECE:
        raise ValueError(f"an answer's head of at most {_PIECE} bytes expected, got {len(block)}")
    return block
