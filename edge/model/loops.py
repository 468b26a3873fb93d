"""Requests that go round: the CDN-Loop field (RFC 8586)."""

import re
from collections.abc import Iterable
from typing import Final

TOKEN: Final = "nunatak"  # once for each edge that a request has passed through
PASSED_MAX: Final = 8  # edges that a request may have passed through
OTHERS_MAX: Final = 16  # other networks that a request of a guest's names

# cdn-id (RFC 8586 section 2): a host, an address, or a pseudonym, which is a token; and a port.
_ID: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,255})(?::[0-9]{1,5})?")


def passed(fields: str | None) -> int:
    """How many edges a request has passed through."""
    if not fields:
        return 0
    return sum(name == TOKEN for name in _names(fields))


def onward(requests: Iterable[str]) -> str:
    """The field of a request that a guest sends, which may be on behalf of any of those that it has.

    :param requests: the fields of these.
    """
    fields = [field for field in requests if field]
    others = dict.fromkeys(name for field in fields for name in _names(field) if name != TOKEN and _ID.fullmatch(name))
    most = max(map(passed, fields), default=0)
    return ", ".join([*list(others)[:OTHERS_MAX], *[TOKEN] * (most + 1)])


def _names(fields: str) -> Iterable[str]:
    return (part.partition(";")[0].strip() for part in fields.split(","))
