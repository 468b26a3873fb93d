"""Which part of something a request is for (RFC 9110 section 14). Pure. Several parts at once are given whole."""

import re
from typing import Final, NamedTuple

_ONE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.ASCII)


class Part(NamedTuple):
    """Bytes from `first` to before `end`."""

    first: int
    end: int


def part_of(field: str, size: int) -> Part | None:
    """What a Range field asks for; None where all is to be given.

    :param size: of the whole.
    :raises ValueError: none of it is there, which is status 416.
    """
    match = _ONE.fullmatch(field.strip())
    if match is None or not (match[1] or match[2]):
        return None  # none, or nothing that is understood: it is ignored (section 14.2)
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise ValueError(f"a byte before {size} expected")
    return Part(first, end)
