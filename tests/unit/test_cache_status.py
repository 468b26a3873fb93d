"""Cache-Status (RFC 9211) on every path: what it says, and that it is what the RFC lets it be."""

from typing import Any

import http_sf
import pytest

from edge.cache import status

FORWARDS = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}  # section 2.2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (status.hit(59), "hit; ttl=59"),
        (status.hit(-3), "hit; ttl=-3"),
        (status.collapsed("vary-miss", 60), "fwd=vary-miss; collapsed; ttl=60"),
        (status.stood_in(503, -1, "guest-error"), "fwd=stale; fwd-status=503; ttl=-1; detail=guest-error"),
        (status.stood_in(None, -1, "guest_silent"), "fwd=stale; ttl=-1; detail=guest_silent"),
        (status.validated("parked", 60, stored=True), "fwd=stale; fwd-status=304; stored; ttl=60; detail=parked"),
        (status.validated("disk", 0, stored=False), "fwd=stale; fwd-status=304; ttl=0; detail=disk"),
        (status.forwarded("uri-miss", "blob", False, None, ""), "fwd=uri-miss; detail=blob"),
        (status.forwarded("uri-miss", "blob", False, 60, ""), "fwd=uri-miss; stored; ttl=60; detail=blob"),
        (status.forwarded("method", "origin", True, None, ""), 'fwd=method; detail="origin, shared-fetch"'),
        (
            status.forwarded("uri-miss", "origin", True, None, "private"),
            'fwd=uri-miss; detail="origin, shared-fetch, private"',
        ),
        (status.refused("uri-miss", "guest_silent", asked=True), "fwd=uri-miss; detail=guest_silent"),
        (status.refused("bypass", "queue_full", asked=False), "detail=queue_full"),
    ],
)
def test_what_a_line_says(line: bytes, said: str) -> None:
    name, _, value = line.decode().partition(": ")
    assert (name, value) == ("Cache-Status", f"nunatak; {said}\r\n")
    parsed: Any = http_sf.parse(value.strip().encode(), tltype="list")
    [(token, parameters)] = parsed
    assert str(token) == "nunatak"
    assert {*parameters} <= {"hit", "fwd", "fwd-status", "ttl", "stored", "collapsed", "key", "detail"}
    assert not ("hit" in parameters and "fwd" in parameters), "section 2: one or the other"
    assert str(parameters.get("fwd", "miss")) in FORWARDS
