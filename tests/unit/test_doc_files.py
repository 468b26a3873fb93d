"""Are the documents whole: do links lead somewhere, do named files exist, has each decision the form of the others?"""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edge.common.counters import GAUGES, PREFIX, Counters
from edge.main import build_app

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|c|h|S|js|lua|md))`")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
PICTURE_MAX = 100_000  # bytes
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
NOT_OURS = ("load-an-edge.md", "javascript.md", "benchmarks.md")  # options of locust, esbuild and a module
DECISION = ["## Question", "## Found", "## Decision", "## Consequences"]


@cache
def documents() -> tuple[Path, ...]:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    said = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(path for name in said.split("\0") if name and (path := ROOT / name).is_file())


def anchors(path: Path) -> set[str]:
    """What GitHub makes of headings."""
    titles = HEADING.findall(CODE.sub("", path.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.fixture(autouse=True)
def _needs_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository here: a source package")


def test_links_lead_somewhere() -> None:
    broken = []
    for path in documents():
        for target in LINK.findall(CODE.sub("", path.read_text("utf-8"))):
            if "://" in target or target.startswith("mailto:"):
                continue
            file, _, anchor = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            if not found.exists() or (anchor and anchor not in anchors(found)):
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken


def test_pictures_are_there_small_described_and_shown() -> None:
    shown = [
        (alt, (path.parent / target).resolve())
        for path in documents()
        for alt, target in PICTURE.findall(CODE.sub("", path.read_text("utf-8")))
    ]
    assert all(len(alt.split()) > 2 for alt, _ in shown), "who does not see a picture reads what is in it"
    assert all(picture.stat().st_size < PICTURE_MAX for _, picture in shown)
    assert set((ROOT / "docs" / "pictures").iterdir()) <= {picture for _, picture in shown}


def test_files_that_documents_name_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in documents()
        for name in NAMED.findall(CODE.sub("", path.read_text("utf-8")))
        if not any((folder / name).exists() for folder in (ROOT, *path.parents))
    ]
    assert not missing


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        path = left.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        targets = [target.partition("#")[0] for target in LINK.findall(path.read_text("utf-8")) if "://" not in target]
        for found in ((path.parent / target).resolve() for target in targets if target):
            left += sorted(found.glob("*.md")) if found.is_dir() else [found]
    assert not [path for path in documents() if path.is_relative_to(ROOT / "docs") and path not in seen]


def test_metrics_that_documents_name_are_exported() -> None:
    known = {PREFIX + name for name in GAUGES} | {f"{PREFIX}{name}_total" for name in Counters.__slots__}
    named = {name for path in GUIDES for name in re.findall(r"nunatak_[a-z_]+", path.read_text("utf-8"))}
    assert named
    assert not named - known


def test_options_that_documents_name_are_taken_by_some_command() -> None:
    def flags(command: Any) -> set[str]:
        own = {flag for param in command.params for flag in param.opts}
        return own.union(*map(flags, getattr(command, "commands", {}).values()))

    text = {path: CODE.sub("", path.read_text("utf-8")) for path in GUIDES if path.name not in NOT_OURS}
    known = flags(get_command(build_app())) | {"--help", "--version"}
    unknown = {f"{path.name}: {flag}" for path in text for flag in set(FLAG.findall(text[path])) - known}
    assert not unknown


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: str(path.name))
def test_a_decision_has_the_form_of_the_others(path: Path) -> None:
    text = path.read_text("utf-8")
    number = path.name[:4]
    title = f"# {'NNNN' if number == '0000' else number}: "
    assert text.startswith(title)
    assert text.splitlines()[2].startswith("Status: ")
    assert re.findall(r"^## .*", text, re.MULTILINE) == DECISION


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert numbers == [f"{number:04}" for number in range(len(numbers))]


def test_the_glossary_is_in_order() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert words
    assert words == sorted(words, key=str.lower)
