"""Draws `docs/map.md`: which package imports which, read from the code.

`python -m tests.support.map` writes the file; `tests/unit/test_map.py` compares it. What may import what is decided by
import-linter's contracts in pyproject.toml, not here.
"""

import ast
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import grimp

ROOT: Final = Path(__file__).resolve().parents[2]
TARGET: Final = ROOT / "docs" / "map.md"
PACKAGES: Final = ("vmimage", "libos", "origin", "edge", "loadtest")
# Packages whose rooms are drawn, each with the contract that holds its layers.
DRAWN: Final = {"edge": "edge", "edge.vmm": "vmm-rooms", "origin": "origin-rooms", "loadtest": "loadtest-rooms"}
HEAD: Final = """# Map

Which package imports which, drawn from the imports by `make map`; a test compares. An arrow points from the importer to
what it imports. An arrow that a longer way implies is left out of the drawing and is in the table. A dotted arrow is an
exception that a contract in pyproject.toml names.
"""
NOTE: Final = """
`loadtest` starts `nunatak` as its users do, in processes of their own. `edge.main` imports no command: each package
names its commands as entry points. `libos` is C but for its build. Everyone but `loadtest` may import `vmimage`; the
other arrows between packages are these:

| from | to |
|---|---|
"""

Arrows = set[tuple[str, str]]


def main() -> None:
    """Write the file."""
    TARGET.write_text(drawing(), "utf-8")


def drawing() -> str:
    """All of `docs/map.md`."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    parts = [HEAD, "\n## The packages\n", *_section(graph, PACKAGES, "", set())]
    parts.append(NOTE)
    rooms = [room for package in PACKAGES for room in graph.find_children(package) or [package]]
    parts += [f"| `{a}` | {others} |\n" for a, others in _crossing(_arrows(graph, rooms))]
    for package, contract in DRAWN.items():
        rooms = sorted(graph.find_children(package))
        parts.append(f"\n## {package}\n")
        parts += _section(graph, rooms, package, _exceptions(contract))
    return "".join(parts)


def _section(graph: grimp.ImportGraph, nodes: Iterable[str], parent: str, exceptions: Arrows) -> Iterator[str]:
    nodes = list(nodes)
    arrows = _arrows(graph, nodes)
    odd = {(a, b) for a, b in arrows if any(_in(x, a) and _in(y, b) for x, y in exceptions)}
    plain = arrows - odd
    yield "\n```mermaid\nflowchart TD\n"
    for node in nodes:
        yield f"    {_name(node, parent)}\n"
    for a, b in sorted(_reduced(plain)):
        yield f"    {_name(a, parent)} --> {_name(b, parent)}\n"
    for a, b in sorted(odd):
        yield f"    {_name(a, parent)} -.-> {_name(b, parent)}\n"
    yield "```\n\n| room | what it is | imports |\n|---|---|---|\n"
    for node in nodes:
        known = ", ".join(f"`{_name(b, parent)}`" for a, b in sorted(arrows) if a == node) or "–"
        yield f"| [{_name(node, parent)}](../{_path(node).relative_to(ROOT)}) | {_sentence(node)} | {known} |\n"


def _arrows(graph: grimp.ImportGraph, nodes: list[str]) -> Arrows:
    """Who imports whom, of rooms with all that is in them; a room that is within another counts for itself alone."""
    found = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = [next((node for node in nodes if _in(name, node)), None) for name in (module, imported)]
            if ends[0] and ends[1] and ends[0] != ends[1]:
                found.add((ends[0], ends[1]))
    return found


def _crossing(arrows: Arrows) -> Iterator[tuple[str, str]]:
    """Rooms that import rooms of another package than their own and vmimage, with those."""
    found: dict[str, list[str]] = {}
    for a, b in sorted(arrows):
        if b.split(".")[0] not in (a.split(".")[0], "vmimage"):
            found.setdefault(a, []).append(f"`{b}`")
    yield from ((a, ", ".join(others)) for a, others in found.items())


def _reduced(arrows: Arrows) -> Arrows:
    """Without arrows that a longer way implies."""
    after: dict[str, set[str]] = {}
    for a, b in arrows:
        after.setdefault(a, set()).add(b)

    def reaches(start: str, end: str, seen: frozenset[str] = frozenset()) -> bool:
        return any(
            step == end or (step not in seen and reaches(step, end, seen | {step})) for step in after.get(start, ())
        )

    return {(a, b) for a, b in arrows if not any(reaches(step, b) for step in after[a] - {b})}


def _exceptions(contract: str) -> Arrows:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    found = next(entry for entry in settings["contracts"] if entry["id"] == contract)
    pairs = [entry.split(" -> ") for entry in found.get("ignore_imports", ())]
    return {(importer, imported) for importer, imported in pairs}


def _in(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def _name(node: str, parent: str) -> str:
    return node.removeprefix(parent + ".") if parent else node


def _path(node: str) -> Path:
    folder = ROOT.joinpath(*node.split("."))
    return folder if folder.is_dir() else folder.with_suffix(".py")


def _sentence(node: str) -> str:
    """The first line that a room says of itself."""
    path = _path(node)
    file = path / "__init__.py" if path.is_dir() else path
    said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return said.partition("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    main()
