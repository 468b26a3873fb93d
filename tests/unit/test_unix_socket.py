"""Unix sockets: at paths longer than an address holds, for one user, and never taken from who has them."""

import os
import socket
import stat
from pathlib import Path

import pytest

from edge.common import unix_socket
from vmimage.errors import OperatorError


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder whose path alone is longer than a socket's address."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    return folder


def test_both_ends_meet_at_a_path_longer_than_an_address(deep: Path) -> None:
    path = deep / "admin.sock"
    with unix_socket.listen(path) as listener, unix_socket.connect(path, 1.0) as client:
        listener.setblocking(True)
        server, _ = listener.accept()
        with server:
            client.sendall(b"x")
            assert server.recv(1) == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with unix_socket.listen(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_what_a_process_that_has_ended_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    unix_socket.listen(path).close()  # the file stays
    with pytest.raises(OperatorError, match="Connection refused"):
        unix_socket.connect(path, 1.0)
    with unix_socket.listen(path), unix_socket.connect(path, 1.0):
        pass


def test_a_listener_is_left_alone_even_with_its_queue_full(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with unix_socket.listen(path) as listener:
        inode, waiting = path.stat().st_ino, []
        for _ in range(unix_socket.BACKLOG + 8):
            with pytest.raises(OperatorError, match="another process listens there"):
                unix_socket.listen(path)
            client = socket.socket(socket.AF_UNIX)
            waiting.append(client)
            client.setblocking(False)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        else:
            pytest.fail("a queue that is full expected")
        with pytest.raises(OperatorError, match="another process listens there"):
            unix_socket.listen(path)
        assert path.stat().st_ino == inode
        assert listener.fileno() >= 0
        for client in waiting:
            client.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "target").write_text("mine")
        path.symlink_to(tmp_path / "target")
    with pytest.raises(OperatorError, match="a socket or nothing expected"):
        unix_socket.listen(path)
    assert path.is_dir() or path.read_text() == "mine"


def test_no_descriptor_is_left_whatever_happens(tmp_path: Path) -> None:
    def attempt(path: Path) -> None:
        with pytest.raises(OperatorError):
            unix_socket.listen(path)
        with pytest.raises(OperatorError):
            unix_socket.connect(path, 1.0)

    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path / "file", tmp_path / "no" / "s", tmp_path / ("n" * 90)):
        attempt(path)
    assert len(os.listdir("/proc/self/fd")) == before


# Who owns it, and who else may write in its folder.


@pytest.mark.skipif(os.geteuid() != 0, reason="OWNERS ARE NOT TRIED HERE: only root can give a file away")
def test_a_socket_may_be_anothers(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with unix_socket.listen(path, mode=0o660, user="nobody", group="65533"):
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65533, 0o660)
        unix_socket.permit(path, mode=0o600, user="65532")
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65532, 65533, 0o600)


@pytest.mark.parametrize(("user", "group", "why"), [("no-such-user", "", "user="), ("", "no-such-group", "group=")])
def test_a_user_that_there_is_not(tmp_path: Path, user: str, group: str, why: str) -> None:
    with pytest.raises(OperatorError, match=f"{why}.*there is none of that name"):
        unix_socket.listen(tmp_path / "s", user=user, group=group)
    assert not (tmp_path / "s").exists()


def test_a_link_in_a_sockets_place_leads_nowhere(tmp_path: Path) -> None:
    """Whoever may write in the folder puts a link there once the socket is made, to have another file opened to all."""
    path, precious = tmp_path / "s", tmp_path / "precious"
    precious.touch(0o600)
    with unix_socket.listen(path):
        path.unlink()
        for kind in ("link", "link to a socket", "hard link", "file"):
            if kind == "link":
                path.symlink_to(precious)
            elif kind == "link to a socket":
                with socket.socket(socket.AF_UNIX) as private:
                    private.bind(str(tmp_path / "private"))
                (tmp_path / "private").chmod(0o600)
                path.symlink_to(tmp_path / "private")
            elif kind == "file":
                path.touch(0o600)
            else:
                with socket.socket(socket.AF_UNIX) as other:
                    other.bind(str(tmp_path / "other"))
                os.link(tmp_path / "other", path)
            with pytest.raises(OperatorError, match="put another file in its place"):
                unix_socket.permit(path, mode=0o666)
            path.unlink()
        assert {stat.S_IMODE(each.stat().st_mode) for each in (precious, tmp_path / "private")} == {0o600}


def test_a_socket_is_made_through_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in the moment between `bind` and `chmod`."""
    path, precious = tmp_path / "s", tmp_path / "precious"
    precious.touch(0o600)
    opened = os.open

    def swap(name: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if flags & os.O_PATH:
            path.unlink()
            path.symlink_to(precious)
        return opened(name, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(OperatorError, match="put another file in its place"):
        unix_socket.listen(path, mode=0o666)
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


def test_only_the_file_that_was_made_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with unix_socket.listen(path):
        file = unix_socket.file_of(path)
        assert file is not None
        path.rename(tmp_path / "moved")
        for kind in ("file", "folder", "link"):
            if kind == "link":
                path.symlink_to(tmp_path / "moved")
            else:
                path.touch() if kind == "file" else path.mkdir()
            unix_socket.remove(path, file)
            assert path.exists()
            path.rmdir() if path.is_dir() else path.unlink()
        assert unix_socket.file_of(path) is None
        (tmp_path / "moved").rename(path)
        unix_socket.remove(path, file)
        assert not path.exists()
