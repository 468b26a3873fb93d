"""Durations and shares as people write them."""

import re
from decimal import Decimal
from typing import Final

_DURATION: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|min|h|d|)\s*", re.ASCII)
_PERCENT: Final = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%\s*", re.ASCII)
_UNITS: Final = {
    "": Decimal(1),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}


def parse_duration(text: str) -> float:
    """Seconds from "30", "30s", "1.5 h", "250ms".

    :raises ValueError: another form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"a duration such as 30s or 10min expected, got {text!r}")
    return float(Decimal(match[1]) * _UNITS[match[2]])


def format_duration(seconds: float) -> str:
    """The same, exactly, in the largest unit that it is a whole number of; "0.0005s" where there is none."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("d", "h", "min", "s", "ms"):
        if exact and exact % _UNITS[unit] == 0:
            return f"{int(exact / _UNITS[unit])}{unit}"
    return f"{exact:f}s" if exact else "0s"


def is_percent(text: str) -> bool:
    """Whether it is a number with the sign of a percentage."""
    return _PERCENT.fullmatch(text) is not None


def parse_percent(text: str) -> Decimal:
    """0.5 from "50%".

    :raises ValueError: another form, or more than all.
    """
    match = _PERCENT.fullmatch(text)
    share = Decimal(match[1]) / 100 if match is not None else None
    if share is None or share > 1:
        raise ValueError(f"a share from 0% to 100% expected, got {text!r}")
    return share
