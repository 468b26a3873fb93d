"""Who calls whom in the libOS: folders are layers, no files call each other in a circle, and a name is declared once.

What is asked are the compiler's object files and its syntax trees, not the text. A call through a pointer is invisible
here; `struct thread_hooks` and `struct early_answers` are the only tables of them that a lower layer offers to a higher
one.
"""

import io
import json
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from libos.toolchain.build import CFLAGS, HERE, LAYERS, LIBOS_CFLAGS, TOOLCHAIN, ZIG

INCLUDE = "include"  # what programs see, and so do all layers
# Linked without the libOS: they reach it by its call table.
PROGRAMS = ("toolchain", "site", "sqlite", "runtimes", "examples")
# Known to who enters or reads the libOS from outside: the VMM, programs, and link.ld.
ENTRANCES = {"_start", "nk_table"}
COMMAND = (*ZIG, "cc", "-target", "x86_64-freestanding-none", "-mcpu=x86_64_v2", "-fno-sanitize=undefined", *CFLAGS)


@dataclass
class Unit:
    """One source file, as the compiler saw it."""

    defines: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)  # and does not define
    declarations: set[tuple[str, str]] = field(default_factory=set)  # (name, "file:line"), of what may be elsewhere


def name_of(path: Path) -> str:
    return str(path.relative_to(HERE))


def folder_of(name: str) -> str:
    return str(Path(name).parent)


def sources() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((HERE / layer).glob("*.[cS]"))]


def symbols(data: bytes) -> Iterator[tuple[str, bool]]:
    """Name of every symbol that is not the object's own, and whether the object defines it."""
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    for symbol in table.iter_symbols():
        if symbol.name and symbol["st_info"]["bind"] != "STB_LOCAL":
            yield symbol.name, symbol["st_shndx"] != "SHN_UNDEF"


def declarations(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and place of every function and variable with external linkage that is declared and not defined.

    Clang prints a file or line only where it is another one than that of the place printed before.
    """
    at: dict[str, Any] = {"file": "", "line": 0}

    def follow(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                follow(item)
        elif isinstance(value, dict):
            at.update({key: value[key] for key in at if key in value})
            for key, item in value.items():
                if key != "includedFrom":
                    follow(item)

    for node in tree["inner"]:
        inner = node.pop("inner", [])
        follow({"loc": node.get("loc")})
        place = dict(at)
        follow({"range": node.get("range")})
        defined = any(child.get("kind") == "CompoundStmt" for child in inner)
        outside = node.get("storageClass") != "static" and not node.get("isImplicit")
        if (node["kind"] == "FunctionDecl" and outside and not defined) or (
            node["kind"] == "VarDecl" and node.get("storageClass") == "extern"
        ):
            yield node["name"], f"{Path(place['file']).resolve().relative_to(HERE)}:{place['line']}"
        follow(inner)


def compiled(path: Path, scratch: Path) -> Unit:
    unit = Unit()
    place = scratch / (name_of(path).replace("/", "-") + ".o")
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(scratch), "ZIG_LOCAL_CACHE_DIR": str(scratch)} | os.environ
    command = [*COMMAND, *LIBOS_CFLAGS, str(path)]
    subprocess.run([*command, "-c", "-o", str(place)], env=environment, check=True)
    for name, defined in symbols(place.read_bytes()):
        (unit.defines if defined else unit.uses).add(name)
    if path.suffix == ".c":
        tree = [*command, "-E", "-Xclang", "-ast-dump=json"]
        said = subprocess.run(tree, env=environment, check=True, stdout=subprocess.PIPE).stdout
        unit.declarations.update(declarations(json.loads(said)))
    return unit


@cache
def units() -> dict[str, Unit]:
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: compiled(path, Path(scratch)), sources())
        return dict(zip(map(name_of, sources()), found, strict=True))


@cache
def definers() -> dict[str, str]:
    """The file that defines each name."""
    return {symbol: name for name, unit in units().items() for symbol in unit.defines}


@cache
def calls() -> dict[str, dict[str, set[str]]]:
    """For each file, the files that it calls or whose variables it uses, and by which names."""
    graph: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in units()}
    for name, unit in units().items():
        for symbol in unit.uses & definers().keys():
            graph[name][definers()[symbol]].add(symbol)
    return graph


def includes(path: Path) -> Iterator[Path]:
    """The files of ours that the file includes."""
    for name in re.findall(r'^#include ["<](.+)[">]', path.read_text("utf-8"), re.MULTILINE):
        for folder in (path.parent, HERE / INCLUDE):
            if (folder / name).exists():
                yield (folder / name).resolve()


def test_every_file_belongs_to_a_layer() -> None:
    files = [path for kind in ("*.c", "*.S", "*.h") for path in HERE.rglob(kind)]
    assert len(files) > 60
    homes = {*LAYERS, INCLUDE}
    homeless = {
        name for path in files if folder_of(name := name_of(path)) not in homes and Path(name).parts[0] not in PROGRAMS
    }
    assert not homeless


def test_no_file_calls_a_higher_layer() -> None:
    upward = {
        f"{caller} calls {called}: {', '.join(sorted(names))}"
        for caller, others in calls().items()
        for called, names in others.items()
        if LAYERS.index(folder_of(called)) > LAYERS.index(folder_of(caller))
    }
    assert not upward


def test_no_file_includes_a_header_of_a_higher_layer() -> None:
    order = (INCLUDE, *LAYERS)
    upward = {
        f"{name_of(path)} includes {name_of(header)}"
        for layer in order
        for path in (HERE / layer).glob("*.[chS]")
        for header in includes(path)
        if order.index(folder_of(name_of(header))) > order.index(layer)
    }
    assert not upward


def test_no_files_call_each_other_in_a_circle() -> None:
    try:
        order = list(TopologicalSorter(calls()).static_order())
    except CycleError as error:
        pytest.fail(" calls ".join(reversed(error.args[1])))
    assert len(order) == len(units())


def test_every_name_has_one_definition() -> None:
    every = [symbol for unit in units().values() for symbol in unit.defines]
    assert len(every) == len(set(every)) == len(definers())
    script = (TOOLCHAIN / "link.ld").read_text("utf-8")
    missing = {symbol for unit in units().values() for symbol in unit.uses} - definers().keys()
    assert not [symbol for symbol in missing if f"{symbol} = ." not in script]


def test_a_name_is_declared_once_in_a_header_of_its_folder() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for unit in units().values():
        for symbol, place in unit.declarations:
            places[symbol].add(place)
    wrong = {
        symbol: sorted(places[symbol])
        for symbol, name in definers().items()
        if symbol not in ENTRANCES
        and (
            len(places[symbol]) != 1
            or not all(folder_of(place) in (folder_of(name), INCLUDE) and ".h:" in place for place in places[symbol])
        )
    }
    assert not wrong


def test_what_is_declared_is_used_by_another_file() -> None:
    used = {symbol for unit in units().values() for symbol in unit.uses}
    unused = definers().keys() - used - ENTRANCES
    assert not unused, "static, then"


def test_programs_see_only_what_is_for_them() -> None:
    inside = {HERE / layer for layer in LAYERS}
    seen = {
        f"{name_of(path)} includes {name_of(header)}"
        for folder in (INCLUDE, *PROGRAMS)
        for kind in ("*.c", "*.S", "*.h")
        for path in (HERE / folder).rglob(kind)
        for header in includes(path)
        if header.parent in inside
    }
    assert not seen
