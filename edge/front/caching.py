"""Kept answers in the way of requests: found, waited for, validated, kept, stood in for what fails.

What holds is decided in `edge.cache`; here it is done. A request whose answer is kept is answered in the call that
brings it, without a guest and without a task. Of those that ask for the same at the same time one is passed on, and
the others wait for its answer; they are let go, each to a guest of its own, as soon as its head says that it is not
for them, or its client reads so slowly that it would hold them up.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, Protocol

from edge.cache import fields as parsing
from edge.cache import reuse, status
from edge.cache.asked import Asked
from edge.cache.prospects import Prospects
from edge.cache.responses import Entry, Responses
from edge.cache.storing import PARTIAL, Fields, Kept, Wish, answers_get, storing_to
from edge.cache.voids import Voids
from edge.common.counters import Counters
from edge.common.fair_room import FairRoom
from edge.front import cgi
from edge.front.crowd import Crowd
from edge.front.fills import Fill, Head, UnderWay
from edge.front.groups import GroupPurges
from edge.front.kept_answers import freshened, is_other, kept_fields, said_fields, served
from edge.front.looks import Looks
from edge.front.nobody import Nobody
from edge.front.request import Request
from edge.front.told import told_to_peer
from edge.front.validating import validating
from edge.model import loops
from edge.model.finished import Cache
from edge.model.flow import ClientError
from edge.model.routes import Route
from edge.model.services import Service
from edge.model.streams import Stream

WAITING_SHARE: Final = 2  # of the memory for kept answers may be requests that wait; who comes then goes on alone
REQUEST_BYTES: Final = 2 << 10  # of a request beside its head, as `supervisor.waiting` has it
LOOKING_SHARE: Final = 8  # and requests that wait for a look at the disk
FILLING_SHARE: Final = 3  # of the memory for kept answers may be parts of those that are on their way
SAFE: Final = frozenset("GET HEAD OPTIONS PROPFIND REPORT SEARCH QUERY".split())  # RFC 9110 section 9.2.1, and others
_NOT_WHOLE: Final = frozenset({b"range", b"if-range", b"if-none-match", b"if-modified-since"})
_OTHER_PRECONDITIONS: Final = frozenset({b"if-match", b"if-unmodified-since"})

Taken = Literal["served", "waits", "forward"]


class Writer(Protocol):
    """What caching needs of the front."""

    connections: Crowd[Any]
    via: bytes  # a whole line, or none

    def seen(self, request: Request) -> tuple[bytes, ...]: ...
    def date(self) -> bytes: ...
    def connection_line(self, request: Request) -> bytes: ...
    def begin(self, request: Request, code: int, head: bytes, body: bytes = b"") -> None: ...
    def take(self, request: Request) -> None: ...


class Caching:
    """Kept answers, for one front."""

    def __init__(self, front: Writer, responses: Responses, counters: Counters, wish: Wish) -> None:
        self._front, self._responses, self._counters, self._wish = front, responses, counters, wish
        self._keeps = responses.keeps
        self._under_way = UnderWay(responses.budget_bytes // WAITING_SHARE)
        self._prospects = Prospects()
        below = responses.below
        self._looks = None if below is None else Looks(responses, below, responses.budget_bytes // LOOKING_SHARE)
        self._filling = FairRoom(responses.budget_bytes // FILLING_SHARE)
        self._loop = asyncio.get_running_loop()
        self._groups = GroupPurges(self._loop.time)
        self.voids = Voids()

    # Requests.

    async def answered(self, request: Request, route: Route, service: Service) -> bool:
        """`take` for who may wait: whether the request was answered; else it is to be passed on.

        :raises ClientError: as `take` does.
        """
        while True:
            landed: asyncio.Future[bool] = self._loop.create_future()
            then = self.take(request, route, service, partial(_landed, landed))
            if then != "waits":
                return then == "served"
            request.alone = await landed

    def take(self, request: Request, route: Route, service: Service, resume: Callable[[Request, bool], None]) -> Taken:
        """Answer a request from what is kept, let it wait for another's answer, or have it passed on.

        :param resume: is called when it has waited, with whether it goes on alone; it is to be taken again then.
        :raises ClientError: it asks for a kept answer only, and there is none; or a proxy says two things of it.
        """
        if not self._keeps or request.upgrade or (request.has_body and request.method in ("GET", "HEAD")):
            return "forward"
        digest, seen = service.release.manifest_digest, self._front.seen(request)
        asked = Asked(request.method, request.headers, service.name, digest, route.authority, route.target, seen)
        if request.method not in ("GET", "HEAD"):
            request.forward = "method"
            if request.method not in SAFE:
                request.fill = self._fill(asked, service, None)
                self._under_way.begin(request.fill, None)
            return "forward"
        if not asked.fields.keys().isdisjoint(_OTHER_PRECONDITIONS):
            return "forward"
        now = self._loop.time()
        found = self._responses.find(asked)
        if isinstance(found, str) and asked.wants_part:
            found = self._part(asked, now) or found
        if not isinstance(found, str) and found.began < request.not_before:
            found = "uri-miss"
        if (
            isinstance(found, str)
            and not request.not_before
            and self._looks is not None
            and self._may_look(request, asked, service, resume)
        ):
            return "waits"
        entry, use = (None, "forward") if isinstance(found, str) else (found, found.use(now))
        if entry is not None and use.startswith("serve") and not (request.refreshes and use != "serve"):
            service.requests += 1
            self._counters.requests += 1
            self._serve(request, asked, entry, now)
            if use == "serve_and_refresh":
                self._refresh(request, asked, service, entry)
            return "served"
        request.forward = found if isinstance(found, str) else "stale"
        if b"cache-control" in asked.fields and "only-if-cached" in parsing.cache_control(asked.text(b"cache-control")):
            raise ClientError("not_cached")
        return self._pass_on(request, asked, service, entry, resume, now)

    def _part(self, asked: Asked, now: float) -> Entry | None:
        """An answer to those who asked for the same part before."""
        found = self._responses.find(asked.for_part())
        return None if isinstance(found, str) or found.use(now) != "serve" else found

    def _may_look(
        self, request: Request, asked: Asked, service: Service, resume: Callable[[Request, bool], None]
    ) -> bool:
        """Whether a request waits for what the disk has."""
        size = request.head_bytes + REQUEST_BYTES
        return self._looks is not None and self._looks.wait(request, asked, service.tenant, size, resume)

    def _pass_on(
        self,
        request: Request,
        asked: Asked,
        service: Service,
        entry: Entry | None,
        resume: Callable[[Request, bool], None],
        now: float,
    ) -> Taken:
        place = asked.key, self._responses.variant_of(asked)
        flight = self._under_way.at(place)
        waits = not (request.alone or request.refreshes) and self._prospects.waits(asked.key, now)
        # Who has been at an edge may be asked by the very guest that it would wait for.
        may_wait = waits and not loops.passed(request.loops)
        if flight is not None and (flight.run < self._last_purge(service) or flight.began < request.not_before):
            flight = None  # it began before the purge, and is not for those who came after
        size = request.head_bytes + REQUEST_BYTES
        if may_wait and flight is not None and self._under_way.wait(flight, size, partial(resume, request)):
            request.waited = True
            return "waits"
        fill = self._fill(asked, service, entry)
        whole = asked.fields.keys().isdisjoint(_NOT_WHOLE)
        if request.method == "GET":
            if entry is not None and (entry.kept.entity_tag or entry.kept.last_modified):
                request.headers, fill.validates, whole = validating(request, entry, _NOT_WHOLE), True, True
            leads = whole and flight is None and (waits or request.refreshes)
            self._under_way.begin(fill, place if leads else None)
        request.fill = fill
        return "forward"

    def _fill(self, asked: Asked, service: Service, entry: Entry | None) -> Fill:
        return Fill(asked, service.tenant, self._last_purge(service), entry, self._loop.time())

    def _last_purge(self, service: Service) -> int:
        return self._responses.purges.scope(service.name).last

    def _serve(self, request: Request, asked: Asked, entry: Entry, now: float) -> None:
        ttl_s = entry.ttl_s(now)
        if request.waited:
            self._came_to(request, "collapsed")
            line = status.collapsed(request.forward, ttl_s)
        else:
            self._came_to(request, "hit" if ttl_s >= 0 else "stale")
            line = status.hit(ttl_s, from_disk=request.looked)
        self._write(request, asked, entry, line, now)

    def _write(self, request: Request, asked: Asked, entry: Entry, line: bytes, now: float) -> None:
        code, head, body = served(asked, entry, now)
        front = self._front
        if request.told is not None:
            line += told_to_peer(request, now - entry.began, entry.said)
        said = line, front.via, request.version_line, request.id, front.connection_line(request)
        end = b"%b%b%bX-Request-Id: %b\r\n%b\r\n" % said
        front.begin(request, code, head + end, body)

    def _refresh(self, request: Request, asked: Asked, service: Service, entry: Entry) -> None:
        """Have a stale answer's guest asked again, for nobody; once at a time."""
        is_refreshed = self._under_way.at((asked.key, entry.variant)) is not None
        if is_refreshed or self._prospects.page(asked.key, self._loop.time()) == "not-kept":
            return
        again = Request(Nobody(request.remote, request.connection.reached))
        again.method, again.target, again.host, again.version = "GET", request.target, request.host, request.version
        again.loops, again.refreshes, again.complete = request.loops, True, True
        again.visitor = request.visitor  # of the version whose answer is stale
        again.headers = [(name, value) for name, value in request.headers if name.lower() not in _NOT_WHOLE]
        self._front.take(again)

    # Answers of guests.

    def came(self, request: Request, stream: Stream, answer: cgi.AnswerHead, block: bytes, body: bytes | None) -> bool:
        """An answer, or its head, came for a request that has a `fill`; whether the request needs nothing more.

        :param body: all of it; None where its parts follow, of which `part_came` and `all_came` tell.
        """
        fill = request.fill
        assert fill is not None
        said = said_fields(block)
        if request.method not in SAFE:
            self._under_way.end(fill, alone=True)
            self._void(fill, answer.status, said)
            if not (request.method == "POST" and answers_get(answer.status, fill.asked, said)):
                request.fill = None
                return False
            self._under_way.begin(fill, None)
        now = self._loop.time()
        entry = fill.entry
        if entry is not None:
            if fill.validates and answer.status == 304:
                self._came_304(request, stream, fill, entry, answer, said, now)
                return True
            if answer.status in reuse.ERRORS and self._stands_in(request, fill, answer.status, "guest-error", now):
                return True
        if request.method == "HEAD":
            self.over(request)
            return False
        kept = self._judge(fill, answer.status, said)
        if answer.status == PARTIAL and not isinstance(kept, str):
            kept, fill.asked = kept.of_part(), fill.asked.for_part()
        if not isinstance(kept, str) and body is not None and len(body) > self._responses.entry_max_bytes:
            kept = "too-large"
        if isinstance(kept, str):
            self._give_up(request, fill, kept, now)
            return False
        request.kept_ttl_s = kept.lifetime_s - kept.age_s
        fill.kept, fill.said = kept, said
        start = self._front.date()
        if body is not None:
            self._keep(request, fill, kept, answer.status, start, kept_fields(answer.fields, kept), body, now)
        else:
            fill.head = Head(answer.status, start, kept_fields(answer.fields, kept))
        self._count("stored")
        return False

    def _judge(self, fill: Fill, code: int, said: Fields) -> Kept | str:
        return storing_to(fill.asked, code, said, int(time.time()), self._wish)

    def _came_304(
        self,
        request: Request,
        stream: Stream,
        fill: Fill,
        entry: Entry,
        answer: cgi.AnswerHead,
        said: Fields,
        now: float,
    ) -> None:
        if is_other(entry, said):  # what it says still holds is not what we have: ask for that
            self._responses.drop(entry)
            self.over(request)
            request.alone = request.redirected = True
            return
        new = freshened(entry, said, answer.fields)
        kept = self._judge(fill, entry.status, new.said)
        stored = not isinstance(kept, str) and not fill.void
        held = entry.kept if isinstance(kept, str) else kept
        lines = kept_fields(new.fields, held)
        fresh = self._entry(fill, held, entry.status, self._front.date(), lines, entry.body, now, new.said)
        if stored:
            self._responses.put(fresh)
        else:
            self._responses.drop(entry)
        self._under_way.end(fill, alone=not stored or fresh.use(now) != "serve")
        request.fill = None
        self._came_to(request, "revalidated")
        line = status.validated(stream.tier, fresh.ttl_s(now), stored=stored)
        self._write(request, fill.asked, fresh, line, now)

    def part_came(self, request: Request, part: bytes) -> None:
        """Of the body of an answer that is kept when all of it is here."""
        fill = request.fill
        if fill is None or not part:
            return
        if fill.size + len(part) > self._responses.entry_max_bytes or not self._filling.take(fill.tenant, len(part)):
            self._prospects.note(fill.asked.key, False, self._loop.time())
            self.over(request)
            return
        fill.parts.append(part)
        fill.size += len(part)
        if fill.waiters and self._front.connections.is_unread(request.connection):
            self._under_way.land(fill, alone=True)

    def all_came(self, request: Request) -> None:
        """The whole body has come in parts."""
        fill = request.fill
        if fill is None or fill.kept is None or fill.head is None:
            return
        self._keep(request, fill, fill.kept, *fill.head, b"".join(fill.parts), self._loop.time())

    def failed(self, request: Request, code: int, reason: str) -> bool:
        """There is no answer of a guest; whether a stale one was served in its place.

        :param code: the status that would say so. :param reason: as counters name it.
        """
        fill = request.fill
        assert fill is not None
        if code in reuse.ERRORS and self._stands_in(request, fill, None, reason, self._loop.time()):
            return True
        self.over(request)
        return False

    def over(self, request: Request) -> None:
        """Nothing comes of a request's fill, if it has one: those who wait for it go on by themselves."""
        fill, request.fill = request.fill, None
        if fill is not None:
            request.headers = list(fill.asked.headers) if fill.validates else request.headers
            self._filling.give(fill.tenant, fill.size)
            self._under_way.end(fill, alone=True)

    def _stands_in(self, request: Request, fill: Fill, code: int | None, reason: str, now: float) -> bool:
        entry = fill.entry
        if entry is None or not entry.may_stand_in(now):
            return False
        self.over(request)
        self._came_to(request, "stood_in")
        self._write(request, fill.asked, entry, status.stood_in(code, entry.ttl_s(now), reason), now)
        return True

    def _give_up(self, request: Request, fill: Fill, reason: str, now: float) -> None:
        if fill.place is not None:
            self._prospects.note(fill.asked.key, False, now)
        request.not_kept = reason
        self.over(request)
        self._count("not_kept")

    def _entry(
        self, fill: Fill, kept: Kept, code: int, start: bytes, lines: bytes, body: bytes, now: float, said: Fields
    ) -> Entry:
        purges, (_, uri) = self._responses.purges, fill.where
        entry = Entry(fill.asked, fill.tenant, fill.run, kept, code, start, lines, body, now, uri, purges, said)
        entry.began = fill.began
        return entry

    def _keep(
        self, request: Request, fill: Fill, kept: Kept, code: int, start: bytes, lines: bytes, body: bytes, now: float
    ) -> None:
        entry = self._entry(fill, kept, code, start, lines, body, now, fill.said)
        entry.look()
        is_void = fill.void or entry.fate == "gone"
        serves = not is_void and entry.use(now) == "serve"
        if not is_void:
            self._responses.put(entry)
            if serves or (entry.fate == "good" and fill.place is not None):
                self._prospects.note(entry.key, serves, now)  # who waits for what does not serve waits for nothing
        request.fill = None
        self._filling.give(fill.tenant, fill.size)
        self._under_way.end(fill, alone=not serves)

    # What makes kept answers void.

    def _void(self, fill: Fill, code: int, said: Fields) -> None:
        """A request that may have changed something was answered (RFC 9111 section 4.4, RFC 9875 section 3)."""
        if not 200 <= code < 400:
            return
        self._responses.drop_uri(*fill.where)
        self.voids.note(fill.where, self._loop.time())
        self._under_way.void(fill.where)
        for purge in self._groups.of(fill.tenant, fill.where[0], said):
            self._responses.purge(purge, self._loop.time())

    def _came_to(self, request: Request, result: Cache) -> None:
        request.cache = result
        self._count(result)

    def _count(self, result: str) -> None:
        self._counters.add(self._counters.cache_results, result)


def _landed(landed: asyncio.Future[bool], _: Request, alone: bool) -> None:
    if not landed.done():
        landed.set_result(alone)
