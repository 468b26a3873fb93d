"""Answers that guests keep for themselves, among those that an edge keeps: their calls, carried out.

What a call says is read and checked in `edge.cache.calls`, whether an answer may be kept is decided by
`edge.cache.storing`. All that is kept counts against the guest's tenant, like the pages that the edge keeps of it.
What is under way is bounded by tenant, too: bodies that come, and bodies that a guest takes so slowly that they may
have been evicted meanwhile. Beyond the bounds nothing is found, and nothing is kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from email.utils import formatdate
from functools import partial
from typing import Final, NamedTuple

from edge.cache import calls, reuse
from edge.cache.asked import Asked
from edge.cache.calls import CallRefused, Outcome, Owner
from edge.cache.responses import Entry, Responses
from edge.cache.storing import Answer, Wish, storing
from edge.common.allowance import CACHE_CALLS, Allowance
from edge.common.counters import Counters
from edge.config.upstream_policy import UpstreamRefused
from edge.devices.exchange import Exchange
from edge.devices.subrequests import parse_subrequest
from edge.vmm.wire.streams import Body, Head

LOOKS_EACH: Final = 4  # calls of one tenant that wait for a look at the disk at once; others find nothing there
UNDER_WAY_SHARE: Final = 8  # of the memory for kept answers may be bodies under way, each way, of one tenant
Rest = Callable[[], Awaitable[None]]  # what is left to do of a call
_TOO_MANY: Final = f"at most {CACHE_CALLS.per_s:.0f} purges a second expected of one tenant"


class Call(NamedTuple):
    """A call as it was read, and of whom."""

    method: str
    url: str
    fields: list[tuple[str, str]]
    owner: Owner
    holds: bool  # the service is its owner's still
    is_newest: bool  # and the owner is the version that the catalogue names
    run: int  # number of the last purge before it


class Reply(NamedTuple):
    """What is said to it: a key-value block, and a body."""

    outcome: Outcome
    block: bytes
    body: bytes = b""


class UnderWay:
    """Bytes under way by tenant, each up to a bound."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._bytes)

    def take(self, tenant: str, size: int) -> bool:
        """Charge a tenant with so many more, if that is within its bound; whether it is."""
        now = self._bytes.get(tenant, 0) + size
        if now > self._most:
            return False
        self._bytes[tenant] = now
        return True

    def give(self, tenant: str, size: int) -> None:
        """They are under way no more."""
        left = self._bytes.pop(tenant, 0) - size
        if left > 0:
            self._bytes[tenant] = left


