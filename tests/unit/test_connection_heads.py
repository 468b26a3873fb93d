"""What a client connection takes for a request, however it comes, and what it refuses: nothing may confuse it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.front import heads
from edge.front.heads import HEADERS_MAX, LINE_MAX
from edge.model.flow import ClientError
from tests.support.connections import Wire, get, post, run


def test_a_head_is_what_was_sent() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/a%20b?c=%C3%BC", "X-A: 1", "x-a:  2 ", "CDN-Loop: one", "CDN-Loop: two"))
        (request,) = wire.taken
        assert (request.method, request.target, request.version) == ("GET", "/a%20b?c=%C3%BC", (1, 1))
        assert (request.host, request.loops, request.remote) == ("a.test", "one, two", "192.0.2.1")
        assert (request.complete, request.has_body, request.keep_alive) == (True, False, True)
        assert request.headers[1:3] == [(b"X-A", b"1"), (b"x-a", b"2")]
        assert request.header(b"x-a") == "1"

    run(scenario)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_pieces_of_any_size_are_the_same_requests(size: int) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        data = get("/1") + post("Content-Length: 3") + b"abc" + get("/2", "Connection: close")
        for start in range(0, len(data), size):
            wire.feed(data[start : start + size])
        assert [request.target for request in wire.taken] == ["/1", "/p", "/2"]
        assert wire.transport.written == b"/1;/p;/2;"
        assert wire.transport.closed

    run(scenario)


REFUSED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get("/", "Host: b.test"),
    "the same host twice": get("/", "Host: a.test"),
    "host that is not ASCII": b"GET / HTTP/1.1\r\nHost: \xc3\xbc.test\r\n\r\n",
    "length twice": post("Content-Length: 3", "Content-Length: 3"),
    "length twice, different": post("Content-Length: 3", "Content-Length: 4"),
    "length with a plus": post("Content-Length: +3"),
    "length with a space inside": post("Content-Length: 3 3"),
    "length beyond 64 bits": post("Content-Length: 99999999999999999999"),
    "length and chunks": post("Content-Length: 3", "Transfer-Encoding: chunked"),
    "chunks and length": post("Transfer-Encoding: chunked", "Content-Length: 3"),
    "chunked is not the last coding": post("Transfer-Encoding: chunked, gzip"),
    "chunked twice": post("Transfer-Encoding: chunked, chunked"),
    "chunked in two fields": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked, and another coding in a second field": post("Transfer-Encoding: chunked", "Transfer-Encoding: gzip"),
    "no coding": post("Transfer-Encoding:"),
    "an empty coding": post("Transfer-Encoding: , chunked"),
    "a coding that is no token": post("Transfer-Encoding: \x0bchunked"),
    "chunked with a parameter": post("Transfer-Encoding: chunked;q=1"),
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "space before the colon": get("/", "X-A : 1"),
    "folded line": get("/", "X-A: 1", " 2"),
    "name with a control character": get("/", "X\x01A: 1"),
    "value with NUL": get("/", "X-A: \0"),
    "bare carriage return in a value": get("/", "X-A: a\rb: c"),
    "tab in the target": get("/\t"),
    "target that is not UTF-8": b"GET /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "version that is none": b"GET / HTTP/x\r\n\r\n",
    "name of another protocol": b"GET / RTSP/1.0\r\n\r\n",
    "fragment in the target": get("/a#b"),
    "asterisk and another method": get("*"),
    "space before the first field": b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a.test\n\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
OTHERWISE_REFUSED = {
    "a long target": (414, get("/" + "a" * LINE_MAX)),
    "a long field": (431, get("/", "X: " + "a" * LINE_MAX)),
    "many fields": (431, get("/", *(f"X-{number}: 1" for number in range(HEADERS_MAX + 1)))),
    "a large head": (431, get("/", *(f"X-{number}: {'a' * 6000}" for number in range(3)))),
    "unknown method": (501, b"BREW / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "method in small letters": (501, b"get / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "method of another protocol": (501, b"PLAY / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "method that begins like one": (501, b"GETT / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2 in words of HTTP/1": (505, get(version="2.0")),
    "version of another kind": (505, get(version="3.0")),
}


UNKNOWN_CODINGS = ("chunkedd", "identity", "gzip", "gzip, chunked", "GZip,\tChunked", "x-a, x-b")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        *(pytest.param(data, 400, id=name) for name, data in REFUSED.items()),
        *(pytest.param(data, status, id=name) for name, (status, data) in OTHERWISE_REFUSED.items()),
        *(pytest.param(post(f"Transfer-Encoding: {text}"), 501, id=text) for text in UNKNOWN_CODINGS),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_after_it_is_read(data: bytes, status: int) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        wire.feed(get("/first") + data + get("/smuggled"))
        first, broken = wire.taken
        assert first.target == "/first"
        assert isinstance(broken.error, ClientError)
        assert broken.error.refusal.status == status
        assert wire.transport.closed
        wire.feed(get("/late"))
        assert len(wire.taken) == 2

    run(scenario)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /p HTTP/1.0\r\n\r\n",
        b"GET /p HTTP/1.1\r\nHost:\r\n\r\n",
        get("/p", "TE: gzip, trailers", "Connection: TE, keep-alive"),
        post("Transfer-Encoding:  Chunked ") + b"0\r\n\r\n",
    ],
    ids=["no host in HTTP/1.0", "an empty host", "codings that an answer may have", "chunked in capitals"],
)
def test_what_looks_odd_and_is_a_request(data: bytes) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        wire.feed(data)
        assert [(request.target, request.error) for request in wire.taken] == [("/p", None)]

    run(scenario)


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x")
CHUNKED = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
BODIES = {
    "no body": (get("/up", *OFFER), b""),
    "a length of 0": (get("/up", *OFFER, "Content-Length: 0"), b""),
    "a length": (get("/up", *OFFER, "Content-Length: 5") + b"abcde", b"abcde"),
    "chunks": (get("/up", *OFFER, "Transfer-Encoding: chunked") + CHUNKED, b"abcde"),
    "no chunks": (get("/up", *OFFER, "Transfer-Encoding: chunked") + b"0\r\n\r\n", b""),
    "a body like a request": (get("/up", *OFFER, f"Content-Length: {len(get('/in'))}") + get("/in"), get("/in")),
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
@pytest.mark.parametrize(("data", "body"), BODIES.values(), ids=BODIES.keys())
def test_a_request_that_offers_an_upgrade_is_whole_and_so_is_the_next(
    data: bytes, body: bytes, method: bytes, size: int
) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=False)
        sent = (method + data[3:]) * 2 + get("/next")
        for start in range(0, len(sent), size):
            wire.feed(sent[start : start + size])
        for place in range(2):
            request = wire.taken[place]
            assert (request.method, request.target, request.upgrade) == (method.decode(), "/up", b"h2c")
            assert request.complete
            assert request.body() == body
            wire.clerk.answer(request)
        assert (wire.taken[2].target, wire.taken[2].upgrade, wire.taken[2].complete) == ("/next", b"", True)
        assert not wire.transport.closed

    run(scenario)


def test_what_follows_an_offer_is_judged_like_all_else() -> None:
    async def scenario() -> None:
        for bad in (b"zz\r\n", b"5\r\nabcdeX\r\n"):
            wire = Wire()
            wire.feed(post(*OFFER, "Transfer-Encoding: chunked") + bad)
            (request,) = wire.taken
            assert isinstance(request.error, ClientError)
            assert not request.keep_alive
        for refused in REFUSED.values():
            wire = Wire(at_once=True)
            wire.feed(post(*OFFER, "Content-Length: 2") + b"ab" + refused + get("/smuggled"))
            assert [request.error is None for request in wire.taken] == [True, False]
            assert wire.transport.closed

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "version"), [(("Upgrade: h2c",), "1.1"), (("Connection: upgrade", "Upgrade: h2c"), "1.0")]
)
def test_what_is_no_offer(fields: tuple[str, ...], version: str) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/p", *fields, version=version))
        assert [request.upgrade for request in wire.taken] == [b""]

    run(scenario)


def test_an_offer_on_a_connection_that_ends_is_answered_and_ends_it() -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        wire.feed(post("Connection: upgrade, close", "Upgrade: websocket", "Content-Length: 2") + b"ab" + get("/no"))
        assert [(request.target, request.keep_alive) for request in wire.taken] == [("/p", False)]
        assert wire.transport.closed

    run(scenario)


def test_a_tunnel_is_refused_and_nothing_in_it_is_read() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n" + get("/in-the-tunnel"))
        (request,) = wire.taken
        assert isinstance(request.objection, ClientError)
        assert request.objection.refusal.status == 405
        wire.clerk.answer(request)
        assert wire.transport.closed

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "version", "waits", "status"),
    [
        (("Expect: 100-continue",), "1.1", True, 0),
        (("Expect: 100-CONTINUE , ",), "1.1", True, 0),
        (("Expect: 100-continue", "expect: 100-continue"), "1.1", True, 0),
        (("Expect:",), "1.1", False, 0),
        (("Expect: 100-continue",), "1.0", False, 0),
        (("Expect: something",), "1.0", False, 0),
        (("Expect: something",), "1.1", False, 417),
        (("Expect: 100-continue, x=y",), "1.1", True, 417),
        (("Expect: x", "Expect: 100-continue"), "1.1", True, 417),
    ],
)
def test_expectations(fields: tuple[str, ...], version: str, waits: bool, status: int) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/p", *fields, "Content-Length: 1", version=version))
        (request,) = wire.taken
        assert request.expects_continue is waits
        assert (request.objection.refusal.status if request.objection else 0) == status

    run(scenario)


@pytest.mark.parametrize("bad", ["X : 1", "Host: b.test", "X: \x01", "X: " + "a" * LINE_MAX, "Transfer-Encoding: x"])
def test_a_refused_head_of_HEAD_is_known_to_be_one(bad: str) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(get("/", bad).replace(b"GET", b"HEAD"))
        assert [(request.method, request.error is None) for request in wire.taken] == [("HEAD", False)]

    run(scenario)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_what_is_no_request_is_refused_for_one_of_three_reasons(start: bytes) -> None:
    assert heads.unparsed(start).refusal.status in (400, 501, 505)


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b'3;a=b;c="d;"\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"0003\r\nabc\r\n00;x\r\n\r\n", b"abc"),
        (b"A\r\nabcdefghij\r\na\r\nabcdefghij\r\n0\r\n\r\n", b"abcdefghij" * 2),
        (b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n", None),
        (b"10000000000000003\r\nabc\r\n0\r\n\r\n", None),
        (b"-3\r\nabc\r\n0\r\n\r\n", None),
        (b"0x3\r\nabc\r\n0\r\n\r\n", None),
        (b"3\r\nabcd\r\n0\r\n\r\n", None),
        (b"3\nabc\n0\n\n", None),
        (b" 3\r\nabc\r\n0\r\n\r\n", None),
    ],
)
def test_chunks_are_what_they_say_or_the_body_is_broken(chunks: bytes, body: bytes | None) -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(post("Transfer-Encoding: chunked") + chunks + get("/next"))
        request = wire.taken[0]
        if body is None:
            assert request.error is not None
            assert request.error.refusal.status == 400
            assert not request.keep_alive
        else:
            assert (request.complete, request.body()) == (True, body)
        wire.clerk.answer(request)
        assert [taken.target for taken in wire.taken] == (["/p"] if body is None else ["/p", "/next"])

    run(scenario)


@pytest.mark.parametrize("size", [1, 60, 100, 130, 1000])
def test_requests_behind_chunks_are_the_same_wherever_pieces_end(size: int) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        data = post("Transfer-Encoding: chunked") + CHUNKED + get("/2", "X-A: 1") + get("/3") + get("/4")
        for start in range(0, len(data), size):
            wire.feed(data[start : start + size])
        assert [(request.target, request.error) for request in wire.taken] == [
            (target, None) for target in ("/p", "/2", "/3", "/4")
        ]

    run(scenario)


def test_trailers_do_not_change_a_head_that_was_judged() -> None:
    async def scenario() -> None:
        wire = Wire()
        wire.feed(post("Transfer-Encoding: chunked"))
        (request,) = wire.taken
        before = list(request.headers)
        wire.feed(b"3\r\nabc\r\n0\r\nHost: evil.test\r\nX-Role: admin\r\n\r\n")
        assert await request.read() == b"abc"
        assert await request.read() == b""
        assert (request.headers, request.host, request.content_length) == (before, "a.test", None)

    run(scenario)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([get(), post("Content-Length: 2"), b"ab", *REFUSED.values()]))
    )
)
def test_no_bytes_raise_or_are_taken_twice(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        wire = Wire(at_once=True)
        for piece in pieces:
            wire.feed(piece)
        assert len({id(request) for request in wire.taken}) == len(wire.taken)
        assert sum(request.error is not None for request in wire.taken) <= 1
        assert all(request.error is None for request in wire.taken[:-1])

    run(scenario)
