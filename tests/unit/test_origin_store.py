"""Fetching from an origin: connections that are kept must not remember the fetch before."""

import asyncio
import hashlib

import uvloop
from aiohttp import web

from edge.common.counters import Counters
from edge.config.sources import parse_place
from edge.content.blobs import Load, Ref
from edge.sources.made import web_sources

BLOB = b"x" * 600_000  # more than a client reads at once, so that it pauses reading and goes on later
TIMEOUT_S = 0.4


async def _fetch_with_pauses() -> list[int]:
    async def blob(_: web.BaseRequest) -> web.Response:
        return web.Response(body=BLOB)

    server = await asyncio.get_running_loop().create_server(web.Server(blob), "127.0.0.1", 0)
    counters = Counters()
    place = parse_place(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    store = web_sources([place], TIMEOUT_S, counters)
    ref = Ref("blobs", f"sha256:{hashlib.sha256(BLOB).hexdigest()}", len(BLOB), True)
    sizes = []
    try:
        for _ in range(8):
            sizes.append(len(await store.get(ref, Load())))
            await asyncio.sleep(TIMEOUT_S * 1.2)
    finally:
        await store.close()
        server.close()
    assert counters.origin_errors == {}
    return sizes


def test_a_fetch_is_not_ended_by_the_timer_of_the_one_before() -> None:
    assert uvloop.run(_fetch_with_pauses()) == [len(BLOB)] * 8
