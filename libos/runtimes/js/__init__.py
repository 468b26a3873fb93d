"""JavaScript on quickjs-ng and C sources of pycryptodome, as published; our host in C, our prelude in JavaScript."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from libos.runtimes.js.bytecode import bytecode
from libos.runtimes.js.intl_data import FOLDER, image_tables
from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import Package, source_tree

HERE: Final = Path(__file__).resolve().parent
QUICKJS: Final = Package(
    "pypi", "quickjs-ng", "0.17.0.2", "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
)
ZLIB: Final = Package(
    "npm", "zlib-sync", "0.1.10", "bd2180fc18426cf464ecab1321bb31a1af81c36b927a28cdb26c3a56f302f2b6"
)  # which has zlib 1.3.1 as it was published; nothing else of it is used
INFLATE: Final = ("adler32.c", "crc32.c", "inffast.c", "inflate.c", "inftrees.c", "zutil.c")
PYCRYPTODOME: Final = Package(
    "pypi", "pycryptodome", "4.4.0", "eab7620c60c85f3fa251d026ec06e094f036d96187bebb9752e46fbcebabbb55"
)
CRYPTOGRAPHY: Final = ("SHA1.c", "SHA256.c", "SHA384.c", "SHA512.c", "ghash_portable.c")
ENGINE: Final = ("dtoa.c", "libregexp.c", "libunicode.c")  # quickjs.c is part of json.c's unit: engine_internals.h
# Small tables for CRCs in zlib, and macros that pycryptodome's setup.py would find out.
FLAGS: Final = (
    *("-D_GNU_SOURCE", "-std=gnu11", "-Wno-everything", "-DZ_TESTW=-1"),
    *("-DHAVE_STDINT_H", "-DHAVE_POSIX_MEMALIGN", "-DSYS_BITS=64"),
)
STACK_BYTES: Final = 384 << 10


def locale_files(locales: Sequence[str]) -> Mapping[str, bytes]:
    """Files for an image whose worker formats for these locales, by path.

    :raises OperatorError: CLDR's data cannot be had.
    :raises PublisherError: no language tag, or a language of which CLDR knows nothing.
    """
    return {f"{FOLDER}/{name}": text for name, text in image_tables(locales).items()}


def program() -> bytes:
    """The runtime: a static Linux program that serves the worker at `/worker.js`.

    :raises OperatorError: the engine's sources cannot be had.
    :raises PublisherError: it does not compile.
    """
    engine = source_tree(QUICKJS) / "upstream-quickjs"
    zlib = source_tree(ZLIB) / "deps" / "zlib"
    cryptography = source_tree(PYCRYPTODOME) / "src"
    library = [
        *(engine / name for name in ENGINE),
        *(zlib / name for name in INFLATE),
        *(cryptography / name for name in CRYPTOGRAPHY),
    ]
    scripts = bytecode(engine, [engine / name for name in ("quickjs.c", *ENGINE)], FLAGS)
    sources = [*library, *sorted(HERE.glob("*.c")), scripts]
    return compile_linux(sources, include=[engine, zlib, HERE, cryptography], flags=FLAGS)
