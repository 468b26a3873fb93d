"""Is every promise of docs/threat-model.md held by a test that exists, and every attack in it?"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)`")
MODULE = re.compile(r"`((?:edge|origin|vmimage)/[\w/]+\.py)`")


def section(title: str) -> str:
    """The text under a heading, to the next one."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """A table's rows, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_test_that_is_named_exists() -> None:
    named = TEST.findall(TEXT)
    assert len(named) > 25
    assert not [path for path in named if not (ROOT / path).is_file()]


def test_every_attack_is_named() -> None:
    attacks = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "attack").glob("test_*.py")}
    assert not attacks - set(TEST.findall(TEXT))


def test_every_door_is_a_module() -> None:
    doors = MODULE.findall(section("Doors"))
    assert len(doors) > 20
    assert not [path for path in doors if not (ROOT / path).is_file()]


def test_every_promise_names_attacker_and_test() -> None:
    attackers = {row[0].strip("*") for row in [[cell.strip() for cell in row] for row in rows("Who attacks")]}
    promises = rows("Promises")
    assert attackers == set("GPCWLMK")
    assert len(promises) > 25
    for against, _, held_by in promises:
        assert set(against.split(", ")) <= attackers | {"all"}
        assert TEST.search(held_by), held_by
