"""TypeScript, JSX, modules and packages become one module, whose lines have the names of their files."""

import base64
import json
from pathlib import Path

import pytest

from libos.runtimes import language_of, program_text
from libos.runtimes.js import bundling
from libos.runtimes.js.project import entry_of, imported, needs_bundling
from libos.runtimes.program_text import ProgramText
from libos.toolchain.bundle import ESBUILD
from libos.toolchain.packages import source_tree
from vmimage.errors import OperatorError, PublisherError
from vmimage.sources import SourceMap, SourceTable


def write(folder: Path, **files: str) -> Path:
    """Files by path, `__` for a slash and `_` before the suffix for the dot."""
    for name, text in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        place = folder / f"{stem}.{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def build(source: Path) -> ProgramText:
    language = language_of(source)
    assert language is not None
    return program_text(language, source)


def named(program: ProgramText, needle: str) -> str:
    """The place in the sources of the first line of the program that has this in it."""
    lines = program.text.decode().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if needle in text)
    return SourceTable(program.sources).named(f"worker.js:{line}:{lines[line - 1].index(needle) + 1}")


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("import a from './a.js'\n", "./a.js"),
        ("import {\n  a,\n  b,\n} from 'pkg'\n", "pkg"),
        ('  import * as a from "@x/y";', "@x/y"),
        ("import './effect.js'", "./effect.js"),
        ("export * from './a.js'", "./a.js"),
        ("export { a } from './a.js'", "./a.js"),
        ("const a = await import('./later.js')", "./later.js"),
        ("import fs from 'node:fs'\nimport { join } from 'path'\nimport 'timers/promises'\n", None),
        ("import fs from 'node:fs'\nimport x from './x'\n", "./x"),
        ("export default { fetch() { return new Response('import x from here') } }", None),
        ("const important = 1; const text = 'from'; export const a = 1;", None),
        ("import(name)", None),
    ],
)
def test_what_imports_another_module_is_seen(text: str, module: str | None) -> None:
    assert imported(text.encode()) == module
    assert needs_bundling(Path("a.js"), text.encode()) == (module is not None)
    assert needs_bundling(Path("a.ts"), text.encode())


@pytest.mark.parametrize(
    ("package", "entry"),
    [
        ({"main": "src/index.ts"}, "src/index.ts"),
        ({"module": "src/b.mjs", "main": "src/index.ts"}, "src/b.mjs"),
        ({"exports": "./src/index.ts", "main": "src/b.mjs"}, "./src/index.ts"),
        (
            {"exports": {".": {"node": "./n.js", "workerd": "./src/index.ts", "default": "./src/b.mjs"}}},
            "./src/index.ts",
        ),
        ({"exports": {"import": "./src/b.mjs", "worker": "./src/index.ts"}}, "./src/b.mjs"),
        ({"main": "../outside.ts"}, None),
        ({"main": "readme.md"}, None),
        ({"main": "missing.ts"}, None),
        ({"main": 1}, None),
        ([], None),
    ],
)
def test_a_package_says_where_its_program_begins(package: object, entry: str | None, tmp_path: Path) -> None:
    (tmp_path / "outside.ts").write_text("")
    folder = write(tmp_path / "p", src__index_ts="", src__b_mjs="", readme_md="")
    (folder / "package.json").write_text(json.dumps(package))
    assert entry_of(folder) == (None if entry is None else folder / entry)
    write(folder, worker_tsx="")
    assert entry_of(folder) == folder / "worker.tsx", "worker.* goes first"


def test_modules_and_packages_of_the_project_are_one_module(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        src__index_ts='import { area } from "./shapes";\nimport { kind } from "pkg";\nimport { join } from "path";\n'
        "export default { async fetch(r: Request) { return new Response(kind + area(2) + join('a', 'b')) } };\n",
        src__shapes_ts="\n\nexport function area(side: number): number {\n  return side ** 2;\n}\n",
        node_modules__pkg__package_json=json.dumps(
            {"exports": {".": {"node": "./node.js", "browser": "./browser.js", "default": "./default.js"}}}
        ),
        node_modules__pkg__node_js='export const kind = "node";',
        node_modules__pkg__browser_js='export const kind = "browser";',
        node_modules__pkg__default_js='export const kind = "default";',
    )
    (folder / "package.json").write_text('{"main": "src/index.ts"}')
    program = build(folder)
    assert b'"browser"' in program.text
    assert b'from "path"' in program.text, "Node's modules are the runtime's"
    assert b"sourceMappingURL" not in program.text
    assert named(program, "side ** 2") == "src/shapes.ts:4:10"
    assert set(program.sources.sources) == {"src/index.ts", "src/shapes.ts", "node_modules/pkg/browser.js"}
    assert program.root == folder
    inputs = {path.relative_to(folder).as_posix() for path in program.inputs}
    assert inputs == {"package.json", "src/index.ts", "src/shapes.ts", "node_modules/pkg/browser.js"}
    assert build(folder) == program, "the same source gives the same bytes"


