"""Tables of npm's packages in fewer bytes: what is written says the same as before, or nothing is changed."""

import json
import re

import pytest

from libos.runtimes.js import packed
from libos.runtimes.js.intl_data import CANONICAL, changes_of
from libos.runtimes.js.web_packages import IDNA
from libos.toolchain.packages import source_tree

WORDS = {f"word {number}": [number, None, True, {"nested": f"text \u20ac {number}"}] for number in range(60)}


def literal(value: object) -> str:
    """As bundlers of packages lay it out."""
    return json.dumps(value, indent="\t", ensure_ascii=False)


def parsed(script: str, name: str) -> object:
    """The value of a text that `script` parses for a variable."""
    found = re.search(rf'^const {name} = /\* @__PURE__ \*/ JSON\.parse\(("(?:[^"\\]|\\.)*")\);$', script, re.MULTILINE)
    assert found is not None, script
    return json.loads(json.loads(found[1]))


def test_large_literals_of_data_are_texts() -> None:
    script = f"const small = [];\nconst words = {literal(WORDS)};\nexport {{ words }};\n"
    written = packed.literals(script)
    assert parsed(written, "words") == WORDS
    assert written.startswith("const small = [];\n")
    assert written.endswith(";\nexport { words };\n")
    assert written.isascii(), "a byte a character"


def test_keys_without_quotes_are_read_and_texts_that_look_like_them_are_left() -> None:
    value = {"bare": {"also_bare": "not: a key, {x: 1}"}, "quoted key": ["y:"] * 300}
    script = f"const data = {literal(value)};\n".replace('"bare":', "bare:").replace('"also_bare":', "also_bare:")
    assert parsed(packed.literals(script), "data") == value


@pytest.mark.parametrize(
    "value",
    ["{\n\tnot: data(),\n" + "\ta: 1,\n" * 300 + "}", literal({"small": 1}), "[\n\tfirst,\n" + "\t1,\n" * 600 + "]"],
)
def test_what_is_small_or_no_data_is_left(value: str) -> None:
    script = f"const it = {value};\n"
    assert packed.literals(script) == script


def test_likely_subtags_are_a_fifth_of_themselves_and_whole() -> None:
    """The way back is compared where they are written; here that they are, of the package as it is pinned."""
    script = (source_tree(CANONICAL) / "index.js").read_text("utf-8")
    written = packed.literals(script)
    assert len(written) < len(script) / 2
    assert 'import { likelySubtags as _likely } from "unpacked";' in written
    short = re.search(r'_likely\("([^"]*)", JSON\.parse', written)
    assert short is not None
    back = packed.likely_back(short[1])
    assert back["aak"] == "aak-Latn-PG"
    assert back["zza"] == "zza-Latn-TR"
    assert len(back) > 6000


def test_another_order_of_the_mapping_table_is_refused() -> None:
    table = json.loads((source_tree(IDNA[0]) / "lib" / "mappingTable.json").read_text("utf-8"))
    written = packed.mapping_table(json.dumps(table))
    assert len(written) < len(json.dumps(table)) / 2
    table[7], table[8] = table[8], table[7]
    with pytest.raises(AssertionError, match="rows one after the other"):
        packed.mapping_table(json.dumps(table))


def test_patterns_are_texts_for_the_constructor() -> None:
    script = (
        "const marks = /[\\u0300-\\u036F\\-/]/u;\nconst ends = /^a$/;\n\nmodule.exports = {\n  marks,\n  ends\n};\n"
    )
    written = packed.patterns(script)
    expected = {"marks": ["[\\u0300-\\u036F\\-/]", "u"], "ends": ["^a$", ""]}
    assert written == f'module.exports = require("unpacked").patterns({json.dumps(expected)});'


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (35, "z"), (36, "10"), (-37, "-11"), (1679615, "zzzz")])
def test_base_36_is_javascript_s(number: int, text: str) -> None:
    assert packed.base36(number) == text
    assert int(text, 36) == number


def test_changes_of_a_zone_are_hours_since_the_last_one_or_seconds() -> None:
    rows = [(None, "LMT,-qw,0"), (-1830383032, "GMT,0,0"), (-1830379432, "BST,2s0,1"), (-1830343432, "GMT,0,0")]
    assert changes_of(rows) == "LMT,-qw,0|GMT,0,0|BST,2s0,1;A_-u9rgl4B1CaB"
