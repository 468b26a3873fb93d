"""Kept answers as clients see them: hits, conditions, ranges, variants, waiting, staleness, purges. Real guests."""

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site
from tests.support.edges import eventually, metrics, raw

HOST = "says.test"
PROGRAM = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
CLIENTS = 8  # what one machine does at once

_pages = itertools.count(1)


@pytest.fixture(scope="module")
def says(site: Site) -> Site:
    """A service that answers as it is told to."""
    site.publish(site.build(PROGRAM, name="says"), "says", HOST)
    return site


@pytest.fixture
def client(says: Site) -> Iterator[Client]:
    with Client(says.edges[0].url) as client:
        yield client


@pytest.fixture
def page() -> str:
    """A path that nobody has asked for."""
    return f"/page-{next(_pages)}"


def get(client: Client, path: str, say: str = "", *, host: str = HOST, method: str = "GET", **fields: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in fields.items()} | ({"Say": say} if say else {})
    return client.request(method, path, host=host, headers=headers)


def run_of(answer: Answer) -> int:
    found = re.match(rb"run (\d+),", answer.body)
    assert found is not None, answer
    return int(found[1])


def did(answer: Answer) -> str:
    """What Cache-Status says without times."""
    return re.sub(r"; ttl=-?\d+", "; ttl", answer.headers["cache-status"])


def purge(says: Site, query: str) -> Answer:
    with says.admin() as admin:
        return admin.request("POST", f"/-/purge?{query}")


def test_a_hit_runs_no_guest(client: Client, page: str) -> None:
    first, second = (get(client, page, "Cache-Control: max-age=60|X-Own: 1") for _ in range(2))
    assert did(first) == "nunatak; fwd=uri-miss; stored; ttl; detail=" + first.tier
    assert did(second) == "nunatak; hit; ttl"
    assert (second.body, second.headers["date"], second.headers["x-own"]) == (first.body, first.headers["date"], "1")
    assert (second.headers["age"], "age" in first.headers) == ("0", False)
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    head = get(client, page, method="HEAD")
    assert (head.body, head.headers["content-length"], did(head)) == (b"", str(len(first.body)), "nunatak; hit; ttl")


def test_what_does_not_say_so_is_not_kept(client: Client, page: str) -> None:
    assert [did(get(client, page)) for _ in range(2)] == ["nunatak; fwd=uri-miss; detail=resident"] * 2
    assert did(get(client, page, "Cache-Control: private")) == 'nunatak; fwd=uri-miss; detail="resident, private"'
    assert did(get(client, page, method="POST")) == "nunatak; fwd=method; detail=resident"
    only = get(client, page, Cache_Control="only-if-cached")
    assert (only.status, only.error) == (504, "not_cached")


def test_conditions_and_ranges_are_answered_from_what_is_kept(client: Client, page: str) -> None:
    first = get(client, page, 'Cache-Control: max-age=60|ETag: "a"|Content-Type: text/plain|Cache-Tag: secret')
    assert "cache-tag" not in first.headers
    same = get(client, page, If_None_Match='"x", W/"a"')
    assert (same.status, same.body, same.headers["etag"], did(same)) == (304, b"", '"a"', "nunatak; hit; ttl")
    assert "content-type" not in same.headers
    part = get(client, page, Range="bytes=4-", If_Range='"a"')
    assert (part.status, part.body) == (206, first.body[4:])
    assert part.headers["content-range"] == f"bytes 4-{len(first.body) - 1}/{len(first.body)}"
    assert get(client, page, Range="bytes=900-").status == 416
    assert get(client, page, Range="bytes=4-", If_Range='"b"').body == first.body


def test_what_does_not_say_when_it_was_modified_is_as_old_as_its_date(client: Client, page: str) -> None:
    first = get(client, page, "Cache-Control: max-age=60")
    assert get(client, page, If_Modified_Since=first.headers["date"]).status == 304
    assert get(client, page, If_Modified_Since="Thu, 01 Jan 2026 00:00:00 GMT").body == first.body


def test_a_part_is_kept_for_who_asks_for_the_same(client: Client, page: str) -> None:
    say = "Cache-Control: max-age=60|Content-Range: bytes 0-4/900"
    first, again = (get(client, page, say, Code="206", Range="bytes=0-4") for _ in range(2))
    assert (again.status, again.body, did(again)) == (206, first.body, "nunatak; hit; ttl")
    assert again.headers["content-range"] == "bytes 0-4/900"
    assert run_of(get(client, page, say, Code="206", Range="bytes=5-9")) > run_of(first)
    assert did(get(client, page, say, Code="206", Range="bytes=0-4", If_Range="x")).endswith('resident, status"')
    whole = get(client, page, "Cache-Control: max-age=60")
    assert run_of(whole) > run_of(first)
    assert get(client, page, Range="bytes=0-4").body == whole.body[:5], "of the whole where that is kept"


