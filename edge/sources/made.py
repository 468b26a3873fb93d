"""Sources as a configuration names them, put together."""

from collections.abc import Callable, Mapping, Sequence

from edge.common.counters import Counters
from edge.config.sources import Place
from edge.sources.credentials import Credentials
from edge.sources.fetch import Sources
from edge.sources.web import WebSource


def web_sources(
    places: Sequence[Place],
    timeout_s: float,
    counters: Counters,
    credentials: Credentials | None = None,
    headers: Callable[[], Mapping[str, str]] = dict,
) -> Sources:
    """A store of blobs over these places in order.

    :param timeout_s: for one blob, of whatever sources. :param headers: those of a request.
    """
    return Sources([WebSource(place, timeout_s, credentials, headers) for place in places], timeout_s, counters)
