"""Files that nobody but the edge's own user may open: parked memory, written pages, logs, keys.

Folders have mode 0700 and files 0600, whatever the umask, and also where an earlier edge left them open. Symbolic links
inside are not followed. Rules for callers: `private_folder` before anything is put into a folder; `write_private` for a
small file that must be whole.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from vmimage.errors import OperatorError

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
# To open for reading what should be a file: no link is followed, and no pipe or device is waited for.
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def private_folder(folder: Path, option: str = "--cache") -> int:
    """Make a folder, or take all others' rights to one that is there and to all that is in it.

    Returns how many files and folders others had rights to.

    :param option: that names the folder, for messages.

    :raises OperatorError: it cannot be made, or belongs to another user.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise OperatorError(
                f"{option}: a folder of this user's own expected, got {folder}: name a new one inside it"
            )
        closed = _close(folder, folder.stat().st_mode, FOLDER_MODE)  # first: from here on nobody else gets in
        return closed + _close_all(folder)
    except OSError as error:
        raise OperatorError(
            f"{option}: a writable folder expected at {error.filename or folder}: {error.strerror}: "
            "name one that this user may write"
        ) from None


def _close_all(folder: Path | str) -> int:
    closed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                closed += _close(entry.path, mode, FOLDER_MODE) + _close_all(entry.path)
            elif stat.S_ISREG(mode):
                closed += _close(entry.path, mode, FILE_MODE)
    return closed


def _close(path: Path | str, mode: int, wanted: int) -> int:
    if stat.S_IMODE(mode) == wanted:
        return 0
    os.chmod(path, wanted)
    return 1


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write or replace a small file, whole or not at all.

    :param durable: it must outlive a power cut.
    :raises OSError: it cannot be written; what was there stays.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.replace(new, path)
        if durable:
            sync_folder(path.parent)
    finally:
        new.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Let renames in a folder be on disk.

    :raises OSError: they cannot be.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path, *companions: str) -> Path:
    """Rename a file that cannot be used to the first free name NAME.damaged-N, and its companions by suffix with it.

    :raises OSError: it cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in companions:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            os.replace(companion, aside.with_name(aside.name + suffix))
    os.replace(path, aside)
    sync_folder(path.parent)
    return aside
