"""The order of characters for `Intl.Collator`: the root of the Unicode Collation Algorithm (UTS 10), as tables of text.

The weights are those of Unicode's `allkeys.txt`, which PyPI's pyuca carries. As in CLDR's root, spaces, punctuation,
other signs, currencies, digits and letters follow each other in groups, and none of them is left out. Characters that
the table does not reach come after it, by code point.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from libos.toolchain.packages import Package, source_tree

PYUCA: Final = Package("wheel", "pyuca", "1.2", "abaa12e1bd2c7c68ca8396ff8383bc0654a739cef3ae68fd7af58bf29af0a91e")
REACH: Final = 0x3130  # of the table: most scripts in use but Han and Hangul, whose code points are in order
SEVERAL: Final = 0x4000  # stands for the first weight of a character with more than one element
MIDDLE: Final = 0x5000  # a step of 0
BLOCK: Final = 128  # code points, whose first step is from 0: what a text does not touch is not read
TERTIARY_BITS: Final = 5
_LINE: Final = re.compile(r"([0-9A-F]{4,6})\s*;\s*((?:\[[.*][0-9A-F.]+\])+)")
_ELEMENT: Final = re.compile(r"\[[.*]([0-9A-F]+)\.([0-9A-F]+)\.([0-9A-F]+)")
Element = tuple[int, int, int]


def collation_tables() -> Iterator[tuple[str, bytes]]:
    """`collation/weights`: a character for each code point, how far its primary weight is from the last one's in its
    block; then as many of secondary and tertiary weights in one.

    `collation/more`: elements of those with several, and the greatest primary weight of spaces and punctuation.

    :raises OperatorError: the package cannot be had.
    """
    found = dict(_elements())
    group: dict[int, int] = {}  # of a primary weight: that of the first character that has it
    for code, elements in found.items():
        group.setdefault(elements[0][0], _group(code))
    primaries = sorted(
        {first for elements in found.values() for first, _, _ in elements} - {0}, key=lambda p: (group.get(p, 9), p)
    )
    rank = {0: 0, **{primary: number for number, primary in enumerate(primaries, start=1)}}
    seconds = sorted({second for elements in found.values() for _, second, _ in elements})
    second_rank = {second: number for number, second in enumerate(seconds)}
    assert len(rank) < SEVERAL
    firsts: list[int] = []
    others: list[int] = []
    more: list[list[Element]] = []
    for code in range(REACH):
        own = [(rank[a], second_rank[b], c) for a, b, c in found.get(code, ())]
        if len(own) == 1:
            ((first, second, third),) = own
            firsts.append(first)
            others.append(second << TERTIARY_BITS | third)
        elif own:
            firsts.append(SEVERAL)
            others.append(len(more))
            more.append(own)
        else:
            firsts.append(0)
            others.append(0)
    ignorable = max(rank[p] for p in primaries if group.get(p, 9) < 2)
    steps = (first - (firsts[code - 1] if code % BLOCK else 0) + MIDDLE for code, first in enumerate(firsts))
    yield "collation/weights", "".join(map(chr, (*steps, *others))).encode()
    yield "collation/more", json.dumps({"elements": more, "punctuation": ignorable}, separators=(",", ":")).encode()


def _elements() -> Iterator[tuple[int, list[Element]]]:
    text = (source_tree(PYUCA) / "pyuca" / "allkeys-10.0.0.txt").read_text("utf-8")
    for line in text.splitlines():
        if (match := _LINE.match(line)) and int(match[1], 16) < REACH:
            yield int(match[1], 16), [(int(a, 16), int(b, 16), int(c, 16)) for a, b, c in _ELEMENT.findall(match[2])]


def _group(code: int) -> int:
    category = unicodedata.category(chr(code))
    if category.startswith("Z") or chr(code).isspace():
        return 0
    return {"P": 1, "S": 2 if category != "Sc" else 3, "N": 4}.get(category[0], 5)
