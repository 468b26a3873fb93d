"""An edge and a bus that lies: is each purge of the origin done once, or all that is kept dropped, and nothing else?

The origin is real, with its log, its catalogue and its signatures; only the bus is scripted.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from securesystemslib.signer import CryptoSigner

from edge.cache.purges import Purges
from edge.cache.responses import Responses
from edge.catalogue.asking import MetadataSource
from edge.catalogue.directory import Directory
from edge.catalogue.urgent import FedCatalogue
from edge.common.counters import Counters
from edge.feed.follower import Follower
from edge.feed.patience import REFUSED_MAX, REPEATED, Patience
from edge.feed.sse import HttpLog, SseFeed
from edge.model.heard import Heard
from origin.storage.memory import Memory
from tests.support.edges import until
from tests.support.fleet import FleetOrigin, fleet_origin
from vmimage import sse
from vmimage.canonical import canonical_json
from vmimage.feed import Event, sign_event
from vmimage.purges import Purge


class Nothing:
    """A bus that brings nothing by itself: the test hands events on."""

    spread_s = 0.0

    async def events(self, after: int) -> AsyncGenerator[bytes | None, None]:
        yield None
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


class Edge:
    """What an edge has of it."""

    def __init__(self, origin: FleetOrigin, folder: Path, urls: Sequence[str] = ()) -> None:
        """:param urls: of a feed's sources; none: a bus that brings nothing."""
        self.counters, self.heard = Counters(), Heard()
        sources = [MetadataSource("origin", f"{origin.url}/tuf/")]
        folder.mkdir(exist_ok=True)
        self.catalogue = FedCatalogue(folder / "tuf", sources, origin.keys.root, self.counters)
        self.directory = Directory(self.catalogue, self.counters, 0.0)
        responses = Responses(1 << 20, 1 << 16, Purges(), self.counters)
        self.log = HttpLog(urls or [origin.url])
        self.follower = Follower(
            SseFeed(urls) if urls else Nothing(),
            self.log,
            self.catalogue,
            self.directory,
            responses,
            self.heard,
            self.counters,
            folder / "feed.json",
        )

    @property
    def purges(self) -> dict[str, int]:
        return self.counters.purges

    async def look(self) -> None:
        await self.directory.refresh()
        await asyncio.sleep(0)  # the look is told in the loop's next turn
        await self.follower.step()

    async def hear(self, *events: bytes) -> None:
        for event in events:
            self.follower.hear(event)
        await self.follower.step()

    async def close(self) -> None:
        await self.directory.tasks.close()
        await self.follower.close()
        self.directory.close()


@asynccontextmanager
async def edge_of(origin: FleetOrigin, folder: Path, urls: Sequence[str] = ()) -> AsyncIterator[Edge]:
    edge = Edge(origin, folder, urls)
    try:
        yield edge
    finally:
        await edge.close()


def purge(origin: FleetOrigin, tag: str) -> bytes:
    """The event of a purge of a tag."""
    body = json.dumps({"purges": [Purge("tag", "", tag).to_json()]}).encode()
    seq = origin.ask("POST", "/fleet/purge", body).json()["seq"]
    return dict(origin.feed.log.after(seq - 1))[seq]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 0, 1, 1, 0, 2, 2), (2,), (1, 2, 0, 1), ()], ids=str)
def test_a_bus_that_repeats_loses_and_reorders(tmp_path: Path, order: Sequence[int]) -> None:
    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            events = [await asyncio.to_thread(purge, origin, tag) for tag in "abc"]
            await edge.hear(*(events[each] for each in order))
            if not order:
                await asyncio.to_thread(origin.feed.stamp)
                await edge.look()
            assert edge.heard.applied == 3
            assert edge.purges == {"all": 1, "tag": 3}, "the first look begins with nothing, then each is done once"
            assert edge.counters.feed_events.get("lost", 0) == 0

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


