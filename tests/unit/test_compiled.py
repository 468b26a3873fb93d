"""Compiled modules run only if they are of the very source that is here, and whoever asks is told what runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.compiled import finder, interpreter
from edge.compiled.build import module_of
from edge.compiled.table import GROUP, MODULES
from edge.doctor import about_modules, about_page_loops

HERE = Path(finder.__file__).resolve().parents[2]
SUFFIX = "cpython-311-x86_64-linux-gnu.so"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source of two modules, and a folder with one of them compiled."""
    for package in finder.SOURCES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "hot.py").write_text("X = 1\n")
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / f"hot.{SUFFIX}").write_bytes(b"")
    finder.write_stamp({"edge.hot": f"hot.{SUFFIX}"}, tmp_path / "fast", tmp_path)
    return tmp_path


def look(tree: Path) -> finder.Found:
    return finder.look(tree / "fast", tree)


def test_what_was_compiled_of_this_source_is_found(tree: Path) -> None:
    assert look(tree) == finder.Found("compiled", {"edge.hot": tree / "fast" / f"hot.{SUFFIX}"})


@pytest.mark.parametrize("package", finder.SOURCES)
def test_an_edited_module_brings_plain_python_back_for_all(tree: Path, package: str) -> None:
    """Also one that is not compiled: its constants are in those that are."""
    (tree / package / "hot.py").write_text("X = 2\n")
    assert look(tree) == finder.Found("stale", {})
    (tree / package / "hot.py").write_text("X = 1\n")
    assert look(tree).kind == "compiled"


def test_a_module_that_is_new_or_gone_does_so_too(tree: Path) -> None:
    (tree / "edge" / "new.py").write_text("")
    assert look(tree).kind == "stale"
    (tree / "edge" / "new.py").unlink()
    (tree / "fast" / f"hot.{SUFFIX}").unlink()
    assert look(tree).kind == "stale"


@pytest.mark.parametrize(
    "stamp", ["", "[]", "{}", '{"digest": "", "files": []}', '{"digest": "", "files": {}}', "\xff"]
)
def test_a_stamp_that_says_nothing_is_believed_nothing(tree: Path, stamp: str) -> None:
    (tree / "fast" / "stamp.json").write_text(stamp, "latin-1")
    assert look(tree) == finder.Found("stale", {})


def test_without_a_build_all_is_plain(tree: Path) -> None:
    (tree / "fast" / "stamp.json").unlink()
    assert look(tree) == finder.Found("plain", {})


def run(way: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    environment = {**os.environ, finder.VARIABLE: way}
    return subprocess.run(command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=60, check=False)


def test_plain_python_can_be_had_whatever_was_compiled() -> None:
    done = run("no", "import edge.vmm.wire.frames as frames; print(frames.__file__)")
    assert done.stdout.strip() == str(HERE / "edge" / "vmm" / "wire" / "frames.py"), done.stderr


def test_a_way_that_there_is_not_is_refused() -> None:
    done = run("perhaps", "import edge")
    assert (done.returncode, "one of auto, no, must expected, got 'perhaps'" in done.stderr) == (1, True), done.stderr


def test_who_must_have_compiled_modules_has_them_or_does_not_begin() -> None:
    done = run("must", "import edge.vmm.wire.frames as frames; print(frames.__file__)")
    if finder.look().kind == "compiled":
        assert done.stdout.strip().endswith(".so"), done.stderr
    else:
        assert "run make fast" in done.stderr


def test_the_table_names_modules_that_are_here_once() -> None:
    assert len(set(MODULES)) == len(MODULES)
    assert [name for name in MODULES if not (HERE / (name.replace(".", "/") + ".py")).is_file()] == []


def test_a_library_names_its_module() -> None:
    assert module_of(Path("edge") / "front" / f"http.{SUFFIX}") == "edge.front.http"
    assert module_of(Path(f"{GROUP}__mypyc.{SUFFIX}")) == f"{GROUP}__mypyc"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "without PGO"),
        ("'--prefix=/usr' '--enable-shared'", "without PGO"),
        ("'--enable-optimizations' '--with-lto'", "with PGO and LTO"),
        ("--enable-optimizations", "with PGO"),
        ("--enable-optimizations=no --with-lto=full", "with LTO"),
    ],
)
def test_how_a_python_was_built(arguments: str, expected: str) -> None:
    assert interpreter.built(arguments) == expected


def test_an_operator_is_told_what_runs() -> None:
    [stale], [plain] = (list(about_modules(finder.Found(kind, {}))) for kind in ("stale", "plain"))
    [compiled] = about_modules(finder.Found("compiled", {}))
    assert (stale.state, "make fast" in stale.fix) == ("warn", True)
    assert (plain.state, "make fast" in plain.fix) == ("ok", True)
    assert (compiled.state, compiled.fix) == ("ok", "")
    loops = [about_page_loops(in_c) for in_c in (True, False)]
    assert [(loop.state, "C compiler" in loop.fix) for loop in loops] == [("ok", False), ("warn", True)]


# A coroutine of a compiled module in each way of not coming to its end, and then a collection of garbage.
ABANDONED = """
import asyncio, gc, sys, uvloop
from edge.front.request import Request

class Connection:
    remote, lost = "", False
    def read_on(self): pass

async def cancelled():
    task = asyncio.create_task(Request(Connection()).read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

async def timed_out():
    await asyncio.wait_for(Request(Connection()).read(), 0.01)

async def dropped():
    coroutine = Request(Connection()).read()
    coroutine.send(None)

async def thrown_into():
    coroutine = Request(Connection()).read()
    coroutine.send(None)
    coroutine.throw(TypeError("of a mistake"))

async def left_waiting():
    tasks = [asyncio.create_task(Request(Connection()).read()) for _ in range(5)]
    await asyncio.sleep(0)
    raise TypeError("at the start")

try:
    uvloop.run(globals()[sys.argv[1]]())
except (TypeError, TimeoutError) as error:
    kept = error  # with its frames, until the very end
gc.collect()
print("here")
"""


@pytest.mark.parametrize("how", ["cancelled", "timed_out", "dropped", "thrown_into", "left_waiting"])
def test_a_coroutine_that_is_abandoned_ends_no_process(how: str) -> None:
    """Coroutines into which something is thrown, or that nobody awaits to the end: a weak spot of mypyc (#12867)."""
    command = [sys.executable, "-c", ABANDONED, how]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
