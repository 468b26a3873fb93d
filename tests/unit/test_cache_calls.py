"""What guests ask of their own cache, as it is read: places, fields, purges, and what is none of them."""

import json

import pytest

from edge.cache.calls import (
    ASKED,
    BLOCK_MAX,
    CACHE,
    SELECTORS_MAX,
    STATUS,
    URL_MAX,
    CallRefused,
    Owner,
    asked_of,
    block,
    given_of,
    headers_of,
    is_call,
    lines_of,
    named,
    place_of,
    purges_of,
    said_of,
    without_body,
)
from edge.cache.purges import Named, Purge, Purges
from edge.cache.storing import Answer, Kept, Wish, storing

OWNER = Owner("shop", "alice", "sha256:1")
URL = "https://shop.example:8443/a?b=c"


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        (f"{CACHE}/n/https://a.test/", True),
        (CACHE, True),
        (f"{CACHE}s/n", False),
        ("https://a.test/", False),
        (f"https://a.test/{CACHE}/", False),
        ("nunatak:cach", False),
    ],
)
def test_calls_are_told_from_requests_to_upstreams(url: str, is_one: bool) -> None:
    assert is_call(b"Method\0GET\0URL\0" + url.encode() + b"\0\0") is is_one


@pytest.mark.parametrize("text", [b"", b"Method", b"Method\0", b"Method\0GET\0", b"Method\0GET\0URL\0", b"\0" * 9])
def test_what_is_no_block_is_no_call(text: bytes) -> None:
    assert not is_call(text)


def test_a_place_has_a_name_and_a_url() -> None:
    assert place_of(f"{CACHE}/n%20a/{URL}") == ("n%20a", URL, "shop.example/a?b=c")
    assert place_of(f"{CACHE}//http://u:p@SHOP.example") == ("", "http://u:p@SHOP.example", "shop.example/")


@pytest.mark.parametrize(
    "url",
    [
        *(CACHE, f"{CACHE}/", f"{CACHE}/name", f"{CACHE}/a b/{URL}", f"{CACHE}/%2/{URL}", f"{CACHE}/{'n' * 600}/{URL}"),
        *(f"{CACHE}/n/{text}" for text in ("", "/a", "ftp://a.test/", "https:///a", "https://[/", "https://a b/")),
        *(f"{CACHE}/n/https://a.test/{text}" for text in ("#x", "a b", "é", "x" * URL_MAX)),
    ],
)
def test_what_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(CallRefused, match="expected"):
        place_of(url)


def test_owners_places_and_names_are_kept_apart() -> None:
    others = [
        (owner, place_of(f"{CACHE}/{name}/{url}"))
        for owner in (OWNER, OWNER._replace(tenant="mallory"), OWNER._replace(version="2"), Owner("s", "alice", "1"))
        for name in ("", "n", "n%2F")
        for url in (URL, URL.replace("https", "http"), f"{URL}&", URL.replace("shop.", "SHOP."))
    ]
    assert len({asked_of(owner, place, ()).key for owner, place in others}) == len(others)
    assert len({named(owner, place) for owner, place in others}) == len(others)


def test_fields_of_clients_do_not_choose_another_place() -> None:
    place = place_of(f"{CACHE}/n/{URL}")
    bent = asked_of(OWNER, place, [(b"X-Forwarded-Host", b"evil.test"), (b"X-Original-URL", b"/admin")])
    assert bent.key == asked_of(OWNER, place, ()).key


def test_an_answer_is_told_from_what_was_asked() -> None:
    given = given_of([(STATUS, "200"), (f"{ASKED}colour", "red"), ("X-Own", "1"), ("Age", "9"), ("ETag", '"a"')])
    assert given.status == 200
    assert (given.fields, given.asked) == ([(b"X-Own", b"1"), (b"ETag", b'"a"')], [(b"colour", b"red")])
    assert said_of(given) == ((b"etag", b'"a"'),)
    assert headers_of([(f"{ASKED}Accept-Encoding", "gzip"), ("Range", "x")]) == [
        (b"accept-encoding", b"gzip"),
        (b"range", b"x"),
    ]


@pytest.mark.parametrize("status", ["", "99", "100", "600", "2000", "20x"])
def test_an_answer_without_a_status_is_refused(status: str) -> None:
    with pytest.raises(CallRefused, match="a status from 200 to 599 expected"):
        given_of([(STATUS, status)])


def kept(fields: list[tuple[str, str]]) -> Kept:
    found = storing(Answer(200, said_of(given_of([(STATUS, "200"), *fields])), False, False, 0, Wish()))
    assert not isinstance(found, str)
    return found


def test_tags_are_not_given_back_and_fields_are_bounded() -> None:
    fields = [("Cache-Control", "max-age=9"), ("Cache-Tag", "a, b"), ("X-Own", "1")]
    assert kept(fields).tags == ("a", "b")
    given = given_of([(STATUS, "200"), *fields])
    assert lines_of(given, kept(fields)) == b"Cache-Control: max-age=9\r\nX-Own: 1\r\n"
    assert lines_of(given_of([(STATUS, "200"), *fields, ("X", "x" * BLOCK_MAX)]), kept(fields)) is None


def test_a_block_says_first_what_came_of_the_call() -> None:
    said = block(200, "hit", b"X-Own: 1\r\nX-Empty: \r\n", (b"Age", b"7"))
    assert said == b"Status\x00200\0Nunatak-Cache\0hit\0X-Own\x001\0X-Empty\0\0Age\x007\0\0"
    assert without_body(b"Content-Type: a\r\nETag: b\r\n") == b"ETag: b\r\n"


def test_purges_are_of_the_caller_s_service() -> None:
    said = json.dumps({"tags": ["A", "b"], "pathPrefixes": ["/a/"]}).encode()
    assert purges_of("shop", said) == [
        Purge("tag", "shop", "a"),
        Purge("tag", "shop", "b"),
        Purge("prefix", "shop", "/a/"),
    ]
    assert purges_of("shop", b'{"purgeEverything": true, "tags": ["a"]}') == [Purge("service", "shop")]


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"[]", b"{}", b"[" * 100_000, b'{"purgeEverything": false}', b'{"purgeEverything": 1}'),
        *(b'{"tags": "a"}', b'{"tags": [1]}', b'{"tags": ["a b"]}', b'{"pathPrefixes": ["https://a.test/"]}'),
        json.dumps({"tags": ["t"] * (SELECTORS_MAX + 1)}).encode(),
    ],
)
def test_what_purges_nothing_is_refused(said: bytes) -> None:
    with pytest.raises(CallRefused, match="expected"):
        purges_of("shop", said)


@pytest.mark.parametrize(
    ("prefix", "uri", "gone"),
    [
        ("/a/", "one.test/a/b", True),
        ("/a/", "[::1]/a/", True),
        ("/a/", "one.test/b/a/", False),
        ("/a/", "a/b", False),
        ("one.test/a", "one.test/a/b", True),
        ("/", "other.test/", True),
    ],
)
def test_a_prefix_with_a_slash_is_one_of_the_path_on_any_host(prefix: str, uri: str, gone: bool) -> None:
    purges = Purges()
    purges.add(Purge("prefix", "shop", prefix), 0.0)
    fate, _ = purges.scope("shop").fate(Named(uri, ()), 0)
    assert (fate == "gone") is gone
