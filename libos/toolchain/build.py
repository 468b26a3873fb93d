"""Compile the libOS and guest programs with the pinned compiler from PyPI (`ziglang`).

Sources in, ELF bytes out; the bake is `origin.bake.bake`. Results are kept in the cache folder by the SHA-256 of
everything that goes in. $NUNATAK_CC and $NUNATAK_LD name another compiler and linker (gcc, clang; GNU ld, lld).
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from libos.toolchain.packages import cache_folder, keep_in_cache
from vmimage import abi
from vmimage.errors import OperatorError, PublisherError

HERE: Final = Path(__file__).resolve().parents[1]
TOOLCHAIN: Final = HERE / "toolchain"
CRT: Final = (TOOLCHAIN / "crt.c", TOOLCHAIN / "crt.S")
# The libOS's folders from the lowest up: a file calls none of a folder after its own.
LAYERS: Final = (
    *("base", "rings", "requests", "assets"),
    *("linux/abi", "linux/memory", "linux/task", "linux/fs", "linux", "boot"),
)

# Freestanding, without unwind tables (crash reports walk frame pointers), nothing newer than x86-64-v2: the emulator
# misdecodes AVX.
CFLAGS: Final = (
    *("-std=gnu17", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic", "-fno-stack-protector"),
    *("-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    *("-fno-unroll-loops", "-ffunction-sections", "-fdata-sections", f"-I{HERE / 'include'}"),
)
PROGRAM_CFLAGS: Final = ("-g1",)  # line tables for crash reports; nothing of them is loaded
LIBOS_CFLAGS: Final = ("-mgeneral-regs-only",)  # its data is bytes and integers, and emulated SSE is slow
LDFLAGS: Final = ("-static", "--gc-sections", "-z", "noexecstack", "-z", "max-page-size=4096", "--build-id=none")
ZIG: Final = (sys.executable, "-m", "ziglang")
PREPARE_TIMEOUT_S: Final = 120
COMPILE_TIMEOUT_S: Final = 300


def libos_elf() -> bytes:
    """The libOS as a static ELF with symbols, its segments at `LIBOS_ADDRESS`.

    :raises OperatorError: no compiler.
    :raises PublisherError: it does not compile (with $NUNATAK_CC).
    """
    sources = [path for layer in LAYERS for path in sorted((HERE / layer).glob("*.[cS]"))]
    return _build(sources, TOOLCHAIN / "link.ld", LIBOS_CFLAGS, ())


def compile_guest(source: Path) -> bytes:
    """A program as a static ELF with symbols, its segments from `PROGRAM_ADDRESS`.

    :param source: a C file; or a folder of C and assembler files. A `prepare.py` in the folder is run as
        `prepare.py OUTDIR` first: C files, archives, headers and data it writes there belong to the program.
    :raises OperatorError: no compiler.
    :raises PublisherError: nothing to compile, or `prepare.py` or the compiler refuses; with their message.
    """
    if source.is_file() and source.suffix not in (".c", ".S"):
        raise PublisherError(f"{source}: expected a .c file or a folder of them: name one, or a .js, .lua or ELF file")
    if source.is_file():
        return _build([source, *CRT], TOOLCHAIN / "program.ld", PROGRAM_CFLAGS, (source.parent,))
    if not source.is_dir():
        raise PublisherError(f"{source}: expected a C file or a folder, found nothing: check the path")
    with tempfile.TemporaryDirectory(prefix="nunatak-") as prepared:
        out = Path(prepared)
        if (source / "prepare.py").exists():
            run_tool([sys.executable, str(source / "prepare.py"), prepared], "prepare.py", PREPARE_TIMEOUT_S)
        sources = sorted(path for folder in (source, out) for kind in ("*.c", "*.S") for path in folder.glob(kind))
        if not sources:
            raise PublisherError(
                f"{source}: expected *.c files, found none: put the program there, or name its own folder"
            )
        archives = sorted(out.glob("*.a"))
        return _build([*sources, *CRT], TOOLCHAIN / "program.ld", PROGRAM_CFLAGS, (source, out), archives)


def _build(
    sources: Sequence[Path],
    script: Path,
    flags: Sequence[str],
    folders: Sequence[Path],
    archives: Sequence[Path] = (),
) -> bytes:
    """Compile and link, or answer from the cache.

    :param folders: searched for headers and data; the key covers them.
    :param archives: in one of the folders; what is missing is taken from them.
    """
    compiler, linker = _tools()
    inputs = {*sources, script, *(HERE / "include").iterdir()}
    inputs |= {header for layer in LAYERS for header in (HERE / layer).glob("*.h")}
    if len(folders) > 1:
        inputs |= {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    elif folders:
        inputs |= set(folders[0].glob("*.h"))
    key = hashlib.sha256(repr((_identity(), CFLAGS[:-1], flags, LDFLAGS)).encode())
    for path in sorted(inputs, key=lambda path: (path.name, path)):
        data = path.read_bytes()
        key.update(f"{path.name} {len(data)}\n".encode() + data)
    cached = cache_folder() / f"{key.hexdigest()}.elf"
    if cached.exists():
        return cached.read_bytes()

    with tempfile.TemporaryDirectory(prefix="nunatak-") as objects:
        names = [f"{path.parent.name}-{path.stem}.o" for path in sources]  # the linker script knows folders by these
        places = [Path(objects) / f"{number}-{name}" for number, name in enumerate(names)]
        includes = [f"-I{folder}" for folder in folders]
        # Wherever a program is built, its line tables are the same.
        includes += [f"-fdebug-prefix-map={folder}=." for folder in (Path.cwd(), HERE, *folders)]

        def compile_one(path: Path, place: Path) -> None:
            run_tool([*compiler, *CFLAGS, *flags, *includes, "-c", str(path), "-o", str(place)], path.name)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, sources, places))
        elf = Path(objects) / "out.elf"
        numbers = [f"--defsym={n}={getattr(abi, n):#x}" for n in ("LIBOS_ADDRESS", "LIBOS_SIZE", "PROGRAM_ADDRESS")]
        run_tool(
            [*linker, *LDFLAGS, *numbers, "-T", str(script), "-o", str(elf), *map(str, [*places, *archives])], "link"
        )
        data = elf.read_bytes()
    keep_in_cache(cached, data)
    return data


def _tools() -> tuple[list[str], list[str]]:
    """Compiler and linker, as the first words of their command lines."""
    own = shlex.split(os.environ.get("NUNATAK_CC", ""))
    target = ["-target", "x86_64-freestanding-none", "-mcpu=x86_64_v2", "-fno-sanitize=undefined"]
    compiler = [*own, "-march=x86-64-v2"] if own else [*ZIG, "cc", *target]
    return compiler, shlex.split(os.environ.get("NUNATAK_LD", "")) or [*ZIG, "ld.lld"]


def _identity() -> list[str]:
    """What tells one compiler and linker from another."""
    names = [os.environ.get(name, "") for name in ("NUNATAK_CC", "NUNATAK_LD")]
    if all(names):
        return names
    try:
        return [*names, version("ziglang")]
    except PackageNotFoundError:
        raise OperatorError(
            "no guest compiler: expected the package ziglang (extra 'build') or $NUNATAK_CC: "
            "install nunatak with the extra, or set NUNATAK_CC to a compiler"
        ) from None


def run_tool(command: Sequence[str], what: str, timeout_s: int = COMPILE_TIMEOUT_S) -> None:
    """Run one tool.

    :raises PublisherError: it fails, or takes too long; with the last lines it said.
    """
    environment = {
        "ZIG_GLOBAL_CACHE_DIR": str(cache_folder() / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(cache_folder() / "zig"),
    } | os.environ
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
    except OSError as error:
        raise OperatorError(
            f"{what}: a command {command[0]!r} that can be run expected: {error.strerror}: "
            "set NUNATAK_CC to one, or install it"
        ) from None
    except subprocess.TimeoutExpired:
        raise PublisherError(
            f"{what}: not done after {timeout_s} s: build it when the machine has less to do"
        ) from None
    if done.returncode:
        raise PublisherError(f"{what}: {done.stderr.strip()[-4000:] or f'exit code {done.returncode}'}")