class GuestCache:
    """The calls of all guests of an edge."""

    def __init__(self, responses: Responses, counters: Counters) -> None:
        self._responses, self._counters = responses, counters
        self._loop = asyncio.get_running_loop()
        self.coming = UnderWay(responses.budget_bytes // UNDER_WAY_SHARE)
        self.leaving = UnderWay(responses.budget_bytes // UNDER_WAY_SHARE)
        self.looking = UnderWay(LOOKS_EACH)
        self._purges = Allowance(CACHE_CALLS, self._loop.time)

    def begin(self, exchange: Exchange) -> Rest | None:
        """Carry out a call, at once where all of it is here and its answer may leave; else what is left to do."""
        try:
            call = self._read(exchange)
        except UpstreamRefused as error:
            self._send(exchange, _refused(str(error)))
            return None
        if not exchange.ended and call.method in ("PUT", "POST"):
            return partial(self._collect, call, exchange)
        reply = self._reply(call, exchange.whole())
        if reply.outcome == "miss" and self._may_be_on_disk(call):
            return partial(self._look, call, exchange)
        return self._say(call, exchange, reply)

    def _read(self, exchange: Exchange) -> Call:
        machine = exchange.machine
        service, release = machine.service, machine.service.release
        owner = Owner(service.name, machine.tenant, machine.version)
        holds = machine.tenant == service.tenant and not service.withdrawn
        method, url, fields = parse_subrequest(exchange.block)
        run = self._responses.purges.scope(service.name).last
        return Call(method, url, fields, owner, holds, holds and release.manifest_digest == owner.version, run)

    def _may_be_on_disk(self, call: Call) -> bool:
        below, place = self._responses.below, calls.place_of(call.url)
        if below is None or not call.is_newest or self._responses.holds(self._asked(call)):
            return False
        return below.may_have(call.owner.service, calls.named(call.owner, place))

    def _asked(self, call: Call) -> Asked:
        return calls.asked_of(call.owner, calls.place_of(call.url), calls.headers_of(call.fields))

    async def _look(self, call: Call, exchange: Exchange) -> None:
        """Carry out a call once what the disk has is in memory."""
        landed, tenant, asked = self._loop.create_future(), call.owner.tenant, self._asked(call)
        below, uri = self._responses.below, calls.named(call.owner, calls.place_of(call.url))

        def then(entry: Entry | None, _: tuple[bytes, ...] | None) -> None:
            self.looking.give(tenant, 1)  # now, and not when the guest has left: a look that has begun goes on
            if entry is not None and not self._responses.holds(asked):
                self._responses.put(entry)
            if not landed.done():
                landed.set_result(None)

        if below is not None and self.looking.take(tenant, 1):
            below.look(asked, tenant, uri, then)
            await landed
        rest = self._say(call, exchange, self._reply(call, b""))
        if rest is not None:
            await rest()

    async def _collect(self, call: Call, exchange: Exchange) -> None:
        """Carry out a call whose body is to come."""
        most = calls.PURGE_MAX if call.method == "POST" else self._responses.entry_max_bytes
        parts, size, tenant = list[bytes](), 0, call.owner.tenant
        try:
            async with aclosing(exchange.parts()) as coming:
                async for part in coming:
                    if size + len(part) > most or not self.coming.take(tenant, len(part)):
                        whole = None
                        break
                    size += len(part)
                    parts.append(part)
                else:
                    whole = b"".join(parts)
            rest = self._say(call, exchange, self._reply(call, whole))
        finally:
            self.coming.give(tenant, size)
        if rest is not None:
            await rest()

    def _reply(self, call: Call, body: bytes | None) -> Reply:
        """:param body: of the call; None where it is too large."""
        try:
            match call.method:
                case "GET":
                    return self._match(call)
                case "PUT":
                    return self._put(call, body)
                case "DELETE":
                    return self._delete(call)
                case "POST":
                    return self._purge(call, body)
            return _refused(f"GET, PUT, DELETE or POST expected, got {call.method}")
        except CallRefused as error:
            return _refused(str(error))

    async def _say_settled(self, exchange: Exchange, reply: Reply) -> None:
        """Say that something is void once no edge that comes after serves it either."""
        settled = await self._responses.settled()
        self._send(
            exchange, reply if settled else _refused("a disk that can be written expected: it may come back", 500)
        )

    def _say(self, call: Call, exchange: Exchange, reply: Reply) -> Rest | None:
        if reply.outcome in ("purged", "deleted") and self._responses.below is not None:
            return partial(self._say_settled, exchange, reply)
        if exchange.fits(len(reply.body)):
            self._send(exchange, reply)
            return None
        return partial(self._pass_on, call, exchange, reply)

    def _send(self, exchange: Exchange, reply: Reply) -> None:
        self._counters.add(self._counters.cache_calls, reply.outcome)
        number = exchange.machine.number, exchange.number
        exchange.send(Head.encode(*number, not reply.body, reply.block))
        if reply.body:
            exchange.give(reply.body)
            exchange.send(Body.encode(*number, True, b""))

    async def _pass_on(self, call: Call, exchange: Exchange, reply: Reply) -> None:
        """Send a body that is larger than what may be under way to the guest."""
        tenant, size, number = call.owner.tenant, len(reply.body), (exchange.machine.number, exchange.number)
        if not self.leaving.take(tenant, size):
            self._send(exchange, _plain("miss"))
            return
        try:
            self._counters.add(self._counters.cache_calls, reply.outcome)
            exchange.send(Head.encode(*number, False, reply.block))
            exchange.answered()
            await exchange.pass_on(reply.body)
            exchange.send(Body.encode(*number, True, b""))
        finally:
            self.leaving.give(tenant, size)

    # Calls.

    def _match(self, call: Call) -> Reply:
        asked, now = self._asked(call), self._loop.time()
        entry = self._responses.find(asked) if call.is_newest else "uri-miss"
        if isinstance(entry, str) or entry.use(now) != "serve":
            return _plain("miss")
        status, lines, body, others = entry.status, entry.fields, entry.body, list[tuple[bytes, bytes]]()
        if status == 200:
            part = reuse.part(entry.kept, len(body), asked.text(b"range"), asked.text(b"if-range"))
            conditions = asked.text(b"if-none-match"), asked.text(b"if-modified-since")
            if reuse.not_modified(entry.kept, *conditions, entry.date.decode("latin-1")):
                status, lines, body = 304, calls.without_body(lines), b""
            elif part is not None and not part.satisfiable:
                status, lines, others = 416, calls.without_body(lines), [(b"Content-Range", b"bytes */%d" % len(body))]
                body = b""
            elif part is not None:
                others = [(b"Content-Range", b"bytes %d-%d/%d" % (part.start, part.end - 1, len(body)))]
                status, body = 206, body[part.start : part.end]
        if status != 304:
            others.append((b"Content-Length", b"%d" % len(body)))
        others += [(b"Date", entry.date), (b"Age", b"%d" % entry.age_s(now))]
        return Reply("hit", calls.block(status, "hit", lines, *others), body)

    def _put(self, call: Call, body: bytes | None) -> Reply:
        place, given, responses = calls.place_of(call.url), calls.given_of(call.fields), self._responses
        if body is None or len(body) > responses.entry_max_bytes or not responses.keeps or not call.is_newest:
            return _plain("not_kept")
        said = calls.said_of(given)
        kept = storing(Answer(given.status, said, False, False, int(time.time()), Wish()))
        lines = None if isinstance(kept, str) or not calls.serves(kept) else calls.lines_of(given, kept)
        if isinstance(kept, str) or lines is None:
            return _plain("not_kept")
        asked, uri = calls.asked_of(call.owner, place, given.asked), calls.named(call.owner, place)
        date = formatdate(usegmt=True).encode()
        tenant, run, now = call.owner.tenant, call.run, self._loop.time()
        entry = Entry(asked, tenant, run, kept, given.status, date, lines, body, now, uri, responses.purges, said)
        entry.size_bytes += len(uri)
        responses.put(entry)
        return _plain("stored")

    def _delete(self, call: Call) -> Reply:
        place = calls.place_of(call.url)
        found = self._responses.find(calls.asked_of(call.owner, place, ()))
        was = found != "uri-miss" and (isinstance(found, str) or found.use(self._loop.time()) == "serve")
        below, uri = self._responses.below, calls.named(call.owner, place)
        was = was or (below is not None and below.may_have(call.owner.service, uri))
        self._responses.drop_uri(call.owner.service, uri)
        return _plain("deleted" if was else "not_found")

    def _purge(self, call: Call, body: bytes | None) -> Reply:
        if call.url != calls.CACHE or body is None or len(body) > calls.PURGE_MAX:
            raise CallRefused(f"at most {calls.PURGE_MAX} bytes for {calls.CACHE} expected")
        purges = calls.purges_of(call.owner.service, body)
        if not call.holds:
            raise CallRefused("a service that is its owner's still expected")
        if self._purges.take(call.owner.tenant, len(purges)) < len(purges):
            return _refused(_TOO_MANY, 429)
        for purge in purges:
            self._responses.purge(purge, self._loop.time())
        return _plain("purged")


def _plain(outcome: Outcome) -> Reply:
    return Reply(outcome, calls.block(calls.STATUSES[outcome], outcome))


def _refused(why: str, status: int = calls.STATUSES["refused"]) -> Reply:
    return Reply("refused", calls.block(status, "refused"), why.encode("utf-8", "replace"))
