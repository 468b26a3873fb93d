"""What `nunatak ps` shows of all services: chosen and put in order as an edge does it for a view. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from edge.operators.query import ONLY, SORTS, Query, Row
from vmimage.errors import OperatorError


def row_of(entry: Mapping[str, Any]) -> Row:
    """What an entry of the page `services` is chosen by."""
    return Row(
        entry["service"],
        (entry["service"], *entry["hosts"], entry["tenant"]),
        entry["tier"],
        entry["held_since"] is not None,
        entry["quarantined"],
        entry["rate"],
        entry["p99_ms"] or 0.0,
        entry["resident_bytes"] or entry["parked_bytes"],
        entry["requests"],
        entry["waiting"],
        entry["crashes"],
        entry,
    )


def chosen(entries: Iterable[Mapping[str, Any]], query: Query) -> list[Mapping[str, Any]]:
    """The entries that a query wants, in its order; all of them, whatever part it asks for."""
    rows = [row for row in map(row_of, entries) if query.wants(row)]
    return [row.service for row in sorted(rows, key=query.place)]


def query_of(match: str, only: str, sort: str) -> Query:
    """A query from the options of a command.

    :raises OperatorError: no such order or choice.
    """
    for option, value, known in (("--sort", sort, SORTS), ("--only", only, ONLY)):
        if value not in known:
            raise OperatorError(f"{option}: {', '.join(filter(None, known))} expected, got {value!r}")
    return Query(match.lower(), only, sort)  # type: ignore[arg-type]  # they have just been looked at