def test_a_post_whose_place_is_its_own_answers_who_gets(client: Client, page: str) -> None:
    say = f"Cache-Control: max-age=60|Content-Location: {page}"
    posted = get(client, page, say, method="POST")
    assert did(posted) == "nunatak; fwd=method; stored; ttl; detail=" + posted.tier
    assert run_of(get(client, page)) == run_of(posted)
    newer = get(client, page, say, method="POST")
    assert run_of(get(client, page)) == run_of(newer) > run_of(posted)
    for other in (f"Cache-Control: max-age=60|Content-Location: {page}-other", f"Content-Location: {page}"):
        last = get(client, page, other, method="POST")
        assert run_of(get(client, page)) > run_of(last)


def test_of_two_who_change_a_page_at_once_neither_answer_is_kept_over_the_other(says: Site, page: str) -> None:
    say = f"Cache-Control: max-age=60|Content-Location: {page}"
    with ThreadPoolExecutor(1) as pool, Client(says.edges[0].url) as one, Client(says.edges[0].url) as other:
        slow = pool.submit(get, one, page, say, method="POST", Wait="500")
        time.sleep(0.2)
        quick = get(other, page, say, method="POST")
        assert run_of(get(other, page)) == run_of(quick)
        slow.result()
        assert run_of(get(other, page)) > run_of(quick), "the first began before the second"


def test_variants_and_other_hosts_are_kept_apart(client: Client, page: str) -> None:
    say = "Cache-Control: max-age=60|Vary: Colour"
    red, blue = get(client, page, say, Colour="red"), get(client, page, say, Colour="blue")
    assert did(blue).startswith("nunatak; fwd=vary-miss; stored")
    assert [run_of(get(client, page, Colour=colour)) for colour in ("red", "blue")] == [run_of(red), run_of(blue)]
    assert run_of(get(client, page, X_Forwarded_Host="evil.test", Colour="red")) == run_of(red), "no guest sees it"
    assert run_of(get(client, page, say, X_Original_URL="/admin", Colour="red")) > run_of(blue)
    assert run_of(get(client, page, say, host=HOST.upper(), Colour="red")) > run_of(blue)


def test_a_stale_answer_is_validated(client: Client, page: str) -> None:
    first = get(client, page, 'Cache-Control: no-cache|ETag: "v"|X-Old: 1')
    again = get(client, page, 'Cache-Control: max-age=60|ETag: "v"|X-New: 2')
    assert did(again) == "nunatak; fwd=stale; fwd-status=304; stored; ttl; detail=resident"
    assert (again.status, again.body) == (200, first.body)
    assert (again.headers["x-old"], again.headers["x-new"]) == ("1", "2")
    assert did(get(client, page)) == "nunatak; hit; ttl", "the 304 has made it fresh"


def test_a_304_about_something_else_is_asked_again(client: Client, page: str) -> None:
    get(client, page, 'Cache-Control: no-cache|ETag: "v"')
    other = get(client, page, 'ETag: W/"other"', Code="304")
    assert other.status == 304, "the guest says so to everybody: it is passed on in the end"
    assert did(get(client, page)).startswith("nunatak; fwd=uri-miss")


def test_stale_while_it_is_made_anew(client: Client, page: str, says: Site) -> None:
    say = "Cache-Control: max-age=1, stale-while-revalidate=60"
    first = get(client, page, say)
    time.sleep(1.2)
    assert run_of(get(client, page, say)) == run_of(first), "nobody waits"
    eventually(lambda: run_of(get(client, page, say)) > run_of(first), "the stale answer made anew")


def test_a_stale_answer_stands_in_for_a_guest_that_fails(client: Client, page: str) -> None:
    say = "Cache-Control: max-age=0, stale-if-error=60"
    first = get(client, page, say)
    failed = get(client, page, say, Code="503")
    assert (failed.status, failed.body) == (200, first.body)
    assert did(failed) == "nunatak; fwd=stale; fwd-status=503; ttl; detail=guest-error"
    crashed = get(client, page, say, Crash="now")
    assert (crashed.status, crashed.body) == (200, first.body)
    assert did(crashed).startswith("nunatak; fwd=stale; ttl; detail="), "no answer came"
    paused = get(client, page, say)
    assert did(paused).split("; ttl")[0] in ("nunatak; fwd=stale", "nunatak; fwd=stale; stored")
    eventually(lambda: get(client, f"{page}-other", say).status == 200, "the pause over")


