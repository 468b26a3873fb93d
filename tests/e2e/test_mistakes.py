"""What users can get wrong, by the real commands: one line that names it, exit code 2, never a traceback.

And what the world does to a daemon: signals, closed outputs, users without a home, few descriptors.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import NUNATAK
from tests.support.edges import eventually

PATIENCE_S = 60.0
NOBODY = 54321


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes") / "keys"
    subprocess.run([*NUNATAK, "keygen", str(folder)], check=True, capture_output=True)
    return folder


def run(words: list[str], folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*NUNATAK, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=folder, **options
    )


def edge(keys: Path, **options: str) -> list[str]:
    given = {
        "origin": "http://127.0.0.1:9",
        "trust": str(keys / "root.json"),
        "cache": "cache",
        "listen": "127.0.0.1:0",
    }
    given |= {name.replace("_", "-"): value for name, value in options.items()}
    return ["edge", "--workers", "1", *(part for name, value in given.items() for part in (f"--{name}", value))]


def origin(folder: Path, **options: str) -> list[str]:
    given = {"store": "store", "keys": str(folder), "listen": "127.0.0.1:0"} | options
    return ["origin", *(part for name, value in given.items() for part in (f"--{name}", value))]


def parent(**options: str) -> list[str]:
    given = {"source": "http://127.0.0.1:9", "cache": "cache", "listen": "127.0.0.1:0"} | options
    return ["parent", *(part for name, value in given.items() for part in (f"--{name}", value))]


def refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """In one line, after what the command's log may say."""
    said = [line for line in done.stderr.splitlines() if line.startswith("nunatak: ")]
    assert (done.returncode, len(said)) == (2, 1), done.stderr
    assert done.stderr.splitlines()[-1] == said[0]
    assert "Traceback" not in done.stderr
    assert message in said[0]


# What is there as something else.


def file(at: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / at).parent.mkdir(parents=True, exist_ok=True)
        (folder / at).write_bytes(b"junk\n")

    return make


def folder(at: str) -> Callable[[Path], None]:
    return lambda place: (place / at).mkdir(parents=True)


BUSY = socket.create_server(("127.0.0.1", 0))
BUSY_PORT = BUSY.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "before", "message"),
    [
        ({"listen": f"127.0.0.1:{BUSY_PORT}"}, None, "Address already in use: another process listens there"),
        ({"listen": "::1:8080"}, None, "listen: unix:PATH, fd:NAME or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected"),
        ({"origin": "http://[::1"}, None, "origin: an http or https URL expected"),
        ({"log": "nowhere/edge.log"}, None, "log: a file that can be written expected at nowhere/edge.log"),
        (
            {"trust": "none"},
            None,
            "trust: root.json of `nunatak keygen` expected at none: No such file or directory: name",
        ),
        (
            {"edge_name": "a", "edge_token": "none"},
            None,
            "edge_token: a file expected at none: No such file or directory",
        ),
        ({"trust": "junk"}, file("junk"), "a trust root (root.json of `nunatak keygen`) expected"),
        ({"cache": "/proc/nunatak"}, None, "--cache: a writable folder expected at /proc/nunatak"),
        ({}, file("cache/tuf"), "cache/tuf"),
        ({}, folder("cache/lock"), "cache/lock: Is a directory"),
    ],
)
def test_an_edge(
    keys: Path, tmp_path: Path, options: dict[str, str], before: Callable[[Path], None] | None, message: str
) -> None:
    if before is not None:
        before(tmp_path)
    refused(run(edge(keys, **options), tmp_path), message)


