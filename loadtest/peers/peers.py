"""Others who answer the same pages: each a small class that starts it on this machine, or says what it lacks.

A peer serves `/` with a greeting and, where it can, `/json` with ten objects and `/page`, a table of fifty rows. Each
is set up as its own documentation advises for this. Processes end with the `with` block.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Final, Self

from loadtest.peers.npm import BUN, DENO, WORKERD, PeerMissing, fetched
from loadtest.site.server import tree_cpu_s

PAGES: Final = Path(str(files("loadtest.peers"))) / "pages"
WORKER: Final = PAGES / "worker.js"
START_S: Final = 20.0
LOOPBACK: Final = "127.0.0.1"


class Peer(ABC):
    """One process, or a few, behind one URL."""

    name: ClassVar[str]
    pages: ClassVar[Sequence[str]] = ("/",)

    def __init__(self, folder: Path) -> None:
        """:param folder: scratch of its own; made if it is not there."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def cpu_s(self) -> float:
        """CPU time that its processes have had, in seconds."""
        assert self._process is not None
        return tree_cpu_s(self._process.pid)

    def environment(self) -> Mapping[str, str]:
        """Variables of its own."""
        return {}

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command line; whatever files it needs are written to the folder first.

        :raises PeerMissing: it cannot be had.
        """

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with (self.folder / f"{self.name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            assert self._process is not None
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / f"{self.name}.log").read_text(errors="replace")[-500:]
                raise PeerMissing(f"{self.name}: did not come up: {said}")
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Workerd(Peer):
    """Cloudflare's runtime of Workers, its one worker configured."""

    name = "workerd"
    pages = ("/", "/json", "/page")

    def __init__(self, folder: Path, worker: Path = WORKER, flags: Sequence[str] = ()) -> None:
        """:param flags: compatibility flags of the worker."""
        super().__init__(folder)
        self.worker = worker
        self.flags = flags

    def command(self) -> Sequence[str]:
        """See Peer."""
        (self.folder / "worker.js").write_bytes(self.worker.read_bytes())
        (self.folder / "config.capnp").write_text(
            'using Workerd = import "/workerd/workerd.capnp";\n'
            "const config :Workerd.Config = (\n"
            '  services = [(name = "main", worker = (modules = [(name = "worker.js", esModule = embed "worker.js")],\n'
            f'    compatibilityDate = "2026-01-01", compatibilityFlags = {json.dumps(list(self.flags))}))],\n'
            f'  sockets = [(name = "http", address = "{LOOPBACK}:{self.port}", http = (), service = "main")]);\n'
        )
        return [str(fetched(WORKERD)), "serve", str(self.folder / "config.capnp")]


class Deno(Peer):
    """`deno serve`: the same file, in one process with one thread for JavaScript."""

    name = "deno"
    pages = ("/", "/json", "/page")

    def command(self) -> Sequence[str]:
        """See Peer."""
        options = ["--no-config", "--cached-only", "--no-check", f"--host={LOOPBACK}", f"--port={self.port}"]
        return [str(fetched(DENO)), "serve", *options, str(_worker_in(self.folder))]

    def environment(self) -> Mapping[str, str]:
        """See Peer."""
        return {"DENO_DIR": str(self.folder / "deno"), "DENO_NO_UPDATE_CHECK": "1"}


class Bun(Peer):
    """`bun run`: the same file, in one process with one thread for JavaScript."""

    name = "bun"
    pages = ("/", "/json", "/page")

    def command(self) -> Sequence[str]:
        """See Peer."""
        return [str(fetched(BUN)), "run", str(_worker_in(self.folder))]

    def environment(self) -> Mapping[str, str]:
        """See Peer."""
        return {"BUN_PORT": str(self.port), "NODE_ENV": "production", "DO_NOT_TRACK": "1"}


def _worker_in(folder: Path) -> Path:
    place = folder / "worker.mjs"
    place.write_bytes(WORKER.read_bytes())
    return place


class Nginx(Peer):
    """The same bytes as static files: nobody computes anything."""

    name = "nginx"
    pages = ("/", "/json")

    def command(self) -> Sequence[str]:
        """See Peer."""
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if nginx is None:
            raise PeerMissing("nginx: apt-get install nginx-light")
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        (root / "index.html").write_text("hello from /\n")
        (root / "json").write_text('{"items":[' + ",".join(f'{{"id":{n}}}' for n in range(10)) + "]}")
        scratch = "".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"{'user root; ' if os.geteuid() == 0 else ''}daemon off; pid {self.folder}/pid;\n"
            "error_log stderr; worker_processes auto; worker_cpu_affinity auto;\n"
            "events { worker_connections 1024; multi_accept on; }\n"
            f"http {{ access_log off; {scratch} default_type text/plain;\n"
            "  sendfile on; tcp_nopush on; open_file_cache max=100 inactive=60s; open_file_cache_valid 60s;\n"
            f"  server {{ listen {LOOPBACK}:{self.port}; root {root}; keepalive_requests 1000000; }} }}\n"
        )
        return [nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]


class Cgi(Peer):
    """A program started anew for each request: fork and exec, as Apache's mod_cgi does."""

    name = "cgi"

    def command(self) -> Sequence[str]:
        """See Peer."""
        return [sys.executable, "-m", "loadtest.peers.cgi_peer", str(self.port)]


class Wasmtime(Peer):
    """A WebAssembly module, a fresh instance for each request, behind aiohttp."""

    name = "wasmtime"

    def command(self) -> Sequence[str]:
        """See Peer."""
        for module, extra in (("wasmtime", "bench"), ("ziglang", "build")):
            if importlib.util.find_spec(module) is None:
                raise PeerMissing(f"wasmtime: pip install {module} (the extra `{extra}`)")
        return [sys.executable, "-m", "loadtest.peers.wasm_peer", str(self.port)]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
