"""Do services find the secrets that the edge's operator gives them, by the real commands, and nobody else?"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.main import build_app
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import admin, eventually
from tests.support.guests import PROGRAMS
from vmimage.errors import OperatorError

JS = """
import process from "node:process";
const before = process.env.API_KEY ?? "none";
let served = 0;
export default {
  async fetch(request, env) {
    return new Response(`${env.API_KEY} ${process.env.API_KEY} ${before} ${env.PLAIN} ${++served}`);
  },
};
"""
LUA = """
return function(request)
    return {body = tostring(os.getenv "API_KEY")}
end
"""
SECRET = "s3cret-that-is-nowhere-else"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An edge with one worker, which all services share, and a folder of secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "secrets").mkdir(mode=0o700)
    with Site(folder, edge_config={"refresh": 0.2, "secrets": str(folder / "secrets")}) as running:
        yield running


@pytest.fixture(scope="module")
def worker(kept: Site) -> Path:
    """A JavaScript worker that tells what it finds."""
    (kept.folder / "worker.js").write_text(JS)
    (kept.folder / "plain.env").write_text('# dotenv\nexport PLAIN="from a file"\nAPI_KEY=built in\n')
    return kept.build(kept.folder / "worker.js", "--env-file", str(kept.folder / "plain.env"), name="js")


def secrets(site: Site, *words: str, value: str = "") -> Result:
    """`nunatak secrets` with the folder of a site's edge; in this process, since each one more takes a second."""
    return CliRunner().invoke(build_app(), ["secrets", *words, "--secrets", str(site.folder / "secrets")], input=value)


def give(site: Site, service: str, name: str, value: str, *options: str) -> None:
    """Set one, asking the edge whether it knows the service."""
    socket = str(site.folder / "edge-1" / "admin.sock")
    done = secrets(site, "set", service, name, "--socket", socket, *options, value=f"{value}\n")
    assert done.exit_code == 0, done.exception
    assert value not in done.output


def says(site: Site, service: str, path: str = "/") -> str:
    with Client(site.edges[0].url) as client:
        answer = client.get(path, host=f"{service}.test")
    assert answer.status in (200, 201, 404), answer.error
    return answer.body.decode().strip()


def given(site: Site, service: str) -> list[str]:
    """Names that the edge gives a service by now."""
    names: list[str] = json.loads(admin(site.edges[0], f"secrets?service={service}").body)["names"]
    return names


def build_lua(site: Site) -> Path:
    (site.folder / "main.lua").write_text(LUA)
    return site.build(site.folder / "main.lua", name="lua")


@pytest.mark.parametrize(
    ("service", "build", "name", "path", "before", "after"),
    [
        ("lua", build_lua, "API_KEY", "/", "nil", SECRET),
        (
            "cgi",
            lambda site: site.build(PROGRAMS / "linux_cgi.c", "--cgi", "--env", "COLOUR=green", name="cgi"),
            *("COLOUR", "/x", "GET /x green", f"GET /x {SECRET}"),
        ),
        ("c", lambda site: site.build(example("env"), name="env"), "API_KEY", "/API_KEY", "no such setting", SECRET),
    ],
)
def test_programs_find_them_in_their_environment(
    kept: Site, service: str, build: Callable[[Site], Path], name: str, path: str, before: str, after: str
) -> None:
    kept.publish(build(kept), service)
    assert says(kept, service, path) == before
    give(kept, service, name, SECRET)
    eventually(lambda: says(kept, service, path) == after, f"{service} has its secret")


def test_javascript_finds_them_in_env_and_a_change_reaches_running_and_parked_machines(
    kept: Site, worker: Path
) -> None:
    kept.publish(worker, "js")
    assert says(kept, "js") == "built in built in built in from a file 1"
    give(kept, "js", "API_KEY", SECRET)
    eventually(lambda: says(kept, "js").startswith(f"{SECRET} {SECRET} built in from a file"), "js has its secret")
    served = int(says(kept, "js").rpartition(" ")[2])
    kept.park("js")
    assert says(kept, "js") == f"{SECRET} {SECRET} built in from a file {served + 1}", "the same machine"
    kept.park("js")
    give(kept, "js", "API_KEY", "another")
    eventually(lambda: given(kept, "js") == ["API_KEY"] and says(kept, "js").startswith("another"), "a new value")
    assert says(kept, "js").startswith("another another built in from a file")
    assert secrets(kept, "remove", "js", "API_KEY").output == "js: API_KEY is removed\n"
    eventually(lambda: says(kept, "js").startswith("built in built in built in from a file"), "none any more")


