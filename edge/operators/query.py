"""What a view of services asks for: which of them, in which order, and which part of that. Pure."""

from collections.abc import Callable, Iterable, Mapping
from heapq import nsmallest
from typing import Any, Final, Literal, NamedTuple, get_args
from urllib.parse import parse_qsl

from edge.model.flow import ClientError

Sort = Literal["rate", "p99", "memory", "requests", "waiting", "crashes", "name"]
Only = Literal["", "resident", "parked", "disk", "blob", "cold", "held", "quarantined", "crashed"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
ONLY: Final[tuple[Only, ...]] = get_args(Only)
LIMIT: Final = 50
LIMIT_MAX: Final = 200  # services in a view; each is described anew, at some 20 µs
OFFSET_MAX: Final = 10_000  # of those before it, all of which have to be put in order; a search leads further
TEXT_MAX: Final = 100  # characters that are looked for
QUERY_MAX: Final = 1024  # characters of a query, and so of what is decoded


class Row(NamedTuple):
    """What a service is chosen by."""

    name: str
    texts: tuple[str, ...]  # in which a search looks: name, hosts, tenant
    tier: str
    held: bool
    quarantined: bool
    rate: float
    p99_ms: float
    memory: int
    requests: int
    waiting: int
    crashes: int
    service: Any = None  # whatever the caller wants to have again


_SIZES: Final[Mapping[Sort, Callable[[Row], float]]] = {
    "rate": lambda row: row.rate,
    "p99": lambda row: row.p99_ms,
    "memory": lambda row: row.memory,
    "requests": lambda row: row.requests,
    "waiting": lambda row: row.waiting,
    "crashes": lambda row: row.crashes,
    "name": lambda row: 0,
}


class Query(NamedTuple):
    """What is asked for."""

    match: str = ""  # text in a name, a host or a tenant, in any case
    only: Only = ""  # those of a tier, on hold, in quarantine, or that have crashed; all
    sort: Sort = "rate"  # largest first; by name where they are equal
    offset: int = 0
    limit: int = LIMIT

    @staticmethod
    def parse(query: str) -> "Query":
        """A query as it stands in a URL. What it does not say is as above, what it need not say is an error.

        :raises ClientError: no such query.
        """
        try:
            if len(query) > QUERY_MAX:
                raise ValueError
            given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=5)
            found: dict[str, Any] = dict(given)
            if len(found) != len(given):
                raise ValueError
            for name, most in (("offset", OFFSET_MAX), ("limit", LIMIT_MAX)):
                if name in found:
                    found[name] = _number(found[name], most)
            asked = Query(**found)
        except (ValueError, TypeError):
            raise ClientError("bad_query") from None
        if len(asked.match) > TEXT_MAX or asked.only not in ONLY or asked.sort not in SORTS:
            raise ClientError("bad_query")
        return asked._replace(match=asked.match.lower())

    def wants(self, row: Row) -> bool:
        """Whether a service is one of those that are asked for."""
        match self.only:
            case "":
                chosen = True
            case "held":
                chosen = row.held
            case "quarantined":
                chosen = row.quarantined
            case "crashed":
                chosen = row.crashes > 0
            case tier:
                chosen = row.tier == tier
        return chosen and (not self.match or any(self.match in text for text in row.texts))

    def first(self, best: Iterable[Row], more: Iterable[Row]) -> list[Row]:
        """The first so many that the view, and what comes before it, needs.

        :param best: the same of those looked at before. :param more: those that are looked at now, as `wants` has them.
        """
        return nsmallest(self.offset + self.limit, (*best, *more), key=self.place)

    def place(self, row: Row) -> tuple[float, str]:
        """Where a service stands in the order."""
        return -_SIZES[self.sort](row), row.name


def _number(text: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or int(text) > most:
        raise ValueError(text)
    return int(text)
