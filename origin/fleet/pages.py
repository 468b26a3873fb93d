"""The pages of an origin for its fleet: what edges say, who may see it, and purges for all of them.

    POST /fleet/heartbeats     an edge with a token of its own says how it is; the answer has the feed's last number
    GET  /fleet                every edge, for the operator
    GET  /fleet/members?pop=   the live edges of a POP, signed: for an edge, or the operator
    POST /fleet/purge          void what all edges keep: for the operator, or a tenant for a service of its own
    GET  /fleet/releases/SERVICE   see `releases`
    GET  /fleet/settings       see `settings`
    GET  /fleet/wait?seq=&seconds=   who has applied an event, as soon as every live edge has, at the latest after
                               that time; without `seq` the last one

Every body is bounded before it is read, and strictly parsed.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web

from origin.fleet.feed import OriginFeed
from origin.fleet.nats import NatsPublisher
from origin.fleet.registry import Fleet, Known
from origin.fleet.releases import ReleaseWatch
from origin.fleet.settings import SettingsWatch
from origin.fleet.sharing import EVERY_S, Heard, Sharing
from origin.model.tokens import Tokens
from origin.registry.bearer import Holder, bearer
from origin.registry.door import as_bearer
from origin.registry.names import Submitter
from origin.registry.refusal import OciError
from origin.registry.server import Origin
from origin.storage.blobs import BlobStore
from vmimage.canonical import is_name, load_json, require_object
from vmimage.heartbeat import HEARTBEAT_MAX, Heartbeat, parse_heartbeat
from vmimage.membership import Membership, sign_membership
from vmimage.purges import Purge, host_of, parse_purges
from vmimage.trust import is_host

PURGE_MAX: Final = 60 << 10  # bytes of a body: the event that it becomes has little more
WAIT_MAX_S: Final = 60.0
NEVER: Final = 0.0

_LOG: Final = logging.getLogger(__name__)


class Pages:
    """The pages, as a part of an origin's application."""

    def __init__(
        self, feed: OriginFeed, fleet: Fleet, site: Origin, tokens: Tokens | None, sharing: Sharing | None = None
    ) -> None:
        """:param site: whose operator and tenants these pages are for. :param tokens: of edges.

        :param sharing: with other origins, where there may be any.
        """
        self._feed, self._fleet, self._site, self._tokens = feed, fleet, site, tokens
        self._news = asyncio.Event()  # an edge was heard; it is another event each time
        self._releases = ReleaseWatch(feed, site)
        self._settings = SettingsWatch(feed, site)
        self._sharing = sharing
        feed.on_event.append(lambda number, _: fleet.given(number, self._now()))

    def join(self, app: web.Application) -> None:
        """As `registry.parts.Part`."""
        app.add_routes(
            [
                *self._feed.relay.routes(),
                web.post("/fleet/heartbeats", self._hear),
                web.post("/fleet/purge", self._purge),
                web.get("/fleet/members", self._members),
                web.get("/fleet/wait", self._wait),
                web.get("/fleet", self._show),
                self._releases.route(self._now),
                self._settings.route(self._now),
            ]
        )
        app.cleanup_ctx.append(self._feed.running)
        app.on_shutdown.append(self._feed.leave)
        if self._sharing is not None:
            app.cleanup_ctx.append(self._exchanging)

    # Edges.

    async def _hear(self, request: web.Request) -> web.Response:
        token = self._edge(request)
        edge = token.name
        if not self._fleet.may_speak(edge, self._now()):
            return web.Response(status=429, headers={"Retry-After": "1"}, text="heart-beats come too fast\n")
        beat = parse_heartbeat(await _body(request, HEARTBEAT_MAX))
        if beat.edge != edge:
            raise OciError(403, "DENIED", f"a heart-beat of edge {edge}, whose token was shown, expected")
        if token.pop not in ("", beat.pop):
            raise OciError(403, "DENIED", f"POP {token.pop}, which the token of edge {edge} is for, expected")
        self._fleet.hear(beat, self._now(), int(time.time() * 1e3), weight=token.weight if token.pop else 0.0)
        await self._heard(beat)
        return web.json_response({"seq": self._feed.log.last})

    async def _heard(self, beat: Heartbeat) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
        await self._releases.heard(beat, self._now())
        await self._settings.heard(beat, self._now())

    async def _exchanging(self, _: web.Application) -> AsyncIterator[None]:
        """As a `cleanup_ctx`: other origins are told what was heard here, and say what they have."""
        assert self._sharing is not None
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._exchange(self._sharing))
            yield
            task.cancel()
        await asyncio.to_thread(self._sharing.leave)

    async def _exchange(self, sharing: Sharing) -> None:
        while True:
            now = self._now()
            mine = [Heard(known.beat, now - known.at, known.weight) for known in self._fleet.heard_here(now)]
            try:
                for beat, age_s, weight in await asyncio.to_thread(sharing.exchange, mine):
                    at_ms = int((time.time() - age_s) * 1e3)
                    if self._fleet.told(beat, self._now() - age_s, at_ms, weight=weight):
                        await self._heard(beat)
            except OSError as error:
                _LOG.warning("other origins are not asked of edges: %s", error)
            except Exception:  # whatever it is, the next turn may succeed
                _LOG.exception("other origins are not asked of edges")
            await asyncio.sleep(EVERY_S)

    def _edge(self, request: web.Request) -> Holder:
        whose = bearer(as_bearer(request.headers.get("Authorization", "")), None, self._tokens, "edge")
        if whose is None:
            said = "a token of this edge (`nunatak token add --edge NAME`) expected as Bearer, got none or another"
            raise OciError(401, "UNAUTHORIZED", said)
        return whose

    async def _members(self, request: web.Request) -> web.Response:
        pop = request.query.get("pop", "")
        if not is_name(pop):
            raise OciError(400, "NAME_INVALID", "/fleet/members?pop=POP expected")
        token = bearer(as_bearer(request.headers.get("Authorization", "")), None, self._tokens, "edge")
        if token is None:
            self._site.door.operator(request, "to see members")
        elif token.pop != pop:
            said = f"a token for POP {pop} (`nunatak token add --edge {token.name} --pop {pop}`) expected"
            raise OciError(403, "DENIED", said)
        members = self._fleet.members(pop, self._now())
        document = Membership(self._feed.log.origin, pop, int(time.time() * 1e3), members)
        data = sign_membership(document, self._feed.signer)
        return web.Response(body=data, content_type="application/json", headers={"Cache-Control": "no-store"})

    # Operators and tenants.

    async def _show(self, request: web.Request) -> web.Response:
        self._site.door.operator(request, "to see the fleet")
        now = self._now()
        edges = [self._row(known, is_live, now) for known, is_live in self._fleet.all(now)]
        relay, events = self._feed.relay, self._feed.log
        feed = {
            "seq": events.last,
            "refused": events.refused,
            "followers": len(relay),
            "dropped": relay.dropped,
        }
        return web.json_response({"feed": feed, "edges": edges}, headers={"Cache-Control": "no-store"})

    def _row(self, known: Known, is_live: bool, now: float) -> dict[str, Any]:
        behind = max(0, self._feed.log.last - known.beat.applied) if known.beat.applied >= 0 else None
        return {**asdict(known.beat), "live": is_live, "heard_s": round(now - known.at, 1), "behind": behind}

    async def _purge(self, request: web.Request) -> web.Response:
        submitter = self._site.door.submitter(request)
        body = load_json("purge", await _body(request, PURGE_MAX), PURGE_MAX)
        purges = parse_purges(require_object("purge", body, {"purges"})["purges"])
        await self._require_own(request, submitter, purges)
        number = await asyncio.to_thread(self._add_purge, submitter, purges)
        unknown = await asyncio.to_thread(self._unknown, purges)
        return web.json_response({"seq": number, **unknown}, status=201)

    def _unknown(self, purges: tuple[Purge, ...]) -> dict[str, list[str]]:
        """What purges name that is not there: services that never were, and hosts that no service has."""
        services = sorted({purge.service for purge in purges if purge.service})
        hosts = sorted({host for purge in purges if not purge.service and (host := host_of(purge))})
        return {
            "unknown": [service for service in services if self._site.record(service) is None],
            "unknown_hosts": [host for host in hosts if not is_host(host) or self._site.record(host=host) is None],
        }

    async def _require_own(self, request: web.Request, submitter: Submitter, purges: tuple[Purge, ...]) -> None:
        """:raises OciError: answers of somebody else's services are named."""
        if submitter.operator:
            return
        for service in {purge.service for purge in purges}:
            if not service:
                raise OciError(403, "DENIED", "a service of the tenant whose token was shown expected in each purge")
            await self._site.authorise(request, service)

    def _add_purge(self, submitter: Submitter, purges: tuple[Purge, ...]) -> int:
        said = [purge.to_json() for purge in purges]
        self._site.audit.write(submitter, ({"what": "purge", **each} for each in said), durable=False)
        return self._feed.add("purge", {"purges": said})

    async def _wait(self, request: web.Request) -> web.Response:
        self._site.door.submitter(request)
        number, seconds = request.query.get("seq", ""), request.query.get("seconds", "0")
        try:
            wanted = int(number) if number else self._feed.log.last
            if not math.isfinite(asked_s := float(seconds)):  # a timer of no number holds up all that stand behind it
                raise ValueError
            until = self._now() + min(max(asked_s, NEVER), WAIT_MAX_S)
        except ValueError:
            raise OciError(400, "UNSUPPORTED", "/fleet/wait?seq=SEQ&seconds=SECONDS expected") from None
        while True:
            reached, news = self._fleet.reached(wanted, self._now()), self._news
            left = until - self._now()
            if not reached.lagging or left <= 0:
                break
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue
        said = {"p50_ms": reached.percentile_ms(0.5), "p99_ms": reached.percentile_ms(0.99)}
        return web.json_response(
            {"seq": wanted, "applied": sorted(reached.applied), "lagging": reached.lagging, **said},
            headers={"Cache-Control": "no-store"},
        )

    def _now(self) -> float:
        return time.monotonic()


async def _body(request: web.Request, at_most: int) -> bytes:
    """:raises OciError: it is longer."""
    data = bytearray()
    async for piece in request.content.iter_chunked(at_most + 1):
        data += piece
        if len(data) > at_most:
            raise OciError(413, "SIZE_INVALID", f"at most {at_most} bytes expected")
    return bytes(data)


def join_fleet(site: Origin, blobs: BlobStore, tokens: Tokens | None, nats: str = "") -> OriginFeed:
    """Give an origin a feed and the pages for its fleet.

    :param blobs: where events are kept. :param tokens: of edges. :param nats: URL of a server that has events too.
    :raises OperatorError: the store's feed cannot be used, or what NATS needs is not installed.
    """
    feed = OriginFeed(blobs, site)
    if nats:
        publisher = NatsPublisher(nats, feed.log.origin)
        feed.on_event.append(publisher.publish)
        feed.on_close.append(publisher.close)
    sharing = Sharing(blobs, lambda: feed.signer, lambda: site.root) if blobs.shared else None
    site.parts.append(Pages(feed, Fleet(), site, tokens, sharing))
    return feed
