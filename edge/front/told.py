"""What an edge tells a peer beside an answer to a request that the peer has forwarded, and clients never see. Pure.

The peer may keep the answer as this edge may, so it is told what its guest says to caches, of which image it is, and
since when the run is under way that made it: a purge that the peer knows of, and this edge not yet, voids all before.
"""

import math
from typing import Final

from edge.cache.storing import Fields
from edge.front.request import Request

# What a guest says to caches and no client sees (`cgi.NOT_FROM_GUEST`).
_TO_CACHES: Final = frozenset({b"cache-tag", b"surrogate-key", b"nunatak-cache-control"})


def told_to_peer(request: Request, since_s: float, said: Fields) -> bytes:
    """Whole lines. :param since_s: how long ago the run began. :param said: by the guest, to caches."""
    assert request.service is not None  # it answers
    image = request.service.release.manifest_digest.encode()
    lines = b"".join([b"%b: %b\r\n" % pair for pair in said if pair[0] in _TO_CACHES])
    since_ms = math.ceil(since_s * 1000)
    return b"X-Nunatak-Image: %b\r\nX-Nunatak-Since: %d\r\n%b" % (image, since_ms, lines)
