"""Read-only files of an image: a folder packed into one archive that the guest reads in place.

Archive: header {u32 magic "NKFS", u32 version, u64 size, u32 entries, u32 zero}; entries {u32 path, u32 mode, u64 data,
u64 size} sorted by path; the paths, each ended by NUL; then every file's bytes from a page of their own, padded with
zeros. Offsets count from the archive's start. The root's path is "". `libos/base/archive.h` says the same in C.
The same folder gives the same bytes: no times, no owners, modes 0755 and 0644. Links are resolved when packing.
"""

import stat
import struct
from collections.abc import Mapping
from typing import Final

from vmimage import abi
from vmimage.errors import FormatError, PublisherError

MAGIC: Final = 0x5346_4B4E
VERSION: Final = 1
FILES_MAX: Final = 256 << 20  # bytes of an archive
ENTRIES_MAX: Final = 65_536
PATH_MAX: Final = 500  # bytes; the libOS keeps a path in 512
NAME_MAX: Final = 255

_HEADER: Final = struct.Struct("<IIQII")
_ENTRY: Final = struct.Struct("<IIQQ")
FOLDER_MODE: Final = stat.S_IFDIR | 0o755
FILE_MODE: Final = stat.S_IFREG | 0o644
PROGRAM_MODE: Final = stat.S_IFREG | 0o755


def pack(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """The archive, whole pages long.

    :raises PublisherError: a path the guest cannot have, or one whose folder is missing; or too much.
    """
    names = {path: path.encode() for path in files}
    for path, name in names.items():
        _check_path(path, name)
        parent = path.rpartition("/")[0]
        if path and (parent not in files or not stat.S_ISDIR(files[parent][0])):
            raise PublisherError(f"files: {path}: a folder {parent!r} expected: rename the file of that name")
    order = sorted(names, key=lambda path: names[path])
    paths_at = _HEADER.size + _ENTRY.size * len(order)
    position = _round_up(paths_at + sum(len(name) + 1 for name in names.values()))
    entries, paths, contents = bytearray(), bytearray(), bytearray()
    for path in order:
        mode, data = files[path]
        at = position + len(contents) if data else 0
        entries += _ENTRY.pack(paths_at + len(paths), mode, at, len(data))
        paths += names[path] + b"\0"
        contents += data.ljust(_round_up(len(data)), b"\0")
    size = position + len(contents)
    if size > FILES_MAX:
        raise PublisherError(
            f"files: at most {FILES_MAX >> 20} MiB expected, got {size >> 20}: "
            "put what is large on a disk (`nunatak disk build`)"
        )
    head = _HEADER.pack(MAGIC, VERSION, size, len(order), 0) + entries + paths
    return bytes(head.ljust(position, b"\0") + contents)


def in_folders(files: Mapping[str, bytes]) -> dict[str, tuple[int, bytes]]:
    """Plain files by path, with the folders that they lie in."""
    found = {path: (FILE_MODE, data) for path, data in files.items()}
    for path in files:
        parts = path.split("/")[:-1]
        found |= {"/".join(parts[:size]): (FOLDER_MODE, b"") for size in range(1, len(parts) + 1)}
    return found


def unpack(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """What `pack` took.

    :raises FormatError: anything but what `pack` would have made; nothing outside of the archive is looked at.
    """
    if not _HEADER.size <= len(archive) <= FILES_MAX:
        raise FormatError(f"files: {_HEADER.size} to {FILES_MAX} bytes expected, got {len(archive)}")
    magic, version, size, count, _ = _HEADER.unpack_from(archive)
    if (magic, version, size) != (MAGIC, VERSION, len(archive)):
        raise FormatError(f"files: magic {MAGIC:#x} version {VERSION} expected, got {magic:#x} version {version}")
    if count > ENTRIES_MAX or _HEADER.size + count * _ENTRY.size > len(archive):
        raise FormatError(f"files: at most {ENTRIES_MAX} entries expected, got {count}")
    files: dict[str, tuple[int, bytes]] = {}
    for number in range(count):
        path_at, mode, data_at, length = _ENTRY.unpack_from(archive, _HEADER.size + number * _ENTRY.size)
        end = archive.find(b"\0", path_at, path_at + PATH_MAX + 1)
        if end < 0 or data_at > len(archive) or length > len(archive) - data_at:
            raise FormatError(f"files: entry {number}: path and bytes in the archive expected")
        try:
            path = archive[path_at:end].decode()
        except UnicodeDecodeError:
            raise FormatError(f"files: entry {number}: a path in UTF-8 expected") from None
        files[path] = (mode, archive[data_at : data_at + length])
    try:
        same = pack(files) == archive
    except PublisherError as error:
        raise FormatError(str(error)) from None
    if not same:
        raise FormatError("files: the one form of an archive expected, got another")
    return files


def _check_path(path: str, name: bytes) -> None:
    parts = path.split("/") if path else []
    bad = any(part in ("", "..", ".") or len(part.encode()) > NAME_MAX for part in parts)
    if bad or len(name) > PATH_MAX or b"\0" in name:
        raise PublisherError(
            f"files: a path of at most {PATH_MAX} bytes without '..' expected, got {path[:80]!r}: "
            "give it a shorter name in the folder"
        )


def _round_up(size: int) -> int:
    return -(-size // abi.PAGE_SIZE) * abi.PAGE_SIZE
