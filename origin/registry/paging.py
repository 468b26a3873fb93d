"""Lists in pages ("Listing Tags" of the OCI distribution specification 1.1), without I/O."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from origin.registry.refusal import OciError

PAGE_MAX: Final = 1000  # what is listed at once, however much is asked for
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


def page(names: Sequence[str], path: str, n: str | None, last: str | None) -> tuple[list[str], str | None]:
    """The names of one page, and the Link field that leads to the next; None where this is the last.

    :param names: all, in ASCII order. :param path: of the list.
    :param n: how many are wanted at most; None for as many as there may be.
    :param last: the name after which they begin; it need not exist.
    :raises OciError: `n` is no number.
    """
    if n is not None and _NUMBER.fullmatch(n) is None:
        raise OciError(400, "PAGINATION_NUMBER_INVALID", f"n: a number expected, got {n[:40]!r}")
    most = min(int(n), PAGE_MAX) if n is not None else PAGE_MAX
    rest = [name for name in names if last is None or name > last]
    shown = rest[:most]
    if not shown or len(shown) == len(rest):
        return shown, None
    return shown, f'<{path}?{urlencode({"n": most, "last": shown[-1]})}>; rel="next"'
