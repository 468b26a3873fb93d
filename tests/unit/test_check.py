"""`nunatak edge --check` and `--print-config`: what is found in a configuration before an edge starts with it."""

import fcntl
import socket
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.check import check, listeners
from edge.config.options import load_config, options
from edge.doctor import Finding
from edge.main import build_app
from origin import keys
from tests.support.serving import serving
from vmimage.errors import OperatorError

WIDE = {"COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key folder."""
    folder = tmp_path_factory.mktemp("check") / "keys"
    keys.generate(folder, datetime.now(UTC))
    return folder


def findings(folder: Path, root: Path, **given: str) -> dict[str, Finding]:
    """By name; the last one where there are several."""
    needed = {"origin": "http://127.0.0.1:9", "trust": str(root / "root.json"), "cache": str(folder / "cache")}
    usual = {"listen": "127.0.0.1:0", "memory": "16MiB", "workers": "1"}
    return {found.name: found for found in check(load_config(None, {**needed, **usual, **given}))}


class Source(BaseHTTPRequestHandler):
    """An origin, a bucket and a registry that wants tokens, as far as a look at them goes."""

    def do_GET(self) -> None:
        self.send_response({"/tuf/timestamp.json": 200, "/v2/": 401}.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with serving(Source) as url:
        yield url


def test_all_sources_are_asked_whether_they_answer(tmp_path: Path, root: Path, source: str) -> None:
    given = {"origin": source, "trust": str(root / "root.json"), "cache": str(tmp_path / "cache")}
    given |= {"source": f"oci+{source}/a files+{source} files+{source}/elsewhere http://127.0.0.1:9"}
    found = [each for each in check(load_config(None, given)) if each.name == "source"]
    assert [each.state for each in found] == ["ok", "ok", "ok", "warn", "warn"]
    assert found[1].found.endswith("for blobs")
    assert "404" in found[3].found


def test_what_is_said_of_peers_is_looked_at(tmp_path: Path, root: Path) -> None:
    """A list, a listener, a token; and what does nothing, as there can be no peers."""
    (tmp_path / "peers.json").write_text('{"members": []}')
    with socket.create_server(("127.0.0.1", 0)) as busy:
        place = f"127.0.0.1:{busy.getsockname()[1]}"
        found = findings(tmp_path, root, peer_listen=place, peers=str(tmp_path / "peers.json"))
    assert [found[name].state for name in ("peers", "peer_listen")] == ["ok", "warn"]
    found = findings(tmp_path, root, peer_listen="127.0.0.1:0", peers=str(tmp_path / "none.json"))
    assert [found[name].state for name in ("peers", "peer_listen")] == ["fail", "ok"]
    found = findings(tmp_path, root, peer_listen="127.0.0.1:0", share="pages")
    assert (found["peers"].state, found["peers"].found, "share" in found) == ("warn", "nobody says who they are", False)
    found = findings(tmp_path, root, share="pages", edge_name="a", edge_token=str(tmp_path / "none"))
    assert (found["share"].state, found["edge_token"].state, "peers" in found) == ("warn", "fail", False)
    assert "[Errno" not in found["edge_token"].found


def test_a_configuration_that_can_be_used_is_fine_and_nothing_is_made(tmp_path: Path, root: Path, source: str) -> None:
    (tmp_path / "token").write_text("a-token-of-operators")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "secrets").mkdir(mode=0o700)
    before = sorted(tmp_path.rglob("*"))
    found = findings(
        tmp_path,
        root,
        admin_listen="127.0.0.1:0",
        admin_token=str(tmp_path / "token"),
        log_token=str(root / "log-token"),
        log=str(tmp_path / "edge.log"),
        secrets=str(tmp_path / "secrets"),
        origin=source,
    )
    assert {name: each.state for name, each in found.items() if each.state != "ok"} == {}
    assert found.keys() >= {"trust: root", "log_token", "admin_token", "secrets", "cache", "log", "listen", "memory"}
    assert sorted(tmp_path.rglob("*")) == before


def test_what_an_edge_could_not_use_is_told_with_the_option(tmp_path: Path, root: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "open").mkdir(mode=0o755)
    cases = {
        "trust": {"trust": str(tmp_path / "file")},
        "log_token": {"log_token": str(tmp_path / "nowhere")},
        "admin_token": {"admin_listen": "127.0.0.1:0", "admin_token": str(tmp_path / "nowhere")},
        "cache": {"cache": str(tmp_path / "file")},
        "log": {"log": str(tmp_path / "file" / "edge.log")},
        "listen": {"listen": "192.0.2.1:80"},
        "admin_listen": {"admin_listen": f"unix:{tmp_path / 'file'}"},
        "memory": {"memory": "1TiB"},
    }
    for name, given in cases.items():
        found = findings(tmp_path, root, **given)
        failed = {each.name for each in found.values() if each.state == "fail"}
        assert failed == {name}, given
        assert found[name].fix


def test_secrets_that_cannot_be_used_are_told(tmp_path: Path, root: Path) -> None:
    (tmp_path / "secrets" / "shop").mkdir(parents=True, mode=0o755)
    (tmp_path / "secrets").chmod(0o700)
    needed = {"origin": "http://127.0.0.1:9", "trust": str(root / "root.json"), "cache": str(tmp_path / "cache")}
    config = load_config(None, {**needed, "listen": "127.0.0.1:0", "secrets": str(tmp_path / "secrets")})
    told = [each for each in check(config) if each.name == "secrets"]
    assert [(each.state, "mode 0700 expected" in each.found) for each in told] == [("fail", True), ("ok", False)]


def test_each_place_to_listen_is_looked_at(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "e.sock"
    places = f"127.0.0.1:0,proxy unix:{path},mode=660,group=no-such-group fd:front 192.0.2.1:80 unix:{path}x"
    needed = {"origin": "http://127.0.0.1:9", "trust": str(root / "root.json"), "cache": str(tmp_path / "cache")}
    config = load_config(None, {**needed, "listen": places, "trusted_proxies": "unix"})
    told = [each for each in check(config) if each.name == "listen"]
    assert [each.state for each in told] == ["ok", "fail", "ok", "fail", "ok"]
    assert [each.found for each in told] == [
        "127.0.0.1:0, with the PROXY protocol",
        f"unix:{path}: group=no-such-group: a group of this machine expected, there is none of that name",
        "fd:front, which the service manager brings",
        "192.0.2.1:80: Cannot assign requested address",
        f"unix:{path}x",
    ]
    assert told == [each for each in listeners(config) if each.name == "listen"], "as `nunatak doctor` has them"


def test_a_running_edge_is_no_obstacle(tmp_path: Path, root: Path) -> None:
    (tmp_path / "cache").mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as busy,
        (tmp_path / "cache" / "lock").open("wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = findings(tmp_path, root, listen=f"127.0.0.1:{busy.getsockname()[1]}")
    assert (found["listen"].state, found["cache"].state) == ("warn", "ok")
    assert "an edge uses at the moment" in found["cache"].found
    assert not [each for each in found.values() if each.state == "fail"]


def test_the_command_checks_and_prints_and_starts_nothing(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f'origin = "http://127.0.0.1:9"\ntrust = "{root}/root.json"\ncache = "{tmp_path}/cache"\n')
    runner = CliRunner(env={**WIDE, "NUNATAK_EDGE_MEMORY": "16MiB", "NUNATAK_EDGE_LISTEN": "127.0.0.1:0"})
    words = ["edge", "--config", str(file), "--workers", "1"]
    done = runner.invoke(build_app(), [*words, "--check"])
    assert (done.exit_code, "✗" in done.output) == (0, False), done.output
    done = runner.invoke(build_app(), [*words, "--print-config"])
    assert done.exit_code == 0
    assert 'memory = "16MiB"  # NUNATAK_EDGE_MEMORY\n' in done.output
    assert f'cache = "{tmp_path}/cache"  # {file}:3\n' in done.output
    assert "workers = 1  # --workers\n" in done.output
    assert tomllib.loads(done.output).keys() == {option.name for option in options()}
    done = runner.invoke(build_app(), [*words, "--check", "--listen", "192.0.2.1:80"])
    assert (done.exit_code, "✗" in done.output) == (1, True)
    assert not (tmp_path / "cache").exists()
    file.write_text("memroy = 1\n")
    done = runner.invoke(build_app(), [*words, "--check"])
    assert isinstance(done.exception, OperatorError)
    assert f"{file}:1: memroy: no option of this name" in str(done.exception)


def test_the_configuration_may_be_named_in_the_environment(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        f'origin = "http://127.0.0.1:9"\ntrust = "{root}/root.json"\ncache = "{tmp_path}/cache"\ndrain = "1s"\n'
    )
    done = CliRunner(env={**WIDE, "NUNATAK_EDGE_CONFIG": str(file)}).invoke(build_app(), ["edge", "--print-config"])
    assert f'drain = "1s"  # {file}:4\n' in done.output
