"""Who may open what an edge keeps: nobody but its own user, whatever the umask, and however it was left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.common.private import private_folder, set_aside, write_private
from vmimage.errors import OperatorError


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[int]:
    return {path.lstat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if not path.is_symlink()}


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "a" / "cache") == 0
    assert modes(tmp_path / "a" / "cache") == {0o700}


def test_what_an_earlier_edge_left_open_is_closed_and_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("of somebody else")
    cache = tmp_path / "cache"
    (cache / "parked" / "ab" / "cd").mkdir(parents=True)
    for name in ("written.db", "parked/cache.db", "parked/ab/cd/1.val"):
        (cache / name).write_bytes(b"memory")
    (cache / "link").symlink_to(outside)
    os.mkfifo(cache / "pipe")
    assert private_folder(cache) == 7
    assert modes(cache / "parked") == {0o700, 0o600}
    assert outside.stat().st_mode & 0o777 == 0o666
    assert private_folder(cache) == 0


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OperatorError, match="this user's own"):
        private_folder(tmp_path)


def test_a_small_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    write_private(path, b"one")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"two")
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
    assert path.read_bytes() == b"one"


def test_nothing_that_was_set_aside_is_overwritten(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "written.db").write_text(f"file {number}")
        (tmp_path / "written.db-wal").write_text(f"log {number}")
        set_aside(tmp_path / "written.db", "-wal", "-shm")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "written.db.damaged-1": "file 1",
        "written.db.damaged-1-wal": "log 1",
        "written.db.damaged-2": "file 2",
        "written.db.damaged-2-wal": "log 2",
    }