@pytest.mark.parametrize(
    ("options", "before", "message"),
    [
        ({"listen": f"127.0.0.1:{BUSY_PORT}"}, None, "Address already in use: another process listens there"),
        ({"listen": "unix:here"}, file("here"), "a socket or nothing expected there"),
        ({"store": "/proc/x"}, None, "a writable folder expected at /proc/x"),
        ({}, file("store/tags"), "expected at store"),
        ({}, folder("store/tuf/timestamp.json"), "store/tuf/timestamp.json: Is a directory"),
    ],
)
def test_an_origin(
    keys: Path, tmp_path: Path, options: dict[str, str], before: Callable[[Path], None] | None, message: str
) -> None:
    if before is not None:
        before(tmp_path)
    refused(run(origin(keys, **options), tmp_path), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["keygen", "junk/keys"], "keys cannot be written"),
        (["renew", "snapshot", "--origin", "http://127.0.0.1:9", "--keys", "{keys}"], "the origin renews the others"),
        (["renew", "bins", "--origin", "http://127.0.0.1:9", "--keys", "{keys}"], "an origin expected at"),
        (["logs", "x", "--origin", "http://127.0.0.1:9", "--keys", "{keys}"], "Connection refused"),
        (["token", "add", "--tenant", "x", "--keys", "nowhere"], "nowhere"),
        (["admin", "health", "--socket", "junk"], "unix:junk: "),
        (["doctor", "--config", "junk"], "junk:1: "),
        (["disk", "build", "nowhere", "-o", "x", "--name", "x"], "nowhere"),
        (["run", "junk"], "junk"),
        (["verify", "x", "--trust", "none", "--origin", "http://127.0.0.1:9"], "--trust: root.json with targets.json"),
    ],
)
def test_commands(keys: Path, tmp_path: Path, words: list[str], message: str) -> None:
    file("junk")(tmp_path)
    refused(run([word.format(keys=keys) for word in words], tmp_path), message)


# A daemon's life.


