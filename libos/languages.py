"""Languages that a program can be written in beside C: which files are theirs, and what runs them.

A language is a folder `libos/runtimes/NAME/` with a host in C, which loads a program and serves it by `<nunatak.h>`,
and a description, its `LANGUAGE`. The interpreter's own sources come from a published package when they are needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from libos.build import HERE
from libos.compile_linux import compile_linux
from libos.packages import Package, source_tree

NAMES: Final = ("js", "lua")
RUNTIMES: Final = HERE / "runtimes"


@dataclass(frozen=True)
class Language:
    """How to make a language's runtime, and how to know its programs."""

    name: str  # its folder's
    suffixes: tuple[str, ...]  # of its source files
    main: str  # the file that makes a folder a program
    package: Package
    folder: str  # of the sources, in the package
    sources: tuple[str, ...]  # in that folder
    flags: tuple[str, ...] = ()  # for the compiler
    generated: Callable[[], tuple[Path, ...]] = tuple  # more sources, made when they are needed

    def main_of(self, source: Path) -> str | None:
        """The main file of a program in this language, by its path within the program; `None` for another program."""
        if source.is_dir():
            return self.main if (source / self.main).is_file() else None
        return source.name if source.suffix in self.suffixes else None

    def runtime(self) -> bytes:
        """The runtime as a static Linux program. It opens the interpreter, calls nk_event_base(), and goes on with the
        program that NUNATAK_MAIN of the environment names.

        :raises OperatorError: the package cannot be fetched.
        :raises PublisherError: it does not compile.
        """
        tree, host = source_tree(self.package) / self.folder, RUNTIMES / self.name
        sources = [*(tree / name for name in self.sources), *sorted(host.glob("*.c")), *sorted(host.glob("*.S"))]
        sources += self.generated()
        return compile_linux(sources, include=(tree, host), flags=self.flags)


@cache
def languages() -> tuple[Language, ...]:
    """All of them."""
    return tuple(import_module(f"libos.runtimes.{name}").LANGUAGE for name in NAMES)


def language_of(source: Path) -> Language | None:
    """The language of a program, `None` for C and for what is compiled already."""
    return next((language for language in languages() if language.main_of(source)), None)