def test_what_says_nothing_of_it_stands_in_for_a_while(client: Client, page: str) -> None:
    first = get(client, page, "Cache-Control: max-age=1")
    strict = get(client, f"{page}-strict", "Cache-Control: max-age=1, must-revalidate")
    time.sleep(1.2)
    assert get(client, page, Code="503").body == first.body
    failed = get(client, f"{page}-strict", Code="503")
    assert (failed.status, run_of(failed) > run_of(strict)) == (503, True)


def together(url: str, path: str, say: str, **fields: str) -> list[Answer]:
    """The same from many clients at the same moment."""
    barrier = threading.Barrier(CLIENTS)

    def ask(_: int) -> Answer:
        with Client(url) as client:
            barrier.wait()
            return get(client, path, say, **fields)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, range(CLIENTS)))


def test_one_run_answers_all_who_wait(says: Site, client: Client, page: str) -> None:
    before = run_of(get(client, "/"))
    answers = together(says.edges[0].url, page, "Cache-Control: max-age=60", Wait="300")
    assert {run_of(answer) for answer in answers} == {before + 1}
    assert sum("; collapsed" in did(answer) for answer in answers) == CLIENTS - 1


def test_who_waited_for_what_is_not_for_them_goes_on_all_at_once(says: Site, client: Client, page: str) -> None:
    answers = together(says.edges[0].url, page, "Cache-Control: no-store", Wait="300")
    assert len({run_of(answer) for answer in answers}) == CLIENTS
    most = max(int(answer.body.split()[4]) for answer in answers)
    assert most >= CLIENTS - 1, "after the first, all others together"


def test_large_answers_are_kept_as_they_pass(client: Client, page: str) -> None:
    say = "Cache-Control: max-age=60"
    first = get(client, page, say, Parts="5")
    assert len(first.body) > 500_000
    second = get(client, page)
    assert (second.body, did(second)) == (first.body, "nunatak; hit; ttl")
    assert get(client, page, Range="bytes=-100000").body == first.body[-100_000:]
    assert get(client, f"{page}-more", say, Parts="50").status == 200
    assert did(get(client, f"{page}-more", say)).startswith("nunatak; fwd=uri-miss"), "more than may be kept"


def test_who_leaves_takes_nobody_along(says: Site, client: Client, page: str) -> None:
    request = f"GET {page} HTTP/1.1\r\nHost: {HOST}\r\nSay: Cache-Control: max-age=60\r\nWait: 500\r\n\r\n"
    before = metrics(says.edges[0])["clients_gone_total"]
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(TimeoutError):
            _leave_after(says, request.encode(), 0.1)
        follower = pool.submit(get, client, page, "Cache-Control: max-age=60", Wait="10")
        assert follower.result().status == 200
    eventually(lambda: metrics(says.edges[0])["clients_gone_total"] > before, "the first client gone")


def _leave_after(says: Site, request: bytes, seconds: float) -> None:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(says.edges[0].url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(request)
        connection.recv(1)


PURGES: list[tuple[str, Callable[[str], str]]] = [
    ("uri", lambda page: f"uri=http://{HOST.upper()}:8080{page}"),
    ("prefix", lambda page: f"prefix=https://{HOST}{page[:-1]}"),
    ("tag", lambda page: f"service=says&tag=T{page[1:]}"),
    ("tag of all", lambda page: f"tag=t{page[1:]}"),
    ("service", lambda _: "service=says"),
    ("all", lambda _: "all"),
]


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("named", "query"), PURGES, ids=[named for named, _ in PURGES])
def test_a_purge_is_done_when_it_returns(
    says: Site, client: Client, page: str, named: str, query: Callable[[str], str], soft: bool
) -> None:
    say = f"Cache-Control: max-age=60, stale-if-error=60|Cache-Tag: x, t{page[1:]}|Vary: Colour"
    firsts = [get(client, page, say, Colour=colour) for colour in ("red", "blue")]
    done = purge(says, query(page) + ("&soft" if soft else ""))
    assert done.status == 200, done.body
    numbers = [entry["number"] for entry in json.loads(done.body)["purges"]]
    assert numbers == sorted(numbers)
    if soft:
        assert get(client, page, say, Colour="red", Code="500").body == firsts[0].body, "it may stand in"
    assert run_of(get(client, page, say, Colour="red")) > run_of(firsts[1])
    assert run_of(get(client, page, say, Colour="blue")) > run_of(firsts[1])


