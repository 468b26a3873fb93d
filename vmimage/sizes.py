"""Sizes as people write them."""

import re
from decimal import Decimal
from typing import Final

_SIZE: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(KiB|MiB|GiB|TiB|B|)\s*", re.ASCII)
_UNITS: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes from "64", "64KiB", "1.5 GiB".

    :raises ValueError: another form.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"a size such as 256MiB expected, got {text!r}")
    return int(Decimal(match[1]) * _UNITS[match[2]])


def format_size(size: int) -> str:
    """The same in the largest unit that goes into it once, rounded down: "1536KiB" is "1MiB"."""
    unit = next(unit for unit, bytes_ in reversed(_UNITS.items()) if size >= bytes_ or bytes_ == 1)
    return f"{size // _UNITS[unit]}{unit}"


def exact_size(size: int) -> str:
    """The same in the largest unit that it is a whole number of: "1536KiB" stays so."""
    unit = next(unit for unit, bytes_ in reversed(_UNITS.items()) if (size and size % bytes_ == 0) or bytes_ == 1)
    return f"{size // _UNITS[unit]}{unit}"
