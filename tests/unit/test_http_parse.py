"""Heads between HTTP and the gate: what hostile clients and hostile guests cannot smuggle through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.front import cgi
from edge.front.senders import Sender, Senders
from edge.model import flow, routes
from vmimage import abi
from vmimage.errors import GuestViolation

SENDER = Senders().of("192.0.2.1", ())


def block(
    *headers: tuple[bytes, bytes],
    target: str = "/a%20b?x=%20",
    method: str = "GET",
    length: int | None = None,
    host: str = "a.test:81",
    sender: Sender = SENDER,
) -> bytes:
    route = routes.route(host, target)
    assert route is not None
    return cgi.request_block(route, method, (1, 1), headers, 8080, sender, b"id-1", length)


def variables(data: bytes) -> dict[bytes, bytes]:
    """As a guest reads it."""
    found, end = cgi.split_block(data)
    assert end == len(data)
    parts = found[:-1].split(b"\0")
    assert len(parts) % 2 == 1
    assert parts[-1] == b""
    names = parts[0:-1:2]
    assert len(set(names)) == len(names), "a variable that is there twice"
    return dict(zip(names, parts[1:-1:2], strict=True))


def test_a_request_becomes_the_meta_variables_of_cgi() -> None:
    got = variables(block((b"Content-Type", b"text/x"), (b"X-A", b"1"), method="POST", length=5))
    assert got == {
        b"REQUEST_METHOD": b"POST",
        b"PATH_INFO": b"/a b",
        b"NUNATAK_RAW_PATH": b"/a%20b",
        b"QUERY_STRING": b"x=%20",
        b"SCRIPT_NAME": b"",
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"SERVER_NAME": b"a.test",
        b"SERVER_PORT": b"8080",
        b"HTTP_HOST": b"a.test:81",
        b"REMOTE_ADDR": b"192.0.2.1",
        b"HTTP_X_REQUEST_ID": b"id-1",
        b"CONTENT_TYPE": b"text/x",
        b"CONTENT_LENGTH": b"5",
        b"HTTP_X_A": b"1",
        b"HTTP_X_REAL_IP": b"192.0.2.1",
        b"HTTP_X_FORWARDED_FOR": b"192.0.2.1",
        b"REQUEST_URI": b"/a%20b?x=%20",
        b"GATEWAY_INTERFACE": b"CGI/1.1",
        b"SERVER_SOFTWARE": b"nunatak",
    }


@pytest.mark.parametrize(
    ("target", "uri", "path", "query"),
    [
        ("/a%20b/c?x=1&y", b"/a%20b/c?x=1&y", b"/a b/c", b"x=1&y"),
        ("/a%2Fb+c?", b"/a%2Fb+c?", b"/a/b+c", b""),
        ("http://a.test?q", b"/?q", b"/", b"q"),
        ("/a?b?c", b"/a?b?c", b"/a", b"b?c"),
        ("*", b"*", b"", b""),
    ],
)
def test_the_target_is_there_as_it_came_and_its_parts(target: str, uri: bytes, path: bytes, query: bytes) -> None:
    got = variables(block(target=target, method="OPTIONS"))
    assert (got[b"REQUEST_URI"], got[b"PATH_INFO"], got[b"QUERY_STRING"]) == (uri, path, query)


def test_a_type_without_a_body_is_a_field_and_no_variable_of_the_body() -> None:
    got = variables(block((b"Content-Type", b"CONTENT_TYPE")))
    assert b"CONTENT_TYPE" not in got
    assert got[b"HTTP_CONTENT_TYPE"] == b"CONTENT_TYPE"
    assert variables(block((b"Content-Type", b"text/x"), length=0))[b"CONTENT_TYPE"] == b"text/x"


@pytest.mark.parametrize(
    "header",
    (
        b"Proxy proxy X_Forwarded_For X-Forwarded-For x-forwarded-for Forwarded X-Real-IP X-Forwarded-Proto"
        b" X-Forwarded-X Client-IP True-Client-IP CF-Connecting-IP Remote-Addr Connection Transfer-Encoding TE Upgrade"
        b" Keep-Alive Proxy-Authorization Expect Host Content-Length X-Request-Id X-Nunatak-Trace"
        b" Traceparent TraceState"
    ).split(),
)
def test_headers_that_do_not_become_variables(header: bytes) -> None:
    assert variables(block((header, b"evil"))) == variables(block())


def test_what_connection_names_stays_here() -> None:
    got = variables(block((b"connection", b"keep-alive, X-Hop"), (b"X-Hop", b"1"), (b"X-Other", b"2")))
    assert b"HTTP_X_HOP" not in got
    assert got[b"HTTP_X_OTHER"] == b"2"


@pytest.mark.parametrize(
    ("fields", "version", "said"),
    [
        ([], (1, 1), b"1.1 edge-7"),
        ([], (1, 0), b"1.0 edge-7"),
        ([(b"Via", b"1.0 fred, 1.1 p.example")], (1, 1), b"1.0 fred, 1.1 p.example, 1.1 edge-7"),
        ([(b"via", b"a"), (b"Via", b"b")], (1, 1), b"a, b, 1.1 edge-7"),
        ([(b"Connection", b"via"), (b"Via", b"a")], (1, 1), b"1.1 edge-7"),
    ],
)
def test_via_is_added_to(fields: list[tuple[bytes, bytes]], version: tuple[int, int], said: bytes) -> None:
    route = routes.route("a.test", "/")
    assert route is not None
    trace = b"HTTP_TRACEPARENT\x0000-a-b-01\0"
    made = cgi.request_block(
        route, "GET", version, fields, 80, SENDER, b"id-1", None, ours=trace, via=b"%d.%d edge-7" % version
    )
    got = variables(made)
    assert (got[b"HTTP_VIA"], got[b"HTTP_TRACEPARENT"]) == (said, b"00-a-b-01")


def test_a_repeated_header_is_one_variable() -> None:
    got = variables(block((b"X-A", b"1"), (b"Cookie", b"a=1"), (b"x-a", b"2"), (b"cookie", b"b=2")))
    assert got[b"HTTP_X_A"] == b"1, 2"
    assert got[b"HTTP_COOKIE"] == b"a=1; b=2"


def test_a_path_with_nul_is_refused() -> None:
    with pytest.raises(flow.ClientError) as caught:
        block(target="/a%00b")
    assert caught.value.refusal.status == 400


def test_a_head_that_does_not_fit_a_gate_record_is_refused() -> None:
    size = len(block((b"X", b"")))
    assert len(block((b"X", b"a" * (abi.RECORD_PAYLOAD_MAX - size)))) == abi.RECORD_PAYLOAD_MAX
    with pytest.raises(flow.ClientError) as caught:
        block((b"X", b"a" * (abi.RECORD_PAYLOAD_MAX - size + 1)))
    assert caught.value.refusal.status == 431


@given(st.lists(st.tuples(st.from_regex(rb"[!#-'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True), st.binary(max_size=20))))
def test_no_header_forges_a_variable_of_ours(headers: list[tuple[bytes, bytes]]) -> None:
    clean = [(name, value.replace(b"\0", b"")) for name, value in headers]  # aiohttp refuses NUL
    got, plain = variables(block(*clean)), variables(block())
    for name, value in plain.items():
        assert got[name] == value
    assert all(name.startswith(b"HTTP_") or name in plain or name == b"CONTENT_TYPE" for name in got)


def answer(*pairs: tuple[bytes, bytes], on_service_host: bool = False) -> cgi.AnswerHead:
    block = b"".join(name + b"\0" + value + b"\0" for name, value in pairs) + b"\0"
    return cgi.answer_head(block, on_service_host)


def test_the_head_of_a_guest_becomes_status_and_header_lines() -> None:
    head = answer((b"Status", b"404 Nothing here"), (b"Content-Type", b" text/x "), (b"Content-Length", b"3"))
    assert head == (404, b"Content-Type: text/x\r\n", 3, "")


@pytest.mark.parametrize(
    ("location", "local"), [(b"/a?b", "/a?b"), (b"https://other.test/", ""), (b"relative", ""), (b"", "")]
)
def test_a_local_redirect_is_a_path_and_is_asked_for(location: bytes, local: str) -> None:
    asked = answer((b"Status", b"302"), (b"Location", location), (b"X-Nunatak-Local", b"1"))
    assert (asked.local, asked.fields) == (local, b"Location: %b\r\n" % location)
    assert answer((b"Status", b"302"), (b"Location", location)).local == ""


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"Content-Type", b"x")],
        [(b"status", b"200")],
        [(b"Status", b"")],
        [(b"Status", b"99")],
        [(b"Status", b"101")],
        [(b"Status", b"600")],
        [(b"Status", b"200x")],
        [(b"Status", b"200\r\nX: y")],
        [(b"Status", b"200"), (b"X-A", b"a\r\nX-Evil: 1")],
        [(b"Status", b"200"), (b"X-A", b"a\nb")],
        [(b"Status", b"200"), (b"X-A\r\nX-Evil", b"1")],
        [(b"Status", b"200"), (b"X A", b"1")],
        [(b"Status", b"200"), (b"X:", b"1")],
        [(b"Status", b"200"), (b"Content-Length", b"-1")],
        [(b"Status", b"200"), (b"Content-Length", b"1x")],
        [(b"Status", b"200"), (b"Content-Length", b"")],
        [(b"Status", b"200"), (b"Content-Length", b"9" * 30)],
        [(b"Status", b"200"), (b"Content-Length", b"1"), (b"content-length", b"2")],
    ],
)
def test_an_answer_head_that_is_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    for _ in range(2):  # the second time it may come from memory
        with pytest.raises(GuestViolation):
            answer(*pairs)


def test_an_empty_block_is_no_head() -> None:
    with pytest.raises(GuestViolation):
        cgi.answer_head(b"\0")


def test_hop_by_hop_and_our_own_fields_are_dropped() -> None:
    head = answer(
        (b"Status", b"200"),
        (b"Connection", b"X-Foo, close"),
        (b"X-Foo", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Keep-Alive", b"1"),
        (b"Upgrade", b"h2c"),
        (b"Cache-Status", b"forged"),
        (b"X-Request-Id", b"forged"),
        (b"X-Nunatak-Error", b"forged"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
    )
    assert head.fields == b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"


@pytest.mark.parametrize("name", [b"X-Accel-Redirect", b"x-sendfile", b"X-LIGHTTPD-send-file", b"Server", b"Date"])
def test_a_guest_gives_no_orders_to_a_server_in_front_of_the_edge(name: bytes) -> None:
    assert answer((b"Status", b"200"), (name, b"/etc/passwd")).fields == b""


@pytest.mark.parametrize("name", sorted(cgi.NOT_ON_SERVICE_HOST))
def test_a_service_says_what_holds_for_a_whole_origin_only_on_its_own_host(name: bytes) -> None:
    pairs = ((b"Status", b"200"), (name.title(), b"x"), (b"X-Own", b"1"))
    for _ in range(2):  # the second time it may come from memory
        assert answer(*pairs).fields == b"%b: x\r\nX-Own: 1\r\n" % name.title()
        assert answer(*pairs, on_service_host=True).fields == b"X-Own: 1\r\n"


def test_cookies_of_the_service_host_go_to_no_service() -> None:
    headers = [(b"Cookie", b"a=1"), (b"X-A", b"1"), (b"cookie", b"b=2")]
    for host, there in (("a.test", True), ("names.test", False)):
        route = routes.route(host, "/~service/s1/", "names.test")
        assert route is not None
        got = variables(cgi.request_block(route, "GET", (1, 1), headers, 80, SENDER, b"id-1", None))
        assert (b"HTTP_COOKIE" in got) is there
        assert got[b"HTTP_X_A"] == b"1"


@pytest.mark.parametrize(
    ("value", "passed"),
    [
        (b"db;dur=53", True),
        (b'cache;desc="a, b";dur=1 , app', True),
        (b"prefetch;dur=1, guests, my-guest", True),
        (b"guest;dur=0", False),
        (b"db;dur=1, Restore ; dur=0", False),
        (b"db, fetch", False),
        (b'x;desc="verify"', False),  # refused with the others: nobody has to tell a description from a name
        (b'x;desc="', False),  # joined with the edge's own, it would swallow that
        (b'x;desc="\\"', False),
        (b"", False),
        (b",", False),
        (b"a b", False),
    ],
)
def test_timings_of_a_guest_are_never_taken_for_those_of_the_edge(value: bytes, passed: bool) -> None:
    assert bool(answer((b"Status", b"200"), (b"server-Timing", value)).fields) is passed


@pytest.mark.parametrize(
    "value", [b"a," * 8000 + b'"', b"a;b" * 5000 + b"=", b'a;b="' * 3000, b"a" * 16000 + b"\x80", b" " * 16000]
)
def test_timings_as_long_as_a_record_are_judged_without_backtracking(value: bytes) -> None:
    assert answer((b"Status", b"200"), (b"Server-Timing", value)).fields == b""


@given(st.binary(max_size=200), st.integers(0, 8))
def test_split_block_ends_where_a_guest_reader_would(data: bytes, start: int) -> None:
    try:
        found, end = cgi.split_block(data, start)
    except GuestViolation:
        return
    assert data[start:end] == found
    assert found.endswith(b"\0")
    assert found[:-1].count(b"\0") % 2 == 0


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=8)), max_size=6), st.binary(max_size=9))
def test_whatever_a_guest_says_never_opens_a_second_line(pairs: list[tuple[bytes, bytes]], body: bytes) -> None:
    data = b"Status\x00200\0" + b"".join(n + b"\0" + v + b"\0" for n, v in pairs) + b"\0" + body
    try:
        head = cgi.answer_head(cgi.split_block(data)[0])
    except GuestViolation:
        return
    lines = head.fields.split(b"\r\n")
    assert lines.pop() == b""
    assert all(b": " in line and b"\r" not in line and b"\n" not in line and b"\0" not in line for line in lines)
    assert len(lines) <= len(pairs)


def test_a_block_cut_anywhere_is_refused_or_shorter() -> None:
    data = b"Status\x00200\0A\0\0B\0b\0\0"
    assert cgi.split_block(data + b"\0\0body")[1] == len(data)
    for size in range(len(data)):
        with pytest.raises(GuestViolation):
            cgi.split_block(data[:size])


@pytest.mark.parametrize(
    ("method", "status", "said", "size", "line"),
    [
        ("GET", 200, None, 3, b"3"),
        ("GET", 200, None, 0, b"0"),
        ("GET", 200, 3, 3, b"3"),
        ("GET", 200, None, None, b""),
        ("HEAD", 200, None, 3, b"3"),
        ("HEAD", 200, 3, 0, b"3"),
        ("HEAD", 200, 0, 0, b"0"),
        ("HEAD", 200, None, 0, b""),  # perhaps the handler left the body out
        ("GET", 204, 3, 3, b""),
        ("GET", 205, None, 3, b"0"),
        ("GET", 205, 3, None, b"0"),
        ("GET", 304, None, 3, b""),
        ("GET", 304, 7, 0, b"7"),
        ("POST", 500, None, 0, b"0"),
    ],
)
def test_the_length_of_an_answer(method: str, status: int, said: int | None, size: int | None, line: bytes) -> None:
    expected = b"Content-Length: %b\r\n" % line if line else b""
    assert cgi.length_line(method, status, said, size) == expected
