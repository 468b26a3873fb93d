"""JavaScript on quickjs-ng and C sources of pycryptodome, as published; our host in C, our prelude in JavaScript."""

import hashlib
import json
from pathlib import Path
from typing import Final

from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import Package, cache_folder, keep_in_cache, source_tree

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
    sources = [*library, *sorted(HERE.glob("*.c")), _prelude()]
    return compile_linux(sources, include=[engine, zlib, HERE, cryptography], flags=FLAGS)


def _prelude() -> Path:
    """The prelude's files as a C file of strings."""
    files = sorted((HERE / "prelude").glob("*.js"))
    texts = [path.read_text("ascii") for path in files]
    names = ", ".join(json.dumps(f"prelude/{path.name}") for path in files)
    rows = ",\n".join("\n".join(json.dumps(line) for line in text.splitlines(keepends=True)) for text in texts)
    sizes = ", ".join(str(len(text)) for text in texts)
    code = (
        "#include <stddef.h>\n"
        f"const char *const prelude_names[] = {{{names}, NULL}};\n"
        f"const char *const prelude_sources[] = {{\n{rows}\n}};\n"
        f"const size_t prelude_sizes[] = {{{sizes}}};\n"
    )
    place = cache_folder() / "js" / hashlib.sha256(code.encode()).hexdigest() / "prelude.c"
    if not place.exists():
        keep_in_cache(place, code.encode())
    return place
