"""Small workers on packages of npm, bundled as they are and asked on workerd and here: `make parity`.

The packages are those of tests/e2e/packages/package-lock.json, by their hashes; npm brings them into the cache folder,
and runs none of their scripts. A worker's first line may say its requests: lists of method, path, fields, body.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libos.runtimes import LANGUAGES
from libos.toolchain.build import run_tool
from libos.toolchain.bundle import ESBUILD
from libos.toolchain.packages import cache_folder, source_tree
from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import Workerd
from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Publication, Site
from origin.bake.bake import Baker
from vmimage.archive import pack_archive
from vmimage.errors import NunatakError
from vmimage.manifest import Limits, Terms

HERE: Final = Path(__file__).parents[1] / "e2e" / "packages"
WORKERS: Final = HERE / "workers"
FLAGS: Final = ("nodejs_compat",)
INSTALL_TIMEOUT_S: Final = 900
MEMORY_BYTES: Final = 64 << 20
TERMS: Final = Terms(limits=Limits(cpu_ms=60_000))  # what the emulator takes is not asked here
# As wrangler bundles workers.
BUNDLE: Final = (
    *("--bundle", "--format=esm", "--platform=browser", "--target=es2024", "--conditions=workerd,worker,browser"),
    *("--main-fields=browser,module,main", "--external:node:*", '--define:process.env.NODE_ENV="production"'),
    *("--charset=ascii", "--log-level=error"),
)
# Fields that servers set by themselves.
SERVERS: Final = {
    *("date", "connection", "transfer-encoding", "content-length", "server", "cache-status", "server-timing", "via"),
    *("keep-alive", "age", "x-nunatak-version", "x-nunatak-limit", "x-nunatak-error", "x-request-id"),
}
Request = tuple[str, str, dict[str, str], bytes | None]
Told = tuple[int, list[tuple[str, str]], bytes]


@dataclass(frozen=True)
class Outcome:
    """What a worker said on both; `ours` is empty where it was not built, and `why` says more."""

    name: str
    theirs: list[Told]
    ours: list[Told]
    why: str = ""

    @property
    def same(self) -> bool:
        return self.theirs == self.ours

    def difference(self) -> str:
        """The first answers that differ, shortened; or why there is no answer."""
        if not self.ours:
            return self.why
        number = next(n for n, (a, b) in enumerate(zip(self.theirs, self.ours, strict=True)) if a != b)
        theirs, ours = self.theirs[number], self.ours[number]
        part = next(n for n in range(3) if theirs[n] != ours[n])
        if part == 0:
            return f"request {number}: status {theirs[0]} there, {ours[0]} here"
        if part == 1:
            return f"request {number}: {theirs[1]} there, {ours[1]} here"
        a, b = (each[2].decode(errors="replace") for each in (theirs, ours))
        at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        return f"request {number}: {a[max(0, at - 40) : at + 60]!r} there, {b[max(0, at - 40) : at + 60]!r} here"


def requests_of(worker: Path) -> list[Request]:
    """The requests that its first line names; one for `/` where it names none."""
    first = worker.read_text("utf-8").partition("\n")[0]
    listed = json.loads(first.removeprefix("// requests: ")) if first.startswith("// requests: ") else [["GET", "/"]]
    found: list[Request] = []
    for method, path, fields, body in ((*request, *(None,) * (4 - len(request))) for request in listed):
        found.append((method, path, fields or {}, None if body is None else body.encode()))
    return found


def installed() -> Path:
    """The folder with the packages, brought there by npm once.

    :raises OperatorError: npm cannot, or a package is not the one of the lock.
    """
    files = [HERE / "package.json", HERE / "package-lock.json"]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    place = cache_folder() / "npm" / key
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="nunatak-", dir=place.parent) as scratch:
            folder = Path(scratch) / "tree"
            folder.mkdir()
            for path in files:
                shutil.copyfile(path, folder / path.name)
            options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
            run_tool(["npm", "ci", "--prefix", str(folder), *options], "npm", INSTALL_TIMEOUT_S)
            folder.rename(place)
    return place


def bundled(worker: Path, out: Path) -> None:
    """One module of the worker and its packages.

    :raises PublisherError: esbuild refuses; with its message.
    """
    folder = installed() / "src"
    folder.mkdir(exist_ok=True)
    entry = folder / worker.name
    shutil.copyfile(worker, entry)
    run_tool([str(source_tree(ESBUILD) / "bin" / "esbuild"), str(entry), *BUNDLE, f"--outfile={out}"], "esbuild")


def told(answer: Answer) -> Told:
    """What of an answer is the worker's."""
    fields = sorted((name, value) for name, value in answer.headers.items() if name not in SERVERS)
    return answer.status, fields, answer.body


