"""The source map that a file brings: a comment at its end, with the map in it or with the name of a file beside it.

A program may be a bundle that another tool has made. What the comment names is read within limits, from the folder of
the file and its subfolders alone; a map that is none costs a warning, not the build. The comment itself is no part of
the program: a map in it is many times as large, and would lie in the machine's memory.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from vmimage.errors import FormatError
from vmimage.sources import NAME_MAX, SourceMap, SourceTable
from vmimage.text import plain

MAP_MAX: Final = 32 << 20  # bytes of the JSON, with the texts of sources that it may hold
_COMMENT: Final = b"//# sourceMappingURL="
_INLINE: Final = re.compile(r"data:application/json(?:;charset=[\w-]+)?;base64,", re.ASCII | re.IGNORECASE)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)


def own_map(file: Path, text: bytes, name: str, root: Path) -> tuple[bytes, SourceMap | None, str]:
    """The text without the comment, its map if it has a good one, and why it has none though it names one.

    :param file: where the text lies, an absolute path.
    :param name: that the runtime knows the text by.
    :param root: the folder that names of sources shall begin in.
    """
    at = text.rfind(_COMMENT)
    url = text[at + len(_COMMENT) :].strip()
    if at < 0 or (at and text[at - 1 : at] not in b"\r\n") or len(url.split()) != 1:
        return text, None, ""
    try:
        found, folder = _read(file, url.decode())
        sources = _source_map(found, name, folder, root)
        SourceTable(sources)
    except (FormatError, ValueError, RecursionError, OSError) as error:
        shown = url[:60].decode(errors="replace")
        return text[:at], None, f"{file.name}: its source map {plain(shown)} is not used: {error}"
    return text[:at], sources, ""


def relative_names(names: Sequence[object], folder: Path, root: Path, prefix: str = "") -> tuple[str, ...]:
    """Names of sources as they are shown: relative to `root`, without what a terminal would not show.

    :param folder: where the map lies. :param prefix: what its `sourceRoot` says.
    """
    return tuple(_relative(name, folder, root, prefix) for name in names)


def _relative(name: object, folder: Path, root: Path, prefix: str) -> str:
    if not isinstance(name, str) or not name:
        return "?"
    if not _SCHEME.match(prefix + name):
        name = os.path.relpath(folder / prefix / name, root).replace(os.sep, "/")
    return plain(name)[-NAME_MAX:]


def _read(file: Path, url: str) -> tuple[Any, Path]:
    """The JSON, and the folder that its names are relative to.

    :raises ValueError: too large, elsewhere, or no JSON. :raises OSError: it cannot be read.
    """
    if (inline := _INLINE.match(url)) is not None:
        if len(url) > MAP_MAX * 4 // 3:
            raise ValueError(f"at most {MAP_MAX >> 20} MiB expected")
        try:
            return json.loads(base64.b64decode(url[inline.end() :], validate=True)), file.parent
        except binascii.Error as error:
            raise ValueError(f"base64 expected: {error}") from None
    beside = (file.parent / unquote(url)).resolve()
    if _SCHEME.match(url) or not beside.is_relative_to(file.parent):
        raise ValueError("a file beside the program expected")
    if beside.stat().st_size > MAP_MAX:
        raise ValueError(f"at most {MAP_MAX >> 20} MiB expected")
    return json.loads(beside.read_bytes()), beside.parent


def _source_map(found: Any, name: str, folder: Path, root: Path) -> SourceMap:
    """:raises ValueError: no source map of version 3, or one in sections."""
    good = isinstance(found, dict) and found.get("version") == 3 and "sections" not in found
    if not good or not isinstance(found.get("sources"), list) or not isinstance(found.get("mappings"), str):
        raise ValueError("a source map of version 3, not in sections, expected")
    if not found["mappings"]:
        raise ValueError("mappings expected")
    prefix = found.get("sourceRoot") or ""
    if not isinstance(prefix, str):
        raise ValueError("sourceRoot: text expected")
    return SourceMap(name, relative_names(found["sources"], folder, root, prefix), found["mappings"])
