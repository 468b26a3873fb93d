"""CGI by fork and exec (RFC 3875), the oldest way to isolate pages: `python -m loadtest.peers.cgi_peer PORT`."""

import asyncio
import sys
from typing import Final

import uvloop
from aiohttp import web

# The cheapest program there is to start; anything that computes costs more.
PROGRAM: Final = ("/bin/sh", "-c", 'printf "Content-Type: text/plain\\r\\n\\r\\nhello from %s\\n" "$PATH_INFO"')


async def _run(request: web.BaseRequest) -> web.Response:
    environment = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": request.method, "PATH_INFO": request.path}
    process = await asyncio.create_subprocess_exec(*PROGRAM, env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    _, _, body = output.partition(b"\r\n\r\n")
    return web.Response(body=body, content_type="text/plain")


async def _serve(port: int) -> None:
    runner = web.ServerRunner(web.Server(_run))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
