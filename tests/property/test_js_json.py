"""JSON.stringify of the JavaScript runtime beside the engine's own.

The same text, the same errors, and the same calls of the program's functions in the same order, for values as plain and
as strange as hypothesis makes them.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libos.runtimes import js
from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import source_tree

EXAMPLES = 1500

# What one function does with what `make(log)` gives: outcome and log as one text.
HARNESS = """
const outcome = (stringify, make) => {
  const log = [];
  let said;
  try { const text = stringify(...make(log)); said = typeof text + ":" + text; }
  catch (error) { said = "throws " + error.name + ": " + error.message; }
  finally { delete Object.prototype.toJSON; delete Array.prototype.toJSON; delete String.prototype.toJSON;
            delete Number.prototype.toJSON; delete Array.prototype[1]; delete BigInt.prototype.toJSON; }
  return said + " " + log.join(",");
};
globalThis.compare = (make) => {
  const before = detours(), ours = outcome(JSON.stringify, make), after = detours(), own = outcome(theirs, make);
  return ours === own ? (after > before ? "long" : "short") : `ours ${escape(ours)} theirs ${escape(own)}`;
};
""".replace("\n", " ")


class Engine:
    """The engine in a process of its own, asked line by line."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.evaluate(HARNESS)

    def evaluate(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        assert said, f"the engine ended at {line}"
        return said.strip()

    def compare(self, values: str) -> str:
        """`short` or `long`, the way that ours went.

        :param values: JavaScript for the arguments; `log` is an array for what their functions do.
        """
        return self.evaluate(f"compare((log) => [{values}])")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = source_tree(js.QUICKJS) / "upstream-quickjs"
    part = hashlib.sha256((js.HERE / "json_in_engine.h").read_bytes()).hexdigest()  # a change compiles anew
    sources = [Path(__file__).with_name("js_json.c"), *(folder / name for name in js.ENGINE)]
    data = compile_linux(sources, include=[folder, js.HERE], flags=(*js.FLAGS, f'-DPART="{part}"'))
    program = tmp_path_factory.mktemp("engine") / "json"
    program.write_bytes(data)
    os.chmod(program, 0o755)
    engine = Engine(program)
    yield engine
    engine.process.kill()
    engine.process.communicate()


def literal(text: str) -> str:
    return json.dumps(text)


TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(max_codepoint=0x100), max_size=12),
    st.text(st.sampled_from('\ud83c\udfd4\udc00\ud800a"\\\n\x00\x7f\u2028é中'), max_size=12),
).map(literal)
STRINGS = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: f'("x".repeat(5000) + {text} + "y".repeat(5000))'),  # a rope
    TEXTS.map(lambda text: f'({text} + "\\u4e2d" + "z".repeat(9000)).slice(0, -1)'),  # a slice, wide
    TEXTS.map(lambda text: f'("\\u4e2d" + "\\xe9".repeat(200) + {text}).slice(1)'),  # perhaps wide without need
)
NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(lambda whole, places: f"{whole / 10**places!r}", st.integers(-(10**16), 10**16), st.integers(0, 9)),
    st.builds(lambda whole, ulps: f"({whole} / 10 + {ulps} * 2 ** -53)", st.integers(0, 99), st.integers(-3, 3)),
    st.sampled_from(
        ["-0", "0.1 + 0.2", "1e21", "1e-7", "1e15", "1e15 - 1", "2 ** 31", "5e-324", "1.7e308", "0.0000015"]
    ),
)
PLAIN_LEAVES = st.one_of(st.sampled_from(["null", "true", "false", "NaN", "-Infinity"]), NUMBERS, STRINGS)
ABSENT = st.sampled_from(["undefined", "Symbol('s')", "() => 1", "class A {}", "Math.max", "Object.bind(null)"])
KEYS = st.one_of(
    TEXTS, st.sampled_from(['"0"', '"10"', '"9"', '"-1"', '"01"', '"4294967294"', '"4294967295"', '"toString"'])
)


def members(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"[{key}]: {value}" for key, value in pairs) + "}"


def containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(values, max_size=5).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(KEYS, values), max_size=5).map(members),
    )