def test_a_purge_of_something_else_changes_nothing(says: Site, client: Client, page: str) -> None:
    say = f"Cache-Control: max-age=60|Cache-Tag: t{page[1:]}"
    first = get(client, page, say)
    for query in (
        f"uri={HOST}{page}x",
        f"service=other&tag=t{page[1:]}",
        "service=other",
        "tag=y",
        f"prefix=o.test{page}",
    ):
        assert purge(says, query).status == 200
    assert run_of(get(client, page, say)) == run_of(first)


def test_what_was_under_way_when_the_purge_came_is_not_kept(says: Site, client: Client, page: str) -> None:
    say = "Cache-Control: max-age=60"
    with ThreadPoolExecutor(1) as pool, Client(says.edges[0].url) as other:
        slow = pool.submit(get, other, page, say, Wait="500")
        time.sleep(0.2)
        assert purge(says, f"uri={HOST}{page}").status == 200
        after = get(client, page, say)
        assert run_of(after) > run_of(slow.result()), "it did not wait for what began before"
    assert run_of(get(client, page, say)) == run_of(after)


def test_who_changes_a_page_makes_what_is_kept_of_it_void(client: Client, page: str) -> None:
    say = 'Cache-Control: max-age=60|Cache-Groups: "list"'
    first, listed = get(client, page, say), get(client, f"{page}-list", say)
    assert get(client, page, method="POST", Code="500").status == 500
    assert run_of(get(client, page, say)) == run_of(first), "it failed, and so changed nothing"
    assert get(client, page, method="PUT").status == 200
    assert run_of(get(client, page, say)) > run_of(first)
    assert run_of(get(client, f"{page}-list", say)) == run_of(listed)
    get(client, page, 'Cache-Group-Invalidation: "list"', method="DELETE")
    assert run_of(get(client, f"{page}-list", say)) > run_of(listed)


def test_what_was_under_way_when_a_page_was_changed_is_not_kept(says: Site, client: Client, page: str) -> None:
    say = "Cache-Control: max-age=60"
    with ThreadPoolExecutor(1) as pool, Client(says.edges[0].url) as other:
        slow = pool.submit(get, other, page, say, Wait="500")
        time.sleep(0.2)
        assert get(client, page, method="POST").status == 200
        assert run_of(get(client, page, say)) > run_of(slow.result())


def test_purges_by_the_command_and_as_events(says: Site, client: Client, page: str) -> None:
    say = "Cache-Control: max-age=60|Cache-Tag: events"
    first = get(client, page, say)
    socket = says.edges[0].admin_url.removeprefix("unix:")
    printed = json.loads(says.run("purge", "says", "--tag", "events", "--socket", socket))
    assert [entry["kind"] for entry in printed["purges"]] == ["tag"]
    second = get(client, page, say)
    assert run_of(second) > run_of(first)
    with says.admin() as admin:
        event = json.dumps({"type": "uri", "selectors": [f"https://{HOST}{page}"], "purge": True}).encode()
        assert admin.request("POST", "/-/invalidate", body=event).status == 200
        assert run_of(get(client, page, say)) > run_of(second)
        for wrong in (b"", b"{", b"[]", b'{"type": "uri"}', b'{"type": "x", "selectors": ["y"]}', b"[" * 50_000):
            assert admin.request("POST", "/-/invalidate", body=wrong).status == 400
    for wrong_query in ("", "x=1", "uri=", "uri=ftp://a.test/", "tag=a%20b", "service=../x"):
        assert purge(says, wrong_query).status == 400, wrong_query


def test_answers_to_credentials_and_cookies_are_nobody_elses(client: Client, page: str) -> None:
    own = get(client, page, "Cache-Control: max-age=60", Authorization="Bearer x")
    assert 'detail="resident, authorization"' in did(own)
    assert run_of(get(client, page, "Cache-Control: max-age=60|Set-Cookie: a=b")) > run_of(own)
    assert did(get(client, page)).startswith("nunatak; fwd=uri-miss")


def test_an_edge_without_memory_for_them_keeps_none(says: Site, page: str, own_site: Site) -> None:
    edge = own_site.add_edge(config={"response_memory": 0})
    own_site.publish(own_site.build(PROGRAM, name="says"), "says", HOST)
    with Client(edge.url) as client:
        runs = [get(client, page, "Cache-Control: max-age=60") for _ in range(2)]
    assert run_of(runs[1]) > run_of(runs[0])
    assert did(runs[1]) == "nunatak; fwd=bypass; detail=resident"


def test_malformed_requests_are_refused_as_before(says: Site) -> None:
    got = raw(says.edges[0], f"GET / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: x\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 400 ")
