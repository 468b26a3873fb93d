"""All parsers that are fuzzed."""

from collections.abc import Sequence
from functools import cache

from tests.property.fuzzing import (
    fleet_parsers,
    http_parsers,
    machine_parsers,
    peer_parsers,
    proxy_parsers,
    published_parsers,
)
from tests.property.fuzzing.parsers import Target


@cache
def targets() -> Sequence[Target]:
    """Of all modules."""
    return (
        *machine_parsers.targets(),
        *published_parsers.targets(),
        *http_parsers.targets(),
        *proxy_parsers.targets(),
        *peer_parsers.targets(),
        *fleet_parsers.targets(),
    )