PLAIN = st.recursive(st.one_of(PLAIN_LEAVES, ABSENT), containers, max_leaves=20)
STRANGE_VALUES = (
    *(
        "10n",
        "Object(1)",
        "Object('s')",
        "Object(true)",
        "Object(1n)",
        "Object(Symbol())",
        "new Date(5)",
        "new Date(NaN)",
    ),
    *(
        "new Map([[1, 2]])",
        "/x/g",
        "new Error('e')",
        "new Uint8Array(3)",
        "new ArrayBuffer(2)",
        "Promise.resolve(1)",
    ),
    *("JSON.rawJSON('1e5')", "[1, , 3]", "Object.assign([1], {length: 3})", "Object.assign([1, 2], {x: 1})"),
    *("(function () { return arguments; })(1, 2)", "Object.freeze([1, {a: 2}])", "Object.freeze({a: 1})"),
    *("globalThis.Reflect", "Math", "JSON", "Object.create({a: 1})", "Object.create(null, {a: {value: 1}})"),
    *("new (class { #p = 1; q = 2; get r() { return 3; } })", "new (class extends Array {})(3)"),
    *(
        "Object.setPrototypeOf([1, 2], {toJSON() { log.push('proto'); return 7; }})",
        "Object.setPrototypeOf([1], null)",
    ),
    *("Object.setPrototypeOf({a: 1}, [])", "Object.setPrototypeOf({a: 1}, new String('abc'))"),
    *("{[Symbol('k')]: 1, a: 2}", "(() => { const o = {a: 1, b: 2, c: 3}; delete o.b; o.b = 4; return o; })()"),
    *(
        "Object.defineProperty({a: 1}, 'hidden', {value: 2})",
        "Object.defineProperty([1, 2], 0, {value: 3, enumerable: false})",
    ),
    *(
        "(() => { const o = {a: 1}; o.self = o; return o; })()",
        "(() => { const a = [1]; a.push([a]); return a; })()",
    ),
    *("(() => { const s = {x: 1}; return [s, s, {s}]; })()", "Object.assign(() => 1, {toJSON: () => 'f'})"),
    *("(() => { const p = Proxy.revocable([], {}); p.revoke(); return p.proxy; })()",),
    *("(() => { let o = 1; for (let n = 0; n < 63; n++) o = [o]; return o; })()",),
    *("(() => { let o = 1; for (let n = 0; n < 64; n++) o = {o}; return o; })()",),
    *("(() => { let o = 1; for (let n = 0; n < 65; n++) o = n & 1 ? [o] : {o}; return o; })()",),
    *(
        "new Proxy(() => 1, {get: (t, k) => void log.push(String(k))})",
        "new (class { get a() { log.push('a'); return 1; } })",
    ),
    *(
        "Object.create(new Proxy({}, {get: (t, k) => (log.push(String(k)), () => 5)}))",
        "Object.create(new Uint8Array(1))",
    ),
    *(
        "Object.setPrototypeOf([1], new Proxy([], {get: (t, k) => void log.push(String(k))}))",
        "Object(() => 1).bind(null)",
    ),
)
STRANGE_LEAVES = st.sampled_from(STRANGE_VALUES)


