"""HTTP heads to and from the gate's key-value blocks: CGI meta-variables (RFC 3875) in, header fields out.

Both sides are hostile. A client's header becomes a variable only if its name cannot be mistaken for another's; a
guest's header reaches a client only if it cannot end its line or say how the message is framed. Pure.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from edge.front.senders import (
    ALL_BUT_ITS_FAMILY,
    OURS,
    PASSES,
    Passes,
    Sender,
    is_of_proxies,
    is_of_the_family,
)
from edge.model.fields import HOP_BY_HOP, end_to_end
from edge.model.flow import ClientError
from edge.model.routes import Route, host_name
from vmimage.abi import RECORD_PAYLOAD_MAX
from vmimage.errors import GuestViolation

# `Proxy` would become HTTP_PROXY (httpoxy, CVE-2016-5385); Expect is answered by the edge; the request's identifier and
# its place in a trace are ours to say (`marks`);
# the host is the one the request was routed by.
NOT_FROM_CLIENT: Final = HOP_BY_HOP | frozenset(
    b"host proxy expect content-length x-request-id traceparent tracestate".split()
)
# Fields only the edge may write: framing, what operators rely on, and what a web server in front of the edge would take
# for its own orders, to send a file of its host (nginx, Apache, lighttpd); and what only the edge is to read, tags of
# kept answers. So are all that begin with X-Nunatak-.
NOT_FROM_GUEST: Final = HOP_BY_HOP | frozenset(
    b"content-length date server cache-status x-request-id status cache-tag surrogate-key nunatak-cache-control"
    b" x-accel-redirect x-accel-expires x-accel-limit-rate x-accel-buffering x-accel-charset"
    b" x-sendfile x-sendfile2 x-lighttpd-send-file x-lighttpd-send-tempfile".split()
)
# On the service host all services are one web origin: none may say what holds for all of it, or for its whole host.
# Cookies are such a thing, since Path keeps no script from another path's (RFC 6265 section 8.5).
NOT_ON_SERVICE_HOST: Final = frozenset(
    b"set-cookie set-cookie2 service-worker-allowed alt-svc clear-site-data strict-transport-security"
    b" public-key-pins public-key-pins-report-only expect-ct nel report-to accept-ch critical-ch accept-ch-lifetime"
    b" origin-agent-cluster use-as-dictionary activate-storage-access set-login sec-session-registration"
    b" secure-session-registration".split()
)

# Bytes of a field's name. 1,024 names are remembered, and so this bounds what clients can have remembered for them.
FIELD_NAME_MAX: Final = 256
_END: Final = b"GATEWAY_INTERFACE\0CGI/1.1\0SERVER_SOFTWARE\0nunatak\0\0"  # of every block
_USUAL_OPTIONS: Final = {b"keep-alive", b"close"}  # of Connection
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_NOT_IN_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5
_T: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # a character of a token
_METRIC: Final = rf"{_T}+(?:[ \t]*;[ \t]*{_T}+(?:=(?:{_T}+|\"[^\"\\]*\"))?)*"
_TIMINGS: Final = re.compile(rf"[ \t]*{_METRIC}(?:[ \t]*,[ \t]*{_METRIC})*[ \t]*".encode())
_OUR_TIMING: Final = re.compile(rf"(?i)(?<!{_T})(?:fetch|verify|restore|guest)(?!{_T})".encode())
_MEMO_BLOCK_MAX: Final = 1024  # bytes; so all remembered heads together stay under 2 MiB


def _names(*, shared: bool, passes: Passes) -> Callable[[bytes], bytes]:
    """What makes a header's name its meta-variable; empty for one that is not passed on.

    :param shared: on a host that all services share: its cookies are those of all of them.
    :param passes: of what a proxy may say of its client.
    """

    def variable(name: bytes) -> bytes:
        lower = name.lower()
        # An underscore is refused since `X-A` and `X_A` would become the same variable.
        if lower in NOT_FROM_CLIENT or b"_" in name or lower.startswith(b"x-nunatak-"):
            return b""
        if lower in OURS or (shared and lower == b"cookie") or (not passes and is_of_proxies(lower)):
            return b""
        if passes == ALL_BUT_ITS_FAMILY and is_of_the_family(lower):
            return b""
        if lower == b"content-type":
            return b"CONTENT_TYPE"
        return b"HTTP_" + name.upper().replace(b"-", b"_")

    return lru_cache(maxsize=1024)(variable)


_VARIABLES: Final = tuple(tuple(_names(shared=shared, passes=passes) for passes in PASSES) for shared in (False, True))


def request_block(
    route: Route,
    method: str,
    version: tuple[int, int],
    headers: Sequence[tuple[bytes, bytes]],
    port: int,
    sender: Sender,
    request_id: bytes,
    content_length: int | None,
    *,
    chunked: bool = False,
    ours: bytes = b"",
    via: bytes = b"",
) -> bytes:
    """The key-value block of one request.

    What RFC 3875 asks for and few look at is at its end, where nobody who looks for something else passes it.

    :param port: on which it came.
    :param content_length: of its body; None if there is none, or it is `chunked` and nobody knows yet.
    :param ours: variables of the edge's own, whole names and values, each ended by NUL.
    :param via: what the edge adds to Via (RFC 9110 section 7.6.3); empty for nothing.
    :raises ClientError: 400 for a path with NUL, 431 for a head that is too large for a gate record, or a field's name.
    """
    variable_of = _VARIABLES[route.kind == "service"][sender.passes]
    raw = path = route.path.encode()
    if b"%" in path:
        path = unquote_to_bytes(path)
        if b"\0" in path:
            raise ClientError("bad_request")
    names: set[bytes] = set()
    parts = [
        b"REQUEST_METHOD\0%b\0PATH_INFO\0%b\0QUERY_STRING\0%b\0SCRIPT_NAME\0%b\0SERVER_PROTOCOL\0HTTP/%d.%d\0%bREMOTE_ADDR\0%b"
        % (
            method.encode(),
            path,
            route.query.encode(),
            route.script_name.encode(),
            version[0],
            version[1],
            _server_variables(route.authority, port),
            sender.address,
        ),
        b"HTTP_X_REQUEST_ID",
        request_id,
    ]
    if raw is not path:  # what PATH_INFO was before it was decoded, for those who need the difference
        parts += (b"NUNATAK_RAW_PATH", raw)
    if content_length is not None:
        parts += (b"CONTENT_LENGTH", b"%d" % content_length)
    repeated = False
    for name, value in headers:
        if len(name) > FIELD_NAME_MAX:
            raise ClientError("head_too_large", f"field_name={FIELD_NAME_MAX}")
        variable = variable_of(name)
        if variable:
            repeated |= variable in names
            names.add(variable)
            parts += (variable, value)
        elif len(name) == 10 and value.lower() not in _USUAL_OPTIONS and name.lower() == b"connection":
            kept = [(n, v) for n, v in end_to_end(headers) if n.lower() != b"connection"]
            about = route, method, version, kept, port, sender, request_id, content_length
            return request_block(*about, chunked=chunked, ours=ours, via=via)
    if via:
        repeated |= b"HTTP_VIA" in names
        parts += (b"HTTP_VIA", via)
    if content_length is None and not chunked and b"CONTENT_TYPE" in names:  # RFC 3875 section 4.1.3: of a body only
        place = 2 * parts[1::2].index(b"CONTENT_TYPE") + 1
        parts[place] = b"HTTP_CONTENT_TYPE"
    if repeated:
        parts = _joined(parts)
    block = b"%b\0REQUEST_URI\0%b\0%b%b%b" % (b"\0".join(parts), route.target.encode(), ours, sender.variables, _END)
    if len(block) > RECORD_PAYLOAD_MAX:
        raise ClientError("head_too_large", f"head={RECORD_PAYLOAD_MAX}")
    return block


def _joined(parts: list[bytes]) -> list[bytes]:
    """One variable for a repeated header (RFC 3875 section 4.1.18); parts[0] is the fixed part."""
    merged: dict[bytes, bytes] = {}
    for name, value in zip(parts[1::2], parts[2::2], strict=True):
        glue = b"; " if name == b"HTTP_COOKIE" else b", "
        merged[name] = merged[name] + glue + value if name in merged else value
    return [parts[0], *(part for item in merged.items() for part in item)]


@lru_cache(maxsize=1024)
def _server_variables(authority: str, port: int) -> bytes:
    """Where the request was sent. HTTP_HOST is always there, since programs count on it; empty where none was said."""
    name = host_name(authority)
    said = authority if name else ""
    return b"SERVER_NAME\0%b\0SERVER_PORT\0%d\0HTTP_HOST\0%b\0" % (
        (name or "localhost").encode(),
        port,
        said.encode(),
    )


class AnswerHead(NamedTuple):
    """A guest's head, checked. `fields` are whole header lines, each ended by CR LF.

    `local` is the path that is to be answered for in place of this one, as a CGI program may ask (RFC 3875
    section 6.2.2); empty for none.
    """

    status: int
    fields: bytes
    content_length: int | None
    local: str


def split_block(payload: bytes, start: int = 0) -> tuple[bytes, int]:
    """The key-value block at `start` and where the bytes after it begin.

    :raises GuestViolation: the block does not end.
    """
    position = start
    while True:
        name_end = payload.find(b"\0", position)
        if name_end == position:
            return payload[start : position + 1], position + 1
        value_end = payload.find(b"\0", name_end + 1)
        if name_end < 0 or value_end < 0:
            raise GuestViolation(f"a response head of {len(payload) - start} bytes without an end")
        position = value_end + 1


def answer_head(block: bytes, on_service_host: bool = False) -> AnswerHead:
    """Check a guest's block.

    :param on_service_host: the request was for a service by its name, on the host that all services share.
    :raises GuestViolation: anything in it that could not stand in an HTTP head.
    """
    read = _remembered_head if len(block) <= _MEMO_BLOCK_MAX else _answer_head
    return read(block, on_service_host)


def _answer_head(block: bytes, on_service_host: bool) -> AnswerHead:
    parts = block[:-1].split(b"\0")  # ends with the empty part after the last value
    if len(parts) < 3 or parts[0] != b"Status":
        raise GuestViolation(f"a response head that begins with {parts[0][:40]!r}, Status expected")
    status_text = parts[1][:3]
    if not re.fullmatch(rb"[2-5][0-9][0-9]( [ -~]{0,80})?", parts[1]):
        raise GuestViolation(f"status {parts[1][:40]!r}, 200 to 599 expected")
    kept_back = NOT_FROM_GUEST | NOT_ON_SERVICE_HOST if on_service_host else NOT_FROM_GUEST
    dropped = _connection_names(parts)
    lines: list[bytes] = []
    content_length: int | None = None
    location, local = b"", False
    for name, value in zip(parts[2:-1:2], parts[3:-1:2], strict=True):
        if not _TOKEN.fullmatch(name):
            raise GuestViolation(f"header name {name[:40]!r}, a token expected")
        if _NOT_IN_VALUE.search(value):
            raise GuestViolation(f"header {name[:40].decode()} with a control character in its value")
        lower = name.lower()
        if lower == b"content-length":
            if not (value.isdigit() and len(value) <= 18) or content_length not in (None, int(value)):
                raise GuestViolation(f"Content-Length {value[:40]!r}, one number expected")
            content_length = int(value)
        elif lower == b"x-nunatak-local":
            local = True
        elif lower in kept_back or lower in dropped or lower.startswith(b"x-nunatak-"):
            continue
        elif lower != b"server-timing" or _is_own_timing(value):
            lines.append(name + b": " + value.strip(b" \t") + b"\r\n")
            if lower == b"location":
                location = value.strip(b" \t")
    target = location.decode("latin-1") if local and location.startswith(b"/") else ""
    return AnswerHead(int(status_text), b"".join(lines), content_length, target)


def _is_own_timing(value: bytes) -> bool:
    """Whether a guest's Server-Timing stays apart from the edge's, whose metrics it may neither name nor swallow.

    A recipient may join both fields, so that a quotation without an end would reach into the edge's.
    """
    return _TIMINGS.fullmatch(value) is not None and _OUR_TIMING.search(value) is None


_remembered_head: Final = lru_cache(maxsize=1024)(_answer_head)  # a guest answers with few different heads


def _connection_names(parts: list[bytes]) -> set[bytes]:
    return {
        option.strip().lower()
        for name, value in zip(parts[2:-1:2], parts[3:-1:2], strict=False)
        if name.lower() == b"connection"
        for option in value.split(b",")
    }


def without_body(method: str, status: int) -> bool:
    """Whether the answer has no body whatever the guest sends (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in (204, 205, 304)


def length_line(method: str, status: int, said: int | None, size: int | None) -> bytes:
    """The Content-Length of an answer; empty for none (RFC 9110 section 8.6, and 15.3.6 for 205).

    :param said: by the guest.
    :param size: bytes that it sent; None while there may be more.
    """
    if status == 204:
        return b""
    if status == 205:
        return b"Content-Length: 0\r\n"
    length = said if said is not None or status == 304 else size
    if length is None or (method == "HEAD" and said is None and length == 0):
        return b""  # what GET would get is not known
    return b"Content-Length: %d\r\n" % length


STATUS_LINES: Final = {
    status: b"HTTP/1.1 %d %b\r\n"
    % (status, HTTPStatus(status).phrase.encode() if status in set(map(int, HTTPStatus)) else b"")
    for status in range(200, 600)
}
