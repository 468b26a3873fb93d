"""Sizes in bytes as people write and read them: 64, 32KiB, 1.5 GiB."""

import re
from typing import Final

UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE: Final = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([KMGT]iB|B|)\s*")


def parse_size(text: str) -> int:
    """Bytes of a size.

    :raises ValueError: another form.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"a size such as 256MiB expected, got {text!r}")
    return int(float(match[1]) * UNITS[match[2] or "B"])


def size_text(size: int) -> str:
    """A size in the largest unit of which it is a whole number."""
    unit = next(unit for unit in reversed(UNITS) if size % UNITS[unit] == 0 and (size or unit == "B"))
    return f"{size // UNITS[unit]}{unit}"
