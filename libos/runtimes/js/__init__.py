"""JavaScript on quickjs-ng: the engine from its published package, our host in C, our prelude in JavaScript."""

import hashlib
import json
import os
from pathlib import Path
from typing import Final

from libos.languages import Language
from libos.packages import Package, cache_folder

HERE: Final = Path(__file__).resolve().parent


def _prelude() -> tuple[Path, ...]:
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
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_suffix(f".{os.getpid()}")
        scratch.write_text(code)
        os.replace(scratch, place)
    return (place,)


LANGUAGE: Final = Language(
    name="js",
    suffixes=(".js", ".mjs"),
    main="worker.js",
    package=Package(
        "pypi", "quickjs-ng", "0.17.0.2", "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
    ),
    folder="upstream-quickjs",
    sources=("dtoa.c", "libregexp.c", "libunicode.c", "quickjs.c"),
    flags=("-D_GNU_SOURCE", "-std=gnu11", "-Wno-everything"),
    generated=_prelude,
)
