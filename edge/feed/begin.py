"""Which carrier brings the feed, by the option that names it."""

from collections.abc import Callable, Sequence

from edge.config.fleet import FleetOptions
from edge.feed.feed import Feed
from edge.feed.sse import SseFeed
from vmimage.errors import OperatorError


def carrier(config: FleetOptions, urls: Sequence[str], origin: Callable[[], str | None]) -> Feed:
    """The feed of an edge.

    :param urls: of the origin, and of parents before it. :param origin: the identifier of the feed, once it is known.
    :raises OperatorError: what it needs is not installed.
    """
    if config.feed == "sse":
        return SseFeed(urls)
    try:
        from edge.feed.nats import NatsFeed
    except ImportError as error:
        raise OperatorError(
            f"feed: the packages of the extra nunatak[nats] expected: {error}: install them, or use sse"
        ) from None
    return NatsFeed(config.feed, origin)