def test_a_parked_machine_of_an_edge_that_was_off_is_used_only_with_the_secrets_it_was_started_with(
    kept: Site, worker: Path
) -> None:
    edge = kept.edges[0]
    kept.publish(worker, "old")
    give(kept, "old", "API_KEY", "first")
    eventually(lambda: says(kept, "old").startswith("first"), "the first value")
    served = int(says(kept, "old").rpartition(" ")[2])
    edge.stop()
    restart(kept, edge)
    assert says(kept, "old").split() == ["first", "first", "built", "in", "from", "a", "file", str(served + 1)]
    edge.stop()
    assert secrets(kept, "set", "old", "API_KEY", "--unchecked", value="second").exit_code == 0
    restart(kept, edge)
    assert says(kept, "old") == "second second built in from a file 1"


def restart(site: Site, edge: Server) -> None:
    edge.command[edge.command.index("--listen") + 1] = "127.0.0.1:0"
    edge.start()


def test_nobody_else_finds_them(kept: Site, worker: Path) -> None:
    """Another service in the same worker; the same name in another tenant's hands; logs, pages and what is printed."""
    kept.publish(worker, "mine")
    kept.publish(worker, "theirs")
    give(kept, "mine", "API_KEY", SECRET)
    eventually(lambda: says(kept, "mine").startswith(SECRET), "mine has its secret")
    for _ in range(3):  # in the shell that the other was in
        kept.park("mine")
        assert SECRET not in says(kept, "theirs")
        kept.park("theirs")
        assert says(kept, "mine").startswith(SECRET)
    listed = secrets(kept, "list").stdout
    assert "mine: API_KEY\n" in listed
    pages = [
        admin(kept.edges[0], page).body.decode() for page in ("secrets", "services", "reports", "metrics", "health")
    ]
    assert '"holder": "mine"' in pages[0]
    assert SECRET not in "".join((listed, *pages, kept.edges[0].tail(), *kept.logs("mine")))
    kept.publish(worker, "mine", tenant="others")
    eventually(lambda: SECRET not in says(kept, "mine"), "the tenant that has the name now finds nothing")
    assert given(kept, "mine") == []


@pytest.mark.parametrize(
    ("words", "value", "message"),
    [
        (
            ("set", "nowhere", "A"),
            "x",
            "nowhere: a service of the edge's catalogue expected, it knows none of this name",
        ),
        (("set", "known", "A", "--tenant", "x"), "x", "--tenant: known, whose service known is, expected, got x"),
        (("set", "../known", "A"), "x", "SERVICE: 1 to 63 of a-z 0-9"),
        (("set", "known", "../A"), "x", "../A: a name of 1 to 64"),
        (("set", "known", "HTTP_HOST"), "x", "HTTP_HOST: another name expected"),
        (("set", "known", "A"), "", "A: a value of 1 to 4096 bytes expected, got 0"),
        (("set", "known", "A"), "x" * 5000, "A: a value of 1 to 4096 bytes expected"),
        (("remove", "known", "B"), "", "known: a secret that is there expected (KEPT), got 'B'"),
        (
            ("remove", "known", "../known/KEPT"),
            "",
            "known: a secret that is there expected (KEPT), got '../known/KEPT'",
        ),
    ],
)
def test_mistakes_are_told_and_change_nothing(kept: Site, words: tuple[str, ...], value: str, message: str) -> None:
    folder = kept.folder / "secrets"
    if not (folder / "known").exists():
        kept.publish(kept.build(example("hello"), name="hello"), "known")
        give(kept, "known", "KEPT", "x")
    before = sorted(folder.rglob("*"))
    socket = ("--socket", str(kept.folder / "edge-1" / "admin.sock")) if words[0] == "set" else ()
    done = secrets(kept, *words, *socket, value=value)
    assert isinstance(done.exception, OperatorError)
    assert str(done.exception).startswith(message)
    assert done.output == ""
    assert sorted(folder.rglob("*")) == before
    assert (folder / "known" / "KEPT").read_text() == "x"


def test_a_folder_that_others_may_read_is_said_and_what_was_in_use_stays(kept: Site, worker: Path) -> None:
    kept.publish(worker, "open")
    give(kept, "open", "API_KEY", SECRET)
    eventually(lambda: says(kept, "open").startswith(SECRET), "it has its secret")
    path = kept.folder / "secrets" / "open" / "API_KEY"
    path.chmod(0o644)
    eventually(lambda: "open/API_KEY: mode 0600 expected" in admin(kept.edges[0], "health").body.decode(), "health")
    assert says(kept, "open").startswith(SECRET)
    done = secrets(kept, "list")
    assert done.exit_code == 1
    assert "open/API_KEY: mode 0600 expected, got 0644" in done.stderr
    path.chmod(0o600)
    eventually(lambda: "secrets" not in admin(kept.edges[0], "health").body.decode(), "health again")
