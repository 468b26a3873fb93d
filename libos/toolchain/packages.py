"""Third-party source trees that runtimes are compiled from: fetched at build time, checked, never in the repository.

A package is pinned by its version and the SHA-256 of the archive that its index publishes. pip and npm do the
fetching, so their own settings (index, proxy, certificates) hold. Trees are unpacked once, under
the cache folder, `packages/`.
"""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vmimage.errors import OperatorError

FETCH_TIMEOUT_S: Final = 600
_told: "list[set[Package]]" = []  # who is told of packages whose trees are asked for


@dataclass(frozen=True)
class Package:
    """One published archive: a source distribution of PyPI, a wheel of PyPI (for data), or a package of npm."""

    index: Literal["pypi", "wheel", "npm"]
    name: str
    version: str
    sha256: str  # of the archive, hex


def source_tree(package: Package, *, fetch: Callable[[Package, Path], Path] | None = None) -> Path:
    """The folder that holds the package's files, without the archive's own top folder where it has one.

    :param fetch: what brings the archive into a folder and says where it lies; pip and npm without it.
    :raises OperatorError: it cannot be fetched, or its bytes are not the pinned ones.
    """
    for found in _told:
        found.add(package)
    place = cache_folder() / "packages" / package.sha256
    if place.is_dir():
        return place
    with writing_cache(), _scratch(place.parent) as scratch:
        archive = (fetch or _fetch)(package, Path(scratch))
        got = hashlib.sha256(archive.read_bytes()).hexdigest()
        if got != package.sha256:
            raise OperatorError(
                f"{package.name} {package.version}: SHA-256 {package.sha256} expected, got {got}: "
                "fetch it again; if it lasts, the package index has another file"
            )
        if package.index == "wheel":
            top = Path(scratch) / "tree"
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(top)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(Path(scratch) / "tree", filter="data")
            (top,) = (Path(scratch) / "tree").iterdir()
        try:
            os.rename(top, place)
        except OSError:  # another process was first
            if not place.is_dir():
                raise
    return place


@contextmanager
def used_packages() -> "Iterator[set[Package]]":
    """Packages whose trees are asked for meanwhile, in this process."""
    found: set[Package] = set()
    _told.append(found)
    try:
        yield found
    finally:
        _told[:] = [each for each in _told if each is not found]


def keep_in_cache(place: Path, data: bytes) -> None:
    """Write a file of the cache folder, whole or not at all, whoever else writes it meanwhile.

    :raises OperatorError: the folder takes nothing.
    """
    with writing_cache(), _scratch(place.parent) as scratch:
        made = Path(scratch) / place.name
        made.write_bytes(data)
        os.replace(made, place)


@contextmanager
def _scratch(parent: Path) -> Iterator[str]:
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nunatak-", dir=parent) as scratch:
        yield scratch


def _fetch(package: Package, folder: Path) -> Path:
    exact = f"{package.name}=={package.version}"
    if package.index != "npm":
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{exact} --hash=sha256:{package.sha256}\n")
        # pip looks at a source distribution's metadata, for which it runs its build script: with our own locked
        # setuptools, and only after the hash was found right. It compiles nothing; one that asks what the C++ compiler
        # can do is told that there is none.
        kind = "--no-binary" if package.index == "pypi" else "--only-binary"
        options = ("--quiet", "--no-deps", kind, ":all:", "--no-build-isolation", "--require-hashes")
        _run(
            [sys.executable, "-m", "pip", "download", *options, "-r", str(wanted), "-d", str(folder)],
            exact,
            CXX="false",
        )
    else:
        npm = shutil.which("npm")
        if npm is None:
            raise OperatorError(f"{package.name}: the command npm expected (package nodejs), found none: install it")
        spec = f"{package.name}@{package.version}"
        _run([npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), spec], exact)
    archives = [path for path in folder.iterdir() if path.suffix in (".gz", ".tgz", ".whl")]
    if len(archives) != 1:
        raise OperatorError(
            f"{exact}: one archive expected, got {len(archives)}: clear the cache folder and run it again"
        )
    return archives[0]


def _run(command: Sequence[str], what: str, **environment: str) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        raise OperatorError(
            f"{what}: not fetched after {FETCH_TIMEOUT_S} s: check the way to the package index, and run it again"
        ) from None
    except OSError as error:
        raise OperatorError(
            f"{what}: a command {command[0]!r} that can be run expected: {error.strerror}: install it"
        ) from None
    if done.returncode:
        raise OperatorError(f"{what}: not fetched: {done.stderr.strip()[-2000:] or f'exit code {done.returncode}'}")


def cache_folder() -> Path:
    """Where what was compiled and fetched is kept: under $XDG_CACHE_HOME or ~/.cache, else in a temporary folder.

    :raises OperatorError: no such place can be written.
    """
    if configured := os.environ.get("XDG_CACHE_HOME"):
        return _made(Path(configured) / "nunatak")
    try:
        return _made(Path.home() / ".cache" / "nunatak")
    except (RuntimeError, OperatorError):  # an unknown user, or a home that is not theirs: containers, CI
        return _made(Path(tempfile.gettempdir()) / f"nunatak-{os.geteuid()}", private=True)


def _made(folder: Path, *, private: bool = False) -> Path:
    """:param private: in a place where others may have made it: what lies there is compiled into images."""
    try:
        folder.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if private and not ours:
            raise PermissionError(errno.EPERM, "it is another user's, or open to others")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        wanted = "a writable folder for what is compiled expected"
        raise OperatorError(f"{wanted}, got {folder}: {error.strerror}: set XDG_CACHE_HOME to one") from None
    return folder


@contextmanager
def writing_cache() -> Iterator[None]:
    """Turns an error of the file system into one line for the operator.

    :raises OperatorError: in place of OSError.
    """
    try:
        yield
    except OSError as error:
        raise OperatorError(
            f"room and rights to write at {cache_folder()} expected: {error}: make room, or set XDG_CACHE_HOME"
        ) from None
