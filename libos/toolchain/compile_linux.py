"""Compile C and C++ into static Linux programs with musl: what language runtimes are built with.

Every source file is compiled once for given bytes and flags, so a runtime of hundreds of files is compiled again only
where it changed. The results are kept beside those of `libos.toolchain.build`. Neither what is loaded
of them nor what they are kept by depends on where the sources lie: a program has the same digest on every machine.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

from libos.toolchain.build import HERE, ZIG, run_tool
from libos.toolchain.packages import cache_folder, writing_cache
from vmimage.errors import PublisherError

TARGET: Final = ("-target", "x86_64-linux-musl", "-mcpu=x86_64_v2")
CFLAGS: Final = (
    "-O2",
    "-g0",
    "-fno-sanitize=undefined",
    "-fno-omit-frame-pointer",
    "-ffunction-sections",
    "-fdata-sections",
)
LDFLAGS: Final = (
    "-static",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-Wl,--image-base=0x200000",
    "-Wl,-z,noexecstack",
)
PREFIX_MAP: Final = "-ffile-prefix-map"  # for `__FILE__`, which ends up in the memory of programs
CXX: Final = (".cc", ".cpp", ".cxx")
OBJECT: Final = ".o"
HEADERS: Final = ("*.h", "*.hh", "*.hpp", "*.inc", "*.def")


def compile_linux(
    sources: Iterable[Path], *, include: Sequence[Path] = (), flags: Sequence[str] = (), link_flags: Sequence[str] = ()
) -> bytes:
    """A static x86-64-v2 ELF program. `<nunatak.h>` is found; with it a program can call the call table.

    :param sources: C, C++ and assembler files, and objects of `compile_objects`.
    :param include: folders to search for headers; a change of a header in them compiles everything anew.
    :param flags: for the compiler, after our own.
    :raises PublisherError: the compiler refuses; with its message.
    """
    files = list(sources)
    if not files:
        raise PublisherError("program: at least one source file expected, got none: put one into the folder")
    ready = [path for path in files if path.suffix == OBJECT]
    compiled = compile_objects([path for path in files if path.suffix != OBJECT], include=include, flags=flags)
    objects = [*compiled, *ready]
    linker = "c++" if any(path.suffix in CXX for path in files) else "cc"
    key = hashlib.sha256(
        repr((linker, LDFLAGS, tuple(link_flags), [path.name for path in objects])).encode()
    ).hexdigest()
    program = cache_folder() / f"{key}.elf"
    if not program.exists():
        _make(program, [*ZIG, linker, *TARGET, *LDFLAGS, *map(str, objects), *link_flags], "link")
    return program.read_bytes()


def compile_objects(sources: Iterable[Path], *, include: Sequence[Path] = (), flags: Sequence[str] = ()) -> list[Path]:
    """Objects for `compile_linux`, of sources that have nothing to do with the headers of the others.

    :raises PublisherError: the compiler refuses; with its message.
    """
    files = list(sources)
    folders = [*include, HERE / "include"]
    common = hashlib.sha256(repr((version("ziglang"), TARGET, CFLAGS, tuple(flags), PREFIX_MAP)).encode())
    headers = {
        path
        for folder in (*folders, *{path.parent for path in files})
        for kind in HEADERS
        for path in folder.glob(kind)
    }
    for name, data in sorted((path.name, path.read_bytes()) for path in headers):
        common.update(f"{name} {len(data)}\n".encode() + data)
    maps = [f"{PREFIX_MAP}={folder}=." for folder in (Path.cwd(), HERE, cache_folder(), *folders)]
    options = [*TARGET, *CFLAGS, *flags, *(f"-I{folder}" for folder in folders), *maps]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda path: _object(path, options, common.copy()), files))


def _object(path: Path, options: Sequence[str], key: "hashlib._Hash") -> Path:
    key.update(path.name.encode() + b"\0" + path.read_bytes())
    place = cache_folder() / "objects" / f"{key.hexdigest()}{OBJECT}"
    if not place.exists():
        compiler = "c++" if path.suffix in CXX else "cc"
        _make(place, [*ZIG, compiler, *options, f"{PREFIX_MAP}={path.parent}=.", "-c", str(path)], path.name)
    return place


def _folder_of(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.parent


def _make(place: Path, command: Sequence[str], what: str) -> None:
    """Run a tool whose output becomes `place`, whole or not at all."""
    with writing_cache(), tempfile.TemporaryDirectory(prefix="nunatak-", dir=_folder_of(place)) as scratch:
        made = Path(scratch) / f"made{place.suffix}"
        run_tool([*command, "-o", str(made)], what)
        os.replace(made, place)
