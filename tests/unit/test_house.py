"""Does the repository hold what belongs in it, and nothing of the machine it was written on?

The arrows between packages are import-linter's (pyproject.toml); here is checked that its contracts cover them.
"""

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"vmimage", "libos", "origin", "edge", "loadtest"}
TOP_LEVEL = {
    *PACKAGES,
    "tests",
    "docs",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SPECIFICATION.md",
    "pyproject.toml",
    "requirements.lock",
}
TEST_FOLDERS = {
    "support",
    "attack",
    "e2e",
    "guest",
    "kvm",
    "wpt",
    "cache_tests",
    "property",
    "tuf_suite",
    "unit",
    "vectors",
}
LINES_MAX = 400  # what one reads at a sitting; whether a file has one idea, no count can tell

MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|root|work|Users|opt|mnt)/\w")
PACKAGE_SOURCE = re.compile(r"--(?:(?:extra-)?index-url|find-links|trusted-host)\b")
BUILD_FILES = ("Makefile", "pyproject.toml", "requirements.lock", ".ci/run")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is in the repository, or would be with the next commit."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return tuple(path for name in said.split("\0") if name and (path := ROOT / name).is_file())


@pytest.fixture(autouse=True)
def _needs_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository here: a source package")


def test_top_level_holds_packages_and_the_usual_small_files() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} == TOP_LEVEL


def test_each_test_folder_answers_one_question() -> None:
    parts = [path.relative_to(ROOT / "tests").parts for path in tracked() if path.is_relative_to(ROOT / "tests")]
    assert {inner[0] for inner in parts if len(inner) > 1} <= TEST_FOLDERS
    assert not [inner[0] for inner in parts if len(inner) == 1 and inner[0].startswith("test_")]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_SOURCE], ids=["paths", "package sources"])
def test_no_trace_of_the_machine_it_was_written_on(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found


def test_packages_come_from_wherever_the_machine_says() -> None:
    assert not [name for name in BUILD_FILES if "://" in (ROOT / name).read_text("utf-8")]


def test_an_error_without_a_text_is_named_by_its_class() -> None:
    """`error or type(error).__name__` never is: an exception is true, with a text or without."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and isinstance(node.values[0], ast.Name)
        if f"type({node.values[0].id}).__name__" in map(ast.unparse, node.values[1:])
    ]
    assert not found


def test_no_module_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked()
        if path.suffix in {".py", ".c", ".h", ".S"} and "tests" not in path.parts
        if (lines := len(path.read_text("utf-8").splitlines())) > LINES_MAX
    }
    assert not long


def test_import_contracts_cover_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    assert set(settings["root_packages"]) == PACKAGES
    guarded = {name.split(".")[0] for contract in settings["contracts"] for name in contract.get("source_modules", ())}
    assert guarded == PACKAGES


def test_lock_pins_every_package_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"\n(?=\S)", lock.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_lock_has_all_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(entry for extra in project["optional-dependencies"].values() for entry in extra),
    ]
    names = {re.split(r"[<>=!~\[; ]", entry)[0].lower() for entry in declared}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    assert not names - locked, "`make lock` makes it anew"


def test_make_and_ci_use_one_door() -> None:
    ci = ROOT / ".ci" / "run"
    assert ci.stat().st_mode & 0o111 == 0o111
    assert "make test" in ci.read_text("utf-8")


# Modules that make asyncio tasks themselves, and keep them where they are made.
MAKE_TASKS = {"edge/common/tasks.py"}
BARE_TASKS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


def test_no_background_task_is_without_its_guardian() -> None:
    """Tasks come from `edge.common.tasks`, or from a TaskGroup, which lets no exception get lost."""
    bare = []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if path.suffix != ".py" or not name.startswith(("edge/", "origin/")) or name in MAKE_TASKS:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        groups = {
            item.optional_vars.id
            for node in ast.walk(tree)
            if isinstance(node, ast.AsyncWith)
            for item in node.items
            if isinstance(item.optional_vars, ast.Name) and ast.unparse(item.context_expr) == "asyncio.TaskGroup()"
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in BARE_TASKS:
                if ast.unparse(node.value) not in groups:
                    bare.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
            elif isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & BARE_TASKS:
                bare.append(f"{name}:{node.lineno}: an import of it")
    assert not bare


# Private names that somebody documents for use, and what they are.
DOCUMENTED = {
    "_internal": "tuf-conformance: where its repositories are made, in whose place a run of it puts others",
    "_exit": "os: an end of the process without clean-up",
    "_replace": "a named tuple: the same with some fields changed",
}
OWN = {"self", "cls", "super()"}
BY_NAME = {"setattr", "getattr", "delattr", "hasattr", "setitem", "patch", "object"}  # builtins', pytest's, mock's


def is_private(dotted: str) -> bool:
    parts = dotted.split(".")
    return any(part.startswith("_") and not part.endswith("__") and part not in DOCUMENTED for part in parts)


def private_uses(node: ast.AST) -> list[str]:
    """Private names that this node takes from somebody else."""
    if isinstance(node, ast.Attribute):
        return [node.attr] if is_private(node.attr) and ast.unparse(node.value) not in OWN else []
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if is_private(alias.name)]
    if isinstance(node, ast.ImportFrom):
        return [name for name in (node.module or "", *(alias.name for alias in node.names)) if is_private(name)]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in BY_NAME:
        texts = (argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant))
        return [text for text in texts if isinstance(text, str) and is_private(text)]
    return []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("store._lines", 1),
        ("store.logs._lines.clear()", 1),
        ("from origin.registry.logs import _by_service", 1),
        ("from edge._inner import Thing", 1),
        ("import edge._inner", 1),
        ("setattr(store, '_lines', [])", 1),
        ("monkeypatch.setattr(store, '_lines', [])", 1),
        ("monkeypatch.setattr('edge.devices.spool._lines', [])", 1),
        ("mock.patch.object(store, '_lines')", 1),
        ("self._lines, cls._lines, super()._lines, store.__dict__, _own, os._exit(1), record._replace(a=1)", 0),
        ("from __future__ import annotations", 0),
    ],
)
def test_a_private_name_is_found_however_it_is_used(code: str, found: int) -> None:
    assert len([name for node in ast.walk(ast.parse(code)) for name in private_uses(node)]) == found


def test_no_test_reaches_inside_what_it_tests() -> None:
    """What a test needs, a program that uses the code needs too: a name without an underscore, or a parameter."""
    inside = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {name}"
        for path in tracked()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in private_uses(node)
    ]
    assert inside == []
