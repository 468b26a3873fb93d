"""Answers that nobody reads: how many bytes of them may there be, and for how long?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from edge.feed.sending import Sending

ANSWER = b"a page of the catalogue" * (1 << 20)  # 24 MB: more than sockets hold


class Site:
    """A listener whose answers have one budget."""

    def __init__(self, most: int) -> None:
        self.sending, self.begun, self.over = Sending(most), 0, 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.begun += 1
        try:
            return await self.sending.send(request, web.StreamResponse(), ANSWER)
        finally:
            self.over += 1


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[tuple[str, int]]:
    app = web.Application()
    app.add_routes([web.get("/", site.answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with asyncio.timeout(60):
            yield "127.0.0.1", runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def lazy(at: tuple[str, int]) -> asyncio.StreamWriter:
    """Asks, and reads nothing."""
    _, writer = await asyncio.open_connection(*at, limit=1)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return writer


async def settled(site: Site, begun: int) -> None:
    while site.begun < begun:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.01)


def test_what_is_sent_at_once_has_a_budget_which_is_free_again_behind_who_is_gone() -> None:
    async def play() -> None:
        site = Site(3 * len(ANSWER))
        async with serving(site) as at, aiohttp.ClientSession() as session:
            url = f"http://{at[0]}:{at[1]}/"
            waiting = [await lazy(at) for _ in range(2)]
            await settled(site, 2)
            async with session.get(url) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "5")
            for each in waiting:
                each.transport.abort()
            while site.over < 3:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
            async with session.get(url) as response:
                assert (response.status, await response.read()) == (200, ANSWER)

    asyncio.run(play())


def test_who_takes_an_answer_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.common.pace.PATIENCE_S", 0.0)
    monkeypatch.setattr("edge.common.pace.SLOWEST", 1 << 30)

    async def play() -> None:
        site = Site(8 * len(ANSWER))
        async with serving(site) as at:
            writer = await lazy(at)
            while not site.over:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
            with suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    asyncio.run(play())
