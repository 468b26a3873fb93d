"""What the headers named ..._in_engine.h use of the JavaScript engine's inside.

The engine is the one it was written against, and each name is said in engine_internals.h, where the compiler checks
what it can.
"""

import hashlib
import re
from pathlib import Path

import pytest

from libos.runtimes import js
from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import source_tree
from vmimage.errors import PublisherError

INTERNALS = js.HERE / "engine_internals.h"
WORD = re.compile(r"\b[A-Za-z_][A-Za-z_0-9]*\b")
# Comments, texts and characters of C.
NO_CODE = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|^#include[^\n]*', re.DOTALL | re.MULTILINE
)
# C's own words, and those of these headers for things of their own, that quickjs.c has too.
ORDINARY = {
    *("bool", "break", "case", "char", "const", "continue", "default", "double", "else", "enum", "false", "for", "if"),
    *("inline", "int", "int64_t", "return", "size_t", "sizeof", "static", "struct", "switch", "true", "uint16_t"),
    *("uint32_t", "uint64_t", "uint8_t", "unsigned", "void", "NULL", "fabs", "isfinite", "llabs", "llrint"),
    *("free", "malloc", "memcpy", "memset", "realloc", "snprintf", "strcmp", "strstr", "va_end", "va_start"),
    *("code", "end", "frame", "handlers", "int8_t", "job", "left", "kind", "method", "pc", "result", "volatile"),
    *("about", "any", "arguments", "array", "before", "count", "ctx", "depth", "digits", "found", "from", "function"),
    *(
        "global",
        "half",
        "holder",
        "json",
        "length",
        "n",
        "name",
        "names",
        "number",
        "object",
        "out",
        "outcome",
        "point",
    ),
    *(
        "prototype",
        "rest",
        "room",
        "rope",
        "self",
        "size",
        "start",
        "string",
        "stringify",
        "text",
        "value",
        "whole",
        "at",
    ),
}


def words(path: Path) -> set[str]:
    return set(WORD.findall(NO_CODE.sub(" ", path.read_text("utf-8"))))


@pytest.fixture(scope="module")
def engine() -> Path:
    return source_tree(js.QUICKJS) / "upstream-quickjs"


def test_the_engine_is_the_one_whose_inside_was_read(engine: Path) -> None:
    pinned = re.search(r'ENGINE_SOURCE_SHA256 "([0-9a-f]{64})"', INTERNALS.read_text("ascii"))
    found = hashlib.sha256((engine / "quickjs.c").read_bytes()).hexdigest()
    assert pinned
    assert pinned[1] == found, f"another quickjs.c: do what {INTERNALS.name} says, then write {found} there"


def test_every_name_of_the_inside_is_listed(engine: Path) -> None:
    names = ("json.h", "async_context.h", "lasting.h", "erasing.h")
    public = words(engine / "quickjs.h").union(*(words(js.HERE / name) for name in names))
    inside = words(engine / "quickjs.c") | words(engine / "quickjs-atom.h") | words(engine / "dtoa.h")
    ours = sorted(js.HERE.glob("*_in_engine.h"))
    used = (set().union(*map(words, ours)) & inside) - public
    wanted = {"find_own_property", "JSShapeProperty", "shape", "is_exotic", "promise_reaction_job"}
    assert wanted <= used, "what is asked for is found"
    assert used - words(INTERNALS) - ORDINARY == set()


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("IS(FIELD(JSShape, prop_count), int)", "IS(FIELD(JSShape, prop_count), long)"),
        ("QJS_VERSION_MINOR == 17", "QJS_VERSION_MINOR == 18"),
        ("js_json_stringify, JSValue(", "js_json_stringify, void("),
        ("JS_CLASS_ARRAY == 2", "JS_CLASS_ARRAY == 3"),
        ("promise_reaction_job, JSValue(JSContext *, int", "promise_reaction_job, JSValue(JSContext *, long"),
        ("engine_then, int(JSContext *, JSValueConst, ", "engine_then, int(JSContext *, "),
    ],
)
def test_the_compiler_refuses_another_inside(engine: Path, tmp_path: Path, was: str, becomes: str) -> None:
    text = INTERNALS.read_text("ascii")
    assert was in text
    (tmp_path / "probe.c").write_text(text.replace(was, becomes))
    with pytest.raises(PublisherError, match=r"static assertion|static_assert"):
        compile_linux([tmp_path / "probe.c"], include=[engine, js.HERE], flags=js.FLAGS)


def test_the_engine_calls_the_hooks(engine: Path) -> None:
    """Each call in the source has a first word that engine_hooks.h knows, and there is one definition."""
    text = (engine / "quickjs.c").read_text("utf-8")
    hooks = (js.HERE / "engine_hooks.h").read_text("ascii")
    names = {
        "perform_promise_then": "THEN",
        "JS_EnqueueJob": "ENQUEUE",
        "JS_ThrowError": "THROW",
        "js_trigger_gc": "TRIGGER",
    }
    for name, prefix in names.items():
        firsts = re.findall(rf"\b{name}\((\w+)", text)
        assert {f"{prefix}_{first}" for first in firsts} == set(re.findall(rf"#define ({prefix}_\w+)", hooks))
        assert firsts.count("ctx") >= 1
