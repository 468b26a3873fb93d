"""Does everything that listens say where it cannot, why, and what to do? By the real commands."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from loadtest.site.site import NUNATAK
from tests.e2e.test_mistakes import BUSY_PORT, Daemon, edge, file, origin, parent, run


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taken") / "keys"
    subprocess.run([*NUNATAK, "keygen", str(folder)], check=True, capture_output=True)
    return folder


@contextmanager
def running_edge(keys: Path, folder: Path) -> Iterator[None]:
    one = Daemon(edge(keys), folder)
    try:
        one.ready()
        yield
    finally:
        one.end()


LISTENERS = ("edge", "operators of an edge", "peers", "origin", "parent", "operators of a parent", "wan")


@pytest.mark.parametrize(
    ("kind", "host"),
    [("console", "127.0.0.1"), *((kind, host) for kind in LISTENERS for host in ("127.0.0.1", "192.0.2.1"))],
)
def test_whoever_cannot_listen_says_where_why_and_what_to_do(keys: Path, tmp_path: Path, kind: str, host: str) -> None:
    place = f"{host}:{BUSY_PORT}"
    (tmp_path / "secret").write_text("t" * 43 + "\n")
    (tmp_path / "secret").chmod(0o600)
    words = {
        "edge": edge(keys, listen=place),
        "operators of an edge": edge(keys, admin_listen=place, admin_token="secret"),
        "peers": edge(keys, peer_listen=place),
        "origin": origin(keys, listen=place),
        "parent": parent(listen=place),
        "operators of a parent": [*parent(), "--admin-listen", place, "--admin-token", "secret"],
        "console": ["console", "--cache", "cache", "--port", str(BUSY_PORT)],
        "wan": ["wan", "--to", "127.0.0.1:9", "--listen", place],
    }[kind]
    with running_edge(keys, tmp_path) if kind == "console" else nullcontext():
        done = run(words, tmp_path)
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, place in said, "Traceback" in done.stderr) == (2, True, False), done.stderr
    assert "ss -ltnp says which" in said if host == "127.0.0.1" else "no interface of this machine has that" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "127.0.0.1:99999"], "--to: HOST:PORT expected"),
        (["--to", "127.0.0.1:9", "--listen", "127.0.0.1:99999"], "--listen: HOST:PORT expected"),
        (["--to", "127.0.0.1:9", "--listen", "nowhere.invalid:0"], "a name that this machine knows"),
        (["--to", "127.0.0.1:9", "--control", "nowhere/x"], "--control nowhere/x: No such file"),
        (["--to", "127.0.0.1:9", "--control", "precious"], "found another file"),
    ],
)
def test_a_link(tmp_path: Path, words: list[str], message: str) -> None:
    file("precious")(tmp_path)
    done = run(["wan", *words], tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert (tmp_path / "precious").read_bytes() == b"junk\n"