def strange(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def with_getter(key: str, value: str) -> str:
        return f"{{a: 1, get [{key}]() {{ log.push({key}); return {value}; }}, z: 2}}"

    def with_to_json(value: str) -> str:
        return f"{{a: 1, toJSON(key) {{ log.push(key, typeof this); return {value}; }}}}"

    def as_proxy(value: str) -> str:
        get, keys = "(log.push(String(k)), t[k])", "(log.push('keys'), Reflect.ownKeys(t))"
        return f"new Proxy(Object({value}), {{get: (t, k) => {get}, ownKeys: (t) => {keys}}})"

    return st.one_of(
        containers(values),
        st.builds(with_getter, KEYS, values),
        values.map(with_to_json),
        values.map(as_proxy),
        values.map(lambda value: f"{{toJSON: {value}}}"),
    )


STRANGE = st.recursive(st.one_of(PLAIN_LEAVES, ABSENT, STRANGE_LEAVES), strange, max_leaves=15)
PATCHES = (
    "",
    "Object.prototype.toJSON = function (key) { log.push('o' + key); return typeof this; }",
    "Array.prototype.toJSON = function (key) { log.push('a' + key); return this.length; }",
    "String.prototype.toJSON = Number.prototype.toJSON = () => log.push('never')",
    "BigInt.prototype.toJSON = function () { return String(this); }",
    "Array.prototype[1] = 'filled'",
    "Object.defineProperty(Object.prototype, 'toJSON', {get() { log.push('get'); }, configurable: true})",
)
OPTIONS = st.sampled_from(
    [
        *(
            "",
            "",
            "",
            ", undefined, undefined",
            ", null",
            ", null, 2",
            ", null, '--'",
            ", undefined, Object(3)",
            ", null, 0",
        ),
        *(
            ", ['a', 'b', 0]",
            ", (key, value) => (log.push(key), value)",
            ", {}, ' '",
            ", 'x', 1n",
            ", new Proxy([], {})",
        ),
    ]
)


def patched(patch: str, value: str) -> str:
    """A value that is made after a prototype was patched."""
    return f"({patch}, {value})" if patch else f"({value})"


@settings(max_examples=EXAMPLES, deadline=None)
@given(value=PLAIN)
def test_plain_values_go_the_short_way(engine: Engine, value: str) -> None:
    assert engine.compare(value) == "short"


@settings(max_examples=EXAMPLES, deadline=None)
@given(value=STRANGE, patch=st.sampled_from(PATCHES), options=OPTIONS)
def test_any_value_gives_what_the_engine_gives(engine: Engine, value: str, patch: str, options: str) -> None:
    assert engine.compare(patched(patch, value) + options) in ("short", "long")


@pytest.mark.parametrize("value", STRANGE_VALUES)
def test_each_strange_value_gives_what_the_engine_gives(engine: Engine, value: str) -> None:
    for patch in PATCHES:
        for place in (value, f"[1, {value}]", f"{{a: {value}, b: 2, 1: {value}}}"):
            assert engine.compare(patched(patch, place)) in ("short", "long")


@pytest.mark.parametrize(
    "value",
    [
        "(() => { let o = 1; for (let n = 0; n < 100000; n++) o = [o]; return o; })()",
        "(() => { let o = 1; for (let n = 0; n < 100000; n++) o = {o}; return o; })()",
        "(() => { const o = {pad: 'x'.repeat(1 << 20)}; o.o = o; return o; })()",
        "(() => { const o = []; o.push('x'.repeat(1 << 20), o, o); return o; })()",
    ],
)
def test_depth_without_end_is_the_engines_error(engine: Engine, value: str) -> None:
    assert engine.compare(value) == "long"
    assert engine.evaluate(f"try {{ JSON.stringify({value}); 'no error' }} catch (error) {{ error.name }}") in (
        "RangeError",
        "TypeError",
    )


def test_shared_objects_are_no_cycle_and_take_no_more_than_they_are(engine: Engine) -> None:
    assert (
        engine.compare("(() => { let o = {}; for (let n = 0; n < 14; n++) o = {a: o, 7: o}; return o; })()") == "short"
    )


def test_no_memory_at_any_point_is_an_error_and_no_more(engine: Engine) -> None:
    """Whichever allocation is the first that fails."""
    value = "{a: ['x'.repeat(3000), '\\u4e2d'.repeat(3000), '\"'.repeat(2000)], 5: 'y'.repeat(400) + 'z'.repeat(9000)}"
    engine.evaluate(f"globalThis.data = {value}; JSON.stringify(data)")
    ways = set()
    for room in range(0, 120_000, 500):
        attempt = "try { said = typeof JSON.stringify(data) } catch (error) { said = error }"
        ways.add(engine.evaluate(f"var said; limit({room + 1}); {attempt} limit(0); String(said)"))
    told = {"InternalError: out of memory", "InternalError", "null"}  # as far as there is memory to tell it
    assert ways >= {"string", "InternalError: out of memory"}
    assert ways <= {"string", *told}
    assert engine.compare("data") == "short"


def test_the_function_looks_like_the_engines(engine: Engine) -> None:
    about = "[f.name, f.length, escape(f), 'prototype' in f, Object.getOwnPropertyNames(f)].join()"
    ours, theirs = (engine.evaluate(f"(f => {about})({name})") for name in ("JSON.stringify", "theirs"))
    assert ours == theirs
    descriptors = "Object.entries(Object.getOwnPropertyDescriptors(JSON))"
    names = "map(([name, d]) => [name, d.writable, d.enumerable, d.configurable]).join()"
    assert engine.evaluate(f"{descriptors}.{names}") == (
        "isRawJSON,true,false,true,parse,true,false,true,rawJSON,true,false,true,stringify,true,false,true"
    )
