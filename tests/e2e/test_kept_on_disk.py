"""Kept answers on an edge's disk: they come back to who asks and outlive a kill; what was purged before it does not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import eventually, metrics
from tests.support.restarts import successor

HOST = "says.test"
PROGRAM = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
FILLERS = 8  # pages of some 200 KB that push out the others


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An origin; tests start edges of their own, with little memory for kept answers."""
    config = {"refresh": 0.2, "response_memory": 1 << 20, "response_disk": 4 << 20}
    with Site(tmp_path_factory.mktemp("kept"), edges=0, edge_config=config) as site:
        site.publish(site.build(PROGRAM, name="says"), "says", HOST)
        yield site


@pytest.fixture
def edge(origin: Site) -> Iterator[Server]:
    """An edge of one test."""
    running = origin.add_edge()
    yield running
    running.stop()


def get(edge: Server, path: str, tag: str = "t", *, method: str = "GET", **fields: str) -> Answer:
    say = f"Cache-Control: max-age=3600, stale-if-error=600|Cache-Tag: {tag}"
    with Client(edge.url) as client:
        return client.request(method, path, host=HOST, headers={"Say": say, **fields})


def did(answer: Answer) -> str:
    return re.sub(r"; ttl=-?\d+", "", answer.headers["cache-status"])


def put_on_disk(edge: Server, *pages: tuple[str, str]) -> list[Answer]:
    """Pages with their tags, each asked for twice and then pushed out of memory; as they were first."""
    before = metrics(edge)["response_disk_answers"]
    first = [get(edge, path, tag) for path, tag in pages]
    assert [did(get(edge, path, tag)) for path, tag in pages] == ["nunatak; hit"] * len(pages)
    for number in range(FILLERS):
        assert len(get(edge, f"/filler-{number}-{before:.0f}", Parts="2").body) > 100_000
    eventually(lambda: metrics(edge)["response_disk_answers"] >= before + len(pages), "the pages are on disk")
    return first


def purge(edge: Server, query: str) -> Answer:
    with Client(edge.admin_url) as admin:
        return admin.request("POST", f"/-/purge?{query}")


FROM_DISK = "nunatak; hit; detail=disk"


def test_what_memory_has_no_room_for_comes_back_from_disk_and_what_is_changed_does_not(edge: Server) -> None:
    a, b = put_on_disk(edge, ("/a", "x"), ("/b", "y"))
    again = get(edge, "/a")
    assert (did(again), again.body) == (FROM_DISK, a.body)
    for name in ("date", "cache-control", "content-type"):
        assert again.headers.get(name) == a.headers.get(name)
    assert did(get(edge, "/a")) == "nunatak; hit", "and is in memory now"
    assert get(edge, "/b", method="POST").status == 200
    changed = get(edge, "/b")
    assert did(changed).startswith("nunatak; fwd=uri-miss; stored")
    assert changed.body != b.body
    counted = metrics(edge)
    assert counted["cache_disk_total{hit}"] == 1
    assert 0 < counted["response_disk_bytes"] <= 4 << 20


def test_a_kill_loses_no_purge_and_not_what_was_not_purged(origin: Site, edge: Server) -> None:
    pages = [("/tag", "gone"), ("/uri", "u"), ("/soft", "soft"), ("/kept", "k"), ("/changed", "c")]
    first = dict(zip([path for path, _ in pages], put_on_disk(edge, *pages), strict=True))
    get(edge, "/changed", method="POST")
    for query in ("service=says&tag=gone", f"uri=https://{HOST}/uri", "tag=soft&soft"):
        done = purge(edge, query)
        assert done.status == 200, done.body
    numbers = [entry["number"] for entry in json.loads(done.body)["purges"]]
    edge.kill()
    origin.restart(edge)
    assert metrics(edge)["response_disk_purges"] >= 1
    kept = get(edge, "/kept")
    assert (did(kept), kept.body) == (FROM_DISK, first["/kept"].body)
    for path, how in (("/tag", "uri-miss"), ("/uri", "uri-miss"), ("/soft", "stale"), ("/changed", "uri-miss")):
        answer = get(edge, path)
        assert did(answer).startswith(f"nunatak; fwd={how}"), path
    later = [entry["number"] for entry in json.loads(purge(edge, "all").body)["purges"]]
    assert later > numbers
    assert did(get(edge, "/kept")).startswith("nunatak; fwd=uri-miss")


def test_an_edge_that_takes_over_has_what_the_one_before_kept(origin: Site, edge: Server) -> None:
    (first,) = put_on_disk(edge, ("/page", "x"))
    in_memory = get(edge, "/in-memory")
    get(edge, "/in-memory")
    after = successor(edge, origin.folder, "--take-over")
    try:
        after.start()
        assert edge.wait() == 0
        assert [(did(answer), answer.body) for answer in (get(after, "/page"), get(after, "/in-memory"))] == [
            (FROM_DISK, first.body),
            (FROM_DISK, in_memory.body),
        ]
    finally:
        after.stop()
