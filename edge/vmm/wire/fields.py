"""What every decoder of a frame checks: numbers, flags, JSON objects. Whatever is not as it must be is a ValueError."""

import functools
import json
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from edge.vmm.wire import frames
from vmimage.canonical import load_json, refuse, require_integer, require_object
from vmimage.errors import FormatError

JSON_MAX: Final = 64 << 10  # bytes; a crash report has about 2 KB, a PONG with all its lists full 40 KB

P = ParamSpec("P")
T = TypeVar("T")


def strict(parse: Callable[P, T]) -> Callable[P, T]:
    """Make what the image's own parsers raise a ValueError: here it is the sender's defect, not a publisher's."""

    @functools.wraps(parse)
    def checked(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return parse(*arguments, **named)
        except FormatError as error:
            raise ValueError(str(error)) from None

    return checked


def require_plain(what: str, flags: int, *zeros: int, payload: bytes = b"") -> None:
    """:raises ValueError: flags, a number or a payload where the type has none."""
    if flags or any(zeros) or payload:
        numbers = ", ".join(map(str, zeros)) or "none"
        raise ValueError(
            f"{what}: no flags expected, and nothing in what it does not use, "
            f"got flags {flags:#x}, numbers {numbers}, {len(payload)} bytes"
        )


def require_flag(what: str, flags: int) -> bool:
    """The one flag that the type has.

    :raises ValueError: there are others.
    """
    if flags > 1:
        raise ValueError(f"{what}: no flags but 1 expected, got {flags:#x}")
    return flags == 1


def require_number(what: str, number: object) -> int:
    """The number of a machine, an image or a disk: 0 is nobody's.

    :raises ValueError: it is none.
    """
    if type(number) is not int or not 0 < number <= frames.NUMBER_MAX:
        raise ValueError(f"{what}: a number from 1 to {frames.NUMBER_MAX} expected, got {str(number)[:100]}")
    return number


def dump(value: object) -> bytes:
    """The one spelling of a frame's JSON: as `canonical_json`, and infinities, which a calibration may hold."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def load_object(what: str, data: bytes, keys: set[str]) -> dict[str, Any]:
    """A JSON object with just these keys, as `dump` spells it.

    :raises FormatError: anything else.
    """
    found = require_object(what, load_json(what, data, JSON_MAX, finite=False), keys)
    if dump(found) != data:
        refuse(what, "the one spelling of it", data)
    return found


def require_text(what: str, value: object, length_max: int) -> str:
    """:raises FormatError: no text, or more than so many characters."""
    if not isinstance(value, str) or len(value) > length_max:
        refuse(what, f"a text of at most {length_max} characters", value)
    return value


def require_bool(what: str, value: object) -> bool:
    """:raises FormatError: neither true nor false."""
    if not isinstance(value, bool):
        refuse(what, "true or false", value)
    return value


def require_integers(what: str, value: object, low: int, high: int, most: int) -> tuple[int, ...]:
    """:raises FormatError: no list, more than `most`, or one out of its range."""
    if not isinstance(value, list) or len(value) > most:
        refuse(what, f"a list of at most {most}", value)
    return tuple(require_integer(what, item, low, high) for item in value)
