"""What CGI (RFC 3875) says of variables, of header blocks and their ends; a program's answer is its request's body."""

import re
from collections.abc import Callable

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import eventually, raw
from tests.support.guests import PROGRAMS

HOST = "raw.test"
OK = b"Content-Type: text/plain\n\nok"


@pytest.fixture(scope="module")
def edge(site: Site) -> Server:
    site.publish(site.build(PROGRAMS / "linux_cgi_raw.c", "--cgi", "--env", "COLOUR=red", name="raw"), "raw", HOST)
    return site.edges[0]


def ask(edge: Server, said: bytes, *fields: str, query: str = "", method: str = "POST") -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer of a program that says this."""
    lines = (f"{method} /?{query} HTTP/1.1", f"Host: {HOST}", "Connection: close", *fields)
    head = "\r\n".join((*lines, f"Content-Length: {len(said)}", "", "")).encode()
    got = raw(edge, head + said)
    before, _, body = got.partition(b"\r\n\r\n")
    return int(before.split()[1]), before + b"\r\n", body


def variables(edge: Server, *lines: str, body: bytes = b"") -> dict[str, str]:
    """The program's environment for a request."""
    got = raw(edge, "\r\n".join((*lines, "", "")).encode("latin-1") + body)
    status, text = got.split(b"\r\n", 1)[0], got.partition(b"\r\n\r\n")[2]
    assert b" 200 " in status, got
    if b"chunked" in got.partition(b"\r\n\r\n")[0]:
        text = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", text, re.DOTALL))
    return dict(line.split("=", 1) for line in text.decode("latin-1").splitlines())


def logged(edge: Server, text: str) -> Callable[[], bool]:
    """Whether the publisher is told: the edge's log has what goes to the service's."""
    return lambda: text in edge.log.read_text()


def test_the_variables_that_must_be_set_are(edge: Server) -> None:
    got = variables(
        edge,
        "GET /a%20b/c%2Fd?env=1&y HTTP/1.1",
        f"Host: {HOST}:8080",
        "Proxy: http://evil.test",
        "X-Forwarded-For: 203.0.113.9",
        "X_Real_IP: 203.0.113.9",
        "Client-IP: 203.0.113.9",
        "Authorization: Basic eA==",
        "Content-Type: text/x",
        "Connection: close, X-Hop",
        "X-Hop: 1",
        "X-Two: 1",
        "X-Two: 2",
        "Cookie: a=1",
        "Cookie: b=2",
    )
    port = edge.url.rpartition(":")[2]
    expected = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "PATH_INFO": "/a b/c/d",
        "QUERY_STRING": "env=1&y",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/a%20b/c%2Fd?env=1&y",
        "SCRIPT_NAME": "",
        "SERVER_NAME": HOST,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "nunatak",
        "HTTP_HOST": f"{HOST}:8080",
        "HTTP_AUTHORIZATION": "Basic eA==",
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_REAL_IP": "127.0.0.1",
        "HTTP_X_TWO": "1, 2",
        "HTTP_COOKIE": "a=1; b=2",
        "COLOUR": "red",
    }
    assert {name: got.get(name) for name in expected} == expected
    never = "HTTP_PROXY HTTP_CLIENT_IP HTTP_CONNECTION HTTP_X_HOP CONTENT_TYPE CONTENT_LENGTH PATH_TRANSLATED".split()
    assert not got.keys() & set(never)