def _ask(client: Client, worker: Path) -> list[Told]:
    found = []
    for method, path, fields, body in requests_of(worker):
        found.append(told(client.request(method, path, host="pkg.test", body=body, headers=fields)))
    return found


@contextmanager
def _edge(folder: Path, images: dict[str, Path]) -> Iterator[str]:
    with Site(folder, memory="2GiB") as site:
        site.publish_batch([Publication(image, name, (f"{name}.test",)) for name, image in images.items()])
        yield site.edges[0].url


def compare(workers: Sequence[Path], folder: Path) -> Iterator[Outcome]:
    """Each of the workers on workerd and on an edge of its own site.

    :param folder: scratch.
    :raises OperatorError: packages cannot be had.
    :raises PeerMissing: there is no workerd.
    """
    bundles, images, theirs, failed = folder / "bundles", {}, {}, {}
    bundles.mkdir(parents=True)
    baker = Baker(MEMORY_BYTES, next(language for language in LANGUAGES if language.name == "js"))
    for worker in workers:
        out = bundles / worker.name
        bundled(worker, out)
        with Workerd(folder / "workerd" / worker.stem, out, FLAGS) as peer, Client(peer.url) as client:
            theirs[worker.stem] = _ask(client, worker)
        try:
            image = baker.bake_source(
                out.read_bytes(),
                name=worker.stem.lower().replace(".", "-"),
                env={},
                terms=TERMS,
                progress=lambda _: None,
            )
        except NunatakError as error:
            failed[worker.stem] = f"not built: {str(error).splitlines()[-1]}"
            continue
        place = images[worker.stem] = bundles / f"{worker.stem}.oci.tar"
        place.write_bytes(pack_archive([baker.base, image]))
    with _edge(folder / "site", {name.replace(".", "-"): image for name, image in images.items()}) as url:
        for worker in workers:
            name = worker.stem
            if name in failed:
                yield Outcome(name, theirs[name], [], failed[name])
                continue
            with Client(url) as client:
                yield Outcome(name, theirs[name], _ask_here(client, worker))


def _ask_here(client: Client, worker: Path) -> list[Told]:
    found, host = [], f"{worker.stem.replace('.', '-')}.test"
    for method, path, fields, body in requests_of(worker):
        status, set_fields, content = told(client.request(method, path, host=host, body=body, headers=fields))
        found.append((status, set_fields, content.replace(host.encode(), b"pkg.test")))
    return found


def main() -> None:
    """Print a table of all workers, or of those whose names have one of the arguments."""
    wanted = sys.argv[1:] or [""]
    workers = sorted(path for path in WORKERS.glob("*.js") if any(word in path.stem for word in wanted))
    with tempfile.TemporaryDirectory(prefix="nunatak-") as scratch:
        same = 0
        print("| worker | difference |\n|---|---|")
        for outcome in compare(workers, Path(scratch)):
            same += outcome.same
            if not outcome.same:
                print(f"| {outcome.name} | {outcome.difference().replace('|', chr(92) + '|')} |", flush=True)
    print(f"\n{same} of {len(workers)} workers answer as on workerd ({100 * same / max(1, len(workers)):.1f} %)")


if __name__ == "__main__":
    try:
        main()
    except (PeerMissing, subprocess.SubprocessError) as error:
        sys.exit(str(error))
