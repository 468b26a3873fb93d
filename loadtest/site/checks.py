"""What must hold of a site before a figure of it means anything."""

from loadtest.site.fetch import Answer
from loadtest.site.server import Server
from loadtest.site.vitals import metrics


class NotServed(Exception):
    """Something was not served as it must be; figures of that run mean nothing."""


def require(answer: Answer, what: str, tiers: tuple[str, ...] = ()) -> Answer:
    """The answer, which is a page, and from one of these tiers if any are named.

    :raises NotServed: it is not.
    """
    if answer.status != 200:
        raise NotServed(f"{what}: status 200 expected, got {answer.status} {answer.error}")
    if tiers and answer.tier not in tiers:
        raise NotServed(f"{what}: an answer from {' or '.join(tiers)} expected, got {answer.tier or 'no tier'}")
    return answer


def metric(edge: Server, name: str) -> float:
    """One number of an edge's metrics, without labels.

    :raises NotServed: it has none of that name.
    """
    found = metrics(edge).get(name)
    if found is None:
        raise NotServed(f"metric nunatak_{name} expected, none found")
    return found
