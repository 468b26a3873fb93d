"""`nunatak dev` as a process: a program is edited, broken, fixed and crashed while somebody asks for its pages."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server, ServerFailed
from loadtest.site.site import NUNATAK, example
from origin.commands.init_cli import write_template
from tests.support.edges import eventually

PATIENCE_S = 60.0


class Dev:
    """A running development server and the file it watches."""

    def __init__(self, folder: Path, sample: str, *options: str) -> None:
        self.source = folder / "app.c"
        shutil.copy(example(sample), self.source)
        self.server = Server("dev", [*NUNATAK, "dev", str(self.source), "--port", "0", *options], folder)

    def get(self, path: str = "/", **headers: str) -> Answer:
        with Client(self.server.url) as client:
            return client.request("GET", path, headers=headers)

    def replace(self, old: str, new: str) -> None:
        text = self.source.read_text()
        assert old in text
        self.source.write_text(text.replace(old, new))

    def until(self, text: str) -> list[Answer]:
        """Ask until an answer holds `text`; all answers, that one last."""
        answers: list[Answer] = []
        deadline = time.monotonic() + PATIENCE_S
        while not answers or text.encode() not in answers[-1].body:
            assert time.monotonic() < deadline, f"{text!r} never came\n{self.server.tail()}"
            answers.append(self.get())
        return answers

    def log(self) -> str:
        return self.server.log.read_text()


def until(happened: Callable[[], bool], server: Server) -> None:
    """Ask until the next build is there."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, server.tail()


@pytest.fixture
def dev(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Dev]:
    """A development server of the sample, and with the options, that the test names."""
    running = Dev(tmp_path, *request.param)
    with running.server:
        yield running


@pytest.mark.parametrize("dev", [("crash",)], indirect=True)
def test_old_answers_until_the_new_one_is_ready(dev: Dev) -> None:
    assert dev.until("alive")[-1].status == 200
    dev.replace("alive", "ALIVE")
    answers = dev.until("ALIVE")
    assert {answer.status for answer in answers} == {200}
    assert {answer.body.split(b";")[0] for answer in answers} <= {b"alive", b"ALIVE"}
    assert len(answers) > 1  # the old one answered meanwhile
    eventually(lambda: "version 2 built" in dev.log(), "the new version in the log")
    assert dev.get().tier == "resident"


@pytest.mark.parametrize("dev", [("crash",)], indirect=True)
def test_build_error_is_shown_until_it_is_fixed(dev: Dev) -> None:
    dev.until("alive")
    dev.replace("int main(void) {", "int main(void) { broken")
    shown = dev.until("app.c:")[-1]
    assert (shown.status, shown.error) == (500, "build")
    assert shown.headers["content-type"].startswith("text/plain")
    assert b"broken" in shown.body
    page = dev.get(Accept="text/html,*/*")
    assert page.headers["content-type"].startswith("text/html")
    assert b"<script data-build=2>" in page.body, "it waits for the third"
    assert dev.get("/.nunatak/changes?1").status == 204, "which is not the second"
    assert b"app.c:" in page.body
    dev.replace("int main(void) { broken", "int main(void) {")
    assert dev.until("alive")[-1].status == 200
    assert "version 2" not in dev.log()  # it is again what it was


@pytest.mark.parametrize("dev", [("crash",)], indirect=True)
def test_crash_shows_function_and_line(dev: Dev) -> None:
    dev.until("alive")
    line = next(n for n, text in enumerate(dev.source.read_text().splitlines(), 1) if "(volatile char *)0 = 1" in text)
    for _ in range(3):  # no back-off between them
        died = dev.get("/null")
        assert (died.status, died.error) == (502, "guest_fault")
        assert b"null pointer" in died.body
        assert f"at page (app.c:{line})".encode() in died.body
    assert dev.get().status == 200
    where = f"at page (app.c:{line})"
    eventually(lambda: dev.log().count(where) == 3, "each crash in the log")  # written after the answer
    log = dev.log()
    assert log.count("GET  /null  502") == 3
    assert " on unicorn" in log


@pytest.mark.parametrize("dev", [("spin", "--cpu-ms", "70")], indirect=True)
def test_limit_that_is_hit_is_named_with_its_value(dev: Dev) -> None:
    spun = dev.get("/spin")
    assert (spun.status, spun.error) == (504, "out_of_time")
    assert b"limit: cpu_ms = 70 (--cpu-ms)" in spun.body
    eventually(lambda: "limit: cpu_ms = 70 (--cpu-ms)" in dev.log(), "the limit in the log")  # written after the answer


