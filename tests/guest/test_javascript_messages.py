"""Messages of errors name what they speak of, in the words of V8, which libraries look for and people know."""

from functools import cache

import pytest

from tests.support.workers import RestingWorker, worker_image

# What is done, and what V8 12 says of it.
SAID = {
    "nothing.at": "Cannot read properties of undefined (reading 'at')",
    "none.at": "Cannot read properties of null (reading 'at')",
    "none['a b']": "Cannot read properties of null (reading 'a b')",
    "nothing.at = 1": "Cannot set properties of undefined (setting 'at')",
    "nothing()": "nothing is not a function",
    "missing()": "missing is not defined",
    "object.missing()": "object.missing is not a function",
    "object.list.missing(1, 2, object.size)": "object.list.missing is not a function",
    "object.list[0]()": "object.list[0] is not a function",
    "object.list[size]()": "object.list[size] is not a function",
    "object.list.length()": "object.list.length is not a function",
    "object.make().missing()": "object.make(...).missing is not a function",
    "make()()": "make(...) is not a function",
    "object?.missing()": "object?.missing is not a function",
    "size(...object.list)": "size is not a function",
    "new size()": "size is not a constructor",
    "new object.size(1)": "object.size is not a constructor",
    "(size ? object.size : 1)()": "(intermediate value) is not a function",
    "object.size(size && 1, size || 2)": "object.size is not a function",
    "new (class { #it = 1; ask() { this.#it(); } })().ask()": "this.#it is not a function",
    "for (const each of size);": "size is not iterable",
    "for (const each of object.size);": "object.size is not iterable",
    "for (const each of nothing);": "nothing is not iterable",
    "const [a] = object.size": "object.size is not iterable",
    "[...object.size]": "object.size is not iterable",
    "early; let early": "Cannot access 'early' before initialization",
    "(() => { const inner = size; (() => inner())(); })()": "inner is not a function",
    "((given) => given(1))(size)": "given is not a function",
}
# The bytecode no longer has the question mark, and looks at the pattern before it makes the value.
OURS = {
    **SAID,
    "object?.missing()": "object.missing is not a function",
    "const [a] = object.size": "(intermediate value) is not iterable",
}
# What has no name to say keeps the engine's words; what programs throw is theirs.
KEPT = {
    "[1].map(size)": "not a function",
    "new Map(5)": "value is not iterable",
    "throw new TypeError('not a function')": "not a function",
}
WORKER = """
const nothing = undefined, none = null, size = 5, object = {{ size, list: [1], make: () => ({{}}) }}, make = () => size;
const acts = {{ {acts} }};
const said = (act) => {{ try {{ act(); }} catch (error) {{ return error.message; }} return "nothing"; }};
const all = () => Object.fromEntries(Object.entries(acts).map(([name, act]) => [name, said(act)]));
export default {{ fetch: () => Response.json(all()) }};
"""


@cache
def said() -> dict[str, str]:
    """By act, in one request."""
    acts = ", ".join(f"{act!r}: () => {{ {act} }}" for act in (*OURS, *KEPT))
    found: dict[str, str] = RestingWorker(worker_image(WORKER.format(acts=acts).encode()), cpu_ms=60_000).json("/")
    return found


@pytest.mark.parametrize("act", [*OURS, *KEPT])
def test_messages_name_what_they_speak_of(act: str) -> None:
    assert said()[act] == {**OURS, **KEPT}[act]
