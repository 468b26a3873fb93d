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
