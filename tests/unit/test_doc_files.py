"""Are the documents whole: do links lead somewhere, do named files exist, has each decision the form of the others?"""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|c|h|S|js|lua|md))`")
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
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
