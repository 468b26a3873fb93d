"""Text of guests, publishers and servers made fit for a terminal: it may be read, and do nothing.

Rules for callers: whatever is printed and was not written by this program goes through `plain`. JSON with its default
escapes does as well.
"""

import re
from typing import Final

# C0 but the tabulator, DEL and C1 (ECMA-48: the cursor, colours, the window's title, what the terminal answers), line
# and paragraph separators, the characters that turn the direction of text around (Unicode UAX 9), invisible tags
# (U+E0000 and on), and halves of surrogate pairs, which no terminal can be sent.
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\U000e0000-\U000e007f\ud800-\udfff]"
)
_CONTROL_BUT_LINES: Final = re.compile(_CONTROL.pattern.replace("\x0a-\x1f", "\x0b-\x1f"))
SHOWN: Final = "\N{REPLACEMENT CHARACTER}"


def plain(text: str, *, lines: bool = False) -> str:
    """`text` with a replacement character for each that is more than text.

    :param lines: whether it may be of several lines; where it stands in one of ours, another one would be forged.
    """
    return (_CONTROL_BUT_LINES if lines else _CONTROL).sub(SHOWN, text)


def path_text(path: str) -> str:
    """A target path of the catalogue as people are told of it: "service blog", or "host blog.example"."""
    kind, _, name = path.partition("/")
    return f"{kind.removesuffix('s')} {name}"
