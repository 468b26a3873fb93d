"""The parts of `nunatak dev` by themselves: what counts as a change, what is shown, whom it answers."""

import asyncio
import os
from pathlib import Path

import pytest

from edge.content.blobs import Load, Ref
from libos.toolchain.build import compile_guest
from origin.bake.elf import parse_program
from origin.dev.local import LocalOrigin
from origin.dev.page import Problem, run_problem
from origin.dev.serve import own_address
from origin.dev.terminal import Steps, say
from origin.dev.watch import changed, stamp
from tests.support.synthetic import image
from vmimage.archive import ImageBundle
from vmimage.errors import GuestFault, OperatorError, OriginError, OutOfMemory, OutOfTime, VerificationError
from vmimage.symbols import SymbolTable, encode


def test_stamp_of_a_file_sees_what_it_may_include_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int a;")
    before = stamp(source)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.c").write_text("x")
    assert stamp(source) == before
    (tmp_path / "a.h").write_text("x")
    assert stamp(source) != before


def test_stamp_of_a_folder_sees_everything_below_but_what_tools_put_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cities.csv").write_text("a")
    before = stamp(tmp_path)
    for folder in ("node_modules", "__pycache__", ".git"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.c").write_text("x")
    assert stamp(tmp_path) == before
    (tmp_path / "data" / "cities.csv").write_text("ab")
    assert stamp(tmp_path) != before


def test_stamp_sees_what_a_bundle_was_made_of_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    source, shared = tmp_path / "app" / "index.ts", tmp_path / "shared.ts"
    source.write_text("a")
    shared.write_text("a")
    before = stamp(source, [shared])
    shared.write_text("ab")
    assert stamp(source, [shared]) != before
    shared.unlink()
    assert stamp(source, [shared]) == stamp(source), "what is gone is gone"


def test_a_build_says_only_what_the_one_before_did_not(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    for said in (
        ["compiling", "initialising, 0.1 s", "indexed 5"],
        ["compiling", "indexed 5"],
        ["compiling", "indexed 6"],
    ):
        steps.begin()
        for step in said:
            steps.say(step)
    lines = [line.partition("| ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["compiling", "indexed 5", "indexed 6"]


@pytest.mark.parametrize(
    ("listen", "at"),
    [("127.0.0.1:0", "127.0.0.1:0"), ("localhost:8000", "127.0.0.1:8000"), ("0.0.0.0:80", None), ("127.0.0.1", None)],
)
def test_what_is_under_development_is_served_to_this_machine_alone(listen: str, at: str | None) -> None:
    if at is not None:
        assert own_address(listen) == at
    else:
        with pytest.raises(OperatorError, match=r"127\.0\.0\.1 or localhost, and a port, expected"):
            own_address(listen)


def test_stamp_leaves_out_where_our_own_output_goes(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int a;")
    before = stamp(tmp_path)
    saved = os.dup(2)
    with (tmp_path / "log").open("wb") as log:
        os.dup2(log.fileno(), 2)
        try:
            assert stamp(tmp_path) == before
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    assert stamp(tmp_path) != before


def test_a_change_is_told_once_it_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([{"a": 0}, {"a": 0}, {"a": 1}, {"a": 2}, {}, {"a": 3}, {"a": 3}])
    monkeypatch.setattr("origin.dev.watch.POLL_S", 0)
    monkeypatch.setattr("origin.dev.watch.SETTLE_S", 0)
    asyncio.run(changed(lambda: next(looks), {"a": 0}))  # type: ignore[arg-type,dict-item]
    assert next(looks, None) is None  # it looked until two looks in a row were the same


def test_a_file_that_never_settles_is_built_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(1, 1000))
    monkeypatch.setattr("origin.dev.watch.SETTLE_S", 0)
    asyncio.run(changed(lambda: {"log": next(numbers)}, {}))  # type: ignore[dict-item]
    assert next(numbers) < 30


def test_names_that_lead_to_the_service() -> None:
    local = LocalOrigin("app")
    assert local.find_host("localhost") is None  # nothing was built yet
    release = local.publish([image("base"), image("app")])
    assert local.find_service("app") == release
    assert local.find_service("other") is None
    for host in ("localhost", "127.0.0.1", "app.localhost"):
        assert local.find_host(host) == release
    assert local.find_host("evil.example") is None


def test_builds_are_versions_and_the_last_two_are_kept() -> None:
    local, builds = LocalOrigin("app"), [image(f"app-{n}") for n in range(3)]
    assert not local.refresh()
    assert [local.publish([build]).version for build in (builds[0], builds[0], *builds[1:])] == [1, 1, 2, 3]
    assert (local.refresh(), local.refresh()) == (True, False)

    def get(build: ImageBundle, size: int | None = None) -> bytes:
        blob = build.manifest.snapshot
        return asyncio.run(local.get(Ref("blobs", blob.digest, size or blob.size), Load()))

    assert [get(build) for build in builds[1:]] == [build.blobs[build.manifest.snapshot.digest] for build in builds[1:]]
    with pytest.raises(OriginError):
        get(builds[0])
    with pytest.raises(VerificationError):
        get(builds[2], size=1)


def test_limit_has_name_value_and_option() -> None:
    manifest = image("app").manifest
    problem = run_problem(OutOfTime("too long"), manifest)
    assert (problem.limit, problem.status) == (f"cpu_ms = {manifest.limits.cpu_ms} (--cpu-ms)", 504)
    assert run_problem(OutOfMemory("full"), manifest).limit == f"memory = {manifest.memory_bytes >> 20}MiB (--memory)"
    assert run_problem(GuestFault("null pointer"), manifest).limit == ""


def test_page_quotes_nothing_as_markup_and_folds_recursion() -> None:
    error = GuestFault("<script>alert(1)</script>")
    error.report = {"trace": ["a<b", *["recurse+0x2a"] * 40, "page"]}
    problem = run_problem(error, None)
    assert "<script>" not in problem.html()
    assert "a&lt;b" in problem.html()
    assert problem.text().splitlines()[2:] == ["    at a<b", "    at recurse+0x2a  (40 times)", "    at page"]
    assert "refresh" not in problem.html()
    assert "refresh" in Problem(500, "t", "m", again=True).html()


def test_terminal_shows_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    say("GET /\x1b]0;owned\x07 200", Problem(502, "died", "\x1b[2J"))
    assert "\x1b" not in capsys.readouterr().out


def test_crash_report_names_the_line(tmp_path: Path) -> None:
    source = tmp_path / "two.c"
    source.write_text(
        "#include <nunatak.h>\n"
        "__attribute__((noinline)) static void page(nk_request *request) {\n"
        '    nk_write(request, "", 0);\n'
        '    __asm__ volatile("ud2");\n'
        "}\n"
        "int main(void) { return nk_serve(page); }\n"
    )
    program = parse_program(compile_guest(source))
    table = SymbolTable.decode(encode(program.symbols))
    code = program.segments[0]
    address = code.address + code.data.index(b"\x0f\x0b")
    assert table.name(address) == "page (two.c:4)"
    entry = next(symbol for symbol in program.symbols if symbol.name == "page")
    assert table.name(entry.address) == "page (two.c:2)"