def test_nothing_that_is_not_signed_and_numbered_by_the_origin_counts(tmp_path: Path) -> None:
    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            event = await asyncio.to_thread(purge, origin, "a")
            outer = json.loads(event)
            renumbered = canonical_json({**outer, "signed": {**outer["signed"], "seq": 2}})
            theirs = Event(origin.feed.log.origin, 1, "purge", {"purges": [Purge("all").to_json()]}, 0)
            forged = sign_event(theirs, CryptoSigner.generate_ed25519())
            elsewhere = sign_event(Event("f" * 32, 1, "purge", theirs.body, 0), origin.feed.signer)
            unsigned = canonical_json({**outer, "signatures": []})
            await edge.hear(renumbered, forged, elsewhere, unsigned, b"", b"{", b"x" * (1 << 20))
            assert (edge.heard.applied, edge.purges) == (0, {"all": 1})
            assert edge.counters.feed_events["refused"] == 6
            await edge.hear(event)
            assert (edge.heard.applied, edge.purges) == (1, {"all": 1, "tag": 1})

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


def test_numbers_of_a_thief_that_the_log_does_not_have_are_not_applied(tmp_path: Path) -> None:
    """Whoever has the key may number an event as high as he likes: what lies between is asked of the origin."""

    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            body = {"purges": [Purge("tag", "", "x").to_json()]}
            stolen = sign_event(Event(origin.feed.log.origin, 1 << 40, "purge", body, 0), origin.feed.signer)
            await edge.hear(*[stolen] * 5)
            assert edge.purges == {"all": 1}
            assert edge.heard.applied == 0
            await edge.hear(await asyncio.to_thread(purge, origin, "a"))
            assert edge.purges == {"all": 1, "tag": 1}

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


def test_a_restart_goes_on_where_it_was_and_misses_nothing(tmp_path: Path) -> None:
    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            await edge.hear(await asyncio.to_thread(purge, origin, "a"))
        await asyncio.to_thread(purge, origin, "b")
        await asyncio.to_thread(origin.feed.stamp)
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            assert edge.purges == {"tag": 1}, "what was missed, and nothing is dropped"
            assert edge.heard.applied == 2

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


def test_where_the_log_was_cut_all_that_is_kept_is_dropped(tmp_path: Path) -> None:
    async def play(origin: FleetOrigin, blobs: Memory) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            for tag in "abc":
                await asyncio.to_thread(purge, origin, tag)
            for number in (1, 2):
                blobs.delete(f"feed/{number}.json")
            origin.feed.log.forget_cached()
            await asyncio.to_thread(origin.feed.stamp)
            await edge.look()
            assert edge.heard.applied == 3
            assert edge.purges == {"all": 2, "tag": 1}
            assert edge.counters.feed_events["lost"] == 1

    blobs = Memory()
    with fleet_origin(tmp_path, blobs) as origin:
        asyncio.run(play(origin, blobs))


def test_a_hold_counts_at_once_and_then_as_the_catalogue_says(tmp_path: Path) -> None:
    """The feed holds what the catalogue does not: it is over with the first look at a catalogue that is as new."""

    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            seq = await asyncio.to_thread(origin.feed.add, "hold", {"what": ["service shop", "tenant acme"]})
            await edge.hear(dict(origin.feed.log.after(seq - 1))[seq])
            assert edge.catalogue.holds().since.keys() == {"service shop", "tenant acme"}
            await asyncio.to_thread(origin.feed.stamp)
            await edge.look()
            assert edge.catalogue.holds().since == {}

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


@pytest.mark.parametrize("vital", [False, True])
def test_an_event_of_a_newer_origin_is_passed_over_unless_it_must_be_understood(tmp_path: Path, vital: bool) -> None:
    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()

            def newer(number: int) -> bytes:
                event = Event(origin.feed.log.origin, number, "warm-up", {"of": "a newer origin"}, 0, vital)
                return sign_event(event, origin.feed.signer)

            [(_, unknown)] = await asyncio.to_thread(origin.feed.log.append, newer)
            after = await asyncio.to_thread(purge, origin, "a")
            await edge.hear(unknown, after, unknown)
            assert edge.heard.applied == 2
            assert edge.purges == {"all": 1 + vital, "tag": 1}
            lost = {"lost": 1} if vital else {}
            assert edge.counters.feed_events == {"unknown": 1, "purge": 1, "repeated": 1, **lost}

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


