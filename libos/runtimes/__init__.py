"""Languages whose programs are files that a runtime reads: each a folder here, and an entry in `LANGUAGES`.

README.md in this folder says how to add one.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from libos.runtimes import js, lua
from libos.toolchain.build import PREPARE_TIMEOUT_S, run_tool
from vmimage.errors import PublisherError


@dataclass(frozen=True)
class Language:
    """A language that `nunatak build` takes by the suffix of its source."""

    name: str  # of its base image
    suffixes: tuple[str, ...]
    place: str  # where the runtime finds the program, within the image's files
    program: Callable[[], bytes]  # the runtime as a static Linux program
    locale_files: Callable[[Sequence[str]], Mapping[str, bytes]] | None = (
        None  # an image's files for `--locale`, by path
    )


LANGUAGES = (
    Language("js", (".js", ".mjs"), "worker.js", js.program, js.locale_files),
    Language("lua", (".lua",), "main.lua", lua.program),
)


def language_of(source: Path) -> Language | None:
    """The language of a source file, or of a folder with its main file; `None` for what is compiled."""
    for language in LANGUAGES:
        if (source / language.place).is_file() if source.is_dir() else source.suffix in language.suffixes:
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


def program_text(language: Language, source: Path) -> bytes:
    """A program in a language: the file, the folder's main file, or what the folder's `prepare.py OUTDIR` makes of it.

    :raises PublisherError: `prepare.py` refuses; with its message.
    """
    if source.is_file():
        return source.read_bytes()
    if (source / "prepare.py").exists():
        with tempfile.TemporaryDirectory(prefix="nunatak-") as out:
            run_tool([sys.executable, str(source / "prepare.py"), out], "prepare.py", PREPARE_TIMEOUT_S)
            if (Path(out) / language.place).is_file():
                return (Path(out) / language.place).read_bytes()
    return (source / language.place).read_bytes()
