"""The bytes that signatures of TUF metadata are over (OLPC's canonical JSON), by the encoder in C where both agree.

securesystemslib encodes value by value in Python. The snapshot of ten thousand tenants has 14,000 entries, and an edge
that began spent four fifths of its time there. Python's own encoder differs from it in three things, all of which show
in what it wrote: it escapes more than quotes and backslashes, which takes a backslash; it writes numbers with a point
or an exponent, where the other refuses; and it writes NaN, which it is told not to. Where one of these may be, the
library does it.
"""

import json
import re
from typing import Any, Final

from securesystemslib.formats import encode_canonical
from tuf.api.serialization import json as tuf_json

# Numbers, or texts that look like some. Three patterns, since one that begins with a choice is far slower.
_FRACTIONS: Final = tuple(re.compile(rf"{before}-?[0-9]+[.eE]") for before in ("^", ":", ",", r"\["))


def signed_form(value: Any) -> str:
    """What `encode_canonical` says of a value whose keys are text.

    :raises securesystemslib.exceptions.FormatError: as that.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError):
        text = "\\"
    if "\\" not in text and not any(each.search(text) for each in _FRACTIONS):
        return text
    encoded = encode_canonical(value)
    assert encoded is not None, "it has nowhere else to write to"
    return encoded


def use_signed_form() -> None:
    """Let python-tuf encode so too: it has no other place to say it than the name that it calls."""
    tuf_json.encode_canonical = signed_form  # type: ignore[assignment]
