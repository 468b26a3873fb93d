"""Purges of an origin as this edge's own: what an event names, as kept answers are named here. Pure."""

from collections.abc import Iterable, Iterator

from edge.cache.purges import Purge
from edge.model.flow import ClientError
from edge.operators.purging import purge_of
from vmimage import purges


def purges_of(said: Iterable[purges.Purge]) -> Iterator[Purge]:
    """What to purge. One that means nothing here voids more than it may have meant, and never less."""
    for each in said:
        try:
            yield purge_of(each.kind, each.service, each.selector, each.soft)
        except ClientError:
            yield Purge("service", each.service) if each.service else Purge("all")
