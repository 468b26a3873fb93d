"""Kept answers as bytes; and what caching reads of a guest's head."""

import pytest

from edge.cache.asked import Asked
from edge.cache.purges import Purges
from edge.cache.responses import Entry
from edge.cache.storing import Kept
from edge.front.kept_answers import freshened, is_other, kept_fields, said_fields, served

KEPT = Kept(3, 60, 0, 0, False, (), (), '"a"', "", frozenset({b"x-own"}))
LINES = b'Content-Type: text/plain\r\nETag: "a"\r\nCache-Control: max-age=60\r\n'
SAID = ((b"cache-control", b"max-age=60"), (b"cache-tag", b"t"), (b"age", b"3"), (b"date", b"now"), (b"etag", b'"a"'))


def entry(status: int = 200, body: bytes = b"0123456789") -> Entry:
    return Entry(asked(), "t", 0, KEPT, status, b"Date: then\r\n", LINES, body, 100.0, "h.test/", Purges(), SAID)


def asked(*lines: str, method: str = "GET") -> Asked:
    headers = [(name.encode(), value.encode()) for name, _, value in (line.partition(": ") for line in lines)]
    return Asked(method, headers, "s", "d", "h.test", "/")


@pytest.mark.parametrize(
    ("lines", "method", "start", "length", "body"),
    [
        ([], "GET", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 10\r\n", b"0123456789"),
        ([], "HEAD", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 10\r\n", b""),
        (['If-None-Match: "a"'], "GET", b"HTTP/1.1 304 Not Modified\r\n", b"", b""),
        (['If-None-Match: "a"', "Range: bytes=0-1"], "GET", b"HTTP/1.1 304 Not Modified\r\n", b"", b""),
        (
            ["Range: bytes=0-1"],
            "GET",
            b"HTTP/1.1 206 Partial Content\r\n",
            b"Content-Range: bytes 0-1/10\r\nContent-Length: 2\r\n",
            b"01",
        ),
        (["Range: bytes=0-1"], "HEAD", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 10\r\n", b""),
        (
            ["Range: bytes=10-"],
            "GET",
            b"HTTP/1.1 416 Requested Range Not Satisfiable\r\n",
            b"Content-Range: bytes */10\r\nContent-Length: 0\r\n",
            b"",
        ),
    ],
)
def test_a_kept_answer_is_framed_by_what_is_asked(
    lines: list[str], method: str, start: bytes, length: bytes, body: bytes
) -> None:
    code, head, sent = served(asked(*lines, method=method), entry(), 107.9)
    assert start.split()[1] == b"%d" % code
    assert sent == body
    assert head.startswith(start + b"Date: then\r\n")
    assert head.endswith(length + b"Age: 10\r\n")
    assert head.count(b"Content-Length") == length.count(b"Content-Length")
    assert (b"Content-Type" in head) == (b" 304 " not in start and b" 416 " not in start)


def test_conditions_are_for_what_was_found() -> None:
    _, head, body = served(asked('If-None-Match: "a"', "Range: bytes=0-1"), entry(status=404), 100.0)
    assert (head[:12], body) == (b"HTTP/1.1 404", b"0123456789")


def test_what_connection_lists_says_nothing_to_caches() -> None:
    block = b"Status\x00200\0Cache-Control\0max-age=60\0Connection\0close, Expires\0Expires\0never\0X-A\0b\0\0"
    assert said_fields(block) == ((b"cache-control", b"max-age=60"),)


def test_a_304_replaces_what_it_names_and_leaves_the_rest() -> None:
    said = ((b"cache-control", b"max-age=9"), (b"etag", b'"a"'))
    new = freshened(entry(), said, b'cache-control: max-age=9\r\netag: "a"\r\nX-New: 1\r\n')
    assert new.fields == b'Content-Type: text/plain\r\ncache-control: max-age=9\r\netag: "a"\r\nX-New: 1\r\n'
    assert dict(new.said) == {b"cache-tag": b"t", b"cache-control": b"max-age=9", b"etag": b'"a"'}


def test_a_304_about_something_else_is_known_by_its_tag() -> None:
    assert not is_other(entry(), ())
    assert not is_other(entry(), ((b"etag", b'W/"a"'),))
    assert is_other(entry(), ((b"etag", b'"b"'),))


def test_fields_that_are_not_to_be_kept_are_not() -> None:
    assert kept_fields(b"X-Own: 1\r\nx-OWN: 2\r\nX-Other: 3\r\n", KEPT) == b"X-Other: 3\r\n"
