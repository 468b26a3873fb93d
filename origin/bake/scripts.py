"""Programs in a language whose runtime reads them: their text found, bundled where it has to be, and baked.

What the program says meanwhile, and what it ends with, has the names of its own files and their lines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from libos.runtimes import Language, ProgramText, program_text
from origin.bake.bake import Baker
from origin.bake.bundle import with_sources
from origin.bake.linux import read_folder
from vmimage.archive import ImageBundle
from vmimage.errors import FormatError, PublisherError
from vmimage.manifest import SOURCES_MAX
from vmimage.sources import SourceMap, SourceTable

Say = Callable[[str], None]
Files = Mapping[str, tuple[int, bytes]]


@dataclass(frozen=True)
class Script:
    """A program ready to be baked."""

    program: ProgramText
    files: Files  # of its folder, by path, with their modes
    table: SourceTable


def read_script(language: Language, source: Path, esbuild: Path | None, warn: Say) -> Script:
    """A program as it lies there.

    :raises PublisherError: as `program_text` and `read_folder`. :raises OperatorError: as `program_text`.
    """
    program = program_text(language, source, esbuild)
    for warning in program.warnings:
        warn(warning)
    try:
        table = SourceTable(program.sources)
        if len(program.sources.encode()) > SOURCES_MAX:
            raise FormatError(f"at most {SOURCES_MAX} bytes expected, compressed")
    except FormatError as error:
        warn(f"{source.name}: stacks will have no names of files, its source map is not used: {error}")
        program = replace(program, sources=SourceMap(language.place, (language.place,)))
        table = SourceTable(program.sources)
    own = read_folder(source, of_program=True) if source.is_dir() and language.reads_files else {}
    return Script(program, own, table)


def bake_script(baker: Baker, script: Script, *, progress: Say, files: Files, **options: Any) -> ImageBundle:
    """The image of a script, see `Baker.bake_source`.

    :param files: that it finds beside those of its folder.
    :param options: of `Baker.bake_source`.
    :raises PublisherError: as there.
    """
    named = script.table.named
    try:
        image = baker.bake_source(
            script.program.text, files={**files, **script.files}, progress=lambda line: progress(named(line)), **options
        )
    except PublisherError as error:
        raise PublisherError("\n".join(named(line) for line in str(error).split("\n"))) from error
    return with_sources(image, script.program.sources)
