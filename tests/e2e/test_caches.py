"""The Cache API of workers, and purges by guests: against a real edge, whose store it is."""

import base64
import gzip
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site
from tests.support.edges import metrics
from tests.support.guests import PROGRAMS

WORKER = Path(__file__).parent / "workers" / "caches.js"
HOST, OTHER = "caches.test", "caches-other.test"
FRESH = {"cache-control": "max-age=60"}
MIB = 1 << 20

_urls = itertools.count(1)


@pytest.fixture(scope="module")
def caching(site: Site) -> Site:
    """The same worker as two services."""
    image = site.build(WORKER, "--cpu-ms", "5000", name="caches")
    site.publish(image, "caches", HOST)
    site.publish(image, "caches-other", OTHER)
    return site


@pytest.fixture
def client(caching: Site) -> Iterator[Client]:
    with Client(caching.edges[0].url) as client:
        yield client


@pytest.fixture
def url() -> str:
    """One that nobody has used."""
    return f"https://kept.test/page-{next(_urls)}"


def said(client: Client, step: str, host: str = HOST, **about: Any) -> Any:
    answer = client.request("POST", "/do", host=host, body=json.dumps({"do": step, **about}).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def do(client: Client, step: str, host: str = HOST, **about: Any) -> Any:
    found = said(client, step, host, **about)
    assert "error" not in found, found
    return found.get("is")


@pytest.mark.timeout(900)  # the first build of a worker compiles its runtime
def test_what_was_put_is_found_with_its_fields(client: Client, url: str) -> None:
    fields = {**FRESH, "content-type": "text/x", "etag": '"a"', "cache-tag": "t", "x-own": "1"}
    assert do(client, "match", url=url) is None
    assert do(client, "put", url=url, status=203, fields=fields, body="kept") is True
    status, body, headers, of = do(client, "match", url=f"{url}#part")
    assert (status, body, of) == (203, "kept", f"{url}#part")
    assert headers.items() >= {"x-own": "1", "etag": '"a"', "content-type": "text/x", "cf-cache-status": "HIT"}.items()
    assert headers["age"] == "0"
    assert headers["content-length"] == "4"
    assert "cache-tag" not in headers
    assert "nunatak-cache" not in headers
    assert do(client, "match", url=url, cache="named") is None, "each name has its own"
    assert do(client, "match", url=url, host=OTHER) is None, "and each service"
    assert do(client, "delete", url=url, host=OTHER) is False
    assert do(client, "delete", url=url) is True
    assert do(client, "delete", url=url) is False
    assert do(client, "match", url=url) is None


def test_the_shape_of_it(client: Client) -> None:
    names = ["match", "put", "delete"]
    shape = ["[object CacheStorage]", "[object Cache]", True, True, "function", "function", names, True]
    assert do(client, "shape") == shape


def test_conditions_and_ranges(client: Client, url: str) -> None:
    modified = "Mon, 01 Jan 2024 00:00:00 GMT"
    fields = {**FRESH, "etag": '"a"', "last-modified": modified, "content-type": "text/x"}
    do(client, "put", url=url, fields=fields, body="0123456789")

    def asked(**fields: str) -> Any:
        return do(client, "match", url=url, asked={name.replace("_", "-"): value for name, value in fields.items()})

    status, body, headers, _ = asked(if_none_match='W/"a"')
    assert (status, body, "content-type" in headers) == (304, "", False)
    assert asked(if_modified_since=modified)[:2] == [304, ""]
    assert asked(if_none_match='"b"')[:2] == [200, "0123456789"]
    status, body, headers, _ = asked(range="bytes=2-4")
    assert (status, body, headers["content-range"]) == (206, "234", "bytes 2-4/10")
    assert asked(range="bytes=-3", if_range='"b"')[:2] == [200, "0123456789"]
    status, body, headers, _ = asked(range="bytes=10-")
    assert (status, body, headers["content-range"]) == (416, "", "bytes */10")


@pytest.mark.parametrize(
    ("about", "error"),
    [
        ({"method": "POST"}, "TypeError: Cannot cache response to non-GET request."),
        ({"status": 206}, "TypeError: Cannot cache response to a range request (206 Partial Content)."),
        ({"fields": {"vary": "x, *"}}, "TypeError: Cannot cache response with 'Vary: *' header."),
        ({"broken": True}, "Error: it broke"),
    ],
)
def test_what_is_refused(client: Client, url: str, about: dict[str, Any], error: str) -> None:
    assert said(client, "put", url=url, **{"fields": FRESH, **about}) == {"error": error}
    assert do(client, "match", url=url) is None


def test_a_url_has_to_be_one(client: Client) -> None:
    assert said(client, "match", url="ftp://kept.test/")["error"].startswith("TypeError: Invalid URL")
    assert said(client, "put", url="/page", fields=FRESH)["error"].startswith("TypeError")


@pytest.mark.parametrize(
    "about",
    [
        {"fields": {}},
        {"fields": {"cache-control": "no-store"}},
        {"fields": {"cache-control": "private, max-age=60"}},
        {"fields": {"cache-control": "max-age=0"}},
        {"fields": {"cache-control": "no-cache", "etag": '"a"'}},
        {"fields": {**FRESH, "set-cookie": "a=b"}},
        {"fields": {**FRESH, "x-large": "x" * 13_000}},
        {"fields": FRESH, "status": 304, "body": None},
    ],
)
def test_what_may_not_be_kept_is_not_and_nobody_is_told(client: Client, url: str, about: dict[str, Any]) -> None:
    said_so = do(client, "put", url=url, **{"body": "page", **about})
    assert said_so is (about.get("status") != 304)
    assert do(client, "match", url=url) is None


def test_a_cookie_that_is_left_out(client: Client, url: str) -> None:
    fields = {"cache-control": "max-age=60, private=set-cookie", "set-cookie": "a=b"}
    do(client, "put", url=url, fields=fields, body="page")
    found = do(client, "match", url=url)
    assert found[1] == "page"
    assert "set-cookie" not in found[2]


def test_variants(client: Client, url: str) -> None:
    fields = {**FRESH, "vary": "Colour, Accept-Encoding"}
    red, blue = ({"colour": colour, "accept-encoding": "gzip, br"} for colour in ("red", "blue"))
    for asked, body in ((red, "r"), (blue, "b")):
        do(client, "put", url=url, asked=asked, fields=fields, body=body)
    found = [do(client, "match", url=url, asked=asked)[1] for asked in (red, blue)]
    assert found == ["r", "b"]
    assert do(client, "match", url=url) is None
    assert do(client, "delete", url=url) is True, "all variants"
    assert do(client, "match", url=url, asked=red) is None


def test_the_method_counts_unless_it_is_ignored(client: Client, url: str) -> None:
    do(client, "put", url=url, fields=FRESH, body="page")
    assert do(client, "match", url=url, method="HEAD") is None
    assert do(client, "delete", url=url, method="POST") is False
    assert do(client, "match", url=url, method="POST", options={"ignoreMethod": True})[1] == "page"
    assert do(client, "delete", url=url, method="POST", options={"ignoreMethod": True}) is True


def test_it_is_stale_when_it_says_so(client: Client, url: str) -> None:
    do(client, "put", url=url, fields={"cache-control": "max-age=1, stale-while-revalidate=60"}, body="page")
    assert do(client, "match", url=url)[1] == "page"
    time.sleep(1.1)
    assert do(client, "match", url=url) is None


def test_large_bodies_stream_both_ways_up_to_what_is_kept(client: Client, url: str) -> None:
    assert do(client, "put", url=url, fields=FRESH, large=50_000, count=60) is True
    assert do(client, "match", url=url, size=True)[1] == str(3_000_000)
    assert do(client, "match", url=url, size=True, asked={"range": "bytes=1000000-"})[1] == str(2_000_000)
    assert do(client, "put", url=f"{url}-more", fields=FRESH, large=MIB, count=6) is True, "4 MiB are kept"
    assert do(client, "match", url=f"{url}-more") is None


def test_a_machine_that_was_parked_finds_it(caching: Site, client: Client, url: str) -> None:
    do(client, "put", url=url, fields=FRESH, body="page")
    caching.park("caches")
    assert do(client, "match", url=url)[1] == "page"


def test_a_found_answer_is_an_answer(caching: Site, client: Client) -> None:
    url = f"http://{HOST}/direct"
    do(client, "put", url=url, fields={**FRESH, "content-encoding": "gzip"}, body="plain after all")
    answer = client.get("/direct", host=HOST)
    assert (answer.status, answer.body) == (200, b"plain after all")
    assert "content-encoding" not in answer.headers, "the body has not the coding that was said"


# Purges.


def page(client: Client, path: str, host: str = HOST) -> Answer:
    return client.get(path, host=host)


def hit(client: Client, path: str, host: str = HOST) -> bool:
    """Whether an answer was kept; it is now."""
    return "; hit" in page(client, path, host).headers["cache-status"]


@pytest.mark.parametrize("module", [False, True])
def test_a_guest_purges_by_tag_and_path(client: Client, url: str, module: bool) -> None:
    paths = ("/red/one", "/red/two", "/blue/one")
    for path in paths:
        hit(client, path)
        hit(client, path, OTHER)
    do(client, "put", url=url, fields={**FRESH, "cache-tag": "one"}, body="page")
    done = {"success": True, "errors": []}

    def purge(**given: Any) -> list[bool]:
        assert do(client, "purge", given=given, module=module) == done
        return [hit(client, path) for path in paths]

    assert purge(tags=["TWO"]) == [True, False, True]
    assert do(client, "match", url=url)[1] == "page"
    assert purge(tags=["one", "none"]) == [False, True, False]
    assert do(client, "match", url=url) is None, "what guests keep has tags as well"
    assert purge(pathPrefixes=["/red/"]) == [False, False, True]
    assert purge(pathPrefixes=["/blue/"], tags=["two"]) == [True, False, False]
    do(client, "put", url=url, fields=FRESH, body="page")
    assert purge(purgeEverything=True) == [False, False, False]
    assert do(client, "match", url=url) is None
    assert [hit(client, path, OTHER) for path in paths] == [True, True, True], "of another service nothing is gone"


@pytest.mark.parametrize(
    "given", [{}, {"tags": ["a b"]}, {"pathPrefixes": ["https://a.test/"]}, {"purgeEverything": False}]
)
def test_a_purge_of_nothing_says_why(client: Client, given: dict[str, Any]) -> None:
    found = do(client, "purge", given=given)
    assert found["success"] is False
    (error,) = found["errors"]
    assert error["code"] == 400
    assert "expected" in error["message"]


def test_operators_purge_what_guests_keep(caching: Site, client: Client, url: str) -> None:
    def purged(query: str) -> bool:
        do(client, "put", url=url, fields={**FRESH, "cache-tag": "mine"}, body="page")
        with caching.admin() as admin:
            assert admin.request("POST", f"/-/purge?{query}").status == 200
        return do(client, "match", url=url) is None

    assert purged("service=caches")
    assert purged("service=caches&tag=mine")
    assert purged("prefix=https://kept.test/")
    assert purged("all")
    assert not purged("service=caches-other")


def test_calls_are_counted(caching: Site, client: Client, url: str) -> None:
    def counted() -> dict[str, float]:
        return {
            name: value for name, value in metrics(caching.edges[0]).items() if name.startswith("cache_calls_total")
        }

    before = counted()
    do(client, "match", url=url)
    do(client, "put", url=url, fields=FRESH, body="page")
    do(client, "match", url=url)
    do(client, "delete", url=url)
    after = counted()
    rose = {name for name in after if after[name] == before.get(name, 0) + 1}
    assert rose == {f"cache_calls_total{{{result}}}" for result in ("miss", "stored", "hit", "deleted")}


@pytest.mark.parametrize("streams", [False, True])
def test_a_body_that_has_its_coding_is_kept_as_it_came(client: Client, url: str, streams: bool) -> None:
    page = gzip.compress(b"page", mtime=0)
    packed = base64.b64encode(page).decode()
    fields = {**FRESH, "content-encoding": "gzip"}
    do(client, "put", url=url, fields=fields, packed=packed, streams=streams)
    _, body, headers, _ = do(client, "match", url=url)
    assert (body, headers["content-encoding"], headers["content-length"]) == (
        "page",
        "gzip",
        str(len(gzip.compress(b"page"))),
    )


def test_a_program_in_c_keeps_and_purges(site: Site) -> None:
    site.publish(site.build(PROGRAMS / "keeps.c", name="keeps"), "keeps", "keeps.test")
    with Client(site.edges[0].url) as client:

        def told(method: str, path: str, body: bytes | None = None) -> str:
            return client.request(method, path, host="keeps.test", body=body).body.decode()

        assert told("GET", "/a") == "504 miss "
        assert told("PUT", "/a", b"from C") == "204 stored "
        assert told("GET", "/a") == "201 hit from C"
        assert told("GET", "/a%20b").startswith("400 refused a URL of at most")
        assert told("DELETE", "/a") == "200 purged "
        assert told("GET", "/a") == "504 miss "
