"""Secrets in a folder: FOLDER/SERVICE/NAME, each a file with a value. Read with suspicion, written whole.

Nobody but the edge's own user, or root, may own or open any of it. No symbolic link is followed below the folder, and
nothing but plain files is read, so that a name can lead nowhere else. Files whose names begin with a dot are passed
over: they are being written.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from edge.common.private import FILE_MODE, FOLDER_MODE, READ_FLAGS


class NotPrivate(Exception):
    """A file or folder that others may have written or read, or that is none."""


def folders(root: Path, most: int) -> list[str]:
    """Names of what is in the folder, at most so many and one more.

    :raises OSError, NotPrivate: it cannot be read, or is open to others.
    """
    with _opened(str(root), None, stat.S_IFDIR, os.O_DIRECTORY, follow=True) as folder:
        return _names(folder, most)


def files(root: Path, name: str, most: int, bytes_max: int) -> dict[str, bytes]:
    """Names and contents of a folder's files, at most so many files and bytes and one more of each.

    :param name: of a folder in `root`, which names no other place.
    :raises OSError, NotPrivate: one of them cannot be read, is open to others, or is no plain file.
    """
    with (
        _opened(str(root), None, stat.S_IFDIR, os.O_DIRECTORY, follow=True) as above,
        _opened(name, above, stat.S_IFDIR, os.O_DIRECTORY) as folder,
    ):
        found = {}
        for each in _names(folder, most):
            with _opened(each, folder, stat.S_IFREG, 0, shown=f"{name}/{each}") as file:
                found[each] = os.read(file, bytes_max + 1)
        return found


def _names(folder: int, most: int) -> list[str]:
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries if not entry.name.startswith("."))
        return sorted(islice(names, most + 1))


@contextmanager
def _opened(
    name: str, folder: int | None, kind: int, flags: int, *, follow: bool = False, shown: str = ""
) -> Iterator[int]:
    shown = shown or name
    try:
        descriptor = os.open(name, (READ_FLAGS & ~os.O_NOFOLLOW if follow else READ_FLAGS) | flags, dir_fd=folder)
    except OSError as error:
        what = "a folder" if kind == stat.S_IFDIR else "a file"
        raise NotPrivate(f"{shown}: {what} and no symbolic link expected: {error.strerror}") from None
    try:
        about = os.fstat(descriptor)
        if stat.S_IFMT(about.st_mode) != kind:
            raise NotPrivate(f"{shown}: {'a folder' if kind == stat.S_IFDIR else 'a plain file'} expected")
        if about.st_uid not in (os.geteuid(), 0):
            raise NotPrivate(f"{shown}: a file of the edge's own user expected, it is user {about.st_uid}'s")
        if about.st_mode & 0o077:
            wanted = FOLDER_MODE if kind == stat.S_IFDIR else FILE_MODE
            mode = stat.S_IMODE(about.st_mode)
            raise NotPrivate(f"{shown}: mode {wanted:04o} expected, got {mode:04o}: others have rights to it")
        yield descriptor
    finally:
        os.close(descriptor)
