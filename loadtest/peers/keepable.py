"""What caches stand before when they are measured: a greeting that may be kept for a day, and nothing else.

Run as `python -m loadtest.peers.keepable`. It is asked once, or once a process of a cache.
"""

import asyncio
from typing import Final

import uvloop
from aiohttp import web

BODY: Final = b"hello from /\n"


async def _hello(_: web.Request) -> web.Response:
    return web.Response(body=BODY, content_type="text/plain", headers={"Cache-Control": "max-age=86400"})


async def serve() -> None:
    """Listen on a free port of the loopback interface until cancelled."""
    app = web.Application()
    app.router.add_get("/", _hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"keepable ready on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