class Hostile:
    """A source of events that nobody has signed: as many as are taken, and as many in its log."""

    def __init__(self, event: bytes) -> None:
        self.event, self.sent, self.opened = event, 0, 0

    async def follow(self, request: web.Request) -> web.StreamResponse:
        self.opened += 1
        response = web.StreamResponse(headers={"Content-Type": sse.TYPE})
        await response.prepare(request)
        await response.write(sse.retry(0))
        with suppress(ConnectionError):
            while True:
                self.sent += 1
                await response.write(sse.frame(self.sent, self.event) * 100)
        return response

    async def log(self, _: web.Request) -> web.Response:
        return web.Response(body=(self.event + b"\n") * 500)


@asynccontextmanager
async def listening(hostile: Hostile) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/feed", hostile.follow), web.get("/feed/log", hostile.log)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def forged(origin: FleetOrigin, seq: int) -> bytes:
    body = {"purges": [Purge("all").to_json()]}
    return sign_event(Event(origin.feed.log.origin, seq, "purge", body, 0), CryptoSigner.generate_ed25519())


def test_a_source_of_forged_events_is_left_for_the_next_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(origin: FleetOrigin) -> None:
        hostile = Hostile(forged(origin, 1))
        async with listening(hostile) as url, edge_of(origin, tmp_path / "edge", [url, origin.url]) as edge:
            await edge.look()
            tasks = [asyncio.create_task(each()) for each in (edge.follower.listen, edge.follower.work)]
            await until(lambda: len(origin.feed.relay) > 0, "it follows the next source")
            await asyncio.to_thread(purge, origin, "a")
            await until(lambda: edge.heard.applied == 1, "the event is applied")
            assert edge.purges == {"all": 1, "tag": 1}
            assert edge.counters.feed_events["refused"] == REFUSED_MAX * hostile.opened
            for task in tasks:
                task.cancel()

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))
    refused = [record for record in caplog.records if "event_refused" in record.message]
    assert 0 < len(refused) <= 3


def test_a_log_of_forged_events_is_left_for_the_next_one(tmp_path: Path) -> None:
    async def play(origin: FleetOrigin) -> None:
        async with (
            listening(Hostile(forged(origin, 1))) as url,
            edge_of(origin, tmp_path / "edge", [url, origin.url]) as edge,
        ):
            await edge.look()
            for tag in "ab":
                event = await asyncio.to_thread(purge, origin, tag)
            await edge.hear(event)
            assert edge.counters.feed_events == {"refused": REFUSED_MAX}
            await edge.hear(event)
            assert edge.counters.feed_events == {"refused": REFUSED_MAX, "purge": 2}

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


def test_events_that_count_for_nothing_leave_the_loop_to_others(tmp_path: Path) -> None:
    async def play(origin: FleetOrigin) -> None:
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            event = await asyncio.to_thread(purge, origin, "a")
            await edge.hear(event)
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(others())
            await edge.hear(*[event] * 100)
            assert turns >= 100
            task.cancel()

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))


def test_a_bus_may_repeat_much_and_not_without_end() -> None:
    patience = Patience(lambda: 0.0)
    for _ in range(int(REPEATED.burst)):
        patience.repeated()
        patience.counted()
    assert patience.over == ""
    patience.repeated()
    assert "repeats" in patience.over
    patience.left()
    assert patience.over == ""


def test_a_source_that_was_left_is_good_when_an_event_of_it_counts() -> None:
    patience = Patience(lambda: 0.0)
    for _ in range(REFUSED_MAX):
        assert patience.over == ""
        patience.refused()
    assert "not the origin's" in patience.over
    patience.left()
    assert not patience.is_good, "what it says first resets no back-off"
    patience.counted()
    assert patience.is_good


@pytest.mark.parametrize("kept", [b"", b"{", b'{"origin":"x","seq":1}', b'{"origin":"' + b"a" * 32 + b'","seq":-1}'])
def test_an_edge_that_does_not_know_where_it_was_begins_with_nothing(tmp_path: Path, kept: bytes) -> None:
    async def play(origin: FleetOrigin) -> None:
        (tmp_path / "edge").mkdir()
        (tmp_path / "edge" / "feed.json").write_bytes(kept)
        async with edge_of(origin, tmp_path / "edge") as edge:
            await edge.look()
            assert (edge.heard.applied, edge.purges) == (0, {"all": 1})

    with fleet_origin(tmp_path) as origin:
        asyncio.run(play(origin))
