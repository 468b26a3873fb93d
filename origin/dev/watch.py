"""Has the source changed? Looked at several times a second, which works on every system, file system and container.

A stamp is what `stat` says of every file that may belong to a program; two looks apart tell a change, and a look that
equals the one before tells that whoever saved has finished. Reading a folder of 100 files takes about 0.3 ms.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from origin.bake.linux import is_of_tools

POLL_S: Final = 0.1
SETTLE_S: Final = 0.03  # editors write a file in several steps; the steps of one save are closer together
FILES_MAX: Final = 10_000  # what a folder holds beyond them is not watched
SETTLE_LOOKS: Final = 20  # a folder that something writes to all the time is built as it is
SIBLINGS: Final = frozenset({".h", ".json"})  # what a single file may include, beside files of its own kind

Stamp = dict[str, tuple[int, int, int]]  # path to inode, size, time of change in ns


def stamp(source: Path, inputs: Iterable[Path] = ()) -> Stamp:
    """What is there now: of a folder everything below, of a file also those beside it that it may include.

    Where this process's own output goes is no part of a program.

    :param inputs: other files that the program was made of, wherever they lie.
    """
    found: Stamp = {}
    ours = {(about.st_dev, about.st_ino) for about in map(os.fstat, (1, 2))}
    folders = [source if source.is_dir() else source.parent]
    while folders and len(found) < FILES_MAX:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # being replaced
            continue
        for entry in entries:
            if is_of_tools(entry.name):
                continue
            try:
                if not entry.is_dir():
                    about = entry.stat()
                    belongs = source.is_dir() or Path(entry).suffix in {source.suffix, *SIBLINGS}
                    if belongs and (about.st_dev, about.st_ino) not in ours:
                        found[entry.path] = (about.st_ino, about.st_size, about.st_mtime_ns)
                elif source.is_dir():
                    folders.append(Path(entry.path))
            except OSError:  # gone since
                continue
    for path in inputs:
        try:
            about = path.stat()
        except OSError:
            continue
        found[str(path)] = (about.st_ino, about.st_size, about.st_mtime_ns)
    return found


async def changed(look: Callable[[], Stamp], known: Stamp) -> None:
    """Until what `look` sees is something else than `known`, and stays so for a moment."""
    before, looks = known, 0
    while looks < SETTLE_LOOKS:
        now = look()
        if now != known and now == before:
            return
        looks = looks + 1 if now != known else 0
        before = now
        await asyncio.sleep(SETTLE_S if looks else POLL_S)
