"""Names for lines: of which file and line a program's text was made, as stacks in logs and reports need it.

The blob is one zstd frame of canonical JSON, a source map of version 3 (ECMA-426) with `file`, `sources`, `mappings`
and `version`, and nothing else: no text of a source is in it. `file` is the name that the machine knows the text by.
Without mappings there is one source, and its lines are those of the text: it only has another name there.

No machine and no request needs it. It is fetched when a line that a program logs has a position of `file` in it.
"""

import re
from dataclasses import dataclass
from typing import Final

import zstandard

from vmimage.canonical import canonical_json, load_json, refuse, require_object, require_same
from vmimage.compression import unpack
from vmimage.errors import FormatError
from vmimage.mappings import parse_mappings
from vmimage.text import plain

SOURCES_RAW_MAX: Final = 4 << 20
COUNT_MAX: Final = 8192  # files that a program is made of
NAME_MAX: Final = 256  # characters of a file's name
REPLACED_MAX: Final = 16  # positions in one line of a log

_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_VERSION: Final = 3
_KEYS: Final = ("file", "mappings", "sources", "version")


@dataclass(frozen=True)
class SourceMap:
    """Where the text of a program comes from."""

    file: str  # its name in the machine
    sources: tuple[str, ...]  # relative paths with `/`
    mappings: str = ""  # see `vmimage.mappings`; empty: the one source, line for line

    @property
    def is_plain(self) -> bool:
        """Whether it says nothing: the text is the source, under its own name."""
        return not self.mappings and self.sources == (self.file,)

    def encode(self) -> bytes:
        """The blob."""
        about = {"file": self.file, "mappings": self.mappings, "sources": self.sources, "version": _VERSION}
        return zstandard.ZstdCompressor(level=9).compress(canonical_json(about))


class SourceTable:
    """A source map that is looked up."""

    def __init__(self, source_map: SourceMap) -> None:
        """:raises FormatError: a name, or the mappings, are not what may be in a blob."""
        names, mappings = source_map.sources, source_map.mappings
        if not _FILE.fullmatch(source_map.file):
            refuse("sources file", "1 to 64 of A-Z a-z 0-9 . _ -", source_map.file)
        if not 1 <= len(names) <= (COUNT_MAX if mappings else 1):
            refuse("sources", f"1 to {COUNT_MAX} names, and one without mappings", len(names))
        for name in names:
            if not 1 <= len(name) <= NAME_MAX or plain(name) != name:
                refuse("sources name", f"1 to {NAME_MAX} characters, no control characters", name)
        if not mappings.isascii():
            raise FormatError("mappings: base64 digits, commas and semicolons expected")
        self._names = names
        self._segments = parse_mappings(mappings.encode(), len(names)) if mappings else None
        self._file = source_map.file
        self._position = re.compile(rf"(?<![\w./-]){re.escape(source_map.file)}:([0-9]{{1,9}})(?::([0-9]{{1,9}}))?")

    @classmethod
    def decode(cls, blob: bytes) -> "SourceTable":
        """Parse a blob.

        :raises FormatError: not zstd, larger than `SOURCES_RAW_MAX` unpacked, or no source map such as `encode` writes.
        """
        raw = unpack("sources", blob, SOURCES_RAW_MAX)
        fields = require_object("sources", load_json("sources", raw, SOURCES_RAW_MAX), set(_KEYS))
        require_same("sources version", _VERSION, fields["version"])
        if not isinstance(fields["sources"], list) or not all(isinstance(name, str) for name in fields["sources"]):
            refuse("sources", "a list of names", fields["sources"])
        for key in ("file", "mappings"):
            if not isinstance(fields[key], str):
                refuse(f"sources {key}", "text", fields[key])
        return cls(SourceMap(fields["file"], tuple(fields["sources"]), fields["mappings"]))

    @property
    def cost_bytes(self) -> int:
        """What it takes in memory, about."""
        names = sum(len(name) + 64 for name in self._names)
        return names + (self._segments.cost_bytes if self._segments is not None else 0)

    def speaks_of(self, text: str) -> bool:
        """Whether a line may have a position in it that this names; costs next to nothing."""
        return f"{self._file}:" in text

    def named(self, text: str) -> str:
        """A line with the original file, line and column for every position of the program's text.

        A position that nobody knows better stays as it is.
        """
        return self._position.sub(self._original, text, count=REPLACED_MAX) if self.speaks_of(text) else text

    def _original(self, found: re.Match[str]) -> str:
        line, column = int(found[1]), int(found[2]) if found[2] else 1
        if self._segments is None:
            return self._names[0] + found[0][len(self._file) :]
        origin = self._segments.find(line - 1, column - 1) if line and column else None
        if origin is None:
            return found[0]
        source, line, column = origin
        return f"{self._names[source]}:{line + 1}" + (f":{column + 1}" if found[2] else "")
