"""What `make wpt` makes of a checkout and of what runtimes told: a small checkout stands for the real one."""

from pathlib import Path

import pytest

from tests.wpt.figures import OURS, ROWS, Subtest, failing, rows, subtests, table
from tests.wpt.suite import GROUPS, Run, Suite

TEST = (
    "// META: variant=?a\n// META: variant=?b\n// META: script=../common/help.js\n"
    'fetch("data.json"); fetch("http://{{host}}:{{ports[http][0]}}");\n'
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "resources/testharness.js": "var test_environment = create_test_environment();",
        "url/a.any.js": TEST,
        "url/cors.any.js": "not_for_servers",
        "url/data.json": "[1]",
        "common/help.js": "function help() {}\nvar more = 1;",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_worker_has_its_tests_with_what_they_load(checkout: Path, tmp_path: Path) -> None:
    suite = Suite(checkout, 8123)
    suite.write("url", tmp_path)
    worker = (tmp_path / "url.js").read_text()
    assert suite.runs == [Run("url", "url/a.any.js", "?a"), Run("url", "url/a.any.js", "?b")]
    for expected in (
        "= new ShellTestEnvironment()",
        r"fetch(\"http://127.0.0.1:8123\")",
        '"url/data.json": "[1]"',
        '"scripts": ["common/help.js"], "names": ["help", "more"]',
    ):
        assert expected in worker
    assert "not_for_servers" not in worker


def test_every_folder_that_is_asked_for_has_a_row() -> None:
    results = {
        OURS: {Subtest(f"{folder}/x.any.js", "", "n #1"): ("PASS", "") for names in GROUPS.values() for folder in names}
    }
    found = rows(results)
    assert found[-1].title == "all"
    assert found[-1].count == len(results[OURS]) == sum(row.count for row in found[:-1])
    assert {row.title for row in found} < {title for title, _ in ROWS} | {"all"}


def test_subtests_of_one_name_are_counted_apart_and_those_of_documents_not_at_all() -> None:
    told: list[list[str | None]] = [
        ["a", "PASS", None],
        ["a", "FAIL", "why"],
        ["<a> element", "PASS", None],
        [None, "NOTRUN", None],
    ]
    assert dict(subtests("t", "?v", told)) == {
        Subtest("t", "?v", "a #1"): ("PASS", ""),
        Subtest("t", "?v", "a #2"): ("FAIL", "why"),
        Subtest("t", "?v", "None #1"): ("NOTRUN", ""),
    }


def test_what_passes_nowhere_is_left_out_and_what_fails_here_is_told() -> None:
    one, two, three = (Subtest("url/x.any.js", "", name) for name in ("1", "2", "3"))
    results = {
        OURS: {one: ("PASS", ""), two: ("FAIL", "a\nb"), three: ("FAIL", "")},
        "workerd": {two: ("PASS", ""), three: ("FAIL", "")},
    }
    assert [(row.title, row.count, dict(row.passed)) for row in rows(results)] == [
        ("url", 2, {OURS: 1, "workerd": 1}),
        ("all", 2, {OURS: 1, "workerd": 1}),
    ]
    assert table(rows(results)).splitlines()[2] == "| url | 2 | 1 (50.0 %) | 1 (50.0 %) |"
    assert list(failing(results)) == ["url/x.any.js\t2\tFAIL: a b\tworkerd"]
