"""SQLite for guests: the published amalgamation, and beside it what it needs of a C library and of an operating system.

A program's `prepare.py` calls `put_sources`; the files it writes belong to the program, which includes <sqlite3.h> and
<nk_sqlite.h>. SQLite itself is fetched, pinned by hash, and never in the repository.
"""

import shutil
from pathlib import Path
from typing import Final

from libos.sqlite.mathematics import math_archive
from libos.toolchain.packages import Package, source_tree

# The npm package carries SQLite's amalgamation as it was released; nothing else of it is used.
PACKAGE: Final = Package(
    "npm", "better-sqlite3", "12.11.1", "ebf0ed75a7a59dbcb3b24bbd014ef49d9f15bc328e4adcbf516f2a8fadfa2835"
)
_AMALGAMATION: Final = Path("deps") / "sqlite3"
_HERE: Final = Path(__file__).resolve().parent

# Included by one file of ours, so that the compiler takes SQLite for a system header and keeps its warnings to itself.
_UNIT: Final = '#include "sqlite_config.h"\n#include "sqlite3_amalgamation.h"\n'


def put_sources(out: Path) -> None:
    """Write everything that a program with SQLite is compiled from into `out`.

    :raises OperatorError: the package cannot be fetched, or is not the pinned one; or there is no compiler.
    """
    tree = source_tree(PACKAGE) / _AMALGAMATION
    amalgamation = (tree / "sqlite3.c").read_text("utf-8")
    (out / "sqlite3_amalgamation.h").write_text("#pragma GCC system_header\n" + amalgamation)
    (out / "sqlite_unit.c").write_text(_UNIT)
    shutil.copyfile(tree / "sqlite3.h", out / "sqlite3.h")
    (out / "math.a").write_bytes(math_archive())
    for path in [*_HERE.glob("*.c"), *(_HERE / "include").glob("*.h")]:
        shutil.copyfile(path, out / path.name)
