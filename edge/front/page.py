"""An answer of the edge's own, as a value."""

from collections.abc import Mapping
from typing import NamedTuple


class Page(NamedTuple):
    """An answer of the edge's own."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = {}
