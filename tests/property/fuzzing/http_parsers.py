"""Parsers of key-value blocks: heads of requests and answers, and what guests ask of upstreams."""

from collections.abc import Sequence
from typing import Final

from edge.config.proxies import networks
from edge.config.upstream_policy import UpstreamPolicy, UpstreamRefused
from edge.devices import subrequests
from edge.front import cgi
from edge.front.senders import Senders
from edge.model.flow import ClientError
from edge.model.routes import Route
from tests.property.fuzzing.parsers import Target
from tests.property.fuzzing.seeds import from_seeds
from vmimage import abi
from vmimage.errors import GuestViolation

_HEADS: Final = (
    b"Status\x00200\0\0",
    b"Status\x00200\0Content-Type\0text/html\0Set-Cookie\0a=b; Path=/\0Content-Length\x005\0\0",
    b"Status\x00302 Found\0Location\0/next?x=1\0X-Nunatak-Local\0yes\0\0",
    b"Status\x00204\0Connection\0close, X-A\0X-A\0b\0Transfer-Encoding\0chunked\0\0",
)


def _answer_head(data: bytes) -> cgi.AnswerHead:
    block, _ = cgi.split_block(data)
    return cgi.answer_head(block)


def _head_holds(_: bytes, head: cgi.AnswerHead) -> bool:
    """No line but those that are meant to be, and none that says how the message is framed."""
    lines = head.fields.split(b"\r\n")
    if lines.pop() or b"\r" in head.fields.replace(b"\r\n", b"") or b"\n" in head.fields.replace(b"\r\n", b""):
        return False
    names = [line.partition(b":")[0].lower() for line in lines]
    return (
        200 <= head.status <= 599
        and not cgi.NOT_FROM_GUEST.intersection(names)
        and all(names)
        and b"\0" not in head.fields
    )


_REQUESTS: Final = (
    b"/a%20b/c\nq=1\nshop.example:80\nCookie: a=b\nCookie: c\nx_a: 2\nProxy: no\nConnection: close, X-B\nX-B: 1",
    b"/a%00b\n\nshop.example\n",
    b"/long\n\nshop.example\nX-A: " + b"x" * 16_300,
    b"/\n\n[::1]:8080\nTransfer-Encoding: chunked\nContent-Length: 5\nUpgrade: h2c\nX-Nunatak-Host: x\nX-Request-Id: y",
    b'/\n\nshop.example\nX-Forwarded-For: 203.0.113.9, [::1]:80\nForwarded: for=_a;by="x\nX-Real-IP: 1',
)


_SENDERS: Final = Senders(networks("192.0.2.0/24"))


def _request_block(data: bytes) -> bytes:
    """A block of a head: path, query, authority, then fields, a line each."""
    path, query, authority, *lines = (*data.split(b"\n"), b"", b"", b"")[:60]
    split = [line.replace(b"\0", b"").partition(b": ") for line in lines]
    pairs = [(name, value) for name, colon, value in split if colon]
    texts = [part.replace(b"\0", b"").decode("utf-8", "replace") for part in (path, query, authority)]
    route = Route("host", "name", texts[2], "", texts[0], texts[1], texts[0])
    return cgi.request_block(route, "GET", (1, 1), pairs, 80, _SENDERS.of("192.0.2.1", pairs), b"id", None)


def _block_holds(_: bytes, block: bytes) -> bool:
    """Ends where it says, each variable once, none of those that only the edge writes twice, none httpoxy's."""
    inner, end = cgi.split_block(block)
    names = inner[:-1].split(b"\0")[0:-1:2]
    unique = len(set(names)) == len(names)
    return end == len(block) <= abi.RECORD_PAYLOAD_MAX and unique and b"HTTP_PROXY" not in names


_SUBREQUESTS: Final = (
    b"Method\0GET\0URL\0https://api.example/x?y=1\0\0",
    b"Method\0POST\0URL\0http://127.0.0.1:8080/\0Content-Type\0text/plain\0X-A\0b\0\0",
)
_POLICY: Final = UpstreamPolicy.parse("public")


def _subrequest(data: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    method, url, fields = subrequests.parse_subrequest(data)
    checked = _POLICY.check(url, ("https://api.example", "http://127.0.0.1:8080"))
    return method, str(checked), fields


def _subrequest_holds(_: bytes, value: tuple[str, str, list[tuple[str, str]]]) -> bool:
    method, url, fields = value
    clean = not any(c in text for name, text in fields for c in "\r\n\0")
    return (
        url.startswith("https://api.example/")
        and method.isascii()
        and method.isprintable()
        and " " not in method
        and clean
        and not any(c in url for c in "\r\n\0 ")
    )


def targets() -> Sequence[Target]:
    """Those of this module."""
    return (
        Target("answer-head", from_seeds(*_HEADS), _answer_head, (GuestViolation,), _head_holds),
        Target("request-block", from_seeds(*_REQUESTS), _request_block, (ClientError,), _block_holds),
        Target("subrequest", from_seeds(*_SUBREQUESTS), _subrequest, (UpstreamRefused,), _subrequest_holds),
    )