def test_jsx_and_files_of_text_are_taken(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        app_tsx="/** @jsx h */\nimport query from './list.sql';\n"
        "const h = (name: string, _: unknown, ...inner: string[]) => `<${name}>${inner.join('')}</${name}>`;\n"
        "export default { fetch: () => new Response(<p>{query}</p>) };\n",
        list_sql="select 1",
    )
    assert b'"select 1"' in build(source / "app.tsx").text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("const a: = 1;\n", ["app.ts:1:9:", "1 │ const a: = 1;", "Unexpected"]),
        ("\nimport x from './none';\nx();\n", ["app.ts:2:14:", "2 │ import x from './none';", "Could not resolve"]),
    ],
)
def test_what_esbuild_refuses_is_told_with_file_line_and_excerpt(
    text: str, expected: list[str], tmp_path: Path
) -> None:
    with pytest.raises(PublisherError) as refused:
        build(write(tmp_path, app_ts=text) / "app.ts")
    assert [part for part in expected if part not in str(refused.value)] == []


def test_an_esbuild_of_ones_own_is_used(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path / "asked"}\nexec {source_tree(ESBUILD) / "bin" / "esbuild"} "$@"\n'
    )
    own.chmod(0o755)
    source = write(tmp_path, app_ts="export default {};") / "app.ts"
    program = bundling.program_text(source, own)
    assert str(source) in (tmp_path / "asked").read_text()
    assert b"app_default" in program.text
    with pytest.raises(OperatorError, match="--esbuild: a program that can be run expected"):
        bundling.program_text(source, tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [("app.ts", "export default {};", "it is ts"), ("app.js", "import './a.js';", r"it imports '\./a\.js'")],
)
def test_without_esbuild_it_is_said_what_to_do(
    name: str, text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> Path:
        raise OperatorError("the command npm expected, found none")

    monkeypatch.setattr(bundling, "source_tree", missing)
    (tmp_path / name).write_text(text)
    with pytest.raises(OperatorError, match=f"{name}: {why}, so esbuild .* Install npm.* --esbuild; or bundle"):
        bundling.program_text(tmp_path / name)


def test_one_module_is_taken_as_it_is_under_its_own_name(tmp_path: Path) -> None:
    source = write(tmp_path, app_js="export default {};\n") / "app.js"
    program = build(source)
    assert (program.text, program.sources, program.inputs) == (
        b"export default {};\n",
        SourceMap("worker.js", ("app.js",)),
        (),
    )


MAP = {"version": 3, "sources": ["../src/a.ts"], "mappings": "AAEA", "sourcesContent": ["secret"]}


def with_map(folder: Path, url: str) -> ProgramText:
    return build(write(folder, dist__app_js=f"export default {{}};\n//# sourceMappingURL={url}\n") / "dist" / "app.js")


def inline(found: object) -> str:
    return "data:application/json;charset=utf-8;base64," + base64.b64encode(json.dumps(found).encode()).decode()


@pytest.mark.parametrize("place", ["inline", "app.js.map", "maps/app%20map"])
def test_the_map_that_a_bundle_brings_is_used_and_its_comment_is_left_out(place: str, tmp_path: Path) -> None:
    found = MAP if place != "maps/app%20map" else MAP | {"sources": ["../../src/a.ts"]}
    if place != "inline":
        file = tmp_path / "dist" / place.replace("%20", " ")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(found))
    (tmp_path / "package.json").write_text("{}")
    program = with_map(tmp_path, inline(found) if place == "inline" else place)
    assert program.text == b"export default {};\n"
    assert named(program, "export") == "src/a.ts:3:1"
    assert not program.warnings


@pytest.mark.parametrize(
    "url",
    [
        "../outside.map",
        "https://elsewhere.example/app.js.map",
        "missing.map",
        inline([]),
        inline(MAP | {"version": 2}),
        inline(MAP | {"mappings": "A"[:0]}),
        inline(MAP | {"mappings": "AAEA," * 300_000}),
        inline(MAP | {"mappings": "ACAA"}),
        inline(MAP | {"sources": "a"}),
        inline(MAP | {"sections": []}),
        inline(MAP | {"sourceRoot": 1}),
        "data:application/json;base64,!",
        "data:application/json;base64,W1tbW1s=",
    ],
    ids=range(13),
)
def test_a_map_that_is_none_costs_a_warning(url: str, tmp_path: Path) -> None:
    (tmp_path / "outside.map").write_text(json.dumps(MAP))
    program = with_map(tmp_path, url)
    assert program.text == b"export default {};\n"
    assert program.sources == SourceMap("worker.js", ("app.js",))
    assert len(program.warnings) == 1
    assert program.warnings[0].startswith("app.js: its source map ")


def test_the_comment_counts_only_as_the_last_line(tmp_path: Path) -> None:
    text = "const a = `\n//# sourceMappingURL=a.map\n`;\nexport default {};\n"
    assert build(write(tmp_path, app_js=text) / "app.js").text == text.encode()
