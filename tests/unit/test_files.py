"""Is an archive of files the same for the same folder, and is nothing else taken for one?"""

import os
import stat
import struct
from pathlib import Path

import pytest

from origin.bake.files import FILE_MODE, FOLDER_MODE, PROGRAM_MODE, pack, unpack
from origin.bake.linux import read_folder
from vmimage import abi
from vmimage.errors import FormatError, PublisherError

TREE = {
    "": (FOLDER_MODE, b""),
    "a": (FOLDER_MODE, b""),
    "a-b": (FILE_MODE, b"beside"),
    "a/b": (PROGRAM_MODE, b"x" * 5000),
    "empty": (FILE_MODE, b""),
}
ARCHIVE = pack(TREE)


def changed(offset: int, data: bytes) -> bytes:
    return ARCHIVE[:offset] + data + ARCHIVE[offset + len(data) :]


def test_every_file_has_pages_of_its_own() -> None:
    assert len(ARCHIVE) % abi.PAGE_SIZE == 0
    assert ARCHIVE.index(b"beside") % abi.PAGE_SIZE == ARCHIVE.index(b"xxxx") % abi.PAGE_SIZE == 0
    assert unpack(ARCHIVE) == TREE
    assert pack(dict(reversed(TREE.items()))) == ARCHIVE


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        ARCHIVE[:-1],
        ARCHIVE + bytes(abi.PAGE_SIZE),
        changed(0, b"XXXX"),
        changed(4, struct.pack("<I", 2)),
        changed(8, struct.pack("<Q", 1 << 60)),
        changed(16, struct.pack("<I", 4)),  # fewer entries than there are
        changed(16, struct.pack("<I", 0xFFFFFFFF)),
        changed(24, struct.pack("<I", 0xFFFFFFFF)),  # a path outside
        changed(24 + 3 * 24 + 8, struct.pack("<Q", 1 << 63)),  # bytes outside
        changed(24 + 3 * 24 + 16, struct.pack("<Q", (1 << 64) - 1)),
        changed(24 + 3 * 24 + 16, struct.pack("<Q", 4999)),
        changed(24 + 4, struct.pack("<I", FILE_MODE)),  # a root that is no folder
        changed(24 + 5 * 24 + 1, b"\xff"),  # not UTF-8
        changed(24 + 5 * 24 + 1, b"z"),  # not sorted
        changed(len(ARCHIVE) - 1, b"x"),  # something behind the last file
    ],
)
def test_anything_else_is_refused(archive: bytes) -> None:
    with pytest.raises(FormatError):
        unpack(archive)


@pytest.mark.parametrize("path", ["..", "a/..", "./a", "/a", "a//b", "no/folder", "x" * 256, "nul\0", "a-b/under"])
def test_paths_that_a_guest_cannot_have(path: str) -> None:
    with pytest.raises(PublisherError):
        pack({**TREE, path: (FILE_MODE, b"")})


def test_a_folder_is_read_without_times_owners_and_links(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "run").write_bytes(b"#!")
    (folder / "sub" / "run").chmod(0o700)
    (folder / "link").symlink_to("sub/run")
    os.utime(folder / "link", (1, 1))
    found = read_folder(folder)
    assert found["link"] == found["sub/run"] == (PROGRAM_MODE, b"#!")
    assert stat.S_ISDIR(found["sub"][0])
    for target in ("../outside", "/", "nowhere", "."):
        (folder / "bad").symlink_to(target)
        with pytest.raises(PublisherError):
            read_folder(folder)
        (folder / "bad").unlink()
