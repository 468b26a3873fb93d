"""Lua 5.4: the interpreter from its published sources, our host in C, a module for pages in Lua."""

import hashlib
import json
from pathlib import Path
from typing import Final

from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import Package, cache_folder, keep_in_cache, source_tree

HERE: Final = Path(__file__).resolve().parent
# lupa is Lua for Python; its source package holds Lua's own repository, tests included. Fetching takes a minute, once:
# pip prepares the whole package before it hands it over.
PACKAGE: Final = Package("pypi", "lupa", "2.8", "d8022641b9ec8ecf2c5ecbe9f47e5a70e0b87c4b5ae921b92cb02a638e0acd08")
FOLDER: Final = "third-party/lua54"
SOURCES: Final = (
    "lapi lauxlib lbaselib lcode lcorolib lctype ldblib ldebug ldo ldump lfunc lgc linit liolib llex lmathlib lmem "
    "loadlib lobject lopcodes loslib lparser lstate lstring lstrlib ltable ltablib ltm lundump lutf8lib lvm "
    "lzio".split()
)
FLAGS: Final = ("-DLUA_USE_POSIX", '-DLUA_USER_H="tuning.h"')


def program() -> bytes:
    """The runtime: a static Linux program that serves the page at `/main.lua`.

    :raises OperatorError: the interpreter's sources cannot be had.
    :raises PublisherError: it does not compile.
    """
    tree = source_tree(PACKAGE) / FOLDER
    ours = [*sorted(HERE.glob("*.c")), *sorted(HERE.glob("*.S")), _modules()]
    sources = [*(tree / f"{name}.c" for name in SOURCES), *ours]
    return compile_linux(sources, include=(tree, HERE), flags=FLAGS)


def _modules() -> Path:
    """Our modules in Lua as a C file of strings: `modules/web.lua` is "web", the others "web.NAME"."""
    files = sorted((HERE / "modules").glob("*.lua"))
    names = ", ".join(json.dumps(path.stem if path.stem == "web" else f"web.{path.stem}") for path in files)
    texts = [path.read_text("ascii") for path in files]
    rows = ",\n".join("\n".join(json.dumps(line) for line in text.splitlines(keepends=True)) for text in texts)
    code = (
        "#include <stddef.h>\n"
        f"const char *const lua_module_names[] = {{{names}, NULL}};\n"
        f"const char *const lua_module_sources[] = {{\n{rows}\n}};\n"
        f"const size_t lua_module_sizes[] = {{{', '.join(str(len(text)) for text in texts)}}};\n"
    )
    place = cache_folder() / "lua" / hashlib.sha256(code.encode()).hexdigest() / "modules.c"
    if not place.exists():
        keep_in_cache(place, code.encode())
    return place
