"""What JavaScript workers import of Node's: its modules, and the context that goes with work that is set off.

The expected values are what workerd with `nodejs_compat` answers to the same files (tests/e2e/test_packages.py asks
it), but for enterWith() and disable(), which it has not; hashes and keys are judged by Python's.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from tests.support.workers import WORKERS, RestingWorker, worker_image
from vmimage.errors import PublisherError


class Worker(RestingWorker):
    def __init__(self, source: bytes) -> None:
        super().__init__(worker_image(source, COLOUR="green"), cpu_ms=60_000)


CONTEXT: dict[str, Any] = {
    "/await": ["a", "a"],
    "/then": ["a", "a"],
    "/catch": "a",
    "/finally": "a",
    "/all": ["a", None, "a"],
    "/timer": "a",
    "/interval": "a",
    "/immediate": "a",
    "/microtask": "a",
    "/tick": "a",
    "/thenable": [None, "b", "c"],
    "/generator": ["a", "a"],
    "/settler": ["asked", None],
    "/listener": ["dispatches"],
    "/nested": ["c", "b"],
    "/exit": [None, "a"],
    "/enter": ["a", "a"],
    "/snapshot": ["a", "b"],
    "/bind": ["a", 1],
    "/resource": ["a", "a", "b"],
    "/thrown": ["b", None],
    "/fallback": [5, "n"],
    "/nothing": [None, None, None],
}
MODULES: dict[str, Any] = {
    "/buffer": [
        "68c3a9f09f9880",
        "hi?û",
        "-_8",
        "axyb",
        3,
        True,
        16843009,
        "bc",
        1,
        '{"type":"Buffer","data":[97]}',
        True,
        False,
        5,
        True,
        4,
        True,
        True,
        "bc",
        "efbfbd",
    ],
    "/events": [["first", [1, 2], "once", "first", []], [1, 2], 2, 0, [1, 2], ["RangeError", None], True],
    "/util": [
        'a 1 {"b":2} [ 3, [length]: 1 ]',
        "{\n  a: Map(1) { 1 => { b: [Array] } },\n  e: 'f',\n  g: Symbol(h),\n  i: [Function: i],\n  j: null\n}",
        '"a\'b"',
        True,
        2,
        True,
        False,
        True,
        True,
        False,
        True,
        True,
        True,
        "no",
        4,
        "red",
    ],
    "/path": [
        "/b/c.js",
        "/a/c",
        "y.tar",
        ".c",
        "/a/b",
        "../c/d",
        {"root": "/", "dir": "/a", "base": "b.c", "ext": ".c", "name": "b"},
        "/",
        True,
        False,
        "a/c/",
    ],
    "/url": [
        {"x": ["1", "2"]},
        "/a",
        "https://h.example/p?a=1",
        "http://a.example/d",
        "/a b",
        "file:///a%20b",
        True,
        {"a": ["1", "3"], "b": "2", "c": " "},
        "a=1&a=2&b=x%20y",
        "a%20b",
    ],
    "/decoder": ["", "€", "�"],
    "/assert": [
        ["AssertionError", "ERR_ASSERTION"],
        None,
        ["AssertionError", "ERR_ASSERTION"],
        None,
        ["AssertionError", "ERR_ASSERTION"],
        None,
        ["AssertionError", "ERR_ASSERTION"],
        None,
    ],
    "/chance": [16, 36, False, True, [None, 4]],
    "/stream": [["ABC"], "RangeError", [6, 2, 4]],
    "/process": ["object", "linux", "string", True, True, "ticked", "bigint", True],
    "/timers": ["later", ["AbortError", "ABORT_ERR"]],
    "/dynamic": ["function", False, True],
}
HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160", "sha3_256")


@pytest.fixture(scope="module")
def context(engine: str) -> Worker:
    return Worker((WORKERS / "context.js").read_bytes())


@pytest.fixture(scope="module")
def modules(engine: str) -> Worker:
    return Worker((WORKERS / "modules.js").read_bytes())


@pytest.mark.parametrize("way", CONTEXT)
def test_the_context_goes_with_the_work(context: Worker, way: str) -> None:
    assert context.json(way) == CONTEXT[way]


def test_requests_do_not_see_each_others_context(context: Worker) -> None:
    first, second = context.send("/enter"), context.send("/nothing")
    context.run()
    assert json.loads(bytes(context.responses[first].body)) == CONTEXT["/enter"]
    assert json.loads(bytes(context.responses[second].body)) == CONTEXT["/nothing"]


@pytest.mark.parametrize("asked", MODULES)
def test_modules_answer_as_nodes(modules: Worker, asked: str) -> None:
    assert modules.json(asked) == MODULES[asked]


def test_hashes(modules: Worker) -> None:
    *hashes, mac, long_key, unknown, finished = modules.json("/hashes")
    expected = [
        [
            hashlib.new(name, b"abc").hexdigest(),
            base64.b64encode(hashlib.new(name, b"abcd").digest()).decode(),
        ]
        for name in HASHES
    ]
    assert hashes == expected
    assert base64.urlsafe_b64decode(mac + "=") == hmac.digest(b"key", b"abc", "sha256")
    assert bytes.fromhex(long_key) == hmac.digest(b"\1" * 80, b"", "md5")
    assert unknown == ["Error", None]
    assert finished == ["Error", "ERR_CRYPTO_HASH_FINALIZED"]


def test_keys_from_passwords(modules: Worker) -> None:
    pbkdf2, sha3, hkdf, scrypt, same, other, size = modules.json("/keys")
    assert bytes.fromhex(pbkdf2) == hashlib.pbkdf2_hmac("sha1", b"password", b"salt", 10, 20)
    assert sha3 == 8
    extracted = hmac.digest(b"salt", b"key", "sha256")
    assert bytes.fromhex(hkdf) == hmac.digest(extracted, b"info\1", "sha256")[:16]
    assert bytes.fromhex(scrypt) == hashlib.scrypt(b"password", salt=b"salt", n=16, r=8, p=1, dklen=16)
    assert [same, other, size] == [True, False, ["RangeError", "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH"]]


@pytest.mark.parametrize("name", ["fs", "node:fs", "node:net", "http", "node:child_process"])
def test_what_a_machine_has_not_is_refused_by_name(name: str) -> None:
    source = f"import * as it from {name!r}; export default {{ fetch: () => new Response(typeof it) }};".encode()
    with pytest.raises(PublisherError, match=f"{name} is not here: a machine has no files, sockets"):
        worker_image(source, COLOUR="green")


def test_settings_are_in_the_process(engine: str) -> None:
    source = b"export default { fetch: () => new Response([process.env.COLOUR, typeof Buffer, typeof global].join()) };"
    assert bytes(Worker(source).get("/").body) == b"green,function,object"


def test_the_stack_of_an_error_takes_any_value(engine: str) -> None:
    source = b"""export default { fetch() {
      const error = new TypeError("said"), stack = typeof error.stack;
      error.stack = undefined;
      const other = new Error("x");
      other.stack = "mine";
      return Response.json([stack, error.stack === undefined, other.stack, Object.keys(error), String(error)]);
    } };"""
    assert json.loads(bytes(Worker(source).get("/").body)) == ["string", True, "mine", [], "TypeError: said"]
