"""The files of a folder that is to be public: found, and what should not be public refused."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from vmimage.disk import DISK_BYTES_MAX
from vmimage.errors import PublisherError
from vmimage.terms import OUTPUT_MAX

FILES_MAX: Final = 20_000  # their index is in each machine's memory
FILE_BYTES_MAX: Final = OUTPUT_MAX  # of one answer
TOTAL_BYTES_MAX: Final = DISK_BYTES_MAX // 2  # of all: room on a disk for what lies between them
PATH_MAX: Final = 1024  # bytes
RULES: Final = ("_headers", "_redirects")  # at the top of the folder; they are read, and nobody gets them
WELL_KNOWN: Final = ".well-known"  # a public folder with a dot (RFC 8615)
NAMED_MAX: Final = 5  # files in a message


class AssetFile(NamedTuple):
    """A file of the folder."""

    path: Path
    size: int  # bytes
    modified_s: int


def is_among(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern names a file, or a part of its path: `*.map`, `drafts`, `img/*.png`."""
    return any(
        fnmatchcase(name, pattern) or any(fnmatchcase(part, pattern) for part in name.split("/"))
        for pattern in patterns
    )


def read_folder(folder: Path, exclude: Sequence[str] = ()) -> dict[str, AssetFile]:
    """The files below a folder by their paths in it, sorted, without those of `RULES` at its top.

    :param exclude: patterns of what is left out, as `is_among` has them.
    :raises PublisherError: something in it is hidden, a link that leads out of it, neither a file nor a folder, or has
        a name that no URL can have; or it is too much.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise PublisherError(f"assets: a folder expected, got {folder}: name the folder whose files are to be served")
    found: dict[str, AssetFile] = {}
    hidden: list[str] = []
    total = 0
    open_folders = [(root, "", frozenset((root,)))]
    while open_folders:
        here, prefix, above = open_folders.pop()
        for path in sorted(here.iterdir()):
            name, target = prefix + path.name, path.resolve()
            if name in RULES or (exclude and is_among(name, exclude)):
                continue
            if path.name.startswith(".") and name != WELL_KNOWN:
                hidden.append(name)
                continue
            _check(name, target, root)
            if target.is_dir():
                if target in above:
                    raise PublisherError(f"assets: {name}: a link that is not a circle expected: remove it")
                open_folders.append((target, name + "/", above | {target}))
                continue
            about = target.stat()
            found[name] = AssetFile(target, about.st_size, max(0, int(about.st_mtime)))
            total += about.st_size
            _check_sizes(name, about.st_size, len(found), total)
    if hidden:
        named = ", ".join(hidden[:NAMED_MAX]) + (
            f" and {len(hidden) - NAMED_MAX} more" if len(hidden) > NAMED_MAX else ""
        )
        raise PublisherError(
            f"assets: no hidden files expected, got {named}: everybody could read them; remove them, or leave them out "
            f"with --exclude '{Path(hidden[0]).name}'"
        )
    if not found:
        raise PublisherError(f"assets: a folder with files expected, {folder} has none: name the one with index.html")
    return dict(sorted(found.items()))


def _check(name: str, target: Path, root: Path) -> None:
    if not target.is_relative_to(root) or not target.exists():
        raise PublisherError(
            f"assets: {name}: a link within the folder expected, it leads elsewhere: copy the file in its place"
        )
    if not target.is_dir() and not target.is_file():
        raise PublisherError(f"assets: {name}: a file or folder expected: remove it")
    if not os.access(target, os.R_OK):
        raise PublisherError(f"assets: {name}: a file that can be read expected: change its mode, or leave it out")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise PublisherError(f"assets: {name!r}: a name in UTF-8 expected: rename it") from None
    if size > PATH_MAX or any(ord(character) < 0x20 or character == "\x7f" for character in name):
        raise PublisherError(
            f"assets: {name[:80]!r}: a path of at most {PATH_MAX} bytes without control characters expected: rename it"
        )


def _check_sizes(name: str, size: int, count: int, total: int) -> None:
    if size > FILE_BYTES_MAX:
        raise PublisherError(
            f"assets: {name}: at most {FILE_BYTES_MAX >> 30} GiB in a file expected, got {size} bytes: cut it in parts"
        )
    if count > FILES_MAX or total > TOTAL_BYTES_MAX:
        raise PublisherError(
            f"assets: at most {FILES_MAX} files and {TOTAL_BYTES_MAX >> 30} GiB expected, the folder has more: "
            "leave some out with --exclude, or make several services of it"
        )
