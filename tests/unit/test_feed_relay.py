"""Who follows a feed: is nothing missed between the log and what comes, and what may one cost who does not read?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web

from edge.feed.relay import WAITING_MAX, Numbered, Relay
from tests.support.edges import until
from vmimage.sse import Frame, Reader


class Events:
    """A log in memory, whose answers come when they are let."""

    def __init__(self, count: int = 0) -> None:
        self.all: list[Numbered] = [(number, b"%d" % number) for number in range(1, count + 1)]
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def read(self, after: int) -> list[Numbered]:
        found = [event for event in self.all if event[0] > after][:3]
        self.asked.set()
        await self.gate.wait()
        return found

    def add(self, relay: Relay, data: bytes = b"") -> None:
        number = len(self.all) + 1
        self.all.append((number, data or b"%d" % number))
        relay.announce(*self.all[-1])


@asynccontextmanager
async def serving(relay: Relay) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    app = web.Application()
    app.add_routes(relay.routes())

    async def leave(_: web.Application) -> None:
        relay.close()

    app.on_shutdown.append(leave)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as session:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", session
    finally:
        await runner.cleanup()


async def frames(response: aiohttp.ClientResponse, reader: Reader, count: int) -> list[Frame]:
    found: list[Frame] = []
    while len(found) < count:
        found += reader.take(await asyncio.wait_for(response.content.readany(), 20))
    return found


def test_what_was_missed_comes_first_and_what_comes_meanwhile_behind_it() -> None:
    async def play() -> None:
        events = Events(7)
        relay = Relay(events.read)
        relay.last = 7
        events.gate.clear()
        async with serving(relay) as (url, session), session.get(f"{url}/feed?after=2") as response:
            await events.asked.wait()
            events.add(relay)  # while the log is being read
            events.gate.set()
            reader = Reader(1000)
            found = await frames(response, reader, 6)
            events.add(relay)
            found += await frames(response, reader, 1)
            assert [int(frame.id) for frame in found] == [3, 4, 5, 6, 7, 8, 9]
            assert [frame.data for frame in found] == [frame.id.encode() for frame in found]
            assert reader.retry_ms == 6000

    asyncio.run(play())


def test_who_names_no_number_hears_what_comes() -> None:
    async def play() -> None:
        events = Events(7)
        relay = Relay(events.read)
        relay.last = 7
        async with serving(relay) as (url, session), session.get(f"{url}/feed") as response:
            assert await response.content.readuntil(b"\n\n") == b"retry: 6000\n\n"
            events.add(relay)
            assert [frame.id for frame in await frames(response, Reader(1000), 1)] == ["8"]
            relay.announce(8, b"again")
            events.add(relay)
            assert [frame.id for frame in await frames(response, Reader(1000), 1)] == ["9"], "a number comes once"
            assert not events.asked.is_set()

    asyncio.run(play())


def test_the_log_is_read_in_parts() -> None:
    async def play() -> None:
        events = Events(7)
        relay = Relay(events.read)
        relay.last = 7
        async with serving(relay) as (url, session), session.get(f"{url}/feed/log?after=2") as response:
            assert (await response.read()).splitlines() == [b"3", b"4", b"5"]
            assert response.headers["Nunatak-Feed"] == "7"

    asyncio.run(play())


def test_a_log_that_lacks_events_ends_nobody_and_holds_up_nobody() -> None:
    async def play() -> None:
        events = Events()
        relay = Relay(events.read)
        relay.last = 7  # of which the log has none any more
        async with serving(relay) as (url, session), session.get(f"{url}/feed?after=2") as response:
            relay.last = 7
            events.all = [(8, b"8")]
            await events.asked.wait()
            relay.announce(8, b"8")
            assert [frame.id for frame in await frames(response, Reader(1000), 1)] == ["8"]

    asyncio.run(play())


def test_there_is_room_for_so_many_and_no_more() -> None:
    async def play() -> None:
        relay = Relay(Events().read, clients_max=3)  # two of them for one address
        async with serving(relay) as (url, session), session.get(f"{url}/feed"), session.get(f"{url}/feed") as second:
            async with session.get(f"{url}/feed") as third:
                assert (third.status, third.headers["Retry-After"]) == (503, "5")
            second.close()
            events = 0
            while len(relay) > 1:  # it is seen to be gone when something is sent
                events += 1
                relay.announce(events, b"x")
                await asyncio.sleep(0.01)
            async with session.get(f"{url}/feed") as third:
                assert third.status == 200

    asyncio.run(play())


def test_one_address_takes_its_share_of_the_places_and_leaves_others_theirs() -> None:
    async def play() -> None:
        relay = Relay(Events().read, clients_max=16)
        other = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            serving(relay) as (url, session),
            AsyncExitStack() as stack,
            aiohttp.ClientSession(connector=other) as elsewhere,
        ):
            greedy = [await stack.enter_async_context(session.get(f"{url}/feed")) for _ in range(20)]
            assert [response.status for response in greedy] == [200] * 12 + [503] * 8
            calm = [await stack.enter_async_context(elsewhere.get(f"{url}/feed")) for _ in range(2)]
            assert [response.status for response in calm] == [200] * 2

    asyncio.run(play())


def test_who_does_not_read_is_dropped_and_others_go_on() -> None:
    async def play() -> None:
        events = Events()
        relay = Relay(events.read)
        async with serving(relay) as (url, session):
            host, port = url.removeprefix("http://").split(":")
            idle_reader, idle = await asyncio.open_connection(host, int(port), limit=1)
            idle.write(b"GET /feed HTTP/1.1\r\nHost: x\r\n\r\n")
            async with session.get(f"{url}/feed") as response:
                await until(lambda: len(relay) == 2, "two follow")
                reader, got = Reader(1 << 20), list[Frame]()
                for _ in range(400):
                    events.add(relay, b"x" * (WAITING_MAX // 4))
                    got += await frames(response, reader, 1)
                    if relay.dropped:
                        break
                assert relay.dropped == 1
                events.add(relay)
                got += await frames(response, reader, 1)
                assert [int(frame.id) for frame in got] == list(range(1, len(got) + 1))
            idle.close()
            assert idle_reader is not None

    asyncio.run(play())


def test_an_older_client_is_served_without_chunks() -> None:
    async def play() -> None:
        events = Events(2)
        relay = Relay(events.read)
        relay.last = 2
        async with serving(relay) as (url, _):
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /feed?after=1 HTTP/1.0\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert b"chunked" not in head.lower()
            assert await asyncio.wait_for(reader.readuntil(b"data: 2\n\n"), 20) == b"retry: 6000\n\nid: 2\ndata: 2\n\n"
            writer.close()

    asyncio.run(play())
