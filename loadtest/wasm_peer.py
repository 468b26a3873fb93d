"""wasmtime behind aiohttp: a fresh instance for each request. Run as `python -m loadtest.wasm_peer PORT`.

The module (`pages/hello_wasm.c`) is compiled once: so does a service whose requests may not see each other's memory.
"""

import asyncio
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import uvloop
from aiohttp import web

SOURCE: Final = Path(str(files("loadtest"))) / "pages" / "hello_wasm.c"
BUFFER_BYTES: Final = 4096


def compile_page() -> bytes:
    """The module's bytes.

    :raises subprocess.CalledProcessError: the compiler refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "page.wasm"
        flags = ["-target", "wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry", "-o", str(out)]
        subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags, str(SOURCE)], check=True, capture_output=True)
        return out.read_bytes()


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
