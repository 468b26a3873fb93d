"""The yardstick: an aiohttp application with one route that answers at once. Run as `python -m loadtest.peers.bare`."""

import asyncio
from typing import Final

import uvloop
from aiohttp import web

BODY: Final = b"hello, /\n"


async def _hello(_: web.Request) -> web.Response:
    return web.Response(body=BODY, content_type="text/plain")


async def serve() -> None:
    """Listen on a free port of the loopback interface until cancelled."""
    app = web.Application()
    app.router.add_get("/", _hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"bare aiohttp ready on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