@pytest.mark.parametrize("dev", [("hello",)], indirect=True)
def test_other_hosts_and_other_services_are_refused(dev: Dev) -> None:
    assert dev.until("hello")[-1].status == 200
    assert dev.get(Host="app.localhost").status == 200
    assert dev.get(Host="evil.example").status == 421
    assert b"hello from /-/metrics" in dev.get("/-/metrics").body, "a page of the program, like any other"
    assert dev.get("/~service/other/").status == 421, "as on an edge"
    for path in ("/-/metrics", "/~service/other/"):
        assert dev.get(path, Host="evil.example").status == 421


@pytest.mark.parametrize("dev", [("hello",)], indirect=True)
def test_guest_lines_are_shown_and_ctrl_c_ends_it(dev: Dev) -> None:
    dev.until("hello")
    dev.replace(
        "static void page(nk_request *request) {", 'static void page(nk_request *request) {\n    nk_log("seen");'
    )
    dev.until("request 1\n")
    while "guest | seen" not in dev.log():
        dev.get()
    os.kill(dev.server.pid, signal.SIGINT)
    assert dev.server.wait() == 0


@pytest.mark.timeout(900)  # the interpreter is compiled by the first test that needs it
def test_a_bundle_that_fails_shows_its_source_and_is_built_again_with_any_of_its_files(tmp_path: Path) -> None:
    write_template("typescript", tmp_path)
    page, shared = tmp_path / "src" / "page.ts", tmp_path / "lib" / "shared.ts"
    shared.parent.mkdir()
    shared.write_text("export function area(side: number): string {\n  throw new TypeError(`<b>${side}</b>`);\n}\n")
    text = page.read_text().replace("escaped(name)", "area(2)")
    page.write_text('import { area } from "../lib/shared";\n' + text)
    command = [*NUNATAK, "dev", str(tmp_path / "src" / "index.ts"), "--listen", "localhost:0"]
    with Server("dev", command, tmp_path) as server, Client(server.url) as client:

        def get(path: str = "/", **headers: str) -> Answer:
            return client.request("GET", path, headers=headers)

        failed = get(Accept="text/html")
        shown = failed.body.decode()
        assert (failed.status, failed.headers["content-type"]) == (500, "text/html; charset=utf-8")
        for part in ("TypeError: &lt;b&gt;2&lt;/b&gt;", "area (lib/shared.ts:2:", "fetch (src/index.ts:", "<p>GET / ("):
            assert part in shown
        assert "<mark><i>    2</i>    throw new TypeError(`&lt;b&gt;${side}&lt;/b&gt;`);</mark>" in shown
        assert "    at area (lib/shared.ts:2:" in get().body.decode()
        assert get("/none").status == 404, "the machine goes on"
        shared.write_text("export const area = (side: number): string => `${side ** 2}`;\n")
        until(lambda: b"<h1>Hello, 4!</h1>" in get().body, server)
        page.write_text("const broken: = 1;\n")
        until(lambda: b"src/page.ts:1:14" in get().body, server)
        log = server.log.read_text()
        assert "guest |     for GET / (" in log
        assert log.count("build | baking the base") == 1, "steps are said once"


def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    missing = Server("missing", [*NUNATAK, "dev", str(tmp_path / "no.c"), "--port", "0"], tmp_path)
    with pytest.raises(ServerFailed, match="no such file"):
        missing.start()


def test_serves_where_nothing_is_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes take every path that `kernel.host` has for other systems; the system itself stays this one."""
    (tmp_path / "sitecustomize.py").write_text("import edge.vmm.kernel.host\n\nedge.vmm.kernel.host.LINUX = False\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    running = Dev(tmp_path, "spin")
    with running.server:
        assert running.until("calm")[-1].status == 200
        spun = running.get("/spin")  # its turns are ended by a thread that sleeps
        assert (spun.status, spun.error) == (504, "out_of_time")
        assert running.get().status == 200
        assert "layer=sandbox" in running.log()
    edge = subprocess.run([*NUNATAK, "edge"], capture_output=True, text=True, check=False)
    assert edge.returncode == 2
    assert "Linux expected" in edge.stderr
