"""Requests that go round: the CDN-Loop field (RFC 8586)."""

from typing import Final

TOKEN: Final = "nunatak"  # once for each edge that a request has passed through
PASSED_MAX: Final = 8  # edges that a request may have passed through


def passed(fields: str | None) -> int:
    """How many edges a request has passed through."""
    if not fields:
        return 0
    return sum(part.split(";")[0].strip() == TOKEN for part in fields.split(","))
