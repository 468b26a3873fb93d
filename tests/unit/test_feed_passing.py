"""A parent hands a feed on: do numbers and signatures pass as they are, and is nothing missed behind it?"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.feed.passing import ASKED_BYTES, Passing
from edge.feed.sse import HttpLog, SseFeed
from tests.support.fleet import FleetOrigin, fleet_origin
from vmimage.feed import parse_event
from vmimage.purges import Purge


class Parent:
    """A parent's feed, over HTTP."""

    def __init__(self, origin: FleetOrigin) -> None:
        self.looks = 0
        self.passing = Passing(SseFeed([origin.url]), HttpLog([origin.url]), self._look)
        self.url = ""

    async def _look(self) -> None:
        self.looks += 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Parent"]:
        app, tasks = web.Application(), Tasks(Counters())
        app.add_routes(self.passing.relay.routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        tasks.keep("feed", self.passing.run)
        try:
            async with asyncio.timeout(40):
                yield self
        finally:
            await self.passing.close()
            await tasks.close()
            await runner.cleanup()


def purge(origin: FleetOrigin) -> int:
    body = json.dumps({"purges": [Purge("all").to_json()]}).encode()
    return int(origin.ask("POST", "/fleet/purge", body).json()["seq"])


async def follows(origin: FleetOrigin) -> None:
    """Until the parent does."""
    for _ in range(2000):
        if len(origin.feed.relay):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the parent does not follow")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[FleetOrigin]:
    with fleet_origin(tmp_path) as running:
        yield running


def test_what_was_before_the_parent_and_what_comes_is_heard_behind_it(origin: FleetOrigin) -> None:
    async def play() -> None:
        before = [await asyncio.to_thread(purge, origin) for _ in range(2)]
        async with Parent(origin).serving() as parent:
            await follows(origin)
            feed = SseFeed([parent.url])
            async with aclosing(feed.events(0)) as stream:
                assert await anext(stream) is None
                found = [await anext(stream) for _ in before]
                live = await asyncio.to_thread(purge, origin)
                found.append(await anext(stream))
                events = [parse_event(data or b"", origin.keys.trust.root) for data in found]
                assert [event.seq for event in events] == [*before, live]
            log = HttpLog([parent.url])
            assert list(await log.after(live - 1)) == [dict(origin.feed.log.after(live - 1))[live]]
            assert list(await log.after(0)) == [data for _, data in origin.feed.log.after(0)]
            await feed.close()
            await log.close()

    asyncio.run(play())


def test_it_looks_at_the_timestamp_before_it_says_that_there_is_another(origin: FleetOrigin) -> None:
    async def play() -> None:
        async with Parent(origin).serving() as parent:
            await follows(origin)
            feed = SseFeed([parent.url])
            async with aclosing(feed.events(-1)) as stream:
                assert await anext(stream) is None
                await asyncio.to_thread(purge, origin)
                await anext(stream)
                assert parent.looks == 0
                await asyncio.to_thread(origin.feed.add, "catalogue", {"snapshot": 2})
                await anext(stream)
                assert parent.looks == 1
            await feed.close()

    asyncio.run(play())


def test_an_event_that_comes_back_is_not_sent_round_for_ever(origin: FleetOrigin) -> None:
    """As from a parent that has this one as a source."""

    async def play() -> None:
        async with Parent(origin).serving() as parent:
            await follows(origin)
            feed = SseFeed([parent.url])
            async with aclosing(feed.events(-1)) as stream:
                assert await anext(stream) is None
                first = await asyncio.to_thread(purge, origin)
                data = await anext(stream)
                assert data is not None
                for _ in range(3):
                    await parent.passing.hand_on(data)
                await asyncio.to_thread(purge, origin)
                second = await anext(stream)
                assert second is not None
                assert parse_event(second, origin.keys.trust.root).seq == first + 1
            await feed.close()

    asyncio.run(play())


class Large:
    """A log with as much behind each number as an answer may have."""

    async def after(self, number: int) -> list[bytes]:
        said = {"seq": number + 1, "kind": "purge", "pad": "x" * (60 << 10)}
        return [json.dumps({"signed": {**said, "seq": number + each}}).encode() for each in range(1, 60)]

    def leave(self) -> None:
        pass

    async def close(self) -> None:
        pass


def test_what_it_remembers_of_its_source_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.feed.passing.ASKED_EVERY_S", 1000.0)

    async def look() -> None:
        pass

    async def play() -> None:
        passing = Passing(SseFeed(["http://127.0.0.1:1"]), Large(), look)
        app = web.Application()
        app.add_routes(passing.relay.routes())
        async with TestClient(TestServer(app)) as client:
            for number in range(12):
                response = await client.get(f"/feed/log?after={number}")
                assert len((await response.read()).splitlines()) == 59
        assert 0 < passing.held_bytes <= ASKED_BYTES
        await passing.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    "said", [b"[]", b"{", b'{"signed":{"seq":0,"kind":"purge"}}', b'{"signed":{"seq":"1","kind":1}}']
)
def test_what_is_no_event_is_not_handed_on(said: bytes) -> None:
    class Saying:
        spread_s = 0.0

        def __init__(self) -> None:
            self.said = asyncio.Event()

        async def events(self, after: int) -> AsyncGenerator[bytes | None, None]:
            yield None
            self.said.set()
            yield said

        async def close(self) -> None:
            pass

    async def look() -> None:
        raise AssertionError("nobody was told of another")

    async def play() -> None:
        feed, log, tasks = Saying(), HttpLog(["http://127.0.0.1:1"]), Tasks(Counters())
        passing = Passing(feed, log, look)
        tasks.keep("feed", passing.run)
        await feed.said.wait()
        await asyncio.sleep(0)
        assert passing.relay.last == 0
        await tasks.close()
        await passing.close()

    asyncio.run(play())
