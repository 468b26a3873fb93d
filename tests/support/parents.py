"""Parents as operators start them, and a bucket of which each request is counted."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from loadtest.site.server import Server
from loadtest.site.site import LOOPBACK, NUNATAK
from tests.support.serving import serving


class Bucket:
    """A folder as a bucket's public URL has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()  # by path
        self.ranges: list[str] = []  # Range fields
        self.open = threading.Event()  # answers wait for it
        self.open.set()
        self.lies: set[str] = set()  # paths of which other bytes are given
        self.stops: dict[str, int] = {}  # by path: after so many bytes an answer waits for `goes_on`
        self.goes_on = threading.Event()
        self.away = False
        self.headers: list[dict[str, str]] = []
        self.url = ""

    @property
    def source(self) -> str:
        """As `--source` takes it."""
        return f"files+{self.url}"

    @contextmanager
    def serving(self) -> Iterator["Bucket"]:
        """On a port of its own."""
        bucket = self

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *given: Any) -> None:
                super().__init__(*given, directory=str(bucket.folder))

            def do_GET(self) -> None:
                bucket.answer(self)

            def log_message(self, *_: object) -> None:
                return

        with serving(Handler) as self.url:
            yield self

    def answer(self, handler: SimpleHTTPRequestHandler) -> None:
        """A file, whole or from a byte on."""
        self.asked[handler.path] += 1
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.open.wait(30)
        path, wanted = self.folder / handler.path.lstrip("/"), handler.headers.get("Range", "")
        data = path.read_bytes() if path.is_file() and not self.away else b""
        if handler.path in self.lies:
            data = bytes(len(data))
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        status = 500 if self.away else 404 if not path.is_file() else 206 if wanted else 200
        if wanted:
            self.ranges.append(wanted)
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - first))
        handler.end_headers()
        until = max(first, self.stops.get(handler.path, len(data)))
        handler.wfile.write(data[first:until])
        if until < len(data):
            self.goes_on.wait(30)
        handler.wfile.write(data[until:])


def parent(folder: Path, name: str, *sources: str, options: tuple[str, ...] = ()) -> Server:
    """A parent that is to be started, with a cache folder of its own."""
    words = [part for source in sources for part in ("--source", source)]
    command = [*NUNATAK, "parent", *words, "--cache", str(folder / name), "--listen", f"{LOOPBACK}:0", *options]
    return Server(name, command, folder)


def cold_edge(folder: Path, name: str, root: Path, origin: str, *sources: str, options: tuple[str, ...] = ()) -> Server:
    """An edge that is to be started, which knows nothing."""
    words = [part for source in sources for part in ("--source", source)]
    command = [*NUNATAK, "edge", "--origin", origin, *words, "--trust", str(root), "--cache", str(folder / name)]
    command += ["--listen", f"{LOOPBACK}:0", "--workers", "1", "--negative", "0", "--refresh", "200ms", *options]
    return Server(name, command, folder)
