"""Exchanges: the requests that guests make, carried out by the supervisor, the only one with a network.

A guest's SUBREQUEST is checked against its image's list and the operator's policy, sent with aiohttp, and its answer
streamed back under the guest's credit. Redirects are the guest's business: every hop is checked as the first one.
All that is done here is charged to the guest's tenant: how many exchanges it begins in a second, and how many
connections it has. Beyond the first it is told so at once, beyond the second its exchanges wait for one another.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from typing import Final

import aiohttp

from edge.cache.calls import is_call
from edge.common import log
from edge.common.allowance import CACHE_CALLS, EXCHANGES, Allowance
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
from edge.devices.exchange import PIECE, Exchange
from edge.devices.guest_cache import GuestCache, Rest
from edge.devices.lookups import Found, Lookups
from edge.devices.onward import Asked
from edge.devices.subrequests import parse_subrequest
from edge.devices.upstream_answers import cut_to_size
from edge.model.fields import HOP_BY_HOP, listed
from edge.model.finished import Fetched
from edge.model.flow import Patience
from edge.model.services import Machine
from edge.vmm.wire.streams import Body, Credit, Head, Reset, Subrequest
from vmimage import abi
from vmimage.errors import NunatakError

CONNECTIONS_MAX: Final = 256  # to upstreams; each has a descriptor and some 100 KiB of buffers
CONNECTIONS_EACH: Final = 64  # of one tenant: four machines with all the exchanges that they may have
_TOO_MANY: Final = f"at most {EXCHANGES.per_s:.0f} requests to upstreams a second expected of one tenant".encode()
_TOO_MANY_CALLS: Final = f"at most {CACHE_CALLS.per_s:.0f} calls to the cache a second expected of one tenant".encode()
_PARTY: ContextVar[str] = ContextVar("party", default="")  # the tenant whose names and connections they are

_logger: Final = log.logger("upstreams")

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
        self._called = Allowance(CACHE_CALLS, self._loop.time)
        self.own_cache: GuestCache | None = None  # of guests, for exchanges that need no upstream
        self._exchanges: dict[int, dict[int, Exchange]] = {}  # by machine that has any, and number
        # Exchanges of this turn of the event loop that were not begun, and why.
        self._too_many: dict[tuple[Machine, int], bytes] = {}
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
        inner = self.own_cache is not None and is_call(message.payload)
        tally = self._counters.cache_calls if inner else self._counters.upstream_requests
        if not (self._called if inner else self._begun).take(machine.service.tenant):
            self._counters.add(tally, "too_many")
            if not self._refusing:
                self._refusing = True
                self._loop.call_soon(self._refuse)
            self._too_many[machine, number] = _TOO_MANY_CALLS if inner else _TOO_MANY
            return
        exchange = Exchange(machine, number, message.payload, message.end, self._patience, tally)
        self._exchanges.setdefault(machine.number, {})[number] = exchange
        begin = self._call if inner else self._begin
        exchange.start = self._loop.call_soon(begin, exchange)  # none for what is reset in the same breath

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
        for (machine, number), why in self._too_many.items():
            machine.worker.send(Reset(machine.number, number, why).to_bytes())
        self._too_many.clear()

    def _begin(self, exchange: Exchange) -> None:
        exchange.start, exchange.task = None, self.tasks.spawn("exchange", self._carry_out(exchange))

    def _call(self, exchange: Exchange) -> None:
        """Begin a call of a guest to its own cache; most end here, without a task."""
        exchange.start = None
        assert self.own_cache is not None
        rest = self.own_cache.begin(exchange)
        if rest is None:
            self._end(exchange)
        else:
            exchange.task = self.tasks.spawn("cache_call", self._carry_out_call(exchange, rest))

    async def _carry_out_call(self, exchange: Exchange, rest: Rest) -> None:
        reason = b""
        try:
            async with exchange.moving():
                await rest()
        except TimeoutError:
            reason = b"nothing came for the cache for too long"
        if self._end(exchange) and reason:
            exchange.send(Reset(exchange.machine.number, exchange.number, reason).to_bytes())

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
        self._counters.add(exchange.tally, outcome)
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
                connector=cut_to_size(connector),
                request_class=self._guard.request_class(_PARTY.get),
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                max_line_size=PIECE,
                max_field_size=PIECE,
            )
        return self._session

    async def close(self) -> None:
        """Begin no more, and end those that are under way."""
        if self._session is not None:
            await self._session.close()
        await self._lookups.close()


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
    if len(block) > PIECE:
        raise ValueError(f"an answer's head of at most {PIECE} bytes expected, got {len(block)}")
    return block
