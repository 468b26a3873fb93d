"""A client's request as a peer is to have it, and a peer's answer as a guest's. Pure.

What a client wrote in fields that are peers' is dropped; what every hop appends is appended (RFC 9110 section 7.6.3,
RFC 8586, RFC 9211). An answer is read as the guest's own words, and checked as those are: nothing in it can say more to
a client than a guest could, and it is of the one request that was asked.
"""

from typing import Final, NamedTuple

from edge.front.request import Request
from edge.model import loops
from edge.model.fields import HOP_BY_HOP, end_to_end
from edge.model.tracing import Trace
from edge.peers.link import Fields
from edge.peers.said import ELSEWHERE, FIELD, IMAGE, OURS, SINCE, Forwarded

TIER: Final = b"nunatak-pop"  # what stands in Cache-Status for the edge that answered, towards clients
_OWN: Final = b"nunatak"  # and what that edge calls itself
# Said anew, or by the peer itself: who is asked and how the message is framed, what hops append, names of the request.
_NOT_ONWARD: Final = HOP_BY_HOP | frozenset(b"host content-length expect cdn-loop x-request-id traceparent".split())
# Of the peer's head: what is this edge's to say, and framing.
_NOT_BACK: Final = HOP_BY_HOP | frozenset(b"date server x-request-id content-length cache-status".split())


class Answered(NamedTuple):
    """A peer's answer."""

    block: bytes  # as a guest writes it
    before: bytes  # whole lines: what the peer says of how it came by it
    image: str  # the digest of the image that it is of; empty where the peer does not say
    since_ms: int | None  # since when the run is under way that made it
    elsewhere: str  # why the peer has done nothing; empty where it has
    refused: str  # why it answered in place of the service; empty where it did not
    limit: str
    retry_after_s: int


def head_of(
    request: Request, forwarded: Forwarded, trace: Trace, via: bytes, *, length: int | None, waits: bool
) -> bytes:
    """The head of a request for a peer.

    :param via: what this edge adds to Via; empty for nothing. :param length: of its body, where that is known.
    :param waits: its body waits to be asked for.
    """
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (request.method.encode(), request.target.encode(), _host(request))]
    for name, value in end_to_end(request.headers):
        lower = name.lower()
        if lower not in _NOT_ONWARD and not lower.startswith(OURS):
            lines.append(b"%b: %b" % (name, value))
    if request.upgrade:
        lines += [b"Connection: Upgrade", b"Upgrade: %b" % request.upgrade]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    elif request.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    if waits:
        lines.append(b"Expect: 100-continue")
    if via:
        lines.append(b"Via: %b" % via)
    passed = f"{request.loops}, {loops.TOKEN}" if request.loops else loops.TOKEN
    lines += [b"CDN-Loop: %b" % passed.encode("latin-1"), b"Traceparent: %b" % trace.said]
    lines.append(b"%b: %b\r\n\r\n" % (FIELD, forwarded.line()))
    return b"\r\n".join(lines)


def _host(request: Request) -> bytes:
    return (request.host or "").encode("latin-1")


def answered(status: int, fields: Fields) -> Answered:
    """What a peer says."""
    parts = [b"Status", b"%d" % status]
    before, own = b"", dict[bytes, bytes]()
    for name, value in fields:
        lower = name.lower()
        if lower == b"cache-status":
            before += b"Cache-Status: %b\r\n" % _as_tier(value)
        elif lower == b"server-timing" and b"guest;dur=" in value:
            before += b"Server-Timing: %b\r\n" % value
        elif lower.startswith(OURS) or lower == b"retry-after":
            own[lower] = value
        elif lower == b"content-length" or lower not in _NOT_BACK:
            parts += [name, value]
    refused = _text(own, b"x-nunatak-error")
    if not refused and b"retry-after" in own:
        parts += [b"Retry-After", own[b"retry-after"]]
    block = b"\0".join(parts) + b"\0\0"
    since = _text(own, SINCE)
    return Answered(
        block,
        before,
        _text(own, IMAGE),
        int(since) if since.isascii() and since.isdigit() and len(since) < 16 else None,
        _text(own, ELSEWHERE),
        refused,
        _text(own, b"x-nunatak-limit"),
        _number(own.get(b"retry-after", b"")),
    )


def switched(fields: Fields, before: bytes) -> bytes:
    """The head with which a client's connection becomes the tunnel that the peer has agreed to.

    :param before: whole lines of this edge's own.
    """
    lines = [b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"]
    for name, value in fields:
        lower = name.lower()
        if lower == b"cache-status":
            lines.append(b"Cache-Status: %b\r\n" % _as_tier(value))
        elif lower == b"upgrade" or not (lower in _NOT_BACK or lower.startswith(OURS)):
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"%b%b\r\n" % (b"".join(lines), before)


def _as_tier(value: bytes) -> bytes:
    return TIER + value[len(_OWN) :] if value.startswith(_OWN + b";") else value


def _text(fields: dict[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode("latin-1")


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 9 else 0
