"""What is said of a head: which fields are looked at as they come, what a head may not be, and what it may not ask for.

A problem is the answer to a head whose connection then ends, since nobody knows where the next one begins; an objection
is the answer to a request that is well-formed. Pure: `connection` brings the parts and gives the answers.
"""

import re
from typing import Final

from edge.front.request import Request
from edge.model.flow import ClientError
from vmimage import abi

# RFC 9112 section 3 wants 8,000 bytes of a request line; what Apache and nginx take of it and of a field's line.
LINE_MAX: Final = 8190
HEADERS_MAX: Final = 100
HEAD_MAX: Final = abi.RECORD_PAYLOAD_MAX  # bytes of a target, names and values: more does not fit into the gate

# Those that the parser knows, without those of other protocols (RTSP) that it knows too.
METHODS: Final = frozenset(
    "DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND"
    " UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK"
    " UNLINK SOURCE QUERY".split()
)
# An edge is no proxy, and what it gives to a service, credentials among it, is not for a script to read back.
REFUSED_METHODS: Final = frozenset({"CONNECT", "TRACE"})
ALLOWED: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"  # and others: what a refused method is told

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
# A request line (RFC 9112 section 3), or a method that goes on: the parser refuses an unknown one as it comes.
_START: Final = re.compile(rb"[\r\n]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?: +\S+ +HTTP/([0-9])\.([0-9])\r?\n|\Z)")
_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0)}
_NOT_IN_TARGET: Final = frozenset(map(chr, (*range(0x21), 0x23, 0x7F)))  # controls, space, and # of a fragment
_LOOKED_AT: Final = (
    *(b"host", b"expect", b"upgrade", b"cdn-loop", b"content-length", b"transfer-encoding"),
    *(b"traceparent", b"x-request-id"),
)
_SEVERAL: Final = b","  # in place of a field that may be there once, and is there again: valid nowhere
LOOKED_AT_SIZES: Final = frozenset(map(len, _LOOKED_AT))


def bad_request() -> ClientError:
    """The refusal of what is no request."""
    return ClientError("bad_request")


def target_too_long() -> ClientError:
    """The refusal of a target of more than `LINE_MAX` bytes."""
    return ClientError("target_too_long", f"target={LINE_MAX}")


def field_problem(size: int, count: int, left: int) -> ClientError | None:
    """Why a head may not have one more field.

    :param size: bytes of its name and value.
    :param count: fields, with this one.
    :param left: bytes that the whole head may still have.
    """
    if size > LINE_MAX:
        return ClientError("head_too_large", f"field={LINE_MAX}")
    if count > HEADERS_MAX:
        return ClientError("head_too_large", f"fields={HEADERS_MAX}")
    return head_too_large() if left < 0 else None


def head_too_large() -> ClientError:
    """The refusal of a head of more than `HEAD_MAX` bytes."""
    return ClientError("head_too_large", f"head={HEAD_MAX}")


def look_at(request: Request, name: bytes, value: bytes) -> ClientError | None:
    """Take note of a field that says something to the edge; why the head is refused for it.

    :param name: in lower case.
    """
    if name == b"host":
        if request.host is not None or not value.isascii():
            return bad_request()
        request.host = value.decode()
    elif name == b"content-length":
        request.content_length = int(value)  # digits, once, and of no chunked body: else the parser has refused
    elif name == b"transfer-encoding":
        problem = _coding_problem(value, again=request.chunked)
        if problem is not None:
            return problem
        request.chunked = True
    elif name == b"expect":
        members = {member.strip(b" \t").lower() for member in value.split(b",")} - {b""}
        request.expects_continue |= b"100-continue" in members
        request.expects_more |= not members <= {b"100-continue"}
    elif name == b"upgrade":
        request.upgrade = b"%b, %b" % (request.upgrade, value) if request.upgrade else value
    elif name == b"cdn-loop":
        text = value.decode("latin-1")
        request.loops = f"{request.loops}, {text}" if request.loops else text
    elif name == b"traceparent":
        request.said_parent = _SEVERAL if request.said_parent else value
    elif name == b"x-request-id":
        request.said_id = _SEVERAL if request.said_id else value
    return None


def _coding_problem(value: bytes, *, again: bool) -> ClientError | None:
    """Why a Transfer-Encoding field is refused; None for `chunked`, the one coding that is understood.

    An unknown coding is 501, a body whose end cannot be told is 400 (RFC 9112 sections 6.1 and 6.3).

    :param again: the request had such a field before, whose last coding is `chunked`.
    """
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if codings == [b"chunked"] and not again:
        return None
    if again or b"chunked" in codings[:-1] or not all(map(_TOKEN.fullmatch, codings)):
        return bad_request()
    return ClientError("unknown_coding")


def complete(request: Request, method: str, target: bytes, version: str, start: bytes) -> ClientError | None:
    """Take note of what a head begins with, now that all of it is here; why it is refused.

    :param version: as the parser says it, "1.1".
    :param start: the bytes that it began with, as they came; none where they are not known.
    """
    request.method = method
    try:
        request.target = target.decode()
    except UnicodeDecodeError:
        return bad_request()
    known = _VERSIONS.get(version)
    if known is None or (b"HTTP/" not in start[len(target) : len(target) + 40] and start and not _START.match(start)):
        return unparsed(start)  # the parser takes other protocols' names for ours
    request.version = known
    if not _NOT_IN_TARGET.isdisjoint(request.target) or (request.chunked and known == (1, 0)):
        return bad_request()
    if request.host is None and known == (1, 1):  # RFC 9112 section 3.2
        return bad_request()
    if request.target == "*" and method != "OPTIONS":  # RFC 9112 section 3.2.4
        return bad_request()
    if known == (1, 0):  # RFC 9110 sections 7.8 and 10.1.1: neither may be taken from so old a client
        request.expects_continue = request.expects_more = False
        request.upgrade = b""
    if method in REFUSED_METHODS:
        request.objection = ClientError("method_refused")
    elif request.expects_more:
        request.objection = ClientError("expectation_failed")
    return None


def unparsed(start: bytes) -> ClientError:
    """Why bytes are refused that the parser does not take for a head, by what they began with.

    It is 505 for another version of HTTP, 501 for a method that nobody here knows, and else 400 (RFC 9112 section 3).
    """
    line = _START.match(start)
    if line is None:
        return bad_request()
    method, major, minor = line.groups()
    if major is not None and (major, minor) not in ((b"1", b"0"), (b"1", b"1")):
        return ClientError("unknown_version")
    return bad_request() if method.decode() in METHODS else ClientError("unknown_method")
