"""Large tables of npm's packages, written shorter before esbuild sees them: each edge fetches them with the base image.

A literal is an instruction for each of its values as bytecode, and as text that is parsed where it is evaluated half of
that. Two tables are written in forms of their own, which lazy/common/unpacked.js reads. Functions here take a file of a
package and give what is compiled in its place; what they write is read back and compared.
"""

import json
import re
from typing import Any, Final

LITERAL_MIN: Final = 1 << 10  # characters: a smaller one is not worth a call
UNPACKED: Final = "unpacked"  # how packages find lazy/common/unpacked.js
ALONE: Final = 1  # a range of one code point
WITH_TEXT: Final = (1, 6)  # statuses of UTS 46 that a text comes with, as tr46 numbers them: mapped and deviation
FIRST_STATUS: Final = 64  # is written as the character after this one
LETTERS: Final = 26
DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_LITERAL: Final = re.compile(r"^((?:const|let|var) (\w+) = )([\[{](?![^\n]*;$).*?^[\]}]);$", re.MULTILINE | re.DOTALL)
_BARE_KEY: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\b[A-Za-z_]\w*(?=:)')
_PATTERN: Final = re.compile(r"^const (\w+) = /(.+)/(u?);$", re.MULTILINE)
_HEAD: Final = re.compile(r"([0-9a-z]*)([A-Z])")
_USUAL_TAG: Final = re.compile(r"([a-z]{3})-([A-Z][a-z]{3})-([A-Z]{2})")
_SHORT_TAG: Final = re.compile(r"(\d*)([a-z]{4})?([A-Z]{2})")


def literals(script: str) -> str:
    """Large literals of data become texts that are parsed; CLDR's likely subtags their own form."""
    packed = _LITERAL.sub(_text_of, script)
    return f'import {{ likelySubtags as _likely }} from "{UNPACKED}";\n{packed}' if "_likely(" in packed else packed


def json_module(text: str) -> str:
    """A JSON file becomes a script that parses it."""
    return f"module.exports = {_parsed(json.loads(text))};"


def patterns(script: str) -> str:
    """Literals of regular expressions, which bytecode has compiled beside their texts, become texts alone."""
    found = {name: (text, flags) for name, text, flags in _PATTERN.findall(script)}
    names = re.findall(r"^\s+(\w+),?$", script[script.index("module.exports = {") :], re.MULTILINE)
    assert names == list(found), "patterns expected, one a line, and what is exported"
    return f'module.exports = require("{UNPACKED}").patterns({json.dumps(found)});'


def mapping_table(text: str) -> str:
    """The table of UTS 46 as tr46 has it: `[code point or [first, last], status, text?]`, of all code points."""
    table = json.loads(text)
    heads, texts = _mapping(table)
    assert _mapping_back(heads, texts) == table, "rows one after the other expected"
    return f'module.exports = require("{UNPACKED}").mappingTable({_quoted(heads)}, {_quoted(texts)}, {len(table)});'


def base36(number: int) -> str:
    """As JavaScript's `toString(36)`."""
    if number < 0:
        return f"-{base36(-number)}"
    head = base36(number // len(DIGITS)) if number >= len(DIGITS) else ""
    return head + DIGITS[number % len(DIGITS)]


def likely_back(short: str) -> dict[str, str]:
    """What `literals` wrote of CLDR's likely subtags: those of languages of three letters, by tag."""
    subtags, number = {}, -1
    for gap, script, region in _SHORT_TAG.findall(short):
        number += int(gap or 1)
        key = "".join(chr(ord("a") + number // LETTERS**power % LETTERS) for power in (2, 1, 0))
        subtags[key] = f"{key}-{(script or 'latn').capitalize()}-{region}"
    return subtags


def _text_of(match: re.Match[str]) -> str:
    declared, name, literal = match.groups()
    if len(literal) < LITERAL_MIN:
        return match[0]
    try:
        value = json.loads(_BARE_KEY.sub(lambda at: at[0] if at[0].startswith('"') else f'"{at[0]}"', literal))
    except ValueError:  # more than data
        return match[0]
    pure = "/* @__PURE__ */"  # esbuild leaves out what nobody asks for
    return f"{declared}{pure} {_likely(value) if name == 'likelySubtags' else _parsed(value)};"


def _parsed(value: Any) -> str:
    return f"JSON.parse({_quoted(json.dumps(value, separators=(',', ':')))})"  # ASCII: a byte a character


def _quoted(text: str) -> str:
    return json.dumps(text)


def _mapping(table: list[Any]) -> tuple[str, str]:
    """Of each row how many code points it is of, where it is not one, and its status; and the texts."""
    heads, texts = "", []
    for codes, status, *text in table:
        size = ALONE if isinstance(codes, int) else codes[1] - codes[0] + 1
        heads += ("" if size == ALONE else base36(size)) + chr(FIRST_STATUS + status)
        texts += text
    return heads, "\n".join(texts)


def _mapping_back(heads: str, texts: str) -> list[Any]:
    table: list[Any] = []
    left, at = iter(texts.split("\n")), 0
    for size, letter in _HEAD.findall(heads):
        count, status = int(size or "1", 36), ord(letter) - FIRST_STATUS
        codes = at if count == ALONE else [at, at + count - 1]
        table.append([codes, status, next(left)] if status in WITH_TEXT else [codes, status])
        at += count
    return table


def _likely(subtags: dict[str, str]) -> str:
    """Most are of a language of three letters: how far after the last, the script if it is not Latin, the region."""
    usual: dict[int, tuple[str, str]] = {}
    rest: dict[str, str] = {}
    for key, tag in subtags.items():
        if (found := _USUAL_TAG.fullmatch(tag)) and found[1] == key:
            usual[_number(key)] = (found[2].lower(), found[3])
        else:
            rest[key] = tag
    short, last = [], -1
    for number, (script, region) in sorted(usual.items()):
        gap = number - last
        short.append(("" if gap == 1 else str(gap)) + ("" if script == "latn" else script) + region)
        last = number
    assert {**rest, **likely_back("".join(short))} == subtags
    return f"_likely({_quoted(''.join(short))}, {_parsed(rest)}, {len(short)})"


def _number(key: str) -> int:
    number = 0
    for letter in key:
        number = number * LETTERS + ord(letter) - ord("a")
    return number
