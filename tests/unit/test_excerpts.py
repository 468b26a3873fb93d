"""The source in a problem of `nunatak dev`: which lines are shown, and which files are never read."""

from pathlib import Path

import pytest

from edge.devices.traces import Trace
from origin.dev.excerpt import AROUND, FILE_MAX, excerpt_of
from origin.dev.page import CHANGES, HEADERS, Problem, failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "node_modules" / "pkg").mkdir(parents=True)
    (root / "src" / "a.ts").write_text("".join(f"line {number} <b>\n" for number in range(1, 21)))
    (root / "node_modules" / "pkg" / "x.js").write_text("theirs\n")
    (tmp_path / "secret.ts").write_text("secret\n")
    (root / "src" / "link.ts").symlink_to(tmp_path / "secret.ts")
    return root


def test_the_innermost_place_in_a_file_of_ones_own_is_shown(folder: Path) -> None:
    trace = ["x (node_modules/pkg/x.js:1:1)", "f (src/a.ts:10:6)", "g (src/a.ts:2:1)"]
    excerpt = excerpt_of(trace, [folder])
    assert excerpt is not None
    assert (excerpt.where, excerpt.marked, excerpt.first) == ("src/a.ts:10:6", 10, 10 - AROUND)
    assert excerpt.text()[AROUND : AROUND + 2] == ["> 10 | line 10 <b>", "     |      ^"]
    theirs = excerpt_of(trace[:1], [folder])
    assert theirs is not None
    assert theirs.lines == ("theirs",), "better than nothing"


@pytest.mark.parametrize(
    "frame",
    ["f (../secret.ts:1:1)", "f (src/link.ts:1:1)", "f (src/none.ts:1:1)", "f (src/a.ts:21:1)", "f (src:1:1)", "f"],
)
def test_what_is_not_in_the_project_is_not_shown(frame: str, folder: Path) -> None:
    assert excerpt_of([frame], [folder]) is None


def test_an_absolute_path_and_a_file_without_end_are_not_read(folder: Path, tmp_path: Path) -> None:
    assert excerpt_of([f"f ({tmp_path / 'secret.ts'}:1:1)"], [folder]) is None
    with (folder / "src" / "large.ts").open("wb") as file:
        file.truncate(FILE_MAX + 1)
    assert excerpt_of(["f (src/large.ts:1:1)"], [folder]) is None


def test_a_failed_program_has_a_page_with_all_that_is_known_as_text_alone(folder: Path) -> None:
    trace = Trace("uncaught: Error: <script>alert(1)</script>", ("f<T> (src/a.ts:3:1)",), "a-1")
    problem = failure(500, trace, "GET /?q=<i> (a-1)", [folder])
    page = problem.html(7)
    for part in ("&lt;script&gt;alert", "f&lt;T&gt; (src/a.ts:3:1)", "GET /?q=&lt;i&gt; (a-1)", "line 4 &lt;b&gt;"):
        assert part in page
    assert page.count("<script") == 1, "ours"
    assert "<script data-build=7>" in page
    assert CHANGES in page
    assert "<mark><i>    3</i>  line 3 &lt;b&gt;</mark>" in page
    assert "<script" not in problem.html(), "a page that answers a form is not asked for again"
    assert "script-src 'sha256-" in HEADERS["Content-Security-Policy"]
    assert "src/a.ts:3:1" in problem.text()


def test_the_script_of_a_page_is_the_one_that_its_policy_allows() -> None:
    import base64
    import hashlib

    script = Problem(500, "t", "m").html(1).split("<script data-build=1>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in HEADERS["Content-Security-Policy"]
