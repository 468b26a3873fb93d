"""An origin and its edges on this machine, as an operator would start them: through the `nunatak` command.

Demo, bench and the end-to-end tests stand on this. Everything lives in one folder: keys, the origin's store, each
edge's cache, images, logs. Leaving the `with` block stops every process, whatever happened; an exception that passes
through it takes the ends of the logs along as notes.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from loadtest.site.fetch import Client
from loadtest.site.server import Server, ServerFailed

LOOPBACK: Final = "127.0.0.1"
COMMAND_TIMEOUT_S: Final = 300.0  # a first build unpacks and runs a C compiler

# The same program that runs now, whatever the shell would find under the name `nunatak`.
NUNATAK: Final = (sys.executable, "-m", "edge.main")


class CommandFailed(Exception):
    """A `nunatak` command left with an exit code other than 0; the message is what it said on stderr."""

    def __init__(self, arguments: Sequence[str], exit_code: int, message: str) -> None:
        super().__init__(f"nunatak {' '.join(arguments)}: exit code {exit_code}: {message.strip()}")
        self.exit_code = exit_code


def example(name: str) -> Path:
    """The source of a sample guest: a .c file or a folder."""
    folder = Path(str(files("libos"))) / "examples"
    return folder / name if (folder / name).is_dir() else folder / f"{name}.c"


@dataclass(frozen=True)
class Publication:
    """What `publish` is told: this image is that service, under these hosts."""

    image: Path
    service: str
    hosts: tuple[str, ...]


class Site:
    """One origin and some edges.

    :param folder: where everything is kept; made if it is not there.
    :param edges: how many edges start with the site.
    :param memory: each edge's memory budget, as its command line takes it.
    :param edge_config: fields of each edge's config file, for what has no option of its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        edges: int = 1,
        memory: str = "256MiB",
        workers: int = 1,
        edge_config: Mapping[str, int | float | str | bool] | None = None,
    ) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.store = folder / "store"
        self._token_file = self.keys / "token"
        self._memory = memory
        self._workers = workers
        # What is published is asked for at once, so an edge must not remember that it did not know it.
        # It is asked under the address that it has, by services' names.
        self._edge_config = {"negative": 0, "service_host": LOOPBACK, **(edge_config or {})}
        self.origin: Server
        self.edges: list[Server] = []
        self._edge_count = edges

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as error:
            self._explain(error)
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self._explain(error)
        self.stop()

    def start(self) -> None:
        """Make keys, then start the origin and the edges.

        :raises CommandFailed: the keys could not be made.
        :raises ServerFailed: a server did not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run("keygen", str(self.keys))
        self.origin = self._server(
            "origin",
            ["origin", "--store", str(self.store), "--keys", str(self.keys), "--token-file", str(self._token_file)],
        )
        self.origin.start()
        for _ in range(self._edge_count):
            self.add_edge()

    def stop(self) -> None:
        """Stop every process, edges first; safe to repeat."""
        for edge in self.edges:
            edge.stop()
        if hasattr(self, "origin"):
            self.origin.stop()

    def add_edge(
        self,
        *,
        memory: str | None = None,
        config: Mapping[str, int | float | str | bool] | None = None,
        listen: str = f"{LOOPBACK}:0",
        origin: str = "",
        name: str = "",
    ) -> Server:
        """Start one more edge with a cache of its own.

        :param name: of its log and its cache folder; edge-1 and on, where there is none.
        :param origin: what it takes for its origin, instead of this site's.
        :param config: fields of its config file beside those of all edges of this site.
        :param listen: where it serves.
        """
        name = name or f"edge-{len(self.edges) + 1}"
        options = ["edge", "--origin", origin or self.origin.url, "--trust", str(self.keys / "root.json")]
        options += ["--cache", str(self.folder / name), "--memory", memory or self._memory]
        options += ["--workers", str(self._workers), "--log-token", str(self.keys / "log-token")]
        fields = {**self._edge_config, **(config or {})}
        file = self.folder / f"{name}.toml"
        file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
        options += ["--config", str(file)]
        edge = self._server(name, options, listen)
        edge.start()
        self.edges.append(edge)
        return edge

    def restart(self, server: Server) -> None:
        """Start a stopped server again under the address it had."""
        listen = server.command.index("--listen") + 1
        server.command[listen] = server.url.removeprefix("http://")
        server.start()

    def build(self, source: Path, *options: str, name: str | None = None) -> Path:
        """`nunatak build`: the image's path."""
        image = self.folder / "images" / f"{name or source.stem}.oci.tar"
        image.parent.mkdir(exist_ok=True)
        self.run("build", str(source), "-o", str(image), *options)
        return image

    def publish(
        self,
        image: Path,
        service: str,
        *hosts: str,
        disks: Sequence[Path] = (),
        tenant: str = "",
        options: Sequence[str] = (),
    ) -> None:
        """`nunatak publish` for one service; its host is `service`.test when none is given."""
        words = [part for host in hosts or (f"{service}.test",) for part in ("--host", host)]
        words += [part for disk in disks for part in ("--disk", str(disk))]
        words += ["--tenant", tenant] if tenant else []
        self.run("publish", str(image), "--service", service, *words, *options, *self._publisher_options())

    def logs(self, service: str, *options: str) -> list[str]:
        """`nunatak logs`: what the service has logged on all edges, and the origin has."""
        return self.run("logs", service, *options, "--origin", self.origin.url, "--keys", str(self.keys)).splitlines()

    def publish_batch(self, publications: Iterable[Publication]) -> None:
        """`nunatak publish --batch`: all of them under one new version of the catalogue."""
        batch = self.folder / "batch.jsonl"
        with batch.open("w") as lines:
            for entry in publications:
                record = {"image": str(entry.image), "service": entry.service, "hosts": list(entry.hosts)}
                lines.write(json.dumps(record) + "\n")
        self.run("publish", "--batch", str(batch), *self._publisher_options())

    def world(
        self, source: Path | str, count: int, prefix: str, *, images: int | None = None, tenant: str = ""
    ) -> list[str]:
        """`nunatak world`: so many services, each with an image of its own, or `images` in turn; their names.

        :param source: one program, or a mix as `--mix` has it.
        """
        options = ["--mix", source] if isinstance(source, str) else [str(source)]
        options += [] if images is None else ["--images", str(images)]
        options += ["--tenant", tenant] if tenant else []
        self.run("world", *options, "--services", str(count), "--prefix", prefix, *self._publisher_options())
        return [f"{prefix}-{number:05d}" for number in range(count)]

    def rollback(self, service: str, *options: str) -> None:
        """`nunatak rollback`: the service's version before, or the one that the options name."""
        self.run("rollback", "--service", service, *options, *self._publisher_options())

    def inspect(self, image: Path) -> dict[str, object]:
        """`nunatak inspect --json`: what the image holds."""
        found = json.loads(self.run("inspect", str(image), "--json"))
        assert isinstance(found, dict)
        return found

    def park(self, service: str, edge: Server | None = None) -> None:
        """Have an edge park the service's machine; done when this returns.

        :raises ServerFailed: the edge would not.
        """
        edge = edge or self.edges[0]
        with self.admin(edge) as client:
            answer = client.request("POST", f"/-/park?service={service}")
        if answer.status >= 300:
            raise ServerFailed(f"{edge.name}: park {service}: status 2xx expected, got {answer.status} {answer.error}")

    def admin(self, edge: Server | None = None) -> Client:
        """A connection to an edge's operators' pages, by default the first one's."""
        return Client((edge or self.edges[0]).admin_url)

    def run(self, *arguments: str) -> str:
        """Run one `nunatak` command to its end; its stdout.

        :raises CommandFailed: an exit code other than 0.
        """
        done = subprocess.run(
            [*NUNATAK, *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
        if done.returncode:
            raise CommandFailed(arguments, done.returncode, done.stderr)
        return done.stdout

    def _server(self, name: str, options: Sequence[str], listen: str = f"{LOOPBACK}:0") -> Server:
        return Server(name, [*NUNATAK, *options, "--listen", listen], self.folder)

    def _publisher_options(self) -> list[str]:
        return ["--origin", self.origin.url, "--keys", str(self.keys), "--token-file", str(self._token_file)]

    def _explain(self, error: BaseException) -> None:
        servers = [self.origin, *self.edges] if hasattr(self, "origin") else []
        for server in servers:
            if tail := server.tail():
                error.add_note(f"the end of {server.name}'s log:\n{tail}")


@contextmanager
def bench_site(*, memory: str = "256MiB") -> Iterator[Site]:
    """A site of one edge in a folder of its own, with so much memory."""
    with tempfile.TemporaryDirectory(prefix="nunatak-bench-") as folder, Site(Path(folder), memory=memory) as site:
        yield site