class Daemon:
    """A command that runs until it is told to end."""

    def __init__(self, words: list[str], folder: Path, **options: object) -> None:
        self.log = folder / "daemon.log"
        with self.log.open("wb") as out:
            streams = {"stdout": out, "stderr": subprocess.STDOUT} | options
            command = [*options.pop("prefix", []), *NUNATAK, *words]  # type: ignore[misc]
            streams.pop("prefix", None)
            self.process = subprocess.Popen(command, cwd=folder, start_new_session=True, **streams)  # type: ignore[call-overload]

    @property
    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def ready(self) -> str:
        """Where it listens."""
        eventually(lambda: " ready on " in self.text or self.process.poll() is not None, "the daemon is ready")
        assert " ready on " in self.text, self.text
        return self.text.partition(" ready on ")[2].split()[0]

    def end(self, *signals: signal.Signals) -> int:
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        code: int = self.process.wait(PATIENCE_S)
        return code


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def start(words: list[str], **options: object) -> Daemon:
        started.append(Daemon(words, tmp_path, **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()


def answers(url: str) -> bool:
    try:
        with Client(url) as client:
            return client.get("/v2/images/tags/list").status in (200, 421, 502)  # 502: an edge without its origin
    except OSError:
        return False


DAEMONS = pytest.mark.parametrize("kind", ["edge", "origin"])


def words_of(kind: str, keys: Path, **options: str) -> list[str]:
    return parent(**options) if kind == "parent" else (edge if kind == "edge" else origin)(keys, **options)


@pytest.mark.parametrize(
    ("kind", "number"), [("edge", signal.SIGTERM), ("origin", signal.SIGINT), ("parent", signal.SIGTERM)]
)
def test_signals(daemon: Callable[..., Daemon], keys: Path, kind: str, number: signal.Signals) -> None:
    """A hang-up ends nothing, when it is early neither; the end may be asked for more than once."""
    one = daemon(words_of(kind, keys))
    status = Path(f"/proc/{one.process.pid}/status")
    ignored = 1 << (signal.SIGHUP - 1)

    def spared() -> bool:
        masks = dict(line.split(":\t") for line in status.read_text().splitlines() if line.startswith("Sig"))
        return bool((int(masks["SigIgn"], 16) | int(masks["SigCgt"], 16)) & ignored)

    eventually(spared, "a hang-up is no end")
    assert " ready on " not in one.text, "before anything else"
    one.process.send_signal(signal.SIGHUP)
    one.ready()
    os.killpg(one.process.pid, signal.SIGHUP)
    words = {"edge": "event=hangup", "origin": "the tokens were read again", "parent": "event=reloaded"}
    eventually(lambda: words[kind] in one.text, "it reads again")
    assert one.end(number, number) == 0
    assert "Traceback" not in one.text


@DAEMONS
def test_outputs_that_are_closed(daemon: Callable[..., Daemon], keys: Path, tmp_path: Path, kind: str) -> None:
    """Nobody reads what it says, or there is nowhere to say it: it serves on."""
    at = tmp_path / "front.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(at))  # as one that was killed leaves it
    words = words_of(kind, keys, listen=f"unix:{at}")
    reading, writing = os.pipe()
    os.close(reading)
    for options in (
        {"stdout": writing, "stderr": writing},
        {"prefix": ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-']},
    ):
        one = daemon(words, **options)
        eventually(lambda: answers(f"unix:{at}"), "it answers")
        assert at.stat().st_mode & 0o777 == 0o666
        one.process.send_signal(signal.SIGHUP)
        assert answers(f"unix:{at}")
        assert one.end() == 0
        assert not at.exists()
    os.close(writing)


@DAEMONS
def test_users_without_a_home(daemon: Callable[..., Daemon], keys: Path, tmp_path: Path, kind: str) -> None:
    """A user that no list has, as container platforms give one."""
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("OTHER USERS ARE NOT TESTED HERE: root and setpriv expected")
    again = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import uvloop'], check=True)"
    if subprocess.run([*prefix, NUNATAK[0], "-c", again], capture_output=True, check=False).returncode:
        pytest.skip(f"OTHER USERS ARE NOT TESTED HERE: {NUNATAK[0]} is not for them")
    for folder_ in (tmp_path, *tmp_path.parents):
        if folder_ != Path("/") and folder_ != Path("/tmp"):
            folder_.chmod(folder_.stat().st_mode | 0o755)
    own = tmp_path / "own"
    shutil.copytree(keys, own)
    for each in (tmp_path, own, *own.iterdir()):
        os.chown(each, NOBODY, NOBODY)
    env = {"PATH": os.environ["PATH"], "TMPDIR": "/tmp"}
    one = daemon(words_of(kind, own), prefix=prefix, env=env)
    one.ready()
    assert one.end() == 0
    assert "Traceback" not in one.text


def test_few_descriptors(daemon: Callable[..., Daemon], keys: Path) -> None:
    """More connections than there may be files: those that fit are answered, and all is well when they have gone."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    one = daemon(origin(keys), preexec_fn=few)
    url = one.ready()
    host, _, port = url.removeprefix("http://").partition(":")
    crowd = [socket.create_connection((host, int(port)), 5) for _ in range(150)]
    time.sleep(0.3)
    assert one.process.poll() is None
    for connection in crowd:
        connection.close()

    def answered() -> bool:
        try:
            with Client(url) as client:
                return client.get("/tuf/timestamp.json").status == 200
        except OSError:
            return False

    eventually(answered, "it answers again")
    assert one.end() == 0


def test_an_origin_on_a_full_disk(daemon: Callable[..., Daemon], keys: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: no tmpfs can be mounted")
    try:
        one = daemon(origin(keys, store=str(place / "store")))
        url = one.ready()
        token = {"Authorization": f"Bearer {(keys / 'token').read_text().strip()}"}
        with Client(url) as client:
            for _ in range(3):
                full = client.request(
                    "POST", f"/v2/images/blobs/uploads/?digest=sha256:{'0' * 64}", body=bytes(2 << 20), headers=token
                )
                assert full.status == 507
                assert b"No space left" in full.body
            assert client.get("/tuf/timestamp.json").status == 200
        (place / "filler").write_bytes(b"")
        with (place / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(512)):
                    pass
            except OSError:
                pass
        assert one.end() == 0
        assert "Traceback" not in one.text
        refused(run(origin(keys, store=str(place / "store")), tmp_path), "No space left on device")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_read_only_file_system(keys: Path, tmp_path: Path) -> None:
    place = tmp_path / "fixed"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("READ-ONLY FILE SYSTEMS ARE NOT TESTED HERE: no tmpfs can be mounted")
    try:
        refused(run(edge(keys, cache=str(place / "cache")), tmp_path), "Read-only file system")
        refused(run(origin(keys, store=str(place / "store")), tmp_path), "Read-only file system")
        refused(run(["keygen", str(place / "keys")], tmp_path), "Read-only file system")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
