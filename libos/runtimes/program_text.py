"""What a runtime is given to read: the text of a program, and what it was made of."""

from dataclasses import dataclass, field
from pathlib import Path

from vmimage.sources import SourceMap


@dataclass(frozen=True)
class ProgramText:
    """A program in a language."""

    text: bytes
    sources: SourceMap  # whose `file` is the name that the runtime knows the text by
    root: Path  # the folder that the names of its sources begin in
    inputs: tuple[Path, ...] = ()  # files that it was made of, beside the source itself
    warnings: tuple[str, ...] = field(default=())  # what a publisher should know


def plain_text(file: Path, name: str) -> ProgramText:
    """A file as it is.

    :param name: that the runtime knows it by.
    """
    return ProgramText(file.read_bytes(), SourceMap(name, (file.name,)), file.parent)
