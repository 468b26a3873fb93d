"""Who is asked: an edge of ours, workerd, and Node where one is installed. One request a test, each on something fresh:
a machine that has served none, a process of its own."""

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from loadtest.peers.npm import WORKERD, fetched
from loadtest.site.site import Publication, Site
from tests.wpt.suite import Run

HOST: Final = "127.0.0.1"
TEST_MS: Final = 40_000
ANSWER_S: Final = 120.0
START_S: Final = 30.0
NODE: Final = Path(__file__).parent / "node.mjs"


class Runtime(Protocol):
    """What runs workers."""

    def ask(self, run: Run) -> Sequence[Sequence[str | None]]:
        """Name, status and reason of each subtest; none where the test did not come to its end.

        :raises OSError: no answer.
        """


def _answer(url: str, run: Run, host: str | None) -> Sequence[Sequence[str | None]]:
    asked = {"t": run.test, "v": run.variant, "ms": TEST_MS, "p": int(run.patched)}
    query = "&".join(f"{key}={urllib.parse.quote(str(value), safe='')}" for key, value in asked.items())
    request = urllib.request.Request(f"{url}/?{query}", headers={"Host": host} if host else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ANSWER_S) as answer:
        told: list[list[str | None]] = json.loads(answer.read())["tests"]
    return told


class Ours(AbstractContextManager["Ours"]):
    """An origin and an edge, whose services start each request from their image."""

    def __init__(self, workers: Path, groups: Sequence[str], port: int, folder: Path) -> None:
        self._workers, self._groups, self._port = workers, groups, port
        limits: dict[str, int | float | str | bool] = {"upstreams": f"{HOST}/32", "request_timeout": 600}
        self._site = Site(folder, memory="4GiB", workers=2, edge_config=limits)

    def __enter__(self) -> Self:
        self._site.start()
        try:
            for group in self._groups:
                options = (
                    "--fresh",
                    "--cpu-ms",
                    "60000",
                    "--memory",
                    "512MiB",
                    "--upstream",
                    f"http://{HOST}:{self._port}",
                )
                image = self._site.build(self._workers / f"{group}.js", *options, name=group)
                self._site.publish_batch([Publication(image, group, (f"{group}.test",))])
        except BaseException:
            self._site.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._site.stop()

    def ask(self, run: Run) -> Sequence[Sequence[str | None]]:
        """See Runtime."""
        return _answer(self._site.edges[0].url, run, f"{run.group}.test")


class Process:
    """A program that serves one worker at a port, started for each test."""

    def __init__(self, workers: Path) -> None:
        self.workers = workers

    def command(self, worker: Path, port: int, folder: Path) -> Sequence[str]:
        """How it is started."""
        raise NotImplementedError

    def ask(self, run: Run) -> Sequence[Sequence[str | None]]:
        """See Runtime."""
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="nunatak-wpt-") as folder:
            command = self.command(self.workers / f"{run.group}.js", port, Path(folder))
            environment = {"PORT": str(port), "NODE_NO_WARNINGS": "1"}
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            try:
                wait_for(port)
                return _answer(f"http://{HOST}:{port}", run, None)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()


class Workerd(Process):
    """Cloudflare's runtime of Workers, pinned, with what it gives a worker of 2026."""

    def command(self, worker: Path, port: int, folder: Path) -> Sequence[str]:
        """See Process."""
        shutil.copyfile(worker, folder / "worker.js")
        (folder / "config.capnp").write_text(
            'using Workerd = import "/workerd/workerd.capnp";\n'
            "const config :Workerd.Config = (\n"
            '  services = [(name = "main", worker = (modules = [(name = "worker.js", esModule = embed "worker.js")],\n'
            '    compatibilityDate = "2026-01-01", globalOutbound = "out",\n'
            '    bindings = [(name = "UNSAFE", unsafeEval = void)])),\n'
            '    (name = "out", network = (allow = ["private", "local"]))],\n'
            f'  sockets = [(name = "http", address = "{HOST}:{port}", http = (), service = "main")]);\n'
        )
        return [str(fetched(WORKERD)), "serve", "--experimental", str(folder / "config.capnp")]


class Node(Process):
    """The Node of this machine."""

    def command(self, worker: Path, port: int, folder: Path) -> Sequence[str]:
        """See Process."""
        shutil.copyfile(worker, folder / "worker.mjs")
        return [shutil.which("node") or "node", str(NODE), str(folder / "worker.mjs")]


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Until somebody listens there.

    :raises TimeoutError: nobody does.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"port {port}: a listener expected within {START_S} s")
