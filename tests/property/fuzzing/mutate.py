"""Changes to bytes and to JSON, most of them small: what nearly parses gets further than noise."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

Rng = random.Random

INTERESTING: Final = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1)
BIG: Final = (2**53, 2**63 - 1, 2**63, 2**64 - 1)
BYTES: Final = b"\0\x01 \t\r\n\x7f\x80\xff/:%?#\"'\\{}[],=;&."
JSON_VALUES: Final[tuple[object, ...]] = (
    *(None, True, False, 0, 1, -1, 1.5, 1e308, 2**31, 2**53, 2**63, 2**64, 10**30, "", "a", "\0", "é", "a" * 300),
    *([], [[]], {}, {"": 0}, "sha256:" + "0" * 64, "sha256:" + "A" * 64, "../x", "-1", " 1", "NaN"),
)


def data(rng: Rng, seed: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`seed` with one to four changes; seldom as it is, seldom noise."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(64))
    out = bytearray(seed)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 4))):
        rng.choice(_CHANGES)(rng, out)
        if others and rng.random() < 0.1:
            other = rng.choice(others)
            out[rng.randrange(len(out) + 1) :] = other[rng.randrange(len(other) + 1) :]
    return bytes(out)


def _flip(rng: Rng, out: bytearray) -> None:
    if out:
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)


def _byte(rng: Rng, out: bytearray) -> None:
    if out:
        out[rng.randrange(len(out))] = rng.choice((*BYTES, rng.randrange(256)))


def _word(rng: Rng, out: bytearray) -> None:
    size = rng.choice((2, 4, 8))
    if len(out) >= size:
        at = rng.randrange(0, len(out) - size + 1, rng.choice((1, size)))
        value = rng.choice((*INTERESTING, *BIG, rng.getrandbits(64), len(out), len(out) + 1))
        out[at : at + size] = struct.pack("<Q", value)[:size]


def _cut(rng: Rng, out: bytearray) -> None:
    if out:
        start = rng.randrange(len(out))
        del out[start : start + rng.choice((1, 2, 4, 8, 16, len(out)))]


def _insert(rng: Rng, out: bytearray) -> None:
    at = rng.randrange(len(out) + 1)
    out[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 9)), bytes([rng.choice(BYTES)]) * rng.choice((1, 2, 100))))


def _repeat(rng: Rng, out: bytearray) -> None:
    if out:
        start = rng.randrange(len(out))
        piece = bytes(out[start : start + rng.choice((1, 4, 8, 16, 64))])
        at = rng.randrange(len(out) + 1)
        out[at:at] = piece * rng.choice((1, 1, 2, 8))


def _swap(rng: Rng, out: bytearray) -> None:
    if len(out) > 1:
        a, b = rng.randrange(len(out)), rng.randrange(len(out))
        out[a], out[b] = out[b], out[a]


_CHANGES: Final[tuple[Callable[[Rng, bytearray], None], ...]] = (
    *(_flip, _byte, _byte, _word, _word, _cut, _insert, _repeat, _swap),
)


def value(rng: Rng, tree: Any) -> Any:
    """A JSON value with one to three places in it changed."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        tree = _change(rng, tree)
    return tree


def _change(rng: Rng, tree: Any) -> Any:
    if rng.random() < 0.75:
        if isinstance(tree, dict) and tree:
            key = rng.choice(sorted(tree))
            kind = rng.random()
            if kind < 0.8:
                return {**tree, key: _change(rng, tree[key])}
            if kind < 0.9:
                return {name: item for name, item in tree.items() if name != key}
            return {**tree, rng.choice(("", "x", key.upper(), key + " ", "__proto__")): tree[key]}
        if isinstance(tree, list) and tree:
            place = rng.randrange(len(tree))
            kind = rng.random()
            if kind < 0.6:
                return [*tree[:place], _change(rng, tree[place]), *tree[place + 1 :]]
            if kind < 0.7:
                return tree[:place] + tree[place + 1 :]
            if kind < 0.8:
                return tree[::-1]
            return tree[:place] + tree[place : place + 1] * rng.choice((2, 3, 100)) + tree[place + 1 :]
    if isinstance(tree, bool) or tree is None:
        return rng.choice(JSON_VALUES)
    if isinstance(tree, int) and rng.random() < 0.8:
        return rng.choice(
            (tree + 1, tree - 1, -tree, tree * 2, tree ^ 1 << rng.randrange(40), float(tree), str(tree), 0, 2**62)
        )
    if isinstance(tree, str) and tree and rng.random() < 0.8:
        text = bytearray(tree.encode())
        rng.choice(_CHANGES)(rng, text)
        return rng.choice((text.decode("latin-1"), tree.upper(), tree + "\0", tree + " ", tree * 2))
    return rng.choice(JSON_VALUES)