def test_variables_are_set_where_nothing_was_said(edge: Server) -> None:
    got = variables(edge, "GET /?env HTTP/1.0", f"Host: {HOST}")
    assert (got["SERVER_PROTOCOL"], got["PATH_INFO"], got["SCRIPT_NAME"]) == ("HTTP/1.0", "/", "")
    got = variables(edge, "GET /~service/raw/x?env HTTP/1.0")
    assert (got["SCRIPT_NAME"], got["PATH_INFO"], got["SERVER_NAME"]) == ("/~service/raw", "/x", "localhost")
    assert got["HTTP_HOST"] == ""


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_body_in_chunks_has_a_length(edge: Server, size: int) -> None:
    head = ("POST /?env HTTP/1.1", f"Host: {HOST}", "Connection: close", "Content-Type: text/x")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [b"a" * 10_000] * (size // 10_000))
    chunks += b"%x\r\n%b\r\n" % (size % 10_000, b"b" * (size % 10_000)) if size % 10_000 else b""
    got = variables(edge, *head, "Transfer-Encoding: chunked", body=chunks + b"0\r\nX-Trailer: 1\r\n\r\n")
    assert (got["CONTENT_LENGTH"], got["CONTENT_TYPE"]) == (str(size), "text/x")
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_X_TRAILER"} & got.keys()
    fixed = variables(edge, *head, f"Content-Length: {size}", body=b"c" * size)
    assert fixed["CONTENT_LENGTH"] == str(size)


def test_a_body_in_chunks_is_read_whole_and_one_that_is_too_large_needs_a_length(site: Site, edge: Server) -> None:
    with Client(edge.url) as client:

        def post(size: int) -> tuple[int, int]:
            parts = (OK, *[b"x" * 50_000] * (size // 50_000))
            got = client.request("POST", "/", host=HOST, body=iter(parts))  # type: ignore[arg-type]
            return got.status, len(got.body)

        assert post(1_000_000) == (200, 2 + 1_000_000)
        assert post(6_000_000)[0] == 411
        assert post(0) == (200, 2)
    eventually(logged(edge, "cgi: a body in chunks of at most 4194304 bytes expected"), "the publisher is told")


ANSWERS = {
    "LF": (b"Content-Type: text/x\nX-A: 1\n\nok", 200, {b"content-type": [b"text/x"], b"x-a": [b"1"]}),
    "CR LF": (b"Content-Type: text/x\r\nX-A: 1\r\n\r\nok", 200, {b"x-a": [b"1"]}),
    "both": (b"Content-Type: text/x\nX-A: 1\r\n\nok", 200, {b"x-a": [b"1"]}),
    "tabs": (b"Content-Type:\ttext/x;\tq=1 \t\nX-A: a\tb\n\nok", 200, {b"content-type": [b"text/x;\tq=1"]}),
    "obs-text": (b"X-A: gr\xc3\xbc\xc3\x9f\nX-B: caf\xe9\x80\xff\n\nok", 200, {b"x-b": [b"caf\xe9\x80\xff"]}),
    "no value": (b"X-A:\nX-B: \t \nX-C:1\n\nok", 200, {b"x-a": [b""], b"x-b": [b""], b"x-c": [b"1"]}),
    "folded": (b"X-A: one\n  two\r\n\t three\nX-B: 1\n\nok", 200, {b"x-a": [b"one two three"], b"x-b": [b"1"]}),
    "folded at the end": (b"X-A: one\n two\n\nok", 200, {b"x-a": [b"one two"]}),
    "cookies": (b"Set-Cookie: a=1\nSet-Cookie: b=2\n\nok", 200, {b"set-cookie": [b"a=1", b"b=2"]}),
    "large cookies": (
        b"".join(b"Set-Cookie: c%d=%b\n" % (n, b"v" * 3000) for n in range(4)) + b"\nok",
        200,
        {b"set-cookie": [b"c%d=%b" % (n, b"v" * 3000) for n in range(4)]},
    ),
    "one large cookie": (b"Set-Cookie: c=%b\n\nok" % (b"v" * 12_000), 200, {b"set-cookie": [b"c=" + b"v" * 12_000]}),
    "status": (b"Status: 404 Not Here\nContent-Type: text/x\n\nok", 404, {b"status": []}),
    "status without a reason": (b"status:404\n\nok", 404, {}),
    "status with blanks": (b"STATUS: \t 418   I am\n\nok", 418, {}),
    "status that HTTP has no name for": (b"Status: 299\n\nok", 299, {}),
    "no type": (b"X-A: 1\n\nok", 200, {b"content-type": []}),
    "client redirect": (b"Location: https://b.test/x\n\n", 302, {b"location": [b"https://b.test/x"]}),
    "client redirect with a status": (b"Status: 301 x\nLocation: https://b.test/\n\nok", 301, {}),
    "client redirect with fields": (b"Location: /x\nX-A: 1\n\n", 302, {b"location": [b"/x"]}),
    "length": (b"Content-Length: 2\n\nok", 200, {b"content-length": [b"2"]}),
    "hop by hop": (
        b"Connection: close, X-A\nX-A: 1\nKeep-Alive: 1\nUpgrade: x\nTrailer: X\nTE: x\n\nok",
        200,
        {b"x-a": [], b"keep-alive": [], b"upgrade": [], b"trailer": [], b"te": [], b"connection": [b"close"]},
    ),
    "NPH": (b"HTTP/1.1 203 Fine\r\nContent-Type: text/x\r\n\r\nok", 203, {b"content-type": [b"text/x"]}),
    "NPH of HTTP/1.0, no fields": (b"HTTP/1.0 200 OK\n\nok", 200, {}),
    "NPH without a reason": (b"HTTP/1.1 404\n\nok", 404, {}),
    "NPH after 1xx": (
        b"HTTP/1.1 103 E\nLink: </a>\n\nHTTP/1.1 200 OK\nX-A: 1\n\nok",
        200,
        {b"x-a": [b"1"], b"link": []},
    ),
    "NPH with a path in Location": (b"HTTP/1.1 302 Found\nLocation: /x\n\n", 302, {b"location": [b"/x"]}),
}


def fields(head: bytes, name: bytes) -> list[bytes]:
    return re.findall(rb"(?i)\r\n%b: ?([^\r]*)(?=\r\n)" % re.escape(name), head)


@pytest.mark.parametrize("query", ["", "bytes"])
@pytest.mark.parametrize(("said", "status", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_header_block(edge: Server, said: bytes, status: int, expected: dict[bytes, list[bytes]], query: str) -> None:
    if query and len(said) > 1000:
        return  # a system call a byte
    got, head, body = ask(edge, said, query=query)
    assert got == status
    assert {name: fields(head, name) for name in expected} == expected
    assert body.endswith(b"ok") or not said.endswith(b"ok")
    assert b"\r\nDate: " in head


@pytest.mark.parametrize("name", ["LF", "length", "large cookies", "NPH", "status", "no type"])
def test_HEAD_has_the_fields_of_GET_and_no_body(edge: Server, name: str) -> None:
    said = ANSWERS[name][0]
    heads = []
    for method in ("GET", "HEAD"):
        _, head, body = ask(edge, said, method=method)
        assert body == (b"ok" if method == "GET" else b"")
        heads.append(re.sub(rb"\r\n(Server-Timing|X-Request-Id|Date|Cache-Status): [^\r]*", b"", head))
    assert heads[0] == heads[1]


NOTHING = 'a header such as \\"Content-Type: text/plain\\" and an empty line before the program ends expected'
REFUSED = {
    "no header": (
        b"no header here\n\nok",
        'a header line NAME: VALUE, or an empty line before the body, expected, got \\"no',
    ),
    "a body at once": (b"<html>\n", "a header line NAME: VALUE"),
    "an empty line first": (b"\nok", 'a header such as \\"Content-Type: text/plain\\" before the empty line expected'),
    "blank first": (b" X-A: 1\n\nok", "a header line NAME: VALUE"),
    "no name": (b"X-B: 1\n: 1\n\nok", "a header line NAME: VALUE"),
    "space before the colon": (b"X-A : 1\n\nok", "a header line NAME: VALUE"),
    "space in the name": (b"X A: 1\n\nok", "a header line NAME: VALUE"),
    "name beyond ASCII": (b"X-\xc3\xa4: 1\n\nok", "a header line NAME: VALUE"),
    "bare CR": (b"X-A: 1\rX-Evil: 1\n\nok", "no control character in a header line expected"),
    "NUL": (b"X-A: a\0b\n\nok", "no control character"),
    "status of two digits": (b"Status: 40\n\nok", 'a status from 200 to 599 expected, got \\"40'),
    "status of four digits": (b"Status: 2000\n\nok", "a status from 200 to 599"),
    "status that is none": (b"Status: OK\n\nok", "a status from 200 to 599"),
    "status of an interim answer": (b"Status: 103\n\nok", "a status from 200 to 599"),
    "status beyond": (b"Status: 600\n\nok", "a status from 200 to 599"),
    "length that is none": (b"Content-Length: 2x\n\nok", "a number of bytes in Content-Length"),
    "own framing": (b"Transfer-Encoding: chunked\n\n2\r\nok\r\n0\r\n\r\n", "no Transfer-Encoding"),
    "no end": (b"X-A: 1\n", 'an empty line after the header, before the program ends, expected, got \\"X-A'),
    "no end of the line": (b"X-A: 1", "an empty line after the header"),
    "nothing": (b"", NOTHING),
    "1xx and no more": (b"HTTP/1.1 100 Continue\n\n", NOTHING),
    "a line without end": (b"X: " + b"a" * 20_000, "a header line of less than 16 KiB"),
    "a large block": (b"".join(b"X-%d: %b\n" % (n, b"a" * 4000) for n in range(24)), "a header block that fits"),
}


@pytest.mark.parametrize(("said", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_header_block_is_a_bad_gateway_and_its_publisher_is_told(
    edge: Server, said: bytes, told: str
) -> None:
    place = edge.log.stat().st_size
    status, head, body = ask(edge, said)
    assert (status, body) == (502, b"")
    assert not [line for line in head.split(b"\r\n") if line.lower().startswith((b"x-a", b"x-b", b"x-evil"))]
    eventually(lambda: f"cgi: {told}" in edge.log.read_text()[place:], told)
    asked = rf"    for [A-Z]+ /\S* \({re.search(rb'X-Request-Id: (.*)', head)[1].decode().strip()}\)"  # type: ignore[index]
    eventually(lambda: re.search(asked, edge.log.read_text()[place:]) is not None, "which request it was")


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("exit=3", ["exit code 3", "cgi: a header such as"]),
        ("abort", ["ended by signal 6", "cgi: a header such as"]),
    ],
)
def test_a_program_that_ends_early_is_a_bad_gateway_and_its_publisher_is_told(
    edge: Server, query: str, lines: list[str]
) -> None:
    place = edge.log.stat().st_size
    assert ask(edge, b"", query=query)[0] == 502
    for line in lines:
        eventually(lambda line=line: line in edge.log.read_text()[place:], line)  # type: ignore[misc]


def test_a_program_that_does_not_read_its_body_answers_all_the_same(edge: Server) -> None:
    got = raw(
        edge,
        f"POST /?unread HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n".encode(),
        until=b"no",
    )
    assert got.startswith(b"HTTP/1.1 403 ")


def test_a_path_is_the_programs_as_it_came(edge: Server) -> None:
    for path in ("/a//b/../c;d=e", "/%C3%BC", "/a%3Fb", "/" + "a" * 4000):
        got = variables(edge, f"GET {path}?env HTTP/1.1", f"Host: {HOST}", "Connection: close")
        assert got["REQUEST_URI"] == f"{path}?env"
