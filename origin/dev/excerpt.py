"""The lines of a source that a stack speaks of. What names them is a program's own word: no file outside is read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

AROUND: Final = 4  # lines before and after
LINE_MAX: Final = 240  # characters that are shown of one
FILE_MAX: Final = 4 << 20  # bytes; a larger one is not what somebody writes

_POSITION: Final = re.compile(r"([^\s():]{1,256}):([0-9]{1,7})(?::([0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of a file."""

    where: str  # "src/app.ts:3:9"
    marked: int  # the line that it is about
    column: int  # in it, from 1; 0 where nobody says
    first: int  # the number of the first line
    lines: tuple[str, ...]

    def text(self) -> list[str]:
        """For terminals: each line with its number, the marked one with an arrow and its column below."""
        width = len(str(self.first + len(self.lines)))
        shown = []
        for number, line in enumerate(self.lines, self.first):
            shown.append(f"{'>' if number == self.marked else ' '} {number:{width}} | {line}".rstrip())
            if number == self.marked and self.column:
                lead = "".join("\t" if character == "\t" else " " for character in line[: self.column - 1])
                shown.append(f"  {'':{width}} | {lead}^")
        return shown


def excerpt_of(trace: Iterable[str], folders: Sequence[Path]) -> Excerpt | None:
    """The lines around the innermost place that lies in a file of the developer's own.

    :param trace: frames, innermost first; each may have a place such as "app.ts:3:9" in it.
    :param folders: that names of files may begin in.
    """
    found = [
        (match, excerpt) for frame in trace for match in _POSITION.finditer(frame) if (excerpt := _read(match, folders))
    ]
    own = [excerpt for match, excerpt in found if "node_modules/" not in match[1]]
    return own[0] if own else found[0][1] if found else None


def _read(position: re.Match[str], folders: Sequence[Path]) -> Excerpt | None:
    name, number, column = position[1], int(position[2]), int(position[3] or 0)
    for folder in folders:
        try:
            file = (folder / name).resolve()
            if not file.is_relative_to(folder.resolve()) or not file.is_file() or file.stat().st_size > FILE_MAX:
                continue
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        if not 1 <= number <= len(lines):
            return None
        first = max(1, number - AROUND)
        shown = tuple(line[:LINE_MAX] for line in lines[first - 1 : number + AROUND])
        return Excerpt(position[0], number, column if column <= LINE_MAX else 0, first, shown)
    return None
