"""What a guest keeps itself, on an edge with a disk for answers: it outlives the edge, and what was purged does not."""

from collections.abc import Iterator

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.guests import PROGRAMS

HOST = "keeps.test"


@pytest.fixture
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Server]]:
    """One of a test, and its origin."""
    config = {"refresh": 0.2, "response_memory": 1 << 20, "response_disk": 4 << 20}
    with Site(tmp_path_factory.mktemp("keeps"), edges=0, edge_config=config) as site:
        site.publish(site.build(PROGRAMS / "keeps.c", name="keeps"), "keeps", HOST)
        running = site.add_edge()
        yield site, running
        running.stop()


def told(edge: Server, method: str, path: str, body: bytes | None = None) -> str:
    with Client(edge.url) as client:
        return client.request(method, path, host=HOST, body=body).body.decode()


def test_it_outlives_the_edge_and_a_purge_outlives_a_kill(edge: tuple[Site, Server]) -> None:
    site, running = edge
    for path in ("/a", "/b"):
        assert told(running, "PUT", path, b"page") == "204 stored "
        assert told(running, "GET", path) == "201 hit page"
    running.stop()
    site.restart(running)
    assert told(running, "GET", "/a") == "201 hit page", "from disk"
    assert told(running, "GET", "/a") == "201 hit page", "and from memory"
    assert told(running, "GET", "/c") == "504 miss "
    assert told(running, "DELETE", "/") == "200 purged "
    running.kill()
    site.restart(running)
    assert [told(running, "GET", path) for path in ("/a", "/b")] == ["504 miss "] * 2
