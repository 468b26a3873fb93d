"""wasmtime behind aiohttp: a fresh instance for each request. Run as `python -m loadtest.peers.wasm_peer PORT`.

The module (`pages/hello_wasm.c`) is compiled once: so does a service whose requests may not see each other's memory.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import uvloop
from aiohttp import web

from loadtest.peers.npm import peer_cache
from loadtest.peers.peers import PAGES

SOURCE: Final = PAGES / "hello_wasm.c"
FLAGS: Final = ("-target", "wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry")
BUFFER_BYTES: Final = 4096


def compile_page(source: Path = SOURCE) -> bytes:
    """The module's bytes: compiled once for each source, flags and compiler.

    :raises subprocess.CalledProcessError: the compiler refuses.
    """
    key = hashlib.sha256(repr((version("ziglang"), FLAGS)).encode() + source.read_bytes()).hexdigest()
    cached = peer_cache() / f"{key}.wasm"
    if cached.exists():
        return cached.read_bytes()
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
        out = Path(folder) / "page.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(out), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        os.replace(out, cached)
    return cached.read_bytes()


async def serve(port: int) -> None:
    """Answer on this port of the loopback interface until cancelled."""
    import wasmtime

    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, compile_page())

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        store = wasmtime.Store(engine)
        exports: Any = wasmtime.Instance(store, module, []).exports(store)
        at, memory = exports["buffer"](store), exports["memory"]
        path = request.path.encode()[: BUFFER_BYTES // 2]
        memory.write(store, path, at)
        size = exports["page"](store, len(path))
        return web.Response(body=bytes(memory.read(store, at, at + size)), content_type="text/plain")

    await asyncio.get_running_loop().create_server(web.Server(answer, access_log=None), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
