"""Log lines: one event a line, `event=name key=value ...`, safe to print whatever the values hold."""

import json
import logging
import re
from typing import Final

_PLAIN: Final = re.compile(r"[!#-<>-~]+")  # printable ASCII without blank, quote and '='
VALUE_MAX: Final = 500  # characters; messages quote guests, publishers and clients


def logger(part: str) -> logging.Logger:
    """The logger of one part of the edge."""
    return logging.getLogger(f"nunatak.edge.{part}")


def line(event: str, **fields: object) -> str:
    """One log line."""
    return " ".join([f"event={event}", *(f"{key}={_value(value)}" for key, value in fields.items())])


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if len(text) > VALUE_MAX:
        text = text[: VALUE_MAX - 3] + "..."
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
