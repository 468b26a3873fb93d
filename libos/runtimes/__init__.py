"""Languages whose programs are files that a runtime reads: each a folder here, and an entry in `LANGUAGES`.

README.md in this folder says how to add one.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from libos.runtimes import js, lua
from libos.runtimes.js import bundling, project
from libos.runtimes.program_text import ProgramText as ProgramText
from libos.runtimes.program_text import plain_text
from libos.toolchain.build import PREPARE_TIMEOUT_S, run_tool
from vmimage.errors import PublisherError


def _main_lua(folder: Path) -> Path | None:
    return found if (found := folder / "main.lua").is_file() else None


@dataclass(frozen=True)
class Language:
    """A language that `nunatak build` takes by the suffix of its source."""

    name: str  # of its base image
    suffixes: tuple[str, ...]
    place: str  # where the runtime finds the program, within the image's files
    program: Callable[[], bytes]  # the runtime as a static Linux program
    entry_of: Callable[[Path], Path | None]  # the file that the program of a folder begins with, if it is one
    text_of: Callable[[Path, Path | None], ProgramText]  # what the runtime reads, of that file; with which esbuild
    reads_files: bool  # whether programs can read files of their folder
    locale_files: Callable[[Sequence[str]], Mapping[str, bytes]] | None = (
        None  # an image's files for `--locale`, by path
    )


LANGUAGES = (
    Language(
        name="js",
        suffixes=project.SUFFIXES,
        place=project.NAME,
        program=js.program,
        entry_of=project.entry_of,
        text_of=bundling.program_text,
        reads_files=False,
        locale_files=js.locale_files,
    ),
    Language(
        name="lua",
        suffixes=(".lua",),
        place="main.lua",
        program=lua.program,
        entry_of=_main_lua,
        text_of=lambda file, _: plain_text(file, "main.lua"),
        reads_files=True,
    ),
)


def language_of(source: Path) -> Language | None:
    """The language of a source file, or of a folder with its main file; `None` for what is compiled."""
    for language in LANGUAGES:
        if language.entry_of(source) is not None if source.is_dir() else source.suffix in language.suffixes:
            return language
    return None


def locale_files(language: Language | None, locales: Sequence[str]) -> Mapping[str, bytes]:
    """Files, by path, for an image whose program formats for these locales beside the language's own.

    :raises PublisherError: programs of the language format for none, or not for one of these.
    """
    if not locales:
        return {}
    if language is None or language.locale_files is None:
        raise PublisherError("--locale: a JavaScript worker expected: leave it away, other languages have no Intl")
    return language.locale_files(locales)


def program_text(language: Language, source: Path, esbuild: Path | None = None) -> ProgramText:
    """A program in a language: the file, the folder's main file, or what the folder's `prepare.py OUTDIR` makes of it.

    :param esbuild: a program to use where JavaScript has to be bundled, in place of the pinned one.
    :raises PublisherError: `prepare.py` or esbuild refuses; with its message.
    :raises OperatorError: it has to be bundled, and there is no esbuild.
    """
    entry = source if source.is_file() else language.entry_of(source)
    if entry is None:
        raise PublisherError(f"{source}: {language.place} expected, it is gone")
    if source.is_dir() and (source / "prepare.py").exists():
        with tempfile.TemporaryDirectory(prefix="nunatak-") as out:
            run_tool([sys.executable, str(source / "prepare.py"), out], "prepare.py", PREPARE_TIMEOUT_S)
            if (made := Path(out) / language.place).is_file():
                return replace(plain_text(made, language.place), root=source)
    return language.text_of(entry, esbuild)
