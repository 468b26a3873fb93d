"""Lua 5.4: the interpreter from its published sources, our host in C, a module for pages in Lua."""

from pathlib import Path
from typing import Final

from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import Package, source_tree

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
    sources = [*(tree / f"{name}.c" for name in SOURCES), *sorted(HERE.glob("*.c")), *sorted(HERE.glob("*.S"))]
    return compile_linux(sources, include=(tree, HERE), flags=FLAGS)
